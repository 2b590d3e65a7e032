// model_arm.h: models in plain C of the AArch64 instructions behind the kernels'
// intrinsics, after the pseudo-code of the Arm Architecture Reference Manual
// (C7.2, and shared/functions/crypto). A prover reads these in the place of the
// intrinsics. tests/project/test_prove_models.py compares each with its
// instruction.
#ifndef PINVERIFY_MODEL_ARM_H
#define PINVERIFY_MODEL_ARM_H

#include <stdint.h>

typedef uint32_t m32x4 __attribute__((vector_size(16)));
typedef uint8_t m8x16 __attribute__((vector_size(16)));
typedef uint64_t m64x2 __attribute__((vector_size(16)));

// LD1, ST1
static inline m32x4 model_vld1q_u32(const uint32_t *p) {
  return (m32x4){p[0], p[1], p[2], p[3]};
}

static inline m8x16 model_vld1q_u8(const uint8_t *p) {
  m8x16 r = {0};
  for (int i = 0; i < 16; i++) {
    r[i] = p[i];
  }
  return r;
}

static inline void model_vst1q_u32(uint32_t *p, m32x4 a) {
  for (int i = 0; i < 4; i++) {
    p[i] = a[i];
  }
}

// REV32: the bytes of each word, the other way round.
static inline m8x16 model_vrev32q_u8(m8x16 a) {
  m8x16 r = {0};
  for (int i = 0; i < 16; i++) {
    r[i] = a[i / 4 * 4 + 3 - i % 4];
  }
  return r;
}

static inline m32x4 model_vreinterpretq_u32_u8(m8x16 a) {
  m32x4 r = {0};
  for (int i = 0; i < 16; i++) {
    r[i / 4] |= (uint32_t)a[i] << 8 * (i % 4);
  }
  return r;
}

static inline m64x2 model_vreinterpretq_u64_u8(m8x16 a) {
  m64x2 r = {0};
  for (int i = 0; i < 16; i++) {
    r[i / 8] |= (uint64_t)a[i] << 8 * (i % 8);
  }
  return r;
}

// DUP, UMOV
static inline m64x2 model_vdupq_n_u64(uint64_t a) {
  return (m64x2){a, a};
}

static inline uint64_t model_vgetq_lane_u64(m64x2 a, int lane) {
  return a[lane];
}

// CMEQ: all ones in each lane that is equal.
static inline m64x2 model_vceqq_u64(m64x2 a, m64x2 b) {
  return (m64x2){a[0] == b[0] ? UINT64_MAX : 0, a[1] == b[1] ? UINT64_MAX : 0};
}

// AND, ORR
static inline m64x2 model_vandq_u64(m64x2 a, m64x2 b) {
  return (m64x2){a[0] & b[0], a[1] & b[1]};
}

static inline m64x2 model_vorrq_u64(m64x2 a, m64x2 b) {
  return (m64x2){a[0] | b[0], a[1] | b[1]};
}

// EXT: from lane `first` of the lanes of a, and of b behind them.
static inline m64x2 model_vextq_u64(m64x2 a, m64x2 b, int first) {
  return first == 0 ? a : (m64x2){a[1], b[0]};
}

// ADD
static inline m32x4 model_vaddq_u32(m32x4 a, m32x4 b) {
  return (m32x4){a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]};
}

static inline uint32_t arm_ror(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

// The manual has ((y ^ z) & x) ^ z and (x & y) | ((x | y) & z), which is the
// same for each bit. A solver need not find that out inside of a sum.
static inline uint32_t arm_choose(uint32_t x, uint32_t y, uint32_t z) {
  return (x & y) ^ (~x & z);
}

static inline uint32_t arm_majority(uint32_t x, uint32_t y, uint32_t z) {
  return (x & y) ^ (x & z) ^ (y & z);
}

static inline uint32_t arm_hash_sigma0(uint32_t x) {
  return arm_ror(x, 2) ^ arm_ror(x, 13) ^ arm_ror(x, 22);
}

static inline uint32_t arm_hash_sigma1(uint32_t x) {
  return arm_ror(x, 6) ^ arm_ror(x, 11) ^ arm_ror(x, 25);
}

// SHA256hash()
static inline m32x4 arm_sha256_hash(m32x4 x, m32x4 y, m32x4 w, int part1) {
  for (int e = 0; e < 4; e++) {
    const uint32_t chs = arm_choose(y[0], y[1], y[2]);
    const uint32_t maj = arm_majority(x[0], x[1], x[2]);
    const uint32_t t = y[3] + arm_hash_sigma1(y[0]) + chs + w[e];
    x[3] = t + x[3];
    y[3] = t + arm_hash_sigma0(x[0]) + maj;
    // <Y, X> = ROL(Y : X, 32)
    const m32x4 rolled_x = {y[3], x[0], x[1], x[2]};
    const m32x4 rolled_y = {x[3], y[0], y[1], y[2]};
    x = rolled_x;
    y = rolled_y;
  }
  return part1 ? x : y;
}

// SHA256H, SHA256H2
static inline m32x4 model_vsha256hq_u32(m32x4 d, m32x4 n, m32x4 m) {
  return arm_sha256_hash(d, n, m, 1);
}

static inline m32x4 model_vsha256h2q_u32(m32x4 d, m32x4 n, m32x4 m) {
  return arm_sha256_hash(n, d, m, 0);
}

// SHA256SU0
static inline m32x4 model_vsha256su0q_u32(m32x4 d, m32x4 n) {
  const m32x4 t = {d[1], d[2], d[3], n[0]};
  m32x4 r = {0};
  for (int e = 0; e < 4; e++) {
    const uint32_t elt = arm_ror(t[e], 7) ^ arm_ror(t[e], 18) ^ t[e] >> 3;
    r[e] = elt + d[e];
  }
  return r;
}

// SHA256SU1
static inline m32x4 model_vsha256su1q_u32(m32x4 d, m32x4 n, m32x4 m) {
  const m32x4 t0 = {n[1], n[2], n[3], m[0]};
  m32x4 r = {0};
  for (int e = 0; e < 4; e++) {
    const uint32_t t1 = e < 2 ? m[2 + e] : r[e - 2];
    const uint32_t elt = arm_ror(t1, 17) ^ arm_ror(t1, 19) ^ t1 >> 10;
    r[e] = elt + d[e] + t0[e];
  }
  return r;
}

#endif  // PINVERIFY_MODEL_ARM_H
