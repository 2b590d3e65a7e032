// siphash_rounds.h: SipHash-1-3, as written in Aumasson and Bernstein, SipHash:
// a fast short-input PRF (2012), 2.2 to 2.4, over a type `word`.
//
// As with sha256_rounds.h, a file that includes this one first defines
// SIPHASH_NAME(name), which puts a prefix before a name, and the type
// SIPHASH_NAME(word): a uint64_t, or a vector of them.
#define word SIPHASH_NAME(word)
#define shr SIPHASH_NAME(shr)
#define rotl SIPHASH_NAME(rotl)
#define mix SIPHASH_NAME(mix)
#define absorb SIPHASH_NAME(absorb)
#define finish SIPHASH_NAME(finish)

PV_INLINE word shr(word x, int n) {
  return x >> n;
}

PV_INLINE word rotl(word x, int n) {
  return x << n | shr(x, 64 - n);
}

MAY_WRAP_BEGIN
// Does one SipRound.
PV_INLINE void mix(word v[4]) {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = rotl(v[1], 13) ^ v[0];
  v[3] = rotl(v[3], 16) ^ v[2];
  v[0] = rotl(v[0], 32) + v[3];
  v[2] += v[1];
  v[1] = rotl(v[1], 17) ^ v[2];
  v[3] = rotl(v[3], 21) ^ v[0];
  v[2] = rotl(v[2], 32);
}
MAY_WRAP_END

// Hashes eight bytes of the message, the first one lowest.
PV_INLINE void absorb(word v[4], word bytes) {
  v[3] ^= bytes;
  mix(v);
  v[0] ^= bytes;
}

// Hashes the last word, whose highest byte is from the length of the message,
// and returns the hash.
PV_INLINE word finish(word v[4], word bytes) {
  absorb(v, bytes);
  v[2] ^= 0xff;
  mix(v);
  mix(v);
  mix(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#undef word
#undef shr
#undef rotl
#undef mix
#undef absorb
#undef finish
#undef SIPHASH_NAME
