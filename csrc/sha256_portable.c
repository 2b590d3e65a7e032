// sha256_portable.c: the SHA-256 block function in plain C, as FIPS 180-4,
// 6.2.2, writes it down.
#include "internal.h"
#include "sha256_k.h"

static uint32_t rotr(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

static uint32_t ch(uint32_t x, uint32_t y, uint32_t z) {
  return (x & y) ^ (~x & z);
}

static uint32_t maj(uint32_t x, uint32_t y, uint32_t z) {
  return (x & y) ^ (x & z) ^ (y & z);
}

static uint32_t big_sigma0(uint32_t x) {
  return rotr(x, 2) ^ rotr(x, 13) ^ rotr(x, 22);
}

static uint32_t big_sigma1(uint32_t x) {
  return rotr(x, 6) ^ rotr(x, 11) ^ rotr(x, 25);
}

static uint32_t small_sigma0(uint32_t x) {
  return rotr(x, 7) ^ rotr(x, 18) ^ x >> 3;
}

static uint32_t small_sigma1(uint32_t x) {
  return rotr(x, 17) ^ rotr(x, 19) ^ x >> 10;
}

static void hash_block(uint32_t *state, const uint8_t *block) {
  uint32_t w[64];
  for (int t = 0; t < 16; t++) {
    w[t] = load_be32(block + 4 * t);
  }
  for (int t = 16; t < 64; t++) {
    w[t] =
        small_sigma1(w[t - 2]) + w[t - 7] + small_sigma0(w[t - 15]) + w[t - 16];
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int t = 0; t < 64; t++) {
    const uint32_t t1 = h + big_sigma1(e) + ch(e, f, g) + sha256_k[t] + w[t];
    const uint32_t t2 = big_sigma0(a) + maj(a, b, c);
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

static void hash_blocks(uint32_t *state, const uint8_t *const *in,
                        size_t num_blocks) {
  for (size_t i = 0; i < num_blocks; i++) {
    hash_block(state, in[0] + 64 * i);
  }
}

const pv_kernel pv_sha256_portable = {
    .name = "portable", .needs = CPU_ANY, .lanes = 1, .sha256 = hash_blocks};
