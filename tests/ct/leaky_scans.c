// leaky_scans.c: twins of the real scans that give the right answer and leak.
// Whatever looks for leaks in those must find these, or it would pass by seeing
// nothing.
//
// Each has the arguments and the answer of pv_pins_contain.
#include "leaky_scans.h"

#include <immintrin.h>
#include <string.h>

enum { PIN_LEN = 32 };

// Not constant, so that a compiler can't know what is in it.
uint8_t twin_is_zero[256] = {1};
int32_t twin_is_zero_32[256] = {1};

// A byte that differs ends the comparison, a pin that matches ends the scan.
uint32_t twin_early_exit(const uint8_t *pins, size_t num_pins,
                         const uint8_t *digest) {
  for (size_t i = 0; i < num_pins; i++) {
    size_t same = 0;
    while (same < PIN_LEN && pins[PIN_LEN * i + same] == digest[same]) {
      same++;
    }
    if (same == PIN_LEN) {
      return 1;
    }
  }
  return 0;
}

// Every pin is compared, by a library function that may stop early. The length
// is volatile, since a compiler that knows it can do without the call.
uint32_t twin_memcmp(const uint8_t *pins, size_t num_pins,
                     const uint8_t *digest) {
  uint32_t found = 0;
  volatile size_t pin_len = PIN_LEN;
  for (size_t i = 0; i < num_pins; i++) {
    found |= memcmp(pins + PIN_LEN * i, digest, pin_len) == 0;
  }
  return found;
}

// The comparison has no branch; what is done with its result has.
uint32_t twin_branch_on_mask(const uint8_t *pins, size_t num_pins,
                             const uint8_t *digest) {
  for (size_t i = 0; i < num_pins; i++) {
    uint32_t difference = 0;
    for (size_t at = 0; at < PIN_LEN; at++) {
      difference |= (uint32_t)(pins[PIN_LEN * i + at] ^ digest[at]);
    }
    if (difference == 0) {
      return 1;
    }
  }
  return 0;
}

// No branch at all: the digest's first byte says where a table is read.
uint32_t twin_table(const uint8_t *pins, size_t num_pins,
                    const uint8_t *digest) {
  uint32_t found = 0;
  for (size_t i = 0; i < num_pins; i++) {
    uint8_t difference = 0;
    for (size_t at = 0; at < PIN_LEN; at++) {
      difference |= (uint8_t)(pins[PIN_LEN * i + at] ^ digest[at]);
    }
    found |= twin_is_zero[difference];
  }
  return found;
}

// No branch and no address: a division, whose time depends on its operands.
uint32_t twin_division(const uint8_t *pins, size_t num_pins,
                       const uint8_t *digest) {
  uint32_t found = 0;
  for (size_t i = 0; i < num_pins; i++) {
    uint32_t difference = 0;
    for (size_t at = 0; at < PIN_LEN; at++) {
      difference |= (uint32_t)(pins[PIN_LEN * i + at] ^ digest[at]);
    }
    found |= 256 / (difference + 1) >> 8;
  }
  return found;
}

// A vector compares a whole pin at once, and then a branch tells of it.
__attribute__((target("avx2"))) uint32_t twin_vector_branch(
    const uint8_t *pins, size_t num_pins, const uint8_t *digest) {
  const __m256i wanted =
      _mm256_loadu_si256((const __m256i *)(const void *)digest);
  for (size_t i = 0; i < num_pins; i++) {
    const __m256i pin =
        _mm256_loadu_si256((const __m256i *)(const void *)(pins + PIN_LEN * i));
    if (_mm256_movemask_epi8(_mm256_cmpeq_epi8(pin, wanted)) == -1) {
      return 1;
    }
  }
  return 0;
}

// The same with a mask register of AVX-512.
__attribute__((target("avx512f,avx512vl"))) uint32_t twin_mask_register(
    const uint8_t *pins, size_t num_pins, const uint8_t *digest) {
  const __m256i wanted =
      _mm256_loadu_si256((const __m256i *)(const void *)digest);
  for (size_t i = 0; i < num_pins; i++) {
    const __m256i pin =
        _mm256_loadu_si256((const __m256i *)(const void *)(pins + PIN_LEN * i));
    if (_mm256_cmpneq_epi32_mask(pin, wanted) == 0) {
      return 1;
    }
  }
  return 0;
}

// A gather loads from addresses that a vector of secrets gives.
__attribute__((target("avx2"))) uint32_t twin_gather(const uint8_t *pins,
                                                     size_t num_pins,
                                                     const uint8_t *digest) {
  uint32_t found = 0;
  for (size_t i = 0; i < num_pins; i++) {
    const __m256i pin =
        _mm256_loadu_si256((const __m256i *)(const void *)(pins + PIN_LEN * i));
    const __m256i differences = _mm256_xor_si256(
        pin, _mm256_loadu_si256((const __m256i *)(const void *)digest));
    const __m256i bytes = _mm256_and_si256(
        _mm256_or_si256(
            _mm256_or_si256(differences, _mm256_srli_epi32(differences, 8)),
            _mm256_or_si256(_mm256_srli_epi32(differences, 16),
                            _mm256_srli_epi32(differences, 24))),
        _mm256_set1_epi32(255));
    const __m256i equal = _mm256_i32gather_epi32(twin_is_zero_32, bytes, 4);
    const int words = _mm256_movemask_ps(
        _mm256_castsi256_ps(_mm256_cmpeq_epi32(equal, _mm256_set1_epi32(1))));
    found |= ((uint32_t)words + 1) >> 8;
  }
  return found;
}
