// sha256.c: SHA-256 (FIPS 180-4) of one message and of many: the padding, which
// messages go side by side, and the table of kernels that do the blocks.
#include <string.h>

#include "internal.h"

enum { BLOCK_LEN = 64, LENGTH_AT = 56 };

// ---- the table of kernels ---------------------------------------------------

// Which is best was measured, in cycles a block (bench/compilers.py). Intel,
// model 167: sixteen lanes of AVX-512 take 62, the SHA instructions 98 with two
// lanes or three, 130 with one. AMD, Zen 4: the SHA instructions take 52 with
// three lanes, and AVX-512 takes 73.

#if PV_X86_64
static const pv_kernel avx512_shani = {
    .name = "avx512+shani",
    .needs = CPU_AVX512 | CPU_SHANI | CPU_INTEL,
    .sha256 = {{1, 1, sha256_shani},
               {2, 2, sha256_shani_x2},
               {16, 11, sha256_avx512_x16}}};

static const pv_kernel shani_x3 = {.name = "shani-x3",
                                   .needs = CPU_SHANI | CPU_AVX512,
                                   .sha256 = {{1, 1, sha256_shani},
                                              {2, 2, sha256_shani_x2},
                                              {3, 3, sha256_shani_x3}}};

static const pv_kernel shani_x2 = {
    .name = "shani-x2",
    .needs = CPU_SHANI,
    .sha256 = {{1, 1, sha256_shani}, {2, 2, sha256_shani_x2}}};

static const pv_kernel shani = {
    .name = "shani", .needs = CPU_SHANI, .sha256 = {{1, 1, sha256_shani}}};

static const pv_kernel avx512 = {
    .name = "avx512",
    .needs = CPU_AVX512,
    .sha256 = {{1, 1, sha256_portable}, {16, 2, sha256_avx512_x16}}};

static const pv_kernel avx2 = {
    .name = "avx2",
    .needs = CPU_AVX2,
    .sha256 = {{1, 1, sha256_portable}, {8, 2, sha256_avx2_x8}}};
#endif

#if PV_AARCH64
static const pv_kernel armv8_x2 = {
    .name = "armv8-x2",
    .needs = CPU_ARM_SHA2,
    .sha256 = {{1, 1, sha256_armv8}, {2, 2, sha256_armv8_x2}}};

static const pv_kernel armv8 = {
    .name = "armv8", .needs = CPU_ARM_SHA2, .sha256 = {{1, 1, sha256_armv8}}};
#endif

static const pv_kernel portable = {
    .name = "portable", .needs = CPU_ANY, .sha256 = {{1, 1, sha256_portable}}};

// Best first; the last one runs everywhere.
static const pv_kernel *const rows[] = {
#if PV_X86_64
    &avx512_shani, &shani_x3, &shani_x2, &shani, &avx512, &avx2,
#endif
#if PV_AARCH64
    &armv8_x2,     &armv8,
#endif
    &portable};

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

// ---- a message as blocks ----------------------------------------------------

// FIPS 180-4, 5.3.3
static const uint32_t initial_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                          0xa54ff53a, 0x510e527f, 0x9b05688c,
                                          0x1f83d9ab, 0x5be0cd19};

// A tail is the last one or two blocks of a message, with the padding. The
// bytes before it are there to be overwritten.
typedef struct tail {
  uint8_t before[BLOCK_LEN];
  uint8_t blocks[2 * BLOCK_LEN];
} tail;

// Blocks 0 to num_whole - 1 lie in the message, the others in the tail.
typedef struct padded {
  const uint8_t *whole;
  const uint8_t *tail;
  size_t num_whole;
  size_t num_blocks;
} padded;

// FIPS 180-4, 5.1.1: one bit, zeros, and the length in bits take 9 bytes at
// least.
static size_t num_padded_blocks(size_t len) {
  return len / BLOCK_LEN + (len % BLOCK_LEN < LENGTH_AT ? 1 : 2);
}

static padded pad(tail *t, pv_span message) {
  const padded p = {message.data, t->blocks, message.len / BLOCK_LEN,
                    num_padded_blocks(message.len)};
  const size_t rest_len = message.len % BLOCK_LEN;
  uint8_t *end = t->blocks + rest_len;
  uint8_t *length =
      t->blocks + BLOCK_LEN * (p.num_blocks - p.num_whole - 1) + LENGTH_AT;
  memset(t->blocks, 0, sizeof t->blocks);
  // A copy of as many bytes each time is a few instructions, a copy of a number
  // that varies is a call. What precedes the rest lands in `before`.
  if (message.len >= BLOCK_LEN) {
    memcpy(end - BLOCK_LEN, message.data + (message.len - BLOCK_LEN),
           BLOCK_LEN);
  } else if (message.len > 0) {
    memcpy(t->blocks, message.data, message.len);
  }
  *end = 0x80;
  store_be32(length, (uint32_t)((uint64_t)message.len >> 29));
  store_be32(length + 4, (uint32_t)((uint64_t)message.len << 3));
  return p;
}

static const uint8_t *block_of(const padded *p, size_t i) {
  return i < p->num_whole ? p->whole + BLOCK_LEN * i
                          : p->tail + BLOCK_LEN * (i - p->num_whole);
}

static void write_digest(uint8_t *out, const uint32_t state[8]) {
  for (int i = 0; i < 8; i++) {
    store_be32(out + 4 * i, state[i]);
  }
}

// ---- messages side by side --------------------------------------------------

// Takes blocks `from` to `until` - 1 of `num` messages into their states, in
// one step. Lanes without a message repeat the first one, and their states
// come to nothing.
static void hash_side_by_side(const sha256_step *step, uint32_t (*states)[8],
                              const padded *messages, size_t num, size_t from,
                              size_t until) {
  enum { POINTERS = 16 * SHA256_LANES_MAX };
  const uint8_t *blocks[POINTERS];
  const size_t lanes = step->lanes;
  while (from < until) {
    size_t num_blocks = 0;
    for (; num_blocks < POINTERS / lanes && from < until; num_blocks++) {
      for (size_t l = 0; l < lanes; l++) {
        blocks[lanes * num_blocks + l] =
            block_of(&messages[l < num ? l : 0], from);
      }
      from += 1;
    }
    step->hash(states, blocks, num_blocks);
  }
}

// A group is what goes side by side: messages with as many blocks or fewer from
// each to the next.
typedef struct group {
  size_t num;
  uint8_t *outs[SHA256_LANES_MAX];
  padded messages[SHA256_LANES_MAX];
  tail tails[SHA256_LANES_MAX];
} group;

// The step with the most lanes that is worth it for `num` messages.
static const sha256_step *widest_step(const pv_kernel *kernel, size_t num) {
  size_t i = SHA256_STEPS - 1;
  while (i > 0 &&
         (kernel->sha256[i].lanes == 0 || kernel->sha256[i].enough > num)) {
    i -= 1;
  }
  return &kernel->sha256[i];
}

// All go together for as many blocks as the last one has; then that is done,
// and the others go on.
static void hash_group(const pv_kernel *kernel, group *g) {
  uint32_t states[SHA256_LANES_MAX][8];
  for (size_t l = 0; l < SHA256_LANES_MAX; l++) {
    memcpy(states[l], initial_state, sizeof initial_state);
  }
  size_t done = 0;
  while (g->num > 0) {
    const size_t until = g->messages[g->num - 1].num_blocks;
    for (size_t l = 0; l < g->num;) {
      const sha256_step *step = widest_step(kernel, g->num - l);
      const size_t left = g->num - l;
      const size_t num = left < step->lanes ? left : step->lanes;
      hash_side_by_side(step, states + l, g->messages + l, num, done, until);
      l += num;
    }
    done = until;
    while (g->num > 0 && g->messages[g->num - 1].num_blocks == done) {
      g->num -= 1;
      write_digest(g->outs[g->num], states[g->num]);
    }
  }
}

void pv_sha256(uint8_t out[32], const uint8_t *data, size_t len) {
  const sha256_step *one = &kernel_in_use(&kernels)->sha256[0];
  uint32_t states[1][8];
  tail t;
  const padded message = pad(&t, (pv_span){data, len});
  memcpy(states[0], initial_state, sizeof initial_state);
  hash_side_by_side(one, states, &message, 1, 0, message.num_blocks);
  write_digest(out, states[0]);
}

// ---- many messages ----------------------------------------------------------

// From MANY blocks on, messages are counted as if they had MANY.
enum { MANY = 64 };

static size_t counted_blocks(pv_span message) {
  const size_t num_blocks = num_padded_blocks(message.len);
  return num_blocks < MANY ? num_blocks : MANY;
}

// Puts the first `num` of `order` right by insertion.
static void sort_long_ones(uint8_t *order, size_t num,
                           const pv_span *messages) {
  for (size_t i = 1; i < num; i++) {
    const uint8_t moved = order[i];
    const size_t num_blocks = num_padded_blocks(messages[moved].len);
    size_t at = i;
    while (at > 0 &&
           num_padded_blocks(messages[order[at - 1]].len) < num_blocks) {
      order[at] = order[at - 1];
      at -= 1;
    }
    order[at] = moved;
  }
}

// Lists the messages by their number of blocks, most first, and leaves out what
// is none; returns how many there are. Most have few blocks, so it is done by
// counting.
static size_t sort_by_blocks(uint8_t order[SHA256_CHUNK],
                             const pv_span *messages, size_t num_messages) {
  size_t next[MANY + 1] = {0};
  for (size_t i = 0; i < num_messages; i++) {
    next[counted_blocks(messages[i])] += messages[i].data != NULL;
  }
  const size_t num_long = next[MANY];
  size_t num = 0;
  for (size_t b = MANY + 1; b-- > 0;) {
    const size_t count = next[b];
    next[b] = num;
    num += count;
  }
  for (size_t i = 0; i < num_messages; i++) {
    if (messages[i].data != NULL) {
      order[next[counted_blocks(messages[i])]++] = (uint8_t)i;
    }
  }
  sort_long_ones(order, num_long, messages);
  return num;
}

static void fill_group(group *g, uint8_t *out_digests, const pv_span *messages,
                       const uint8_t *order, size_t num) {
  g->num = num;
  for (size_t i = 0; i < num; i++) {
    g->outs[i] = out_digests + PV_DIGEST_LEN * order[i];
    g->messages[i] = pad(&g->tails[i], messages[order[i]]);
  }
}

void sha256_chunk(uint8_t *out_digests, const pv_span *messages,
                  size_t num_messages) {
  const pv_kernel *kernel = kernel_in_use(&kernels);
  const size_t lanes = widest_step(kernel, SHA256_LANES_MAX)->lanes;
  uint8_t order[SHA256_CHUNK];
  group g;
  for (size_t i = 0; i < num_messages; i++) {
    if (messages[i].data == NULL) {
      memset(out_digests + PV_DIGEST_LEN * i, 0, PV_DIGEST_LEN);
    }
  }
  const size_t num = sort_by_blocks(order, messages, num_messages);
  for (size_t at = 0; at < num; at += lanes) {
    fill_group(&g, out_digests, messages, order + at,
               num - at < lanes ? num - at : lanes);
    hash_group(kernel, &g);
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
