// fips180.h: SHA-256 of one block, said as FIPS 180-4 says it, with its names
// and its order. The kernels are proved equal to this.
//
// tests/project/test_prove_models.py compares it with hashlib, and the
// constants with the cube roots that they are made from.
#ifndef PINVERIFY_FIPS180_H
#define PINVERIFY_FIPS180_H

#include <stdint.h>

// 4.2.2: the first 32 bits of the fractional parts of the cube roots of the
// first 64 primes.
static const uint32_t fips_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// 5.3.3: the first 32 bits of the fractional parts of the square roots of the
// first eight primes.
static const uint32_t fips_h0[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                    0xa54ff53a, 0x510e527f, 0x9b05688c,
                                    0x1f83d9ab, 0x5be0cd19};

// 3.2 and 4.1.2
static inline uint32_t fips_rotr(int n, uint32_t x) {
  return (x >> n) | (x << (32 - n));
}

static inline uint32_t fips_shr(int n, uint32_t x) {
  return x >> n;
}

static inline uint32_t fips_ch(uint32_t x, uint32_t y, uint32_t z) {
  return (x & y) ^ (~x & z);
}

static inline uint32_t fips_maj(uint32_t x, uint32_t y, uint32_t z) {
  return (x & y) ^ (x & z) ^ (y & z);
}

static inline uint32_t fips_big_sigma0(uint32_t x) {
  return fips_rotr(2, x) ^ fips_rotr(13, x) ^ fips_rotr(22, x);
}

static inline uint32_t fips_big_sigma1(uint32_t x) {
  return fips_rotr(6, x) ^ fips_rotr(11, x) ^ fips_rotr(25, x);
}

static inline uint32_t fips_small_sigma0(uint32_t x) {
  return fips_rotr(7, x) ^ fips_rotr(18, x) ^ fips_shr(3, x);
}

static inline uint32_t fips_small_sigma1(uint32_t x) {
  return fips_rotr(17, x) ^ fips_rotr(19, x) ^ fips_shr(10, x);
}

// 3.1 and 5.2.1: word t of a block, big-endian.
static inline uint32_t fips_message_word(const uint8_t *block, int t) {
  const uint8_t *p = block + 4 * t;
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
         (uint32_t)p[3];
}

// 6.2.2, step 1: W_t, for 16 <= t <= 63.
static inline uint32_t fips_schedule_word(const uint32_t w[64], int t) {
  return fips_small_sigma1(w[t - 2]) + w[t - 7] + fips_small_sigma0(w[t - 15]) +
         w[t - 16];
}

typedef struct fips_variables {
  uint32_t a, b, c, d, e, f, g, h;
} fips_variables;

// 6.2.2, step 3, for one t.
static inline fips_variables fips_round(fips_variables v, uint32_t k_t,
                                        uint32_t w_t) {
  const uint32_t t1 =
      v.h + fips_big_sigma1(v.e) + fips_ch(v.e, v.f, v.g) + k_t + w_t;
  const uint32_t t2 = fips_big_sigma0(v.a) + fips_maj(v.a, v.b, v.c);
  v.h = v.g;
  v.g = v.f;
  v.f = v.e;
  v.e = v.d + t1;
  v.d = v.c;
  v.c = v.b;
  v.b = v.a;
  v.a = t1 + t2;
  return v;
}

// 6.2.2, steps 2 and 4.
static inline fips_variables fips_begin(const uint32_t hash[8]) {
  return (fips_variables){hash[0], hash[1], hash[2], hash[3],
                          hash[4], hash[5], hash[6], hash[7]};
}

static inline void fips_end(uint32_t hash[8], fips_variables v) {
  hash[0] = v.a + hash[0];
  hash[1] = v.b + hash[1];
  hash[2] = v.c + hash[2];
  hash[3] = v.d + hash[3];
  hash[4] = v.e + hash[4];
  hash[5] = v.f + hash[5];
  hash[6] = v.g + hash[6];
  hash[7] = v.h + hash[7];
}

// 6.2.2 as a whole: what prove_sha256_steps.h takes step by step.
static inline void fips_block(uint32_t hash[8], const uint8_t *block) {
  uint32_t w[64];
  for (int t = 0; t < 16; t++) {
    w[t] = fips_message_word(block, t);
  }
  for (int t = 16; t < 64; t++) {
    w[t] = fips_schedule_word(w, t);
  }
  fips_variables v = fips_begin(hash);
  for (int t = 0; t < 64; t++) {
    v = fips_round(v, fips_k[t], w[t]);
  }
  fips_end(hash, v);
}

// 5.1.1: a message is padded with a bit, zeros, and its length in bits as eight
// bytes, to whole blocks.
static inline uint64_t fips_num_blocks(uint64_t len) {
  return (len + 1 + 8 + 63) / 64;
}

static inline uint8_t fips_padded_byte(const uint8_t *message, uint64_t len,
                                       uint64_t i) {
  const uint64_t end = 64 * fips_num_blocks(len);
  if (i < len) {
    return message[i];
  }
  if (i == len) {
    return 0x80;
  }
  return i < end - 8 ? 0 : (uint8_t)(8 * len >> 8 * (end - 1 - i) & 0xff);
}

static inline uint32_t fips_padded_word(const uint8_t *message, uint64_t len,
                                        uint64_t block, int t) {
  uint8_t bytes[4];
  for (uint64_t i = 0; i < 4; i++) {
    bytes[i] = fips_padded_byte(message, len, 64 * block + 4 * (uint64_t)t + i);
  }
  return fips_message_word(bytes, 0);
}

#endif  // PINVERIFY_FIPS180_H
