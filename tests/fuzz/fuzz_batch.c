// fuzz_batch.c: batches with offsets, good and bad: each row is what the one
// call gives, and bad offsets read nothing.
#include "check.h"
#include "pinverify.h"
#include "policy_hash.h"

enum { MAX_ROWS = 24 };

// A column, and the same as plain numbers.
typedef struct batch {
  pv_column column;
  uint64_t offsets[MAX_ROWS + 1];
  size_t num_rows;
} batch;

static bool offsets_are_good(const batch *in) {
  bool good = in->offsets[in->num_rows] <= in->column.data_len;
  for (size_t i = 0; i < in->num_rows; i++) {
    good = good && in->offsets[i] <= in->offsets[i + 1];
  }
  return good || in->num_rows == 0;
}

static pv_span row(const batch *in, size_t i) {
  return (pv_span){in->column.data + in->offsets[i],
                   (size_t)(in->offsets[i + 1] - in->offsets[i])};
}

static void check_messages(const batch *in, bool good) {
  uint8_t digests[32 * MAX_ROWS], one[32];
  memset(digests, 0xaa, sizeof digests);
  check((pv_sha256_many(digests, &in->column) == PV_OK) == good,
        "bad offsets of messages are refused");
  check(good || all_zero(digests, 32 * in->num_rows), "and give no digest");
  for (size_t i = 0; good && i < in->num_rows; i++) {
    pv_sha256(one, row(in, i).data, row(in, i).len);
    check(memcmp(one, digests + 32 * i, 32) == 0, "a message is hashed alone");
  }
}

// What a batch gives for certificates.
typedef struct answers {
  uint8_t pinned[MAX_ROWS / 8];
  uint8_t digests[32 * MAX_ROWS];
  uint8_t statuses[MAX_ROWS];
  size_t num_malformed;
} answers;

static void check_answers(const batch *in, bool good, const answers *got,
                          const uint8_t *pin) {
  size_t num_malformed = 0;
  check(good || (all_zero(got->digests, 32 * in->num_rows) &&
                 all_zero(got->statuses, in->num_rows) &&
                 all_zero(got->pinned, (in->num_rows + 7) / 8)),
        "bad offsets give nothing");
  for (size_t i = 0; good && i < in->num_rows; i++) {
    uint8_t one[32];
    const pv_span cert = row(in, i);
    const pv_status alone = pv_spki_sha256(one, cert.data, cert.len);
    const uint32_t pinned =
        pv_cert_is_pinned(NULL, pin, 1, cert.data, cert.len);
    check(memcmp(one, got->digests + 32 * i, 32) == 0 &&
              got->statuses[i] == alone &&
              (got->pinned[i / 8] >> i % 8 & 1) == (pinned == 1),
          "a certificate gets what it gets alone");
    num_malformed += alone != PV_OK;
  }
  check(got->num_malformed == num_malformed, "the malformed ones are counted");
}

// The pin is that of the last certificate, so that one is a hit.
static void check_certificates(const batch *in, bool good) {
  answers hashed, scanned;
  uint8_t pin[32] = {0};
  memset(&hashed, 0xaa, sizeof hashed);
  memset(&scanned, 0xaa, sizeof scanned);
  check((pv_spki_sha256_many(hashed.digests, hashed.statuses,
                             &hashed.num_malformed, &in->column) == PV_OK) ==
            good,
        "bad offsets of certificates are refused");
  if (good && in->num_rows > 0) {
    memcpy(pin, hashed.digests + 32 * (in->num_rows - 1), 32);
  }
  check((pv_certs_are_pinned(scanned.pinned, scanned.digests, scanned.statuses,
                             &scanned.num_malformed, pin, 1,
                             &in->column) == PV_OK) == good,
        "so they are where pins are looked for");
  memcpy(hashed.pinned, scanned.pinned, sizeof hashed.pinned);
  check_answers(in, good, &hashed, pin);
  check_answers(in, good, &scanned, pin);
}

// The columns that pv_evaluate_many writes.
typedef struct columns {
  pv_report reports[MAX_ROWS];
  uint8_t spkis[32 * MAX_ROWS];
  uint8_t accepted[MAX_ROWS / 8];
  uint8_t reasons[MAX_ROWS];
  uint32_t rules[MAX_ROWS];
  uint32_t depths[MAX_ROWS];
  uint16_t details[MAX_ROWS];
  uint8_t matched[32 * MAX_ROWS];
} columns;

static bool evaluate(columns *out, const pv_policy *policy, const batch *in,
                     const pv_offsets *chains, size_t num_peers) {
  const uint64_t zeros[MAX_ROWS + 1] = {0};
  const pv_column hosts = {NULL, 0, {zeros, 8, num_peers}};
  const pv_answers answers = {out->reports,  out->spkis, out->accepted,
                              out->reasons,  out->rules, out->depths,
                              out->details, out->matched};
  memset(out, 0xaa, sizeof *out);
  return pv_evaluate_many(&answers, policy, &hosts, &in->column, chains, 0) ==
         PV_OK;
}

// Peer `i`, whose chain is rows `first` to `end` - 1.
static void check_peer(const columns *got, const batch *in, size_t i,
                       size_t first, size_t end, const pv_policy *policy) {
  pv_report one;
  uint8_t spkis[32 * MAX_ROWS];
  pv_span chain[MAX_ROWS];
  for (size_t r = first; r < end; r++) {
    chain[r - first] = row(in, r);
  }
  check(pv_evaluate(&one, spkis, policy, "", 0, chain, end - first, 0) ==
                PV_OK &&
            memcmp(&one, &got->reports[i], sizeof one) == 0 &&
            memcmp(spkis, got->spkis + 32 * first, 32 * (end - first)) == 0,
        "a peer is decided about as alone");
  check((got->accepted[i / 8] >> i % 8 & 1) == one.accepted &&
            got->reasons[i] == one.reason && got->rules[i] == one.rule &&
            got->depths[i] == one.depth &&
            got->details[i] ==
                (one.detail << 8 | (uint32_t)one.shape << 2 |
                 (uint32_t)one.matched_kind << 1 | one.mode) &&
            memcmp(got->matched + 32 * i, one.matched, 32) == 0,
        "the columns say what the report says");
}

// The rows as chains of peers without a host: one each; and some, of 0, 1, 2, 3,
// 0, ... rows.
static void check_peers(const batch *in, bool good, const pv_policy *policy) {
  columns got;
  uint32_t ends[MAX_ROWS + 1] = {0};
  size_t num_peers = 0;
  check(evaluate(&got, policy, in, NULL, in->num_rows) == good,
        "bad offsets of certificates are refused");
  check(good || (all_zero(got.reports, in->num_rows * sizeof(pv_report)) &&
                 all_zero(got.accepted, (in->num_rows + 7) / 8) &&
                 all_zero(got.reasons, in->num_rows) &&
                 all_zero(got.spkis, 32 * in->num_rows) &&
                 all_zero(got.matched, 32 * in->num_rows)),
        "and reject everybody");
  for (size_t i = 0; good && i < in->num_rows; i++) {
    check_peer(&got, in, i, i, i + 1, policy);
  }
  while (num_peers < MAX_ROWS && ends[num_peers] < in->num_rows) {
    const size_t end = ends[num_peers] + num_peers % 4;
    num_peers += 1;
    ends[num_peers] = (uint32_t)(end < in->num_rows ? end : in->num_rows);
  }
  const pv_offsets chains = {ends, 4, num_peers};
  check(evaluate(&got, policy, in, &chains, num_peers) == good,
        "so they are where chains are cut");
  for (size_t i = 0; good && i < num_peers; i++) {
    check_peer(&got, in, i, ends[i], ends[i + 1], policy);
  }
}

// Pins of clients alone, with one pin of zeros (pinverify_compile.h).
static const pv_policy *clients(void) {
  static uint8_t bytes[248];
  static pv_policy policy;
  if (policy.bytes == NULL) {
    memcpy(bytes, "pinvpol2", 8);
    bytes[40] = 248;  // size
    bytes[48] = 2;    // PinSet 0 is of clients
    bytes[56] = 1;    // buckets
    bytes[60] = 1;    // PinSets
    bytes[64] = 1;    // rows
    bytes[180] = 1;   // the PinSet's first run has one pin
    pv__digest_policy(bytes + 8, bytes, sizeof bytes);
    check(pv_policy_open(&policy, bytes, 240) == PV_ERR_POLICY_SIZE,
          "a policy has its size");
    check(pv_policy_open(&policy, bytes, sizeof bytes) == PV_OK,
          "the policy opens");
  }
  return &policy;
}

// Writes the offsets, `width` bytes each, at an odd address in a block that
// ends with them; and as the plain numbers that they then are.
static uint8_t *write_offsets(batch *out, const uint8_t *steps, size_t width) {
  uint8_t *block = malloc(1 + width * (out->num_rows + 1));
  check(block != NULL, "there is memory");
  for (size_t i = 0; i <= out->num_rows; i++) {
    const uint8_t *p = steps + 2 * i - 2;
    uint64_t offset = 0;
    if (i > 0) {
      const uint64_t step = (uint64_t)(p[0] & 0x7f) << 8 | p[1];
      offset =
          p[0] < 0x80 ? out->offsets[i - 1] + step : UINT64_MAX / 0x7fff * step;
    }
    const uint32_t narrow = (uint32_t)offset;
    out->offsets[i] = width == 4 ? narrow : offset;
    memcpy(block + 1 + width * i,
           width == 4 ? (const void *)&narrow : (const void *)&offset, width);
  }
  out->column.offsets = (pv_offsets){block + 1, width, out->num_rows};
  return block;
}

// The first byte says how many rows and how wide the offsets are, two more each
// where a row ends: relative to the row before, but any number at all if the
// top bit is set.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  const size_t num_rows = len > 0 ? (data[0] & 0x7f) % (MAX_ROWS + 1) : 0;
  const size_t header_len = 1 + 2 * num_rows;
  if (len < header_len) {
    return 0;
  }
  uint8_t *rest = exact_copy(data + header_len, len - header_len);
  batch in = {.column = {rest, len - header_len, {NULL, 0, 0}},
              .num_rows = num_rows};
  uint8_t *offsets = write_offsets(&in, data + 1, data[0] < 0x80 ? 4 : 8);
  const bool good = offsets_are_good(&in);
  check_messages(&in, good);
  check_certificates(&in, good);
  check_peers(&in, good, clients());
  free(offsets);
  free(rest);
  return 0;
}
