// kernels.c: every kernel that a processor can run, beside digests that are
// known and beside portable C. It needs nothing but the core, so that it runs
// wherever a compiler and an emulator can bring it.
//
//   kernels FILE       FILE holds records: a message that is one byte longer
//                      than the one before, from 0 bytes on, and its SHA-256
//
// Kernels of the scan hash the ends of names, too. It prints the kernels of
// SHA-256 and of the scan, best first, and what each was asked. Exits with 1 at
// the first wrong answer, with 2 if there is nothing to ask.
#include "inputs.h"
#include "kernels.h"
#include "kernels/siphash.h"
#include "pinverify.h"

enum { DIGEST_LEN = 32, RECORDS_MAX = 512, ROUNDS = 12, PINS_MAX = 40 };

typedef struct record {
  const uint8_t *message;
  size_t len;
  const uint8_t *digest;
} record;

static record records[RECORDS_MAX];
static size_t num_records;

static void expect(bool holds, const char *kernel, const char *what,
                   size_t number) {
  if (!holds) {
    printf("%s: wrong: %s %zu\n", kernel, what, number);
    exit(1);
  }
}

static bool same_digest(const uint8_t *a, const uint8_t *b) {
  return memcmp(a, b, DIGEST_LEN) == 0;
}

// Numbers that look random and are the same in each run (xorshift).
static uint64_t any_word(void) {
  static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static size_t any_below(size_t limit) {
  return (size_t)(any_word() % limit);
}

static bool read_records(const input *file) {
  size_t at = 0;
  while (num_records < RECORDS_MAX && at < file->len) {
    const size_t len = num_records;
    if (file->len - at < len + DIGEST_LEN) {
      return false;
    }
    records[num_records++] =
        (record){file->data + at, len, file->data + at + len};
    at += len + DIGEST_LEN;
  }
  return at == file->len && num_records > 0;
}

// ---- SHA-256 ----------------------------------------------------------------

static void ask_one_by_one(const char *kernel) {
  for (size_t i = 0; i < num_records; i++) {
    uint8_t digest[DIGEST_LEN];
    pv_sha256(digest, records[i].message, records[i].len);
    expect(same_digest(digest, records[i].digest), kernel, "length", i);
  }
}

// `chosen[i]` is the record that is message i.
static void ask_many(const char *kernel, const size_t *chosen, size_t num) {
  size_t len = 0;
  uint64_t *offsets = allocate((num + 1) * sizeof *offsets);
  uint8_t *digests = allocate(num * DIGEST_LEN);
  for (size_t i = 0; i < num; i++) {
    offsets[i] = len;
    len += records[chosen[i]].len;
  }
  offsets[num] = len;
  uint8_t *data = allocate(len + 1);
  for (size_t i = 0; i < num; i++) {
    const record *r = &records[chosen[i]];
    memcpy(data + offsets[i], r->message, r->len);
  }
  const pv_column column = {
      data, len, {(const uint8_t *)offsets, sizeof *offsets, num}};
  expect(pv_sha256_many(digests, &column) == PV_OK, kernel, "column of", num);
  for (size_t i = 0; i < num; i++) {
    expect(same_digest(digests + DIGEST_LEN * i, records[chosen[i]].digest),
           kernel, "message beside others of length", chosen[i]);
  }
  free(offsets);
  free(digests);
  free(data);
}

// From one message, which leaves lanes idle, to more than go side by side, of
// one length and of all: a lane may not see what its neighbour does.
static void ask_side_by_side(const char *kernel) {
  size_t chosen[2 * RECORDS_MAX];
  for (size_t num = 1; num <= 70; num++) {
    for (size_t round = 0; round < ROUNDS; round++) {
      const size_t length = any_below(num_records);
      for (size_t i = 0; i < num; i++) {
        chosen[i] = round % 4 == 0 ? length : any_below(num_records);
      }
      ask_many(kernel, chosen, num);
    }
  }
  for (size_t i = 0; i < 2 * num_records; i++) {
    chosen[i] = any_below(num_records);
  }
  ask_many(kernel, chosen, 2 * num_records);
}

// Messages of up to 16 blocks, by this kernel and by portable C.
static void ask_beside_portable(size_t pv__kernel_number, size_t portable) {
  const char *kernel = pv_sha256_kernel_name(pv__kernel_number);
  uint8_t message[1024];
  for (size_t round = 0; round < 500; round++) {
    uint8_t ours[DIGEST_LEN], theirs[DIGEST_LEN];
    const size_t len = any_below(sizeof message + 1);
    for (size_t i = 0; i < len; i++) {
      message[i] = (uint8_t)any_below(256);
    }
    pv_sha256(ours, message, len);
    expect(pv_sha256_use_kernel(portable) == PV_OK, kernel, "portable", 0);
    pv_sha256(theirs, message, len);
    expect(pv_sha256_use_kernel(pv__kernel_number) == PV_OK, kernel, "back", 0);
    expect(same_digest(ours, theirs), kernel, "not as portable: length", len);
  }
}

// ---- the scan ---------------------------------------------------------------

static void ask_scan(const char *kernel, const uint8_t *pins, size_t num_pins,
                     const uint8_t *digest, uint32_t expected) {
  uint8_t packed[(PINS_MAX + 8) * DIGEST_LEN];
  uint8_t digests[5 * DIGEST_LEN], found[5];
  expect(pv_pins_packed_len(num_pins) <= sizeof packed, kernel, "room for",
         num_pins);
  pv_pins_pack(packed, pins, num_pins);
  expect(pv_pins_contain(pins, num_pins, digest) == expected, kernel,
         "rows, of pins", num_pins);
  expect(pv_packed_contain(packed, num_pins, digest) == expected, kernel,
         "packed, of pins", num_pins);
  // A kernel scans for one to four at once, each number in code of its own.
  for (size_t num = 1; num <= 5; num++) {
    for (size_t place = 0; place < num; place++) {
      memset(digests, 0x5a, sizeof digests);
      memcpy(digests + DIGEST_LEN * place, digest, DIGEST_LEN);
      pv_packed_contain_many(found, packed, num_pins, digests, num);
      for (size_t i = 0; i < num; i++) {
        expect(found[i] == (i == place ? expected : 0), kernel,
               "several digests, of pins", num_pins);
      }
    }
  }
}

// Each pin at each place is found; what differs in one bit, what stands behind
// the last pin, and what is put together from two pins are not.
static void ask_scans(const char *kernel) {
  uint8_t pins[(PINS_MAX + 1) * DIGEST_LEN];
  for (size_t i = 0; i <= PINS_MAX; i++) {
    memcpy(pins + DIGEST_LEN * i, records[i].digest, DIGEST_LEN);
  }
  for (size_t num_pins = 0; num_pins <= PINS_MAX; num_pins++) {
    ask_scan(kernel, pins, num_pins, pins + DIGEST_LEN * num_pins, 0);
    for (size_t i = 0; i < num_pins; i++) {
      uint8_t near_miss[DIGEST_LEN];
      ask_scan(kernel, pins, num_pins, pins + DIGEST_LEN * i, 1);
      for (size_t bit = 0; bit < 8 * DIGEST_LEN; bit += 1 + any_below(16)) {
        memcpy(near_miss, pins + DIGEST_LEN * i, DIGEST_LEN);
        near_miss[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ask_scan(kernel, pins, num_pins, near_miss, 0);
      }
      memcpy(near_miss, pins + DIGEST_LEN * i, DIGEST_LEN);
      memcpy(near_miss + 8 * any_below(4), pins + DIGEST_LEN * num_pins, 8);
      ask_scan(kernel, pins, num_pins, near_miss, 0);
    }
  }
}

// ---- the ends of names ------------------------------------------------------

// Any states and last words, by this kernel and by portable C. Whole vectors of
// hashes may be written, and nothing behind them.
static void ask_ends(const char *kernel) {
  enum { STATES = 32, ENDS_MAX = 254, ROOM = ENDS_MAX + 2 * ENDS_ALIGN };
  sip_state states[STATES];
  uint64_t words[ROOM], ours[ROOM], theirs[ROOM];
  for (size_t num = 0; num <= ENDS_MAX; num++) {
    for (size_t i = 0; i < 4 * STATES; i++) {
      states[i / 4].v[i % 4] = any_word();
    }
    for (size_t i = 0; i < ROOM; i++) {
      words[i] = any_word();
      ours[i] = 0;
    }
    pv__hash_ends(ours, states, words, num);
    pv__hash_ends_portable(theirs, states, words, num);
    expect(memcmp(ours, theirs, num * sizeof *ours) == 0, kernel,
           "not as portable: ends", num);
    for (size_t i = num + ENDS_ALIGN - 1; i < ROOM; i++) {
      expect(ours[i] == 0, kernel, "written behind ends", num);
    }
  }
}

// ---- all of it --------------------------------------------------------------

static void print_names(const char *what, const char *name(size_t)) {
  printf("%s:", what);
  for (size_t i = 0; name(i) != NULL; i++) {
    printf(" %s", name(i));
  }
  printf("\n");
}

int main(int argc, char **argv) {
  input file;
  if (argc != 2 || !read_input(&file, argv[1]) || !read_records(&file) ||
      num_records <= PINS_MAX) {
    fprintf(stderr, "usage: kernels FILE\n");
    return 2;
  }
  print_names("sha256", pv_sha256_kernel_name);
  print_names("scan", pv_scan_kernel_name);
  expect(pv_sha256_kernel() == 0, "sha256", "first in use is", 0);
  expect(pv_scan_kernel() == 0, "scan", "first in use is", 0);
  size_t num = 0;
  while (pv_sha256_kernel_name(num) != NULL) {
    num += 1;
  }
  for (size_t i = 0; i < num; i++) {
    const char *name = pv_sha256_kernel_name(i);
    expect(pv_sha256_use_kernel(i) == PV_OK, name, "kernel", i);
    ask_one_by_one(name);
    ask_side_by_side(name);
    ask_beside_portable(i, num - 1);
  }
  for (size_t i = 0; pv_scan_kernel_name(i) != NULL; i++) {
    const char *name = pv_scan_kernel_name(i);
    expect(pv_scan_use_kernel(i) == PV_OK, name, "kernel", i);
    ask_scans(name);
    ask_ends(name);
  }
  printf("%zu messages, up to %d pins: as expected\n", num_records, PINS_MAX);
  free(file.path);
  free(file.data);
  return 0;
}
