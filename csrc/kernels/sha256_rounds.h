// sha256_rounds.h: the 64 rounds of SHA-256, as written in FIPS 180-4, 6.2.2,
// over a type `word`.
//
// Each kernel that includes this file gets these functions under names of its
// own. It first defines SHA256_NAME(name), which puts its prefix before a name,
// and the type SHA256_NAME(word): a uint32_t, or a vector of them. Nothing here
// moves values between the lanes of a vector, so each lane computes what a
// uint32_t would. With SHA256_ROUND_ALONE or SHA256_SCHEDULE_ALONE it gets only
// the functions of one round, or of one word of the schedule, and calls them
// itself.
#include "sha256_k.h"

#define word SHA256_NAME(word)
#define shr SHA256_NAME(shr)
#define rotr SHA256_NAME(rotr)
#define ch SHA256_NAME(ch)
#define maj SHA256_NAME(maj)
#define big_sigma0 SHA256_NAME(big_sigma0)
#define big_sigma1 SHA256_NAME(big_sigma1)
#define small_sigma0 SHA256_NAME(small_sigma0)
#define small_sigma1 SHA256_NAME(small_sigma1)
#define one_round SHA256_NAME(one_round)
#define eight_rounds SHA256_NAME(eight_rounds)
#define next_word SHA256_NAME(next_word)
#define eight_next_words SHA256_NAME(eight_next_words)
#define hash_words SHA256_NAME(hash_words)

PV_INLINE word shr(word x, int n) {
  return x >> n;
}

PV_INLINE word rotr(word x, int n) {
  return shr(x, n) | x << (32 - n);
}

#ifndef SHA256_SCHEDULE_ALONE

PV_INLINE word ch(word x, word y, word z) {
  return (x & y) ^ (~x & z);
}

// Takes the bit of y unless both others differ from it. The x ^ y of one round
// is the y ^ z of the next, which saves two operations of 4.1.2.
PV_INLINE word maj(word x, word y, word z) {
  return ((x ^ y) & (y ^ z)) ^ y;
}

PV_INLINE word big_sigma0(word x) {
  return rotr(x, 2) ^ rotr(x, 13) ^ rotr(x, 22);
}

PV_INLINE word big_sigma1(word x) {
  return rotr(x, 6) ^ rotr(x, 11) ^ rotr(x, 25);
}

// Does one round. Only d and h get new values; the order of the arguments
// renames the other six from call to call.
PV_INLINE void one_round(word a, word b, word c, word *d, word e, word f,
                         word g, word *h, word w, uint32_t k) {
  *h += w + k;
  *h += ch(e, f, g);
  *h += big_sigma1(e);
  *d += *h;
  *h += big_sigma0(a) + maj(a, b, c);
}

#endif  // SHA256_SCHEDULE_ALONE

#ifndef SHA256_ROUND_ALONE

PV_INLINE word small_sigma0(word x) {
  return rotr(x, 7) ^ rotr(x, 18) ^ shr(x, 3);
}

PV_INLINE word small_sigma1(word x) {
  return rotr(x, 17) ^ rotr(x, 19) ^ shr(x, 10);
}

#endif  // SHA256_ROUND_ALONE

#if !defined(SHA256_ROUND_ALONE) && !defined(SHA256_SCHEDULE_ALONE)

// Does eight rounds, after which each variable has its own name again.
PV_INLINE void eight_rounds(word s[8], const word *w, const uint32_t *k) {
  one_round(s[0], s[1], s[2], &s[3], s[4], s[5], s[6], &s[7], w[0], k[0]);
  one_round(s[7], s[0], s[1], &s[2], s[3], s[4], s[5], &s[6], w[1], k[1]);
  one_round(s[6], s[7], s[0], &s[1], s[2], s[3], s[4], &s[5], w[2], k[2]);
  one_round(s[5], s[6], s[7], &s[0], s[1], s[2], s[3], &s[4], w[3], k[3]);
  one_round(s[4], s[5], s[6], &s[7], s[0], s[1], s[2], &s[3], w[4], k[4]);
  one_round(s[3], s[4], s[5], &s[6], s[7], s[0], s[1], &s[2], w[5], k[5]);
  one_round(s[2], s[3], s[4], &s[5], s[6], s[7], s[0], &s[1], w[6], k[6]);
  one_round(s[1], s[2], s[3], &s[4], s[5], s[6], s[7], &s[0], w[7], k[7]);
}

// Replaces w[t], the oldest of the last sixteen words of the message schedule,
// by the word that comes sixteen later.
PV_INLINE void next_word(word w[16], int t) {
  w[t] += small_sigma1(w[(t + 14) % 16]) + w[(t + 9) % 16] +
          small_sigma0(w[(t + 1) % 16]);
}

PV_INLINE void eight_next_words(word w[16], int t) {
  next_word(w, t);
  next_word(w, t + 1);
  next_word(w, t + 2);
  next_word(w, t + 3);
  next_word(w, t + 4);
  next_word(w, t + 5);
  next_word(w, t + 6);
  next_word(w, t + 7);
}

// Hashes one block, given as its sixteen words, into the state.
PV_INLINE void hash_words(word state[8], word w[16]) {
  word s[8];
  for (int i = 0; i < 8; i++) {
    s[i] = state[i];
  }
  for (int round = 0; round < 48; round += 16) {
    eight_rounds(s, w, sha256_k + round);
    eight_next_words(w, 0);
    eight_rounds(s, w + 8, sha256_k + round + 8);
    eight_next_words(w, 8);
  }
  eight_rounds(s, w, sha256_k + 48);
  eight_rounds(s, w + 8, sha256_k + 56);
  for (int i = 0; i < 8; i++) {
    state[i] += s[i];
  }
}

#endif

#undef word
#undef shr
#undef rotr
#undef ch
#undef maj
#undef big_sigma0
#undef big_sigma1
#undef small_sigma0
#undef small_sigma1
#undef one_round
#undef eight_rounds
#undef next_word
#undef eight_next_words
#undef hash_words
#undef SHA256_NAME
#undef SHA256_ROUND_ALONE
#undef SHA256_SCHEDULE_ALONE
