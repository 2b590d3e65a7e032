// sha256_x86_shani.c: SHA-256 with the SHA extensions of x86-64 (Intel SDM 2,
// SHA256RNDS2 and its neighbours): one message, or two or three side by side.
#include "../kernels.h"

#if PV_X86_64
#include <immintrin.h>

#include "sha256_k.h"

PV_TARGET_BEGIN("sha,ssse3,sse4.1")

enum { SHANI_LANES_MAX = 3 };

// The instructions expect the eight words of the state in two registers,
// highest word first: ABEF and CDGH.
typedef struct shani_state {
  __m128i abef;
  __m128i cdgh;
} shani_state;

PV_INLINE shani_state shani_load_state(const uint32_t *state) {
  const __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)state);
  const __m128i hgfe =
      _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  return (shani_state){_mm_alignr_epi8(cdab, efgh, 8),
                       _mm_blend_epi16(efgh, cdab, 0xf0)};
}

PV_INLINE void shani_store_state(uint32_t *state, shani_state s) {
  const __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128((__m128i *)(void *)(state + 4),
                   _mm_alignr_epi8(dchg, feba, 8));
}

// Loads four words of the message, converted from big-endian.
PV_INLINE __m128i shani_load_words(const uint8_t *p) {
  const __m128i swap =
      _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p),
                          swap);
}

// Does four rounds with the words w, whose constants begin at k.
PV_INLINE shani_state shani_four_rounds(shani_state s, __m128i w,
                                        const uint32_t *k) {
  __m128i wk =
      _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(const void *)k));
  s.cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, wk);
  wk = _mm_shuffle_epi32(wk, 0x0e);
  s.abef = _mm_sha256rnds2_epu32(s.abef, s.cdgh, wk);
  return s;
}

// Returns words 9 to 12 of the sixteen. clang compiles the intrinsic to two
// shuffles, for which three lanes have too few registers; with the instruction
// itself, three lanes take a tenth less time.
PV_INLINE __m128i shani_words_9_to_12(__m128i w8, __m128i w12) {
#if defined(__clang__)
  __asm__("palignr $4, %1, %0" : "+x"(w12) : "x"(w8));
  return w12;
#else
  return _mm_alignr_epi8(w12, w8, 4);
#endif
}

// Returns the next four words of the schedule, from the sixteen before them.
PV_INLINE __m128i shani_next_words(__m128i w0, __m128i w4, __m128i w8,
                                   __m128i w12) {
  const __m128i w9 = shani_words_9_to_12(w8, w12);
  return _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), w9),
                              w12);
}

// A lane is one message within a block: its state, and the last sixteen words
// of its schedule.
typedef struct shani_lane {
  shani_state s;
  __m128i w[4];
} shani_lane;

// The next two functions advance all lanes in turn: a round waits four cycles
// for the one before it, and meanwhile the processor works on the other lanes.
PV_INLINE void shani_rounds_side_by_side(shani_lane *lane, int num_lanes, int i,
                                         const uint32_t *k) {
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    lane[l].s = shani_four_rounds(lane[l].s, lane[l].w[i], k);
  }
}

PV_INLINE void shani_words_side_by_side(shani_lane *lane, int num_lanes,
                                        int i) {
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    __m128i *w = lane[l].w;
    w[i] =
        shani_next_words(w[i], w[(i + 1) % 4], w[(i + 2) % 4], w[(i + 3) % 4]);
  }
}

// Hashes one block of each lane, whose words are in lane[l].w, into the states.
PV_INLINE void shani_hash_words(shani_state *s, shani_lane *lane,
                                int num_lanes) {
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    lane[l].s = s[l];
  }
  PV_UNROLL
  for (int i = 0; i < 12; i++) {
    shani_rounds_side_by_side(lane, num_lanes, i % 4, sha256_k + 4 * i);
    shani_words_side_by_side(lane, num_lanes, i % 4);
  }
  PV_UNROLL
  for (int i = 12; i < 16; i++) {
    shani_rounds_side_by_side(lane, num_lanes, i % 4, sha256_k + 4 * i);
  }
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    s[l].abef = _mm_add_epi32(s[l].abef, lane[l].s.abef);
    s[l].cdgh = _mm_add_epi32(s[l].cdgh, lane[l].s.cdgh);
  }
}

PV_INLINE void shani_hash_block(shani_state *s, const uint8_t *const *in,
                                size_t at, int num_lanes) {
  shani_lane lane[SHANI_LANES_MAX];
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    lane[l].w[0] = shani_load_words(in[l] + at);
    lane[l].w[1] = shani_load_words(in[l] + at + 16);
    lane[l].w[2] = shani_load_words(in[l] + at + 32);
    lane[l].w[3] = shani_load_words(in[l] + at + 48);
  }
  shani_hash_words(s, lane, num_lanes);
}

PV_INLINE void shani_hash_blocks(uint32_t (*states)[8],
                                 const uint8_t *const *in, size_t num_blocks,
                                 int num_lanes) {
  shani_state s[SHANI_LANES_MAX];
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    s[l] = shani_load_state(states[l]);
  }
  for (size_t i = 0; i < num_blocks; i++) {
    shani_hash_block(s, in, 64 * i, num_lanes);
  }
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    shani_store_state(states[l], s[l]);
  }
}

void pv__sha256_shani(uint32_t (*states)[8], const uint8_t *const *in,
                      size_t num_blocks) {
  shani_hash_blocks(states, in, num_blocks, 1);
}

void pv__sha256_shani_x2(uint32_t (*states)[8], const uint8_t *const *in,
                         size_t num_blocks) {
  shani_hash_blocks(states, in, num_blocks, 2);
}

PV_TARGET_END

// Three lanes need more than sixteen registers: AVX-512VL has thirty-two.
PV_TARGET_BEGIN("sha,ssse3,sse4.1,avx512vl")

void pv__sha256_shani_x3(uint32_t (*states)[8], const uint8_t *const *in,
                         size_t num_blocks) {
  shani_hash_blocks(states, in, num_blocks, 3);
}

PV_TARGET_END

// From here on, messages are hashed from the first byte to the digest in the
// registers: a store followed by a load would delay the code after it. The
// padding needs AVX-512, which loads a part of a block with a mask.
PV_TARGET_BEGIN("sha,ssse3,sse4.1,avx2,avx512vl,avx512bw")

// FIPS 180-4, 5.3.3, in the order of load_state.
PV_INLINE shani_state shani_initial_state(void) {
  return (shani_state){
      _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c),
      _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
}

PV_INLINE void shani_store_digest(uint8_t *out, shani_state s) {
  const __m256i swap = _mm256_broadcastsi128_si256(
      _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL));
  const __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
  const __m256i digest = _mm256_set_m128i(_mm_alignr_epi8(dchg, feba, 8),
                                          _mm_blend_epi16(feba, dchg, 0xf0));
  _mm256_storeu_si256((__m256i *)(void *)out,
                      _mm256_shuffle_epi8(digest, swap));
}

// Returns the last block of a message without its length: the rest of its
// bytes, fewer than 64, one bit and zeros (FIPS 180-4, 5.1.1).
PV_INLINE __m512i shani_rest_and_bit(const uint8_t *rest, size_t num_rest) {
  const __mmask64 bit_at = (__mmask64)1 << num_rest;
  const __m512i block = _mm512_maskz_loadu_epi8(bit_at - 1, rest);
  return _mm512_mask_blend_epi8(bit_at, block, _mm512_set1_epi8(-128));
}

// Adds the length of the message, in bits, to the end of a block.
PV_INLINE __m512i shani_with_length(__m512i block, size_t len) {
  const uint64_t num_bits = __builtin_bswap64((uint64_t)len << 3);
  return _mm512_mask_set1_epi64(block, 0x80, (long long)num_bits);
}

// The SHA instructions preserve the upper parts of registers, and so wait for
// them unless they are zero.
PV_INLINE void shani_hash_last(shani_state *s, __m512i block) {
  const __m512i words = _mm512_shuffle_epi8(
      block, _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203));
  shani_lane lane = {.w = {_mm512_castsi512_si128(words),
                           _mm512_extracti32x4_epi32(words, 1),
                           _mm512_extracti32x4_epi32(words, 2),
                           _mm512_extracti32x4_epi32(words, 3)}};
  _mm256_zeroupper();
  shani_hash_words(s, &lane, 1);
}

// Between begin and end, the state keeps the layout of the instructions.
void pv__sha256_shani_begin(uint32_t out_state[8], const uint8_t *data,
                            size_t num_blocks) {
  shani_state s = shani_initial_state();
  for (size_t i = 0; i < num_blocks; i++) {
    shani_hash_block(&s, &data, 64 * i, 1);
  }
  _mm_storeu_si128((__m128i *)(void *)out_state, s.abef);
  _mm_storeu_si128((__m128i *)(void *)(out_state + 4), s.cdgh);
}

void pv__sha256_shani_end(uint8_t *out, const uint32_t state[8],
                          const uint8_t *data, size_t len) {
  const size_t num_rest = len % 64;
  shani_state s = {_mm_loadu_si128((const __m128i *)(const void *)state),
                   _mm_loadu_si128((const __m128i *)(const void *)(state + 4))};
  __m512i block = shani_rest_and_bit(data + (len - num_rest), num_rest);
  if (num_rest >= 56) {
    shani_hash_last(&s, block);
    block = _mm512_setzero_si512();
  }
  shani_hash_last(&s, shani_with_length(block, len));
  shani_store_digest(out, s);
}

// Not inlined: gcc would have too few registers for three lanes.
static PV_NOINLINE void shani_store_tail(uint8_t *out, pv_span message,
                                         size_t num_tail) {
  const size_t num_rest = message.len % 64;
  __m512i block =
      shani_rest_and_bit(message.data + (message.len - num_rest), num_rest);
  if (num_tail == 2) {
    _mm512_storeu_si512(out, block);
    block = _mm512_setzero_si512();
    out += 64;
  }
  _mm512_storeu_si512(out, shani_with_length(block, message.len));
  _mm256_zeroupper();
}

void pv__sha256_shani_alike_x3(uint8_t *out_digests, const pv_span *messages,
                               const uint8_t *order, size_t num_whole,
                               size_t num_tail) {
  uint8_t tails[3][2 * 64];
  const uint8_t *in[3];
  shani_state s[3];
  PV_UNROLL
  for (int l = 0; l < 3; l++) {
    shani_store_tail(tails[l], messages[order[l]], num_tail);
    in[l] = messages[order[l]].data;
    s[l] = shani_initial_state();
  }
  // One loop for both, to avoid a second copy of all the rounds.
  for (size_t i = 0; i < num_whole + num_tail; i++) {
    PV_UNROLL
    for (int l = 0; l < 3; l++) {
      in[l] = i == num_whole ? tails[l] : in[l];
    }
    shani_hash_block(s, in, 0, 3);
    PV_UNROLL
    for (int l = 0; l < 3; l++) {
      in[l] += 64;
    }
  }
  PV_UNROLL
  for (int l = 0; l < 3; l++) {
    shani_store_digest(out_digests + PV_DIGEST_LEN * order[l], s[l]);
  }
}

PV_TARGET_END

#else

typedef int not_on_this_cpu;  // a C file must not be empty

#endif
