// compare_arm.c: is each model of model_arm.h the instruction? Both get the
// same random registers. Prints the intrinsics it has compared, one a line, and
// ends with 1 at the first difference.
#include <arm_neon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_arm.h"

enum { TIMES = 2000 };

// Three registers, the same for both sides.
static uint32_t a[5], b[4], c[4];

static uint32_t next_random(void) {
  static uint32_t x = 0x9e3779b9;  // xorshift32
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return x;
}

static void fill(void) {
  for (int i = 0; i < 4; i++) {
    a[i] = next_random();
    b[i] = next_random();
    c[i] = next_random();
  }
}

static void same(const char *name, const void *real, const void *model) {
  if (memcmp(real, model, 16) != 0) {
    printf("differs: %s\n", name);
    exit(1);
  }
}

static m32x4 model(const void *p) {
  m32x4 r;
  memcpy(&r, p, sizeof r);
  return r;
}

static m8x16 model_bytes(const void *p) {
  m8x16 r;
  memcpy(&r, p, sizeof r);
  return r;
}

static m64x2 model_longs(const void *p) {
  m64x2 r;
  memcpy(&r, p, sizeof r);
  return r;
}

static uint64x2_t real_longs(const void *p) {
  return vreinterpretq_u64_u8(vld1q_u8(p));
}

#define COMPARE(name, real_type, real, model_type, modelled) \
  do {                                                       \
    for (int i = 0; i < TIMES; i++) {                        \
      fill();                                                \
      const real_type r = real;                              \
      const model_type m = modelled;                         \
      same(#name, &r, &m);                                   \
    }                                                        \
    puts(#name);                                             \
  } while (0)

#define TWO(name)                                                    \
  COMPARE(name, uint32x4_t, name(vld1q_u32(a), vld1q_u32(b)), m32x4, \
          model_##name(model(a), model(b)))

#define THREE(name)                                                         \
  COMPARE(name, uint32x4_t, name(vld1q_u32(a), vld1q_u32(b), vld1q_u32(c)), \
          m32x4, model_##name(model(a), model(b), model(c)))

#define TWO_LONGS(name)                                                 \
  COMPARE(name, uint64x2_t, name(real_longs(a), real_longs(b)), m64x2, \
          model_##name(model_longs(a), model_longs(b)))

// Random lanes are never equal, so one of them is made so.
static void compare_equal(void) {
  for (int i = 0; i < TIMES; i++) {
    fill();
    memcpy(b + 2 * (i % 2), a + 2 * (i % 2), 8);
    const uint64x2_t r = vceqq_u64(real_longs(a), real_longs(b));
    const m64x2 m = model_vceqq_u64(model_longs(a), model_longs(b));
    same("vceqq_u64", &r, &m);
  }
}

// The instruction has the number of a lane in itself.
static void compare_lanes(void) {
  for (int i = 0; i < TIMES; i++) {
    fill();
    const uint64_t real[2] = {vgetq_lane_u64(real_longs(a), 0),
                              vgetq_lane_u64(real_longs(a), 1)};
    const uint64_t modelled[2] = {model_vgetq_lane_u64(model_longs(a), 0),
                                  model_vgetq_lane_u64(model_longs(a), 1)};
    same("vgetq_lane_u64", real, modelled);
    const uint64x2_t first = vextq_u64(real_longs(a), real_longs(b), 0);
    const m64x2 also = model_vextq_u64(model_longs(a), model_longs(b), 0);
    same("vextq_u64", &first, &also);
  }
  puts("vgetq_lane_u64");
}

static void compare_stores(void) {
  fill();
  uint32_t real[4], modelled[4];
  vst1q_u32(real, vld1q_u32(a));
  model_vst1q_u32(modelled, model(a));
  same("vst1q_u32", real, modelled);
  puts("vst1q_u32");
}

int main(void) {
  const uint8_t *bytes = (const uint8_t *)a;
  COMPARE(vld1q_u32, uint32x4_t, vld1q_u32(a), m32x4, model_vld1q_u32(a));
  COMPARE(vld1q_u8, uint8x16_t, vld1q_u8(bytes + 1), m8x16,
          model_vld1q_u8(bytes + 1));
  COMPARE(vrev32q_u8, uint8x16_t, vrev32q_u8(vld1q_u8(bytes)), m8x16,
          model_vrev32q_u8(model_bytes(bytes)));
  COMPARE(vreinterpretq_u32_u8, uint32x4_t,
          vreinterpretq_u32_u8(vld1q_u8(bytes)), m32x4,
          model_vreinterpretq_u32_u8(model_bytes(bytes)));
  COMPARE(vreinterpretq_u64_u8, uint64x2_t,
          vreinterpretq_u64_u8(vld1q_u8(bytes)), m64x2,
          model_vreinterpretq_u64_u8(model_bytes(bytes)));
  COMPARE(vdupq_n_u64, uint64x2_t, vdupq_n_u64(a[0]), m64x2,
          model_vdupq_n_u64(a[0]));
  COMPARE(vextq_u64, uint64x2_t, vextq_u64(real_longs(a), real_longs(b), 1),
          m64x2, model_vextq_u64(model_longs(a), model_longs(b), 1));
  compare_equal();
  compare_lanes();
  compare_stores();
  TWO_LONGS(vceqq_u64);
  TWO_LONGS(vandq_u64);
  TWO_LONGS(vorrq_u64);
  TWO(vaddq_u32);
  TWO(vsha256su0q_u32);
  THREE(vsha256hq_u32);
  THREE(vsha256h2q_u32);
  THREE(vsha256su1q_u32);
  return 0;
}
