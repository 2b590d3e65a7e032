// fuzz_certificate.c: one certificate, read by pinverify and by OpenSSL.
#include "check.h"
#include "der_mutator.h"
#include "openssl_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  const judgement j = judge(data, len);
  check(j.verdict != OTHER_KEY, "where both accept, they read the same key");
  check(j.verdict != SAME_REENCODED, "OpenSSL writes the key as it stands");
  check(j.verdict != ONLY_IN_FRAME, "OpenSSL accepts each frame that we do");
  return 0;
}

// libFuzzer takes these two up by their names.
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max_len);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len,
                               unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *first, size_t first_len,
                                 const uint8_t *second, size_t second_len,
                                 uint8_t *out, size_t max_len, unsigned seed);

// Three times of four the structure is damaged, else the bytes are.
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len,
                               unsigned seed) {
  uint64_t random = seed;
  if (random_below(&random, 4) == 0) {
    return LLVMFuzzerMutate(data, len, max_len);
  }
  return der_mutate(data, len, max_len, NULL, 0, &random);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *first, size_t first_len,
                                 const uint8_t *second, size_t second_len,
                                 uint8_t *out, size_t max_len, unsigned seed) {
  uint64_t random = seed;
  const size_t len = first_len < max_len ? first_len : max_len;
  memcpy(out, first, len);
  return der_mutate(out, len, max_len, second, second_len, &random);
}
