// differential.c: every certificate of a pack, and any number of mutants of
// them, judged by pinverify and by OpenSSL.
//
//   differential PACK NUM_MUTANTS SEED FINDINGS
//
// PACK holds inputs, each behind its length (4 bytes, little-endian). A line
// "input I VERDICT STATUS FIELDS" is printed for each input the two differ
// about, then a line "mutants VERDICT STATUS FIELDS N" for each class of
// mutants. The same arguments give the same mutants on every machine. Mutants
// that must not exist are written to the folder FINDINGS, and then the program
// exits with 1.
//
// One mutant in 64, and every input, is judged a second time with OpenSSL's
// default providers, as in a handshake: it must be the same.
#include <inttypes.h>

#include "check.h"
#include "der_mutator.h"
#include "openssl_oracle.h"

enum { ROOM = 1 << 18, MAX_STATUS = 128, SECOND_OPINION = 64 };

static const char *const names[] = {
    "both-refuse",  "same-key",    "same-key-reencoded", "other-key",
    "only-openssl", "only-inside", "only-in-frame"};
enum { NUM_VERDICTS = sizeof names / sizeof names[0] };

// ---- inputs -----------------------------------------------------------------

typedef struct input {
  const uint8_t *data;
  size_t len;
} input;

typedef struct pack {
  uint8_t *bytes;
  input *inputs;
  size_t num_inputs;
  input *accepted;  // those that one of the two accepts
  size_t num_accepted;
} pack;

static uint8_t *read_whole(const char *path, size_t *out_len) {
  FILE *file = fopen(path, "rb");
  check(file != NULL, "the pack can be opened");
  check(fseek(file, 0, SEEK_END) == 0, "the pack is a file");
  const long len = ftell(file);
  check(len > 0 && fseek(file, 0, SEEK_SET) == 0, "the pack is not empty");
  uint8_t *bytes = malloc((size_t)len);
  check(bytes != NULL && fread(bytes, 1, (size_t)len, file) == (size_t)len,
        "the pack can be read");
  fclose(file);
  *out_len = (size_t)len;
  return bytes;
}

static uint32_t load_len(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
         (uint32_t)p[3] << 24;
}

static pack read_pack(const char *path) {
  pack out = {0};
  size_t len = 0;
  out.bytes = read_whole(path, &len);
  out.inputs = calloc(len / 4 + 1, sizeof *out.inputs);
  check(out.inputs != NULL, "there is memory for the inputs");
  for (size_t at = 0; at < len;) {
    check(len - at >= 4 && load_len(out.bytes + at) <= len - at - 4,
          "the pack is whole");
    input *one = &out.inputs[out.num_inputs++];
    *one = (input){out.bytes + at + 4, load_len(out.bytes + at)};
    at += 4 + one->len;
  }
  out.accepted = calloc(out.num_inputs, sizeof *out.accepted);
  check(out.accepted != NULL, "there is memory for the inputs");
  return out;
}

static void free_pack(pack *in) {
  free(in->bytes);
  free(in->inputs);
  free(in->accepted);
}

// ---- judging ----------------------------------------------------------------

static bool must_not_be(verdict v) {
  return v == OTHER_KEY || v == ONLY_IN_FRAME;
}

// Both ways, if asked for; the judgements must not differ.
static judgement judge_well(const uint8_t *cert, size_t len, bool twice) {
  uint8_t *exact = exact_copy(cert, len);
  const judgement out = judge(exact, len);
  if (twice) {
    const judgement again = judge_as_in_a_handshake(exact, len);
    check(again.verdict == out.verdict && again.fields == out.fields,
          "OpenSSL parses the same with its default providers");
  }
  free(exact);
  return out;
}

static bool judge_inputs(pack *in) {
  bool fine = true;
  for (size_t i = 0; i < in->num_inputs; i++) {
    const judgement j = judge_well(in->inputs[i].data, in->inputs[i].len, true);
    if (j.verdict != BOTH_REFUSE && j.verdict != SAME_KEY) {
      printf("input %zu %s %d %u\n", i, names[j.verdict], (int)j.status,
             j.fields);
    }
    if (j.verdict != BOTH_REFUSE && in->inputs[i].len < ROOM / 2) {
      in->accepted[in->num_accepted++] = in->inputs[i];
    }
    fine = fine && !must_not_be(j.verdict);
  }
  return fine;
}

static void keep(const char *folder, uint64_t number, const uint8_t *cert,
                 size_t len) {
  char path[4096];
  snprintf(path, sizeof path, "%s/mutant-%" PRIu64 ".der", folder, number);
  FILE *file = fopen(path, "wb");
  check(file != NULL && fwrite(cert, 1, len, file) == len,
        "a finding can be kept");
  fclose(file);
  fprintf(stderr, "differential: see %s\n", path);
}

typedef struct counts {
  uint64_t of[NUM_VERDICTS][MAX_STATUS][INSIDE_ANY + 1];
} counts;

// Most mutants are made of a certificate that somebody accepts; most of them
// are damaged once, some up to four times.
static size_t make_mutant(uint8_t *out, const pack *in, uint64_t *random) {
  const bool any = random_below(random, 16) == 0 || in->num_accepted == 0;
  const input *seed =
      any ? &in->inputs[random_below(random, in->num_inputs)]
          : &in->accepted[random_below(random, in->num_accepted)];
  const input *donor = &in->inputs[random_below(random, in->num_inputs)];
  size_t len = seed->len < ROOM / 2 ? seed->len : ROOM / 2;
  memcpy(out, seed->data, len);
  do {
    len = der_mutate(out, len, ROOM, donor->data, donor->len, random);
  } while (random_below(random, 4) == 0);
  return len;
}

static bool judge_mutants(counts *out, const pack *in, uint64_t num_mutants,
                          uint64_t seed, const char *findings) {
  static uint8_t mutant[ROOM];
  bool fine = true;
  for (uint64_t i = 0; i < num_mutants; i++) {
    // Each mutant has a state of its own, so that one can be made again alone.
    uint64_t random = seed * UINT64_C(0x2545f4914f6cdd1d) + i;
    const size_t len = make_mutant(mutant, in, &random);
    const judgement j = judge_well(mutant, len, i % SECOND_OPINION == 0);
    out->of[j.verdict][j.status][j.fields]++;
    if (must_not_be(j.verdict)) {
      keep(findings, i, mutant, len);
      fine = false;
    }
  }
  return fine;
}

static void print_counts(const counts *in) {
  for (size_t v = 0; v < NUM_VERDICTS; v++) {
    for (size_t status = 0; status < MAX_STATUS; status++) {
      for (size_t fields = 0; fields <= INSIDE_ANY; fields++) {
        if (in->of[v][status][fields] != 0) {
          printf("mutants %s %zu %zu %" PRIu64 "\n", names[v], status, fields,
                 in->of[v][status][fields]);
        }
      }
    }
  }
}

int main(int argc, char **argv) {
  static counts found;
  if (argc != 5) {
    fprintf(stderr, "usage: differential PACK NUM_MUTANTS SEED FINDINGS\n");
    return 2;
  }
  pack in = read_pack(argv[1]);
  const bool inputs_fine = judge_inputs(&in);
  const bool mutants_fine =
      judge_mutants(&found, &in, strtoull(argv[2], NULL, 10),
                    strtoull(argv[3], NULL, 10), argv[4]);
  print_counts(&found);
  free_pack(&in);
  return inputs_fine && mutants_fine ? 0 : 1;
}
