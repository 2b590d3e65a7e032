// sha256_armv8.c: SHA-256 with the SHA-2 instructions of ARMv8 (Arm ARM,
// SHA256H and its neighbours): one message, or two side by side.
#include "../kernels.h"

#if PV_AARCH64
#include <arm_neon.h>

#include "sha256_k.h"

PV_TARGET_BEGIN("+sha2")

enum { ARMV8_LANES_MAX = 2 };

typedef struct armv8_state {
  uint32x4_t abcd;
  uint32x4_t efgh;
} armv8_state;

// Does four rounds with the words w, whose constants begin at k.
PV_INLINE armv8_state armv8_four_rounds(armv8_state s, uint32x4_t w,
                                        const uint32_t *k) {
  const uint32x4_t wk = vaddq_u32(w, vld1q_u32(k));
  return (armv8_state){vsha256hq_u32(s.abcd, s.efgh, wk),
                       vsha256h2q_u32(s.efgh, s.abcd, wk)};
}

// Returns the next four words of the schedule, from the sixteen before them.
PV_INLINE uint32x4_t armv8_next_words(uint32x4_t w0, uint32x4_t w4,
                                      uint32x4_t w8, uint32x4_t w12) {
  return vsha256su1q_u32(vsha256su0q_u32(w0, w4), w8, w12);
}

// Loads four words of the message, converted from big-endian.
PV_INLINE uint32x4_t armv8_load_words(const uint8_t *p) {
  return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p)));
}

// A lane is one message within a block: its state, and the last sixteen words
// of its schedule.
typedef struct armv8_lane {
  armv8_state s;
  uint32x4_t w[4];
} armv8_lane;

// The next two functions advance all lanes in turn: while a round of one lane
// waits for the round before it, the processor works on the other.
PV_INLINE void armv8_rounds_side_by_side(armv8_lane *lane, int num_lanes, int i,
                                         const uint32_t *k) {
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    lane[l].s = armv8_four_rounds(lane[l].s, lane[l].w[i], k);
  }
}

PV_INLINE void armv8_words_side_by_side(armv8_lane *lane, int num_lanes,
                                        int i) {
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    uint32x4_t *w = lane[l].w;
    w[i] =
        armv8_next_words(w[i], w[(i + 1) % 4], w[(i + 2) % 4], w[(i + 3) % 4]);
  }
}

// Hashes one block of each lane, whose words are in lane[l].w, into the states.
PV_INLINE void armv8_hash_words(armv8_state *s, armv8_lane *lane,
                                int num_lanes) {
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    lane[l].s = s[l];
  }
  PV_UNROLL
  for (int i = 0; i < 12; i++) {
    armv8_rounds_side_by_side(lane, num_lanes, i % 4, sha256_k + 4 * i);
    armv8_words_side_by_side(lane, num_lanes, i % 4);
  }
  PV_UNROLL
  for (int i = 12; i < 16; i++) {
    armv8_rounds_side_by_side(lane, num_lanes, i % 4, sha256_k + 4 * i);
  }
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    s[l].abcd = vaddq_u32(s[l].abcd, lane[l].s.abcd);
    s[l].efgh = vaddq_u32(s[l].efgh, lane[l].s.efgh);
  }
}

PV_INLINE void armv8_hash_block(armv8_state *s, const uint8_t *const *in,
                                size_t at, int num_lanes) {
  armv8_lane lane[ARMV8_LANES_MAX];
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    lane[l].w[0] = armv8_load_words(in[l] + at);
    lane[l].w[1] = armv8_load_words(in[l] + at + 16);
    lane[l].w[2] = armv8_load_words(in[l] + at + 32);
    lane[l].w[3] = armv8_load_words(in[l] + at + 48);
  }
  armv8_hash_words(s, lane, num_lanes);
}

PV_INLINE void armv8_hash_blocks(uint32_t (*states)[8],
                                 const uint8_t *const *in, size_t num_blocks,
                                 int num_lanes) {
  armv8_state s[ARMV8_LANES_MAX];
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    s[l] = (armv8_state){vld1q_u32(states[l]), vld1q_u32(states[l] + 4)};
  }
  for (size_t i = 0; i < num_blocks; i++) {
    armv8_hash_block(s, in, 64 * i, num_lanes);
  }
  PV_UNROLL
  for (int l = 0; l < num_lanes; l++) {
    vst1q_u32(states[l], s[l].abcd);
    vst1q_u32(states[l] + 4, s[l].efgh);
  }
}

void pv__sha256_armv8(uint32_t (*states)[8], const uint8_t *const *in,
                      size_t num_blocks) {
  armv8_hash_blocks(states, in, num_blocks, 1);
}

void pv__sha256_armv8_x2(uint32_t (*states)[8], const uint8_t *const *in,
                         size_t num_blocks) {
  armv8_hash_blocks(states, in, num_blocks, 2);
}

PV_TARGET_END

#else

typedef int not_on_this_cpu;  // a C file must not be empty

#endif
