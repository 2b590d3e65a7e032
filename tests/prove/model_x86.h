// model_x86.h: models in plain C of the x86 instructions behind the kernels'
// intrinsics, after the "Operation" of each in Intel's Software Developer's
// Manual, volume 2. A prover reads these in the place of the intrinsics.
//
// A register is a vector of 32-bit words, lowest first: a C compiler and CBMC
// both know such vectors. Functions call few others: to a prover a call costs
// more than what it does. tests/project/test_prove_models.py compares every
// function here with the instruction itself.
#ifndef PINVERIFY_MODEL_X86_H
#define PINVERIFY_MODEL_X86_H

#include <stdint.h>

typedef uint32_t m128 __attribute__((vector_size(16)));
typedef uint32_t m256 __attribute__((vector_size(32)));
typedef uint32_t m512 __attribute__((vector_size(64)));

// ---- quarters, 64-bit lanes and bytes ---------------------------------------

static inline m128 quarter256(m256 x, int q) {
  return (m128){x[4 * q], x[4 * q + 1], x[4 * q + 2], x[4 * q + 3]};
}

static inline m128 quarter512(m512 x, int q) {
  return (m128){x[4 * q], x[4 * q + 1], x[4 * q + 2], x[4 * q + 3]};
}

static inline m256 join256(m128 a, m128 b) {
  return (m256){a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]};
}

static inline m512 join512(m128 a, m128 b, m128 c, m128 d) {
  return (m512){a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3],
                c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]};
}

static inline uint32_t low_word(uint64_t x) {
  return (uint32_t)(x & 0xffffffff);
}

static inline uint32_t high_word(uint64_t x) {
  return (uint32_t)(x >> 32);
}

// A word at any address, its lowest byte first, as x86 has it and CBMC.
typedef uint32_t word_in_memory __attribute__((aligned(1), may_alias));

static inline uint32_t load_word(const void *at, int i) {
  return ((const word_in_memory *)at)[i];
}

static inline void store_word(void *at, int i, uint32_t word) {
  ((word_in_memory *)at)[i] = word;
}

// ---- what wide instructions do to each quarter ------------------------------

// A function of a and b that makes the words of a quarter, of which q is the
// first one, from the same quarter of both.
#define MODEL_QUARTERS(name, type, num_words, w0, w1, w2, w3) \
  static inline type name(type a, type b) {                   \
    type r = {0};                                             \
    for (int q = 0; q < num_words; q += 4) {                  \
      r[q] = w0;                                              \
      r[q + 1] = w1;                                          \
      r[q + 2] = w2;                                          \
      r[q + 3] = w3;                                          \
    }                                                         \
    return r;                                                 \
  }

// PUNPCKLDQ, PUNPCKHDQ, PUNPCKLQDQ, PUNPCKHQDQ
#define MODEL_UNPACKS(prefix, type, num_words)                                \
  MODEL_QUARTERS(prefix##unpacklo_epi32, type, num_words, a[q], b[q],         \
                 a[q + 1], b[q + 1])                                          \
  MODEL_QUARTERS(prefix##unpackhi_epi32, type, num_words, a[q + 2], b[q + 2], \
                 a[q + 3], b[q + 3])                                          \
  MODEL_QUARTERS(prefix##unpacklo_epi64, type, num_words, a[q], a[q + 1],     \
                 b[q], b[q + 1])                                              \
  MODEL_QUARTERS(prefix##unpackhi_epi64, type, num_words, a[q + 2], a[q + 3], \
                 b[q + 2], b[q + 3])

MODEL_UNPACKS(model_mm_, m128, 4)
MODEL_UNPACKS(model_mm256_, m256, 8)
MODEL_UNPACKS(model_mm512_, m512, 16)

// PSHUFB: the low four bits of a byte say which of the quarter, its top bit
// says none.
#define SHUFFLED_BYTE(which) \
  ((which) & 0x80 ? 0 : a[q + (which) % 16 / 4] >> (which) % 4 * 8 & 0xff)
#define SHUFFLED_WORD(order)                                                \
  SHUFFLED_BYTE((order) & 0xff) | SHUFFLED_BYTE((order) >> 8 & 0xff) << 8 | \
      SHUFFLED_BYTE((order) >> 16 & 0xff) << 16 |                           \
      SHUFFLED_BYTE((order) >> 24) << 24
#define MODEL_SHUFFLE(name, type, num_words)                       \
  MODEL_QUARTERS(name, type, num_words, SHUFFLED_WORD(b[q]),       \
                 SHUFFLED_WORD(b[q + 1]), SHUFFLED_WORD(b[q + 2]), \
                 SHUFFLED_WORD(b[q + 3]))

MODEL_SHUFFLE(model_mm_shuffle_epi8, m128, 4)
MODEL_SHUFFLE(model_mm256_shuffle_epi8, m256, 8)
MODEL_SHUFFLE(model_mm512_shuffle_epi8, m512, 16)

// PCMPEQQ
#define EQUAL_LANES(i) \
  (a[i] == b[i] && a[(i) + 1] == b[(i) + 1] ? 0xffffffff : 0)

MODEL_QUARTERS(model_mm256_cmpeq_epi64, m256, 8, EQUAL_LANES(q), EQUAL_LANES(q),
               EQUAL_LANES(q + 2), EQUAL_LANES(q + 2))

// ---- 128 bits ---------------------------------------------------------------

// MOVDQU
static inline m128 model_mm_loadu_si128(const void *p) {
  return (m128){load_word(p, 0), load_word(p, 1), load_word(p, 2),
                load_word(p, 3)};
}

static inline void model_mm_storeu_si128(void *p, m128 a) {
  for (int i = 0; i < 4; i++) {
    store_word(p, i, a[i]);
  }
}

static inline m128 model_mm_set_epi64x(long long high, long long low) {
  const uint64_t h = (uint64_t)high, l = (uint64_t)low;
  return (m128){low_word(l), high_word(l), low_word(h), high_word(h)};
}

static inline m128 model_mm_set_epi32(int d, int c, int b, int a) {
  return (m128){(uint32_t)a, (uint32_t)b, (uint32_t)c, (uint32_t)d};
}

// PADDD
static inline m128 model_mm_add_epi32(m128 a, m128 b) {
  return (m128){a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]};
}

// POR
static inline m128 model_mm_or_si128(m128 a, m128 b) {
  return (m128){a[0] | b[0], a[1] | b[1], a[2] | b[2], a[3] | b[3]};
}

// PSHUFD: two bits of the order for each word.
static inline m128 model_mm_shuffle_epi32(m128 a, int order) {
  return (m128){a[order & 3], a[order >> 2 & 3], a[order >> 4 & 3],
                a[order >> 6 & 3]};
}

// PALIGNR: a above b, moved down by bytes; here by fewer than 16.
static inline uint32_t word_of_pair(m128 a, m128 b, int i) {
  return i < 4 ? b[i] : a[i - 4];
}

static inline uint32_t aligned_word(m128 a, m128 b, int byte) {
  const uint32_t word = word_of_pair(a, b, byte / 4);
  const int bits = 8 * (byte % 4);
  return bits == 0
             ? word
             : word >> bits | word_of_pair(a, b, byte / 4 + 1) << (32 - bits);
}

static inline m128 model_mm_alignr_epi8(m128 a, m128 b, int bytes) {
  return (m128){aligned_word(a, b, bytes), aligned_word(a, b, bytes + 4),
                aligned_word(a, b, bytes + 8), aligned_word(a, b, bytes + 12)};
}

// PBLENDW: one bit for each half of a word.
static inline uint32_t blended_word(uint32_t a, uint32_t b, int which) {
  switch (which & 3) {
    case 0:
      return a;
    case 1:
      return (a & 0xffff0000) | (b & 0xffff);
    case 2:
      return (b & 0xffff0000) | (a & 0xffff);
    default:
      return b;
  }
}

static inline m128 model_mm_blend_epi16(m128 a, m128 b, int which) {
  return (m128){blended_word(a[0], b[0], which),
                blended_word(a[1], b[1], which >> 2),
                blended_word(a[2], b[2], which >> 4),
                blended_word(a[3], b[3], which >> 6)};
}

// MOVQ
static inline long long model_mm_cvtsi128_si64(m128 a) {
  return (long long)((uint64_t)a[1] << 32 | a[0]);
}

// PMOVMSKB
static inline int model_mm_movemask_epi8(m128 a) {
  uint32_t r = 0;
  for (int i = 0; i < 16; i++) {
    r |= (a[i / 4] >> (8 * (i % 4) + 7) & 1) << i;
  }
  return (int)r;
}

// ---- the SHA extensions -----------------------------------------------------

static inline uint32_t sha_ror(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

static inline uint32_t sha_small0(uint32_t w) {
  return sha_ror(w, 7) ^ sha_ror(w, 18) ^ w >> 3;
}

static inline uint32_t sha_small1(uint32_t w) {
  return sha_ror(w, 17) ^ sha_ror(w, 19) ^ w >> 10;
}

// SHA256RNDS2, DEST = SRC1 = {D and C above, H and G below}, SRC2 = {A, B, E,
// F}, highest word first.
static inline m128 model_mm_sha256rnds2_epu32(m128 src1, m128 src2, m128 wk) {
  uint32_t a = src2[3], b = src2[2], c = src1[3], d = src1[2];
  uint32_t e = src2[1], f = src2[0], g = src1[1], h = src1[0];
  for (int i = 0; i < 2; i++) {
    const uint32_t ch = (e & f) ^ (~e & g);
    const uint32_t maj = (a & b) ^ (a & c) ^ (b & c);
    const uint32_t big0 = sha_ror(a, 2) ^ sha_ror(a, 13) ^ sha_ror(a, 22);
    const uint32_t big1 = sha_ror(e, 6) ^ sha_ror(e, 11) ^ sha_ror(e, 25);
    const uint32_t next_a = ch + big1 + wk[i] + h + maj + big0;
    const uint32_t next_e = ch + big1 + wk[i] + h + d;
    d = c;
    c = b;
    b = a;
    a = next_a;
    h = g;
    g = f;
    f = e;
    e = next_e;
  }
  return (m128){f, e, b, a};
}

// SHA256MSG1: SRC1 = W3 to W0, W4 is the lowest word of SRC2.
static inline m128 model_mm_sha256msg1_epu32(m128 src1, m128 src2) {
  return (m128){src1[0] + sha_small0(src1[1]), src1[1] + sha_small0(src1[2]),
                src1[2] + sha_small0(src1[3]), src1[3] + sha_small0(src2[0])};
}

// SHA256MSG2: W14 and W15 are the upper words of SRC2, and W18 and W19 need W16
// and W17, which are made here.
static inline m128 model_mm_sha256msg2_epu32(m128 src1, m128 src2) {
  m128 r = {0};
  for (int i = 0; i < 4; i++) {
    r[i] = src1[i] + sha_small1(i < 2 ? src2[i + 2] : r[i - 2]);
  }
  return r;
}

// ---- 256 bits ---------------------------------------------------------------

static inline m256 model_mm256_loadu_si256(const void *p) {
  return join256(model_mm_loadu_si128(p),
                 model_mm_loadu_si128((const uint8_t *)p + 16));
}

static inline void model_mm256_storeu_si256(void *p, m256 a) {
  for (int i = 0; i < 8; i++) {
    store_word(p, i, a[i]);
  }
}

static inline m256 model_mm256_set_epi64x(long long d, long long c, long long b,
                                          long long a) {
  return join256(model_mm_set_epi64x(b, a), model_mm_set_epi64x(d, c));
}

static inline m256 model_mm256_set1_epi64x(long long a) {
  return model_mm256_set_epi64x(a, a, a, a);
}

static inline m256 model_mm256_set_m128i(m128 high, m128 low) {
  return join256(low, high);
}

// VBROADCASTI128
static inline m256 model_mm256_broadcastsi128_si256(m128 a) {
  return join256(a, a);
}

static inline m256 model_mm256_setzero_si256(void) {
  return (m256){0};
}

static inline m256 model_mm256_and_si256(m256 a, m256 b) {
  return a & b;
}

static inline m256 model_mm256_or_si256(m256 a, m256 b) {
  return a | b;
}

static inline m256 model_mm256_shuffle_epi32(m256 a, int order) {
  return join256(model_mm_shuffle_epi32(quarter256(a, 0), order),
                 model_mm_shuffle_epi32(quarter256(a, 1), order));
}

static inline m128 model_mm256_castsi256_si128(m256 a) {
  return quarter256(a, 0);
}

// VEXTRACTI128
static inline m128 model_mm256_extracti128_si256(m256 a, int which) {
  return quarter256(a, which & 1);
}

// VPERM2I128: in each four bits, two choose a half of a or b, the top one zero.
static inline m256 model_mm256_permute2x128_si256(m256 a, m256 b, int which) {
  m256 r = {0};
  for (int i = 0; i < 8; i++) {
    const int half = which >> i / 4 * 4;
    const int from = half % 2 * 4 + i % 4;
    r[i] = half & 8 ? 0 : half & 2 ? b[from] : a[from];
  }
  return r;
}

// VPERMQ: two bits of the order for each 64-bit lane.
static inline m256 model_mm256_permute4x64_epi64(m256 a, int order) {
  m256 r = {0};
  for (int i = 0; i < 4; i++) {
    const int from = order >> 2 * i & 3;
    r[2 * i] = a[2 * from];
    r[2 * i + 1] = a[2 * from + 1];
  }
  return r;
}

// VPCMPQ, predicate 4 (not equal): one bit for each 64-bit lane. It has no
// branch: `make ct` looks for branches in the scan, compiled over this.
static inline uint8_t model_mm256_cmpneq_epi64_mask(m256 a, m256 b) {
  uint8_t mask = 0;
  for (int i = 0; i < 4; i++) {
    const uint32_t differ =
        (a[2 * i] ^ b[2 * i]) | (a[2 * i + 1] ^ b[2 * i + 1]);
    mask = (uint8_t)(mask | (differ != 0) << i);
  }
  return mask;
}

// ---- 512 bits ---------------------------------------------------------------

static inline m512 model_mm512_loadu_si512(const void *p) {
  const uint8_t *q = p;
  return join512(model_mm_loadu_si128(q), model_mm_loadu_si128(q + 16),
                 model_mm_loadu_si128(q + 32), model_mm_loadu_si128(q + 48));
}

static inline void model_mm512_storeu_si512(void *p, m512 a) {
  for (int i = 0; i < 16; i++) {
    store_word(p, i, a[i]);
  }
}

static inline m512 model_mm512_set_epi64(long long h, long long g, long long f,
                                         long long e, long long d, long long c,
                                         long long b, long long a) {
  return join512(model_mm_set_epi64x(b, a), model_mm_set_epi64x(d, c),
                 model_mm_set_epi64x(f, e), model_mm_set_epi64x(h, g));
}

static inline m512 model_mm512_set1_epi64(long long a) {
  return model_mm512_set_epi64(a, a, a, a, a, a, a, a);
}

static inline m512 model_mm512_set4_epi32(int d, int c, int b, int a) {
  const m128 all = {(uint32_t)a, (uint32_t)b, (uint32_t)c, (uint32_t)d};
  return join512(all, all, all, all);
}

static inline m512 model_mm512_setzero_si512(void) {
  return (m512){0};
}

static inline m512 model_mm512_xor_si512(m512 a, m512 b) {
  return a ^ b;
}

// VSHUFI32X4: two bits for each quarter, the lower two of a, the upper two of
// b.
static inline m512 model_mm512_shuffle_i32x4(m512 a, m512 b, int order) {
  m512 r = {0};
  for (int i = 0; i < 16; i++) {
    const int from = (order >> i / 4 * 2) % 4 * 4 + i % 4;
    r[i] = i < 8 ? a[from] : b[from];
  }
  return r;
}

static inline m256 model_mm512_castsi512_si256(m512 a) {
  return join256(quarter512(a, 0), quarter512(a, 1));
}

// VINSERTI64X4, VEXTRACTI64X4
static inline m512 model_mm512_inserti64x4(m512 a, m256 b, int which) {
  const m256 half = which & 1 ? model_mm512_castsi512_si256(a) : b;
  return which & 1 ? join512(quarter256(half, 0), quarter256(half, 1),
                             quarter256(b, 0), quarter256(b, 1))
                   : join512(quarter256(half, 0), quarter256(half, 1),
                             quarter512(a, 2), quarter512(a, 3));
}

static inline m256 model_mm512_extracti64x4_epi64(m512 a, int which) {
  const int q = 2 * (which & 1);
  return join256(quarter512(a, q), quarter512(a, q + 1));
}

// VPERMI2Q: three bits choose a 64-bit lane, the next one says a or b.
static inline m512 model_mm512_permutex2var_epi64(m512 a, m512 order, m512 b) {
  m512 r = {0};
  for (int i = 0; i < 8; i++) {
    const uint32_t which = order[2 * i];
    const int from = (int)(which & 7);
    r[2 * i] = which & 8 ? b[2 * from] : a[2 * from];
    r[2 * i + 1] = which & 8 ? b[2 * from + 1] : a[2 * from + 1];
  }
  return r;
}

// VPTERNLOGQ: each bit of a, b and c chooses one of the eight of the table.
static inline m512 model_mm512_ternarylogic_epi64(m512 a, m512 b, m512 c,
                                                  int table) {
  m512 r = {0};
  for (int i = 0; i < 16; i++) {
    const uint32_t x = a[i], y = b[i], z = c[i];
    r[i] = (table & 1 ? ~x & ~y & ~z : 0) | (table & 2 ? ~x & ~y & z : 0) |
           (table & 4 ? ~x & y & ~z : 0) | (table & 8 ? ~x & y & z : 0) |
           (table & 16 ? x & ~y & ~z : 0) | (table & 32 ? x & ~y & z : 0) |
           (table & 64 ? x & y & ~z : 0) | (table & 128 ? x & y & z : 0);
  }
  return r;
}

static inline uint64_t lane64(m512 a, int i) {
  return (uint64_t)a[2 * i + 1] << 32 | a[2 * i];
}

// VPMINUQ
static inline m512 model_mm512_min_epu64(m512 a, m512 b) {
  m512 r = {0};
  for (int i = 0; i < 8; i++) {
    const uint64_t least =
        lane64(a, i) < lane64(b, i) ? lane64(a, i) : lane64(b, i);
    r[2 * i] = low_word(least);
    r[2 * i + 1] = high_word(least);
  }
  return r;
}

// VPCMPEQQ
static inline uint8_t model_mm512_cmpeq_epi64_mask(m512 a, m512 b) {
  uint8_t mask = 0;
  for (int i = 0; i < 8; i++) {
    if (lane64(a, i) == lane64(b, i)) {
      mask = (uint8_t)(mask | 1 << i);
    }
  }
  return mask;
}

// ---- 512 bits, byte by byte -------------------------------------------------

static inline m128 model_mm512_castsi512_si128(m512 a) {
  return quarter512(a, 0);
}

// VEXTRACTI32X4
static inline m128 model_mm512_extracti32x4_epi32(m512 a, int which) {
  return quarter512(a, which & 3);
}

static inline m512 model_mm512_set1_epi8(signed char a) {
  const uint32_t byte = (uint32_t)a & 0xff;
  const uint32_t word = byte | byte << 8 | byte << 16 | byte << 24;
  const m128 all = {word, word, word, word};
  return join512(all, all, all, all);
}

// The four bytes that four bits of a mask choose.
static inline uint32_t mask_of_word(uint64_t mask, int word) {
  uint32_t r = 0;
  for (int i = 0; i < 4; i++) {
    if (mask >> (4 * word + i) & 1) {
      r |= (uint32_t)0xff << 8 * i;
    }
  }
  return r;
}

// VMOVDQU8: bytes that the mask does not choose are zero, and are not read.
static inline m512 model_mm512_maskz_loadu_epi8(uint64_t mask, const void *p) {
  const uint8_t *bytes = p;
  m512 r = {0};
  for (int i = 0; i < 64; i++) {
    if (mask >> i & 1) {
      r[i / 4] |= (uint32_t)bytes[i] << 8 * (i % 4);
    }
  }
  return r;
}

// VPBLENDMB: b where the mask says so, a elsewhere.
static inline m512 model_mm512_mask_blend_epi8(uint64_t mask, m512 a, m512 b) {
  m512 r = {0};
  for (int i = 0; i < 16; i++) {
    const uint32_t chosen = mask_of_word(mask, i);
    r[i] = (a[i] & ~chosen) | (b[i] & chosen);
  }
  return r;
}

// VPBROADCASTQ: a in the 64-bit lanes of the mask, what was there elsewhere.
static inline m512 model_mm512_mask_set1_epi64(m512 r, uint8_t mask,
                                               long long a) {
  for (int i = 0; i < 8; i++) {
    if (mask >> i & 1) {
      r[2 * i] = low_word((uint64_t)a);
      r[2 * i + 1] = high_word((uint64_t)a);
    }
  }
  return r;
}

#endif  // PINVERIFY_MODEL_X86_H
