// arm_neon.h: stands in for the compiler's own while a prover reads a kernel.
// Every intrinsic that the kernels use is its model; another one would be an
// unknown function, and the proof would not start.
#ifndef PINVERIFY_PROVE_ARM_NEON_H
#define PINVERIFY_PROVE_ARM_NEON_H

#include "model_arm.h"

typedef m32x4 uint32x4_t;
typedef m8x16 uint8x16_t;
typedef m64x2 uint64x2_t;

#define vaddq_u32 model_vaddq_u32
#define vandq_u64 model_vandq_u64
#define vceqq_u64 model_vceqq_u64
#define vdupq_n_u64 model_vdupq_n_u64
#define vextq_u64 model_vextq_u64
#define vgetq_lane_u64 model_vgetq_lane_u64
#define vld1q_u32 model_vld1q_u32
#define vld1q_u8 model_vld1q_u8
#define vorrq_u64 model_vorrq_u64
#define vreinterpretq_u32_u8 model_vreinterpretq_u32_u8
#define vreinterpretq_u64_u8 model_vreinterpretq_u64_u8
#define vrev32q_u8 model_vrev32q_u8
#define vsha256h2q_u32 model_vsha256h2q_u32
#define vsha256hq_u32 model_vsha256hq_u32
#define vsha256su0q_u32 model_vsha256su0q_u32
#define vsha256su1q_u32 model_vsha256su1q_u32
#define vst1q_u32 model_vst1q_u32

#endif  // PINVERIFY_PROVE_ARM_NEON_H
