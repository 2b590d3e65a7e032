// sha256.c: SHA-256 (FIPS 180-4) of one message and of many: the padding, the
// choice of messages to hash side by side, and the table of kernels for blocks.
#include "sha256.h"

#include <string.h>

#include "columns.h"

enum { BLOCK_LEN = 64, LENGTH_AT = 56 };

// ---- the table of kernels ---------------------------------------------------

// The order was measured, in cycles per block (bench/bench_compilers.py).
// Intel, model 167: sixteen lanes of AVX-512 take 62, the SHA instructions 98
// with two or three lanes and 130 with one. AMD, Zen 4: the SHA instructions
// take 52 with three lanes, AVX-512 takes 73. Intel, model 85, lacks them: one
// message takes 500 with BMI2 and 870 in plain C, sixteen lanes 60, eight 150.

#if PV_X86_64
static const pv_kernel avx512_shani = {
    .name = "avx512+shani",
    .needs = CPU_AVX512 | CPU_SHANI | CPU_INTEL,
    .sha256 = {{1, 1, pv__sha256_shani},
               {2, 2, pv__sha256_shani_x2},
               {16, 11, pv__sha256_avx512_x16}},
    .sha256_begin = pv__sha256_shani_begin,
    .sha256_end = pv__sha256_shani_end};

static const pv_kernel shani_x3 = {.name = "shani-x3",
                                   .needs = CPU_SHANI | CPU_AVX512,
                                   .sha256 = {{1, 1, pv__sha256_shani},
                                              {2, 2, pv__sha256_shani_x2},
                                              {3, 3, pv__sha256_shani_x3}},
                                   .sha256_begin = pv__sha256_shani_begin,
                                   .sha256_end = pv__sha256_shani_end,
                                   .sha256_alike = pv__sha256_shani_alike_x3};

static const pv_kernel shani_x2 = {
    .name = "shani-x2",
    .needs = CPU_SHANI,
    .sha256 = {{1, 1, pv__sha256_shani}, {2, 2, pv__sha256_shani_x2}}};

static const pv_kernel shani = {
    .name = "shani", .needs = CPU_SHANI, .sha256 = {{1, 1, pv__sha256_shani}}};

static const pv_kernel avx512 = {
    .name = "avx512",
    .needs = CPU_AVX512,
    .sha256 = {{1, 1, pv__sha256_bmi2_avx512}, {16, 2, pv__sha256_avx512_x16}}};

static const pv_kernel avx2 = {
    .name = "avx2",
    .needs = CPU_AVX2,
    .sha256 = {{1, 1, pv__sha256_bmi2}, {8, 3, pv__sha256_avx2_x8}}};
#endif

#if PV_AARCH64
static const pv_kernel armv8_x2 = {
    .name = "armv8-x2",
    .needs = CPU_ARM_SHA2,
    .sha256 = {{1, 1, pv__sha256_armv8}, {2, 2, pv__sha256_armv8_x2}}};

static const pv_kernel armv8 = {.name = "armv8",
                                .needs = CPU_ARM_SHA2,
                                .sha256 = {{1, 1, pv__sha256_armv8}}};
#endif

static const pv_kernel portable = {.name = "portable",
                                   .needs = CPU_ANY,
                                   .sha256 = {{1, 1, pv__sha256_portable}}};

// Best first; the last one runs everywhere.
static const pv_kernel *const sha256_rows[] = {
#if PV_X86_64
    &avx512_shani, &shani_x3, &shani_x2, &shani, &avx512, &avx2,
#endif
#if PV_AARCH64
    &armv8_x2,     &armv8,
#endif
    &portable};

static _Atomic(const pv_kernel *) sha256_chosen;

static const kernel_table sha256_kernels = {
    sha256_rows, sizeof sha256_rows / sizeof sha256_rows[0], &sha256_chosen};

size_t pv_sha256_kernel(void) {
  return pv__kernel_number(&sha256_kernels);
}

const char *pv_sha256_kernel_name(size_t i) {
  return pv__kernel_name(&sha256_kernels, i);
}

pv_status pv_sha256_use_kernel(size_t i) {
  return pv__kernel_use(&sha256_kernels, i);
}

// ---- a message as blocks ----------------------------------------------------

// FIPS 180-4, 5.3.3
static const uint32_t initial_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                          0xa54ff53a, 0x510e527f, 0x9b05688c,
                                          0x1f83d9ab, 0x5be0cd19};

// A tail is the last one or two blocks of a message, with the padding. `before`
// is scratch space that copies may overwrite.
typedef struct tail {
  uint8_t before[BLOCK_LEN];
  uint8_t blocks[2 * BLOCK_LEN];
} tail;

// Blocks 0 to num_whole - 1 are in the message, the others in the tail.
typedef struct padded {
  const uint8_t *whole;
  const uint8_t *tail;
  size_t num_whole;
  size_t num_blocks;
} padded;

// FIPS 180-4, 5.1.1: one bit, zeros and the length take at least 9 bytes.
static size_t num_padded_blocks(size_t len) {
  return len / BLOCK_LEN + 1 + (len % BLOCK_LEN >= LENGTH_AT);
}

// Copies 64 bytes at a time, which takes a few instructions. Only for a short
// message, a variable number of bytes is copied, which is a call. Superfluous
// bytes go into `before`, or are overwritten by the next copy.
PV_INLINE void write_tail(tail *t, pv_span message, size_t num_blocks) {
  static const uint8_t one_bit_and_zeros[BLOCK_LEN] = {0x80};
  uint8_t *end = t->blocks + message.len % BLOCK_LEN;
  if (message.len >= BLOCK_LEN) {
    memcpy(end - BLOCK_LEN, message.data + (message.len - BLOCK_LEN),
           BLOCK_LEN);
  } else if (message.len > 0) {
    memcpy(t->blocks, message.data, message.len);
  }
  memcpy(end, one_bit_and_zeros, BLOCK_LEN);
  if (num_blocks == 2) {
    memset(t->blocks + BLOCK_LEN, 0, BLOCK_LEN);
  }
  store_be64(t->blocks + BLOCK_LEN * (num_blocks - 1) + LENGTH_AT,
             (uint64_t)message.len << 3);
}

PV_INLINE padded pad(tail *t, pv_span message) {
  const size_t num_whole = message.len / BLOCK_LEN;
  const size_t num_blocks = num_padded_blocks(message.len);
  write_tail(t, message, num_blocks - num_whole);
  return (padded){message.data, t->blocks, num_whole, num_blocks};
}

static const uint8_t *block_of(const padded *p, size_t i) {
  return i < p->num_whole ? p->whole + BLOCK_LEN * i
                          : p->tail + BLOCK_LEN * (i - p->num_whole);
}

static void write_digest(uint8_t *out, const uint32_t state[8]) {
  for (int i = 0; i < 8; i += 2) {
    store_be64(out + 4 * i, (uint64_t)state[i] << 32 | state[i + 1]);
  }
}

// ---- messages side by side --------------------------------------------------

// A group is hashed side by side; the message with the most blocks comes first.
typedef struct group {
  size_t num;
  uint8_t *outs[SHA256_LANES_MAX];
  padded messages[SHA256_LANES_MAX];
  tail tails[SHA256_LANES_MAX];
} group;

// Returns the step with the most lanes that pays off for `num` messages.
static const sha256_step *widest_step(const pv_kernel *kernel, size_t num) {
  size_t i = SHA256_STEPS - 1;
  while (i > 0 &&
         (kernel->sha256[i].lanes == 0 || kernel->sha256[i].enough > num)) {
    i -= 1;
  }
  return &kernel->sha256[i];
}

// Returns the block up to which the whole group can go on from block `done`: to
// the end of a message, or the beginning of a tail, which is stored elsewhere.
static size_t next_stop(const group *g, size_t done) {
  size_t stop = g->messages[g->num - 1].num_blocks;
  for (size_t l = 0; l < g->num; l++) {
    const size_t num_whole = g->messages[l].num_whole;
    stop = num_whole > done && num_whole < stop ? num_whole : stop;
  }
  return stop;
}

// Hashes blocks `done` to `stop` - 1 of every message into its state. Lanes
// without a message repeat the bytes of another; their states are ignored.
static void hash_blocks(const pv_kernel *kernel, const group *g,
                        uint32_t (*states)[8], size_t done, size_t stop) {
  const uint8_t *in[SHA256_LANES_MAX];
  for (size_t l = 0; l < g->num; l++) {
    in[l] = block_of(&g->messages[l], done);
  }
  for (size_t l = 0; l < g->num;) {
    const sha256_step *step = widest_step(kernel, g->num - l);
    for (size_t idle = g->num; idle < l + step->lanes; idle++) {
      in[idle] = in[l];
      memcpy(states[idle], initial_state, sizeof initial_state);
    }
    step->hash(states + l, in + l, stop - done);
    l += step->lanes;
  }
}

static void hash_group(const pv_kernel *kernel, group *g) {
  uint32_t states[SHA256_LANES_MAX][8];
  for (size_t l = 0; l < g->num; l++) {
    memcpy(states[l], initial_state, sizeof initial_state);
  }
  for (size_t done = 0; g->num > 0;) {
    const size_t stop = next_stop(g, done);
    hash_blocks(kernel, g, states, done, stop);
    done = stop;
    while (g->num > 0 && g->messages[g->num - 1].num_blocks == done) {
      g->num -= 1;
      write_digest(g->outs[g->num], states[g->num]);
    }
  }
}

// ---- one message ------------------------------------------------------------

// Fallback for kernels without begin and end functions. Not inlined, so that
// the usual case is a tail call.
static PV_NOINLINE void begin_by_blocks(sha256_running *out) {
  memcpy(out->state, initial_state, sizeof initial_state);
  if (out->len >= BLOCK_LEN) {
    out->kernel->sha256[0].hash(&out->state, &out->data, out->len / BLOCK_LEN);
  }
}

static PV_NOINLINE void end_by_blocks(uint8_t *out, sha256_running *running) {
  tail t;
  const padded message = pad(&t, (pv_span){running->data, running->len});
  running->kernel->sha256[0].hash(&running->state, &message.tail,
                                  message.num_blocks - message.num_whole);
  write_digest(out, running->state);
}

void pv__sha256_begin(sha256_running *out, const uint8_t *data, size_t len) {
  out->kernel = kernel_in_use(&sha256_kernels);
  out->data = data;
  out->len = len;
  if (out->kernel->sha256_begin != NULL) {
    out->kernel->sha256_begin(out->state, data, len / BLOCK_LEN);
  } else {
    begin_by_blocks(out);
  }
}

void pv__sha256_end(uint8_t out[32], sha256_running *running) {
  if (running->kernel->sha256_end != NULL) {
    running->kernel->sha256_end(out, running->state, running->data,
                                running->len);
  } else {
    end_by_blocks(out, running);
  }
}

void pv_sha256(uint8_t out[32], const uint8_t *data, size_t len) {
  sha256_running running;
  pv__sha256_begin(&running, or_empty(data), len);
  pv__sha256_end(out, &running);
}

// ---- many messages ----------------------------------------------------------

// Sorts the first `num` of `order` by insertion, most blocks first.
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

// Sorts the messages by their number of blocks, most first, missing messages
// last; returns how many are not missing. It is a counting sort, because most
// have few blocks; messages of more than MANY blocks are counted as MANY.
static size_t sort_by_blocks(uint8_t order[SHA256_CHUNK],
                             const pv_span *messages, size_t num_messages) {
  enum { NONE = 0, MANY = 64 };
  uint8_t counted[SHA256_CHUNK];
  uint32_t next[MANY + 1] = {0};
  for (size_t i = 0; i < num_messages; i++) {
    const size_t num_blocks = num_padded_blocks(messages[i].len);
    counted[i] = (uint8_t)(messages[i].data == NULL ? NONE
                           : num_blocks < MANY      ? num_blocks
                                                    : MANY);
    next[counted[i]] += 1;
  }
  const size_t num_long = next[MANY];
  uint32_t before = 0;
  for (size_t b = MANY + 1; b-- > 0;) {
    const uint32_t count = next[b];
    next[b] = before;
    before += count;
  }
  const size_t num = next[NONE];
  for (size_t i = 0; i < num_messages; i++) {
    order[next[counted[i]]++] = (uint8_t)i;
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

// Returns true if the first `num` of `order` have the same number of whole
// blocks, and of blocks in the tail.
static bool are_alike(const pv_span *messages, const uint8_t *order,
                      size_t num) {
  const size_t len = messages[order[0]].len;
  bool alike = true;
  for (size_t i = 1; i < num; i++) {
    const size_t other = messages[order[i]].len;
    alike &= other / BLOCK_LEN == len / BLOCK_LEN &&
             num_padded_blocks(other) == num_padded_blocks(len);
  }
  return alike;
}

// Hashes the first `num` of `order`: one for each lane, or fewer at the end.
PV_INLINE void hash_some(const pv_kernel *kernel, size_t lanes,
                         uint8_t *out_digests, const pv_span *messages,
                         const uint8_t *order, size_t num) {
  group g;
  if (kernel->sha256_alike != NULL && num == lanes &&
      are_alike(messages, order, num)) {
    const size_t len = messages[order[0]].len;
    const size_t num_whole = len / BLOCK_LEN;
    kernel->sha256_alike(out_digests, messages, order, num_whole,
                         num_padded_blocks(len) - num_whole);
  } else {
    fill_group(&g, out_digests, messages, order, num);
    hash_group(kernel, &g);
  }
}

void pv__sha256_chunk(uint8_t *out_digests, const pv_span *messages,
                      size_t num_messages, pv_span wanted_next) {
  const pv_kernel *kernel = kernel_in_use(&sha256_kernels);
  const size_t lanes = widest_step(kernel, SHA256_LANES_MAX)->lanes;
  uint8_t order[SHA256_CHUNK];
  const size_t num = sort_by_blocks(order, messages, num_messages);
  for (size_t i = num; i < num_messages; i++) {
    memset(out_digests + PV_DIGEST_LEN * order[i], 0, PV_DIGEST_LEN);
  }
  const size_t piece = wanted_next.len / (num / lanes + 1) + 1;
  for (size_t at = 0; at < num; at += lanes) {
    prefetch_next(&wanted_next, piece);
    hash_some(kernel, lanes, out_digests, messages, order + at,
              num - at < lanes ? num - at : lanes);
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
    pv__sha256_chunk(out_digests + PV_DIGEST_LEN * done, chunk, num,
                     (pv_span){NULL, 0});
    done += num;
  }
  return PV_OK;
}
