// sha256.c: SHA-256 (FIPS 180-4) of one message and of many: the padding, and
// the table of kernels that do the blocks.
#include <string.h>

#include "internal.h"

enum { BLOCK_LEN = 64, LENGTH_AT = 56 };

// Best first; the last one runs everywhere.
static const pv_kernel *const rows[] = {
#if PV_X86_64
    &pv_sha256_shani,
#endif
    &pv_sha256_portable};

static _Atomic(const pv_kernel *) chosen;

static const kernel_table kernels = {rows, sizeof rows / sizeof rows[0],
                                     &chosen};

size_t pv_sha256_kernel(void) {
  return kernel_number(&kernels);
}

const char *pv_sha256_kernel_name(size_t i) {
  return kernel_name(&kernels, i);
}

pv_status pv_sha256_use_kernel(size_t i) {
  return kernel_use(&kernels, i);
}

// FIPS 180-4, 5.3.3
static const uint32_t initial_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                          0xa54ff53a, 0x510e527f, 0x9b05688c,
                                          0x1f83d9ab, 0x5be0cd19};

// Writes the last one or two blocks: what is left of the message, a one bit,
// zeros, the length in bits (FIPS 180-4, 5.1.1). Returns how many.
static size_t write_tail(uint8_t tail[2 * BLOCK_LEN], const uint8_t *rest,
                         size_t rest_len, uint64_t message_len) {
  const size_t num_blocks = rest_len < LENGTH_AT ? 1 : 2;
  uint8_t *length = tail + BLOCK_LEN * (num_blocks - 1) + LENGTH_AT;
  memset(tail, 0, 2 * BLOCK_LEN);
  if (rest_len > 0) {
    memcpy(tail, rest, rest_len);
  }
  tail[rest_len] = 0x80;
  store_be32(length, (uint32_t)(message_len >> 29));
  store_be32(length + 4, (uint32_t)(message_len << 3));
  return num_blocks;
}

void pv_sha256(uint8_t out[32], const uint8_t *data, size_t len) {
  const pv_kernel *kernel = kernel_in_use(&kernels);
  const size_t num_blocks = len / BLOCK_LEN;
  const size_t rest_len = len % BLOCK_LEN;
  uint32_t state[8];
  uint8_t tail[2 * BLOCK_LEN];
  memcpy(state, initial_state, sizeof state);
  if (num_blocks > 0) {
    kernel->sha256(state, &data, num_blocks);
  }
  const uint8_t *rest = rest_len > 0 ? data + (len - rest_len) : NULL;
  const size_t num_tail_blocks = write_tail(tail, rest, rest_len, len);
  const uint8_t *tail_blocks = tail;
  kernel->sha256(state, &tail_blocks, num_tail_blocks);
  for (int i = 0; i < 8; i++) {
    store_be32(out + 4 * i, state[i]);
  }
}

void sha256_chunk(uint8_t *out_digests, const pv_span *messages,
                  size_t num_messages) {
  for (size_t i = 0; i < num_messages; i++) {
    if (messages[i].data == NULL) {
      memset(out_digests + PV_DIGEST_LEN * i, 0, PV_DIGEST_LEN);
    } else {
      pv_sha256(out_digests + PV_DIGEST_LEN * i, messages[i].data,
                messages[i].len);
    }
  }
}

pv_status pv_sha256_many(uint8_t *out_digests, const pv_column *messages) {
  const size_t num_messages = messages->offsets.num;
  if (!column_fits(messages)) {
    clear(out_digests, PV_DIGEST_LEN * num_messages);
    return PV_ERR_ARGUMENT;
  }
  for (size_t done = 0; done < num_messages;) {
    pv_span chunk[SHA256_CHUNK];
    size_t num = 0;
    for (; num < SHA256_CHUNK && done + num < num_messages; num++) {
      chunk[num] = column_item(messages, done + num);
    }
    sha256_chunk(out_digests + PV_DIGEST_LEN * done, chunk, num);
    done += num;
  }
  return PV_OK;
}
