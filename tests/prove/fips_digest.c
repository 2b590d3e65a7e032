// fips_digest.c: the digest by fips180.h of a message on standard input.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fips180.h"

int main(void) {
  uint8_t message[1024], block[64];
  uint32_t hash[8];
  const size_t len = fread(message, 1, sizeof message, stdin);
  memcpy(hash, fips_h0, sizeof hash);
  for (uint64_t b = 0; b < fips_num_blocks(len); b++) {
    for (uint64_t i = 0; i < 64; i++) {
      block[i] = fips_padded_byte(message, len, 64 * b + i);
    }
    fips_block(hash, block);
  }
  for (int i = 0; i < 8; i++) {
    printf("%08" PRIx32, hash[i]);
  }
  return 0;
}
