// fuzz_batch.c: batches with offsets, good and bad: each row is what the one
// call gives, and bad offsets read nothing.
#include "check.h"
#include "pinverify.h"

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

// The rows as chains of one peer each, without a host.
static void check_peers(const batch *in, bool good, const pv_policy *policy) {
  pv_report reports[MAX_ROWS], one;
  const uint64_t zeros[MAX_ROWS + 1] = {0};
  uint32_t each[MAX_ROWS + 1];
  for (uint32_t i = 0; i <= MAX_ROWS; i++) {
    each[i] = i;
  }
  const pv_column hosts = {NULL, 0, {zeros, 8, in->num_rows}};
  const pv_offsets chains = {each, 4, in->num_rows};
  memset(reports, 0xaa, sizeof reports);
  check((pv_evaluate_many(reports, NULL, policy, &hosts, &in->column, &chains,
                        0) == PV_OK) == good,
        "bad offsets of chains are refused");
  check(good || all_zero(reports, in->num_rows * sizeof one),
        "and reject everybody");
  for (size_t i = 0; good && i < in->num_rows; i++) {
    const pv_span cert = row(in, i);
    check(pv_evaluate(&one, NULL, policy, "", 0, &cert, 1, 0) == PV_OK &&
              memcmp(&one, &reports[i], sizeof one) == 0,
          "a peer is decided about as alone");
  }
}

// Pins of clients alone, with one pin of zeros (pinverify.h, section 5).
static const pv_policy *clients(void) {
  static uint8_t bytes[248];
  static pv_policy policy;
  if (policy.bytes == NULL) {
    memcpy(bytes, "pinvpol1", 8);
    bytes[40] = 248;  // size
    bytes[48] = 2;    // PinSet 0 is of clients
    bytes[56] = 1;    // buckets
    bytes[60] = 1;    // PinSets
    bytes[64] = 1;    // rows
    bytes[180] = 1;   // the PinSet's first run has one pin
    pv_sha256(bytes + 8, bytes + 40, sizeof bytes - 40);
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
