// compare_x86.c: is each model of model_x86.h the instruction? Both get the
// same random registers, and every immediate byte that there is.
//
// Prints the intrinsics it has compared, one a line: those that the compiler
// was told this machine has. Ends with 1 at the first difference.
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_x86.h"

enum { TIMES = 200 };

// Three registers, the same for both sides.
static uint8_t a[64], b[64], c[64];

static uint64_t next_random(void) {
  static uint64_t x = 0x9e3779b97f4a7c15;  // xorshift64
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x;
}

// Some lanes of b are those of a, or differ by a bit: comparisons look there.
static void fill(void) {
  for (int i = 0; i < 64; i += 8) {
    const uint64_t x = next_random(), y = next_random(), z = next_random();
    const uint64_t near[4] = {x, x ^ (uint64_t)1 << z % 64, y, y};
    memcpy(a + i, &x, 8);
    memcpy(b + i, &near[z >> 8 & 3], 8);
    memcpy(c + i, &z, 8);
  }
}

static void same(const char *name, const void *real, const void *model,
                 size_t size) {
  if (memcmp(real, model, size) != 0) {
    printf("differs: %s\n", name);
    exit(1);
  }
}

#define SAME(name, real_type, real, model_type, model) \
  do {                                                 \
    const real_type r = real;                          \
    const model_type m = model;                        \
    same(name, &r, &m, sizeof m);                      \
  } while (0)

// REPEAT does it TIMES with new registers.
#define REPEAT(name, ...)             \
  do {                                \
    for (int i = 0; i < TIMES; i++) { \
      fill();                         \
      __VA_ARGS__;                    \
    }                                 \
    puts(name);                       \
  } while (0)

// X(0) to X(255), one after the other.
#define IMM4(X, n) X((n)) X((n) + 1) X((n) + 2) X((n) + 3)
#define IMM16(X, n) \
  IMM4(X, n) IMM4(X, (n) + 4) IMM4(X, (n) + 8) IMM4(X, (n) + 12)
#define IMM64(X, n) \
  IMM16(X, n) IMM16(X, (n) + 16) IMM16(X, (n) + 32) IMM16(X, (n) + 48)
#define IMM256(X) IMM64(X, 0) IMM64(X, 64) IMM64(X, 128) IMM64(X, 192)

// ---- 128 bits ---------------------------------------------------------------

#if defined(__SSSE3__) && defined(__SSE4_1__)
static __m128i real128(const void *p) {
  return _mm_loadu_si128(p);
}

static m128 model128(const void *p) {
  m128 r;
  memcpy(&r, p, sizeof r);
  return r;
}

#define SAME128(name, real, model) SAME(name, __m128i, real, m128, model)

#define TWO128(name)                                                      \
  REPEAT("_mm_" #name, SAME128(#name, _mm_##name(real128(a), real128(b)), \
                               model_mm_##name(model128(a), model128(b))))

#define SHUFFLE_EPI32(imm)                                     \
  SAME128("shuffle_epi32", _mm_shuffle_epi32(real128(a), imm), \
          model_mm_shuffle_epi32(model128(a), imm));
#define BLEND_EPI16(imm)                                               \
  SAME128("blend_epi16", _mm_blend_epi16(real128(a), real128(b), imm), \
          model_mm_blend_epi16(model128(a), model128(b), imm));
#define ALIGNR_EPI8(imm)                                               \
  SAME128("alignr_epi8", _mm_alignr_epi8(real128(a), real128(b), imm), \
          model_mm_alignr_epi8(model128(a), model128(b), imm));

static void same_stores_128(void) {
  uint8_t real[18] = {0}, model[18] = {0};
  _mm_storeu_si128((__m128i *)(void *)(real + 1), real128(a));
  model_mm_storeu_si128(model + 1, model128(a));
  same("storeu_si128", real, model, sizeof real);
}

static void compare_128(void) {
  REPEAT("_mm_loadu_si128",
         SAME128("loadu_si128", real128(a + 1), model_mm_loadu_si128(a + 1)));
  REPEAT("_mm_storeu_si128", same_stores_128());
  REPEAT("_mm_set_epi64x", const long long high = (long long)next_random();
         const long long low = (long long)next_random();
         SAME128("set_epi64x", _mm_set_epi64x(high, low),
                 model_mm_set_epi64x(high, low)));
  REPEAT("_mm_set_epi32", int x[4]; memcpy(x, a, sizeof x);
         SAME128("set_epi32", _mm_set_epi32(x[0], x[1], x[2], x[3]),
                 model_mm_set_epi32(x[0], x[1], x[2], x[3])));
  REPEAT("_mm_cvtsi128_si64",
         SAME("cvtsi128_si64", long long, _mm_cvtsi128_si64(real128(a)),
              long long, model_mm_cvtsi128_si64(model128(a))));
  REPEAT("_mm_movemask_epi8",
         SAME("movemask_epi8", int, _mm_movemask_epi8(real128(a)), int,
              model_mm_movemask_epi8(model128(a))));
  TWO128(add_epi32);
  TWO128(or_si128);
  TWO128(shuffle_epi8);
  TWO128(unpackhi_epi64);
  REPEAT("_mm_shuffle_epi32", IMM256(SHUFFLE_EPI32));
  REPEAT("_mm_blend_epi16", IMM256(BLEND_EPI16));
  REPEAT("_mm_alignr_epi8", IMM16(ALIGNR_EPI8, 0));
}
#else
static void compare_128(void) {}
#endif

#if defined(__SHA__)
static void compare_sha(void) {
  TWO128(sha256msg1_epu32);
  TWO128(sha256msg2_epu32);
  REPEAT("_mm_sha256rnds2_epu32",
         SAME128("sha256rnds2_epu32",
                 _mm_sha256rnds2_epu32(real128(a), real128(b), real128(c)),
                 model_mm_sha256rnds2_epu32(model128(a), model128(b),
                                            model128(c))));
}
#else
static void compare_sha(void) {}
#endif

// ---- 256 bits ---------------------------------------------------------------

#if defined(__AVX2__)
static __m256i real256(const void *p) {
  return _mm256_loadu_si256(p);
}

static m256 model256(const void *p) {
  m256 r;
  memcpy(&r, p, sizeof r);
  return r;
}

#define SAME256(name, real, model) SAME(name, __m256i, real, m256, model)

#define TWO256(name)                                           \
  REPEAT("_mm256_" #name,                                      \
         SAME256(#name, _mm256_##name(real256(a), real256(b)), \
                 model_mm256_##name(model256(a), model256(b))))

#define SHUFFLE_EPI32_256(imm)                                    \
  SAME256("shuffle_epi32", _mm256_shuffle_epi32(real256(a), imm), \
          model_mm256_shuffle_epi32(model256(a), imm));
#define PERMUTE4X64(imm)                                            \
  SAME256("permute4x64", _mm256_permute4x64_epi64(real256(a), imm), \
          model_mm256_permute4x64_epi64(model256(a), imm));
#define PERMUTE2X128(imm)                                         \
  SAME256("permute2x128",                                         \
          _mm256_permute2x128_si256(real256(a), real256(b), imm), \
          model_mm256_permute2x128_si256(model256(a), model256(b), imm));
#define EXTRACTI128(imm)                                                  \
  SAME("extracti128", __m128i, _mm256_extracti128_si256(real256(a), imm), \
       m128, model_mm256_extracti128_si256(model256(a), imm));

static void same_stores_256(void) {
  uint8_t real[34] = {0}, model[34] = {0};
  _mm256_storeu_si256((__m256i *)(void *)(real + 1), real256(a));
  model_mm256_storeu_si256(model + 1, model256(a));
  same("storeu_si256", real, model, sizeof real);
}

static void compare_256(void) {
  REPEAT("_mm256_loadu_si256", SAME256("loadu_si256", real256(a + 1),
                                       model_mm256_loadu_si256(a + 1)));
  REPEAT("_mm256_storeu_si256", same_stores_256());
  REPEAT("_mm256_set_epi64x", long long x[4]; memcpy(x, a, sizeof x);
         SAME256("set_epi64x", _mm256_set_epi64x(x[0], x[1], x[2], x[3]),
                 model_mm256_set_epi64x(x[0], x[1], x[2], x[3])));
  REPEAT("_mm256_set1_epi64x", const long long x = (long long)next_random();
         SAME256("set1_epi64x", _mm256_set1_epi64x(x),
                 model_mm256_set1_epi64x(x)));
  REPEAT("_mm256_set_m128i",
         SAME256("set_m128i", _mm256_set_m128i(real128(a), real128(b)),
                 model_mm256_set_m128i(model128(a), model128(b))));
  REPEAT("_mm256_broadcastsi128_si256",
         SAME256("broadcast", _mm256_broadcastsi128_si256(real128(a)),
                 model_mm256_broadcastsi128_si256(model128(a))));
  REPEAT("_mm256_setzero_si256", SAME256("setzero", _mm256_setzero_si256(),
                                         model_mm256_setzero_si256()));
  REPEAT("_mm256_castsi256_si128",
         SAME("castsi256_si128", __m128i, _mm256_castsi256_si128(real256(a)),
              m128, model_mm256_castsi256_si128(model256(a))));
  TWO256(unpacklo_epi32);
  TWO256(unpackhi_epi32);
  TWO256(unpacklo_epi64);
  TWO256(unpackhi_epi64);
  TWO256(shuffle_epi8);
  TWO256(cmpeq_epi64);
  TWO256(and_si256);
  TWO256(or_si256);
  REPEAT("_mm256_shuffle_epi32", IMM256(SHUFFLE_EPI32_256));
  REPEAT("_mm256_permute4x64_epi64", IMM256(PERMUTE4X64));
  REPEAT("_mm256_permute2x128_si256", IMM256(PERMUTE2X128));
  REPEAT("_mm256_extracti128_si256", EXTRACTI128(0) EXTRACTI128(1));
}
#else
static void compare_256(void) {}
#endif

// ---- 512 bits ---------------------------------------------------------------

#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512BW__)
static __m512i real512(const void *p) {
  return _mm512_loadu_si512(p);
}

static m512 model512(const void *p) {
  m512 r;
  memcpy(&r, p, sizeof r);
  return r;
}

#define SAME512(name, real, model) SAME(name, __m512i, real, m512, model)

#define TWO512(name)                                           \
  REPEAT("_mm512_" #name,                                      \
         SAME512(#name, _mm512_##name(real512(a), real512(b)), \
                 model_mm512_##name(model512(a), model512(b))))

#define SHUFFLE_I32X4(imm)                                                    \
  SAME512("shuffle_i32x4", _mm512_shuffle_i32x4(real512(a), real512(b), imm), \
          model_mm512_shuffle_i32x4(model512(a), model512(b), imm));
#define TERNARYLOGIC(imm)                                                     \
  SAME512("ternarylogic",                                                     \
          _mm512_ternarylogic_epi64(real512(a), real512(b), real512(c), imm), \
          model_mm512_ternarylogic_epi64(model512(a), model512(b),            \
                                         model512(c), imm));
#define INSERTI64X4(imm)                                                  \
  SAME512("inserti64x4", _mm512_inserti64x4(real512(a), real256(b), imm), \
          model_mm512_inserti64x4(model512(a), model256(b), imm));
#define EXTRACTI64X4(imm)                                                   \
  SAME("extracti64x4", __m256i, _mm512_extracti64x4_epi64(real512(a), imm), \
       m256, model_mm512_extracti64x4_epi64(model512(a), imm));

static void same_sets_512(void) {
  long long x[8];
  int y[4];
  memcpy(x, a, sizeof x);
  memcpy(y, b, sizeof y);
  SAME512(
      "set_epi64",
      _mm512_set_epi64(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]),
      model_mm512_set_epi64(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]));
  SAME512("set1_epi64", _mm512_set1_epi64(x[0]), model_mm512_set1_epi64(x[0]));
  SAME512("set4_epi32", _mm512_set4_epi32(y[0], y[1], y[2], y[3]),
          model_mm512_set4_epi32(y[0], y[1], y[2], y[3]));
}

static void same_stores_512(void) {
  uint8_t real[66] = {0}, model[66] = {0};
  _mm512_storeu_si512(real + 1, real512(a));
  model_mm512_storeu_si512(model + 1, model512(a));
  same("storeu_si512", real, model, sizeof real);
}

#define EXTRACTI32X4(imm)                                                   \
  SAME("extracti32x4", __m128i, _mm512_extracti32x4_epi32(real512(a), imm), \
       m128, model_mm512_extracti32x4_epi32(model512(a), imm));

static void same_by_mask_512(void) {
  uint64_t mask;
  memcpy(&mask, c, sizeof mask);
  const long long x = (long long)next_random();
  SAME512("maskz_loadu", _mm512_maskz_loadu_epi8(mask, a),
          model_mm512_maskz_loadu_epi8(mask, a));
  SAME512("mask_blend", _mm512_mask_blend_epi8(mask, real512(a), real512(b)),
          model_mm512_mask_blend_epi8(mask, model512(a), model512(b)));
  SAME512("mask_set1", _mm512_mask_set1_epi64(real512(a), c[0], x),
          model_mm512_mask_set1_epi64(model512(a), c[0], x));
  SAME512("set1_epi8", _mm512_set1_epi8((char)c[0]),
          model_mm512_set1_epi8((signed char)c[0]));
}

static void compare_512(void) {
  REPEAT(
      "_mm512_maskz_loadu_epi8\n_mm512_mask_blend_epi8\n"
      "_mm512_mask_set1_epi64\n_mm512_set1_epi8",
      same_by_mask_512());
  REPEAT("_mm512_castsi512_si128",
         SAME("castsi512_si128", __m128i, _mm512_castsi512_si128(real512(a)),
              m128, model_mm512_castsi512_si128(model512(a))));
  REPEAT("_mm512_extracti32x4_epi32",
         EXTRACTI32X4(0) EXTRACTI32X4(1) EXTRACTI32X4(2) EXTRACTI32X4(3));
  REPEAT("_mm512_loadu_si512", uint8_t odd[65]; memcpy(odd + 1, a, 64);
         SAME512("loadu_si512", real512(odd + 1),
                 model_mm512_loadu_si512(odd + 1)));
  REPEAT("_mm512_storeu_si512", same_stores_512());
  REPEAT("_mm512_set_epi64\n_mm512_set1_epi64\n_mm512_set4_epi32",
         same_sets_512());
  REPEAT("_mm512_setzero_si512", SAME512("setzero", _mm512_setzero_si512(),
                                         model_mm512_setzero_si512()));
  REPEAT("_mm512_castsi512_si256",
         SAME("castsi512_si256", __m256i, _mm512_castsi512_si256(real512(a)),
              m256, model_mm512_castsi512_si256(model512(a))));
  TWO512(unpacklo_epi32);
  TWO512(unpackhi_epi32);
  TWO512(unpacklo_epi64);
  TWO512(unpackhi_epi64);
  TWO512(shuffle_epi8);
  TWO512(xor_si512);
  TWO512(min_epu64);
  REPEAT("_mm512_permutex2var_epi64",
         SAME512("permutex2var",
                 _mm512_permutex2var_epi64(real512(a), real512(c), real512(b)),
                 model_mm512_permutex2var_epi64(model512(a), model512(c),
                                                model512(b))));
  REPEAT("_mm512_shuffle_i32x4", IMM256(SHUFFLE_I32X4));
  REPEAT("_mm512_ternarylogic_epi64", IMM256(TERNARYLOGIC));
  REPEAT("_mm512_inserti64x4", INSERTI64X4(0) INSERTI64X4(1));
  REPEAT("_mm512_extracti64x4_epi64", EXTRACTI64X4(0) EXTRACTI64X4(1));
  REPEAT("_mm512_cmpeq_epi64_mask",
         SAME("cmpeq_epi64_mask", uint8_t,
              _mm512_cmpeq_epi64_mask(real512(a), real512(b)), uint8_t,
              model_mm512_cmpeq_epi64_mask(model512(a), model512(b))));
  REPEAT("_mm256_cmpneq_epi64_mask",
         SAME("cmpneq_epi64_mask", uint8_t,
              _mm256_cmpneq_epi64_mask(real256(a), real256(b)), uint8_t,
              model_mm256_cmpneq_epi64_mask(model256(a), model256(b))));
}
#else
static void compare_512(void) {}
#endif

int main(void) {
  compare_128();
  compare_sha();
  compare_256();
  compare_512();
  return 0;
}
