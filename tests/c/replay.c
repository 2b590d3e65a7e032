// replay.c: gives each file of a folder to the core, so that a corpus is a test
// without Python and without a fuzzer.
//
//   replay DIR         DIR/cert, DIR/host and DIR/policy hold one input a file
//
// Compiled with sanitizers, it shows that no input makes the core read or write
// where it may not: every input lies in a block of memory of exactly its size.
// It also checks what must hold for any input. It prints counts, and exits with
// 1 if something does not hold, with 2 if there was nothing to read.
#include "inputs.h"
#include "pinverify.h"

enum { CHAIN_LEN = 3, LONGEST_PREFIX = 2048 };

// ---- what does not hold -----------------------------------------------------

static size_t num_findings = 0;

static void expect(bool holds, const char *about, const char *what) {
  if (!holds) {
    fprintf(stderr, "replay: %s: not so: %s\n", about, what);
    num_findings++;
  }
}

static bool is_zero(const void *bytes, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (((const uint8_t *)bytes)[i] != 0) {
      return false;
    }
  }
  return true;
}

// ---- certificates -----------------------------------------------------------

static void check_slice(const input *in, pv_status status, pv_span spki) {
  if (status != PV_OK) {
    expect(spki.data == NULL && spki.len == 0, in->path,
           "a refused certificate has an empty key");
    return;
  }
  const uint8_t *end = in->data + in->len;
  const bool inside = spki.data > in->data && spki.data < end &&
                      spki.len >= 2 && spki.len < (size_t)(end - spki.data);
  expect(inside, in->path, "the key lies inside the certificate");
  expect(inside && spki.data[0] == 0x30, in->path, "the key is a SEQUENCE");
}

static void check_digest(const input *in, pv_status status, pv_span spki) {
  uint8_t digest[32], expected[32] = {0};
  memset(digest, 0xaa, sizeof digest);
  expect(pv_spki_sha256(digest, in->data, in->len) == status, in->path,
         "pv_spki_sha256 has the same status");
  if (status == PV_OK) {
    pv_sha256(expected, spki.data, spki.len);
  }
  expect(memcmp(digest, expected, 32) == 0, in->path,
         "the digest is that of the key, or zero");
  pv_status found = PV_ERR_ARGUMENT;
  const uint32_t pinned =
      pv_cert_is_pinned(&found, expected, 1, in->data, in->len);
  expect(found == status && pinned == (status == PV_OK), in->path,
         "a certificate is pinned by its own pin");

  uint8_t many[32], statuses[1];
  size_t num_malformed = 7;
  const uint64_t positions[2] = {0, in->len};
  const pv_column column = {in->data, in->len, {positions, 8, 1}};
  expect(pv_spki_sha256_many(many, statuses, &num_malformed, &column) == PV_OK,
         in->path, "a batch of one can be hashed");
  expect(memcmp(many, expected, 32) == 0 && statuses[0] == (uint8_t)status &&
             num_malformed == (status != PV_OK),
         in->path, "a batch of one gives what the one gives");
  uint8_t bits[1];
  expect(pv_certs_are_pinned(bits, NULL, statuses, &num_malformed, expected, 1,
                             &column) == PV_OK,
         in->path, "a batch of one can be matched");
  expect(bits[0] == (status == PV_OK) && statuses[0] == (uint8_t)status &&
             num_malformed == (status != PV_OK),
         in->path, "a batch of one matches as the one does");
}

// A certificate ends with the input, so no prefix of one is one.
static void check_prefixes(const input *in, pv_status status) {
  for (size_t len = 0; len < in->len && len < LONGEST_PREFIX; len++) {
    uint8_t *prefix = exact_copy(in->data, len);
    pv_span spki;
    const pv_status cut = pv_spki_from_cert(&spki, prefix, len);
    expect(status != PV_OK || cut != PV_OK, in->path, "a prefix is refused");
    expect(cut == PV_OK || spki.len == 0, in->path, "its key is empty");
    free(prefix);
  }
}

static bool check_certificate(const input *in) {
  pv_span spki = {in->data, 1};
  const pv_status status = pv_spki_from_cert(&spki, in->data, in->len);
  check_slice(in, status, spki);
  check_digest(in, status, spki);
  check_prefixes(in, status);
  return status == PV_OK;
}

static size_t check_certificates(const folder *certs) {
  size_t num_accepted = 0;
  for (size_t i = 0; i < certs->num_inputs; i++) {
    num_accepted += check_certificate(&certs->inputs[i]);
  }
  return num_accepted;
}

// ---- kernels ----------------------------------------------------------------

// All certificates back to back, with what is made of each of them.
typedef struct batch {
  uint8_t *data;
  uint64_t *positions;
  uint8_t *digests;
  uint8_t *statuses;
  uint8_t *bits;
  pv_column column;
  size_t num_malformed;
} batch;

static batch make_batch(const folder *certs) {
  const size_t num = certs->num_inputs;
  batch out = {.positions = allocate(8 * (num + 1)),
               .digests = allocate(32 * num),
               .statuses = allocate(num),
               .bits = allocate(num / 8 + 1)};
  out.positions[0] = 0;
  for (size_t i = 0; i < num; i++) {
    out.positions[i + 1] = out.positions[i] + certs->inputs[i].len;
  }
  out.data = allocate((size_t)out.positions[num]);
  for (size_t i = 0; i < num; i++) {
    if (certs->inputs[i].len > 0) {
      memcpy(out.data + out.positions[i], certs->inputs[i].data,
             certs->inputs[i].len);
    }
  }
  out.column = (pv_column){
      out.data, (size_t)out.positions[num], {out.positions, 8, num}};
  return out;
}

static void free_batch(batch *in) {
  free(in->data);
  free(in->positions);
  free(in->digests);
  free(in->statuses);
  free(in->bits);
}

// The digests of keys and of whole certificates, by the kernels in use.
static void hash_batch(batch *in, uint8_t *whole) {
  expect(pv_spki_sha256_many(in->digests, in->statuses, &in->num_malformed,
                             &in->column) == PV_OK,
         "the batch", "all certificates can be hashed");
  expect(pv_sha256_many(whole, &in->column) == PV_OK, "the batch",
         "all certificates can be hashed whole");
}

// Each kernel of SHA-256 gives for a batch what the portable one, the last,
// gives; each of the scan finds in it what the portable one finds.
static size_t check_kernels(const folder *certs) {
  const size_t num = certs->num_inputs;
  batch expected = make_batch(certs), found = make_batch(certs);
  uint8_t *whole = allocate(32 * num), *same = allocate(32 * num);
  size_t num_sha256 = 0, num_scan = 0;
  while (pv_sha256_use_kernel(num_sha256) == PV_OK) {
    num_sha256++;
  }
  hash_batch(&expected, whole);
  for (size_t k = 0; k < num_sha256; k++) {
    expect(pv_sha256_use_kernel(k) == PV_OK && pv_sha256_kernel() == k,
           pv_sha256_kernel_name(k), "a kernel that is there can be used");
    hash_batch(&found, same);
    expect(memcmp(found.digests, expected.digests, 32 * num) == 0 &&
               memcmp(found.statuses, expected.statuses, num) == 0 &&
               memcmp(same, whole, 32 * num) == 0,
           pv_sha256_kernel_name(k), "a kernel hashes as the portable one");
  }
  const size_t num_pins = num < 100 ? num : 100;
  uint8_t *packed = allocate(pv_pins_packed_len(num_pins));
  pv_pins_pack(packed, expected.digests, num_pins);
  while (pv_scan_use_kernel(num_scan) == PV_OK) {
    expect(pv_certs_are_pinned(found.bits, found.digests, found.statuses,
                               &found.num_malformed, packed, num_pins,
                               &found.column) == PV_OK,
           pv_scan_kernel_name(num_scan), "all certificates can be matched");
    expect(
        num_scan == 0 || memcmp(found.bits, expected.bits, (num + 7) / 8) == 0,
        pv_scan_kernel_name(num_scan), "a kernel finds as the others do");
    memcpy(expected.bits, found.bits, (num + 7) / 8);
    num_scan++;
  }
  expect(pv_sha256_use_kernel(0) == PV_OK && pv_scan_use_kernel(0) == PV_OK,
         "the kernels", "the best one can be used again");
  free(packed);
  free(whole);
  free(same);
  free_batch(&expected);
  free_batch(&found);
  return num_sha256 + num_scan;
}

// ---- hosts ------------------------------------------------------------------

typedef struct canonical {
  char text[PV_HOST_MAX + 1];
  size_t len;
} canonical;

static bool canonicalise(canonical *out, const input *in) {
  memset(out->text, 'x', sizeof out->text);
  out->len = 999;
  return pv_host_canonical(out->text, &out->len, (const char *)in->data,
                           in->len) == PV_OK;
}

static bool check_host(const input *in) {
  canonical first;
  if (!canonicalise(&first, in)) {
    expect(first.len == 0 && first.text[0] == '\0', in->path,
           "a refused host is empty");
    return false;
  }
  expect(first.len >= 1 && first.len <= PV_HOST_MAX &&
             strlen(first.text) == first.len,
         in->path, "a canonical host has 1 to 253 bytes and ends with NUL");

  uint8_t *copy = exact_copy(first.text, first.len);
  const input again = {in->path, copy, first.len};
  canonical second;
  expect(canonicalise(&second, &again) && second.len == first.len &&
             memcmp(second.text, first.text, first.len) == 0,
         in->path, "a canonical host is its own canonical form");
  free(copy);
  return true;
}

static size_t check_hosts(const folder *hosts) {
  size_t num_canonical = 0;
  for (size_t i = 0; i < hosts->num_inputs; i++) {
    num_canonical += check_host(&hosts->inputs[i]);
  }
  return num_canonical;
}

// ---- policies ---------------------------------------------------------------

static void check_pins(const input *in, const pv_policy *policy,
                       uint32_t pinset) {
  pv_pinset set;
  uint8_t pin[32];
  char text[PV_PIN_TEXT_MAX + 1];
  expect(pv_policy_pinset(&set, policy, pinset) == PV_OK, in->path,
         "the PinSet of a rule can be read");
  for (uint32_t run = 0; run < 8; run++) {
    const uint32_t num_pins = set.num_pins[run];
    for (uint32_t i = 0; i < num_pins; i++) {
      expect(pv_policy_pin(pin, policy, pinset, run / 2, run % 2, i) == PV_OK,
             in->path, "each pin of a PinSet can be read");
      const size_t len = run % 2 == PV_SPKI ? 51 : PV_PIN_TEXT_MAX;
      expect(strlen(pv_pin_text(text, run % 2, pin)) == len, in->path,
             "each pin has a text");
    }
    expect(pv_policy_pin(pin, policy, pinset, run / 2, run % 2, num_pins) ==
                   PV_ERR_ARGUMENT &&
               is_zero(pin, sizeof pin),
           in->path, "there is no pin after the last");
  }
}

static void check_rules(const input *in, const pv_policy *policy) {
  pv_rule rule;
  pv_pinset set;
  for (uint32_t i = 0; i < policy->num_rules; i++) {
    if (pv_policy_rule(&rule, policy, i) != PV_OK) {
      expect(false, in->path, "each rule can be read");
      continue;
    }
    const uint8_t *name = (const uint8_t *)rule.name;
    expect(name >= in->data && rule.name_len >= 1 &&
               rule.name_len <= PV_HOST_MAX &&
               rule.name_len <= (size_t)(in->data + in->len - name),
           in->path, "the name of a rule lies inside the policy");
    if (rule.pinset != PV_UNPINNED) {
      check_pins(in, policy, rule.pinset);
    }
    const uint32_t found = pv_policy_find(policy, rule.name, rule.name_len);
    expect(rule.shape != PV_EXACT || found == i, in->path,
           "an exact rule is found by its name");
  }
  expect(pv_policy_rule(&rule, policy, policy->num_rules) == PV_ERR_ARGUMENT &&
             is_zero(&rule, sizeof rule),
         in->path, "there is no rule after the last");
  expect(
      pv_policy_pinset(&set, policy, policy->num_pinsets) == PV_ERR_ARGUMENT &&
          is_zero(&set, sizeof set),
      in->path, "there is no PinSet after the last");
}

// Damage to an opened policy is noticed: its digest covers every byte.
static void check_damage(const input *in) {
  pv_policy policy;
  const size_t lens[3] = {0, in->len / 2, in->len - 1};
  for (size_t i = 0; i < 3; i++) {
    uint8_t *cut = exact_copy(in->data, lens[i]);
    expect(pv_policy_open(&policy, cut, lens[i]) != PV_OK &&
               is_zero(&policy, sizeof policy),
           in->path, "a truncated policy does not open");
    free(cut);
  }
  uint8_t *longer = allocate(in->len + 8);
  memcpy(longer, in->data, in->len);
  memset(longer + in->len, 0, 8);
  expect(pv_policy_open(&policy, longer, in->len + 8) != PV_OK, in->path,
         "an extended policy does not open");
  for (size_t at = 0; at < in->len; at += 1 + in->len / 64) {
    longer[at] ^= 1;
    expect(pv_policy_open(&policy, longer, in->len) != PV_OK, in->path,
           "a changed policy does not open");
    longer[at] ^= 1;
  }
  free(longer);
}

// ---- decisions --------------------------------------------------------------

static void check_report(const input *in, const pv_report *report,
                         const uint8_t *spkis, const pv_span *chain,
                         size_t num_certs) {
  const bool could_accept = report->reason == PV_MATCH ||
                            report->reason == PV_NOT_PINNED ||
                            report->reason == PV_EXPIRED;
  const bool relaxed =
      report->mode == PV_REPORT && report->reason != PV_BAD_HOST;
  expect(report->accepted <= 1 && report->reason <= PV_BAD_HOST, in->path,
         "a report holds what it may hold");
  expect(report->accepted == 0 || could_accept || relaxed, in->path,
         "nobody is accepted for a reason to reject");
  expect(report->accepted == 1 || report->reason != PV_MATCH, in->path,
         "a match is accepted");
  expect(report->num_seen <= num_certs, in->path, "what was seen was there");
  for (size_t i = 0; i < num_certs; i++) {
    uint8_t digest[32] = {0};
    if (i < report->num_seen) {
      expect(pv_spki_sha256(digest, chain[i].data, chain[i].len) == PV_OK,
             in->path, "a certificate that was seen is one");
    }
    expect(memcmp(spkis + 32 * i, digest, 32) == 0, in->path,
           "the digests are those of the chain, then zero");
  }
}

// pv_evaluate_many must decide about one peer as pv_evaluate does.
static void check_batch(const input *in, const pv_policy *policy,
                        const input *host, const pv_span *chain,
                        size_t num_certs, int64_t now,
                        const pv_report *expected) {
  uint64_t cert_offsets[CHAIN_LEN + 1] = {0};
  for (size_t i = 0; i < num_certs; i++) {
    cert_offsets[i + 1] = cert_offsets[i] + chain[i].len;
  }
  const size_t certs_len = (size_t)cert_offsets[num_certs];
  uint8_t *certs = allocate(certs_len);
  for (size_t i = 0; i < num_certs; i++) {
    if (chain[i].len > 0) {
      memcpy(certs + cert_offsets[i], chain[i].data, chain[i].len);
    }
  }
  const uint64_t host_offsets[2] = {0, host->len};
  const uint32_t chain_offsets[2] = {0, (uint32_t)num_certs};
  const pv_column host_column = {host->data, host->len, {host_offsets, 8, 1}};
  const pv_column cert_column = {
      certs, certs_len, {cert_offsets, 8, num_certs}};
  const pv_offsets chains = {chain_offsets, 4, 1};
  pv_report report;
  const pv_answers answers = {.reports = &report};
  expect(pv_evaluate_many(&answers, policy, &host_column, &cert_column, &chains,
                          now) == PV_OK,
         in->path, "a batch of one can be decided");
  expect(memcmp(&report, expected, sizeof report) == 0, in->path,
         "a batch of one decides as the one");
  uint32_t narrow[CHAIN_LEN + 1];
  for (size_t i = 0; i <= num_certs; i++) {
    narrow[i] = (uint32_t)cert_offsets[i];
  }
  uint32_t reason = 0;
  const uint32_t light =
      pv_decide(&reason, policy, (const char *)host->data, host->len, certs,
                certs_len, (const uint8_t *)narrow, num_certs, now);
  expect(light == report.accepted && reason == report.reason, in->path,
         "the light call decides as the one");
  free(certs);
}

// What a leaf suffices for, a chain of that leaf alone is accepted for.
static void check_leaf(const input *in, const pv_policy *policy,
                       const input *host, const pv_span *leaf, int64_t now,
                       const pv_report *report) {
  const bool good = report->accepted == 1 && (report->reason == PV_MATCH ||
                                              report->reason == PV_NOT_PINNED);
  const uint32_t suffices = pv_leaf_suffices(
      policy, (const char *)host->data, host->len, leaf->data, leaf->len, now);
  expect(suffices == 0 || (suffices == 1 && good), in->path,
         "a leaf suffices only where it is accepted");
}

// Returns whether the peer is accepted.
static bool check_decision(const input *in, const pv_policy *policy,
                           const input *host, const pv_span *chain,
                           size_t num_certs, int64_t now) {
  pv_report report;
  uint8_t spkis[32 * CHAIN_LEN];
  memset(spkis, 0xaa, sizeof spkis);
  const pv_status status =
      pv_evaluate(&report, spkis, policy, (const char *)host->data, host->len,
                num_certs > 0 ? chain : NULL, num_certs, now);
  expect(status == PV_OK, in->path, "the question can be answered");
  check_report(in, &report, spkis, chain, num_certs);
  check_batch(in, policy, host, chain, num_certs, now, &report);
  if (num_certs == 1) {
    check_leaf(in, policy, host, chain, now, &report);
  }
  return report.accepted == 1;
}

typedef struct counts {
  size_t num_opened;
  size_t num_decisions;
  size_t num_accepted;
} counts;

static void check_decisions(counts *out, const input *in,
                            const pv_policy *policy, const folder *hosts,
                            const folder *certs) {
  const int64_t times[3] = {INT64_MIN, 1700000000, INT64_MAX};
  size_t next = 0;
  for (size_t i = 0; i < hosts->num_inputs; i++) {
    for (size_t num_certs = 0; num_certs <= CHAIN_LEN; num_certs++) {
      pv_span chain[CHAIN_LEN];
      for (size_t j = 0; j < num_certs; j++, next++) {
        const input *cert = &certs->inputs[next % certs->num_inputs];
        chain[j] = (pv_span){cert->data, cert->len};
      }
      for (size_t t = 0; t < 3; t++) {
        out->num_decisions++;
        out->num_accepted += check_decision(in, policy, &hosts->inputs[i],
                                            chain, num_certs, times[t]);
      }
    }
  }
}

static counts check_policies(const folder *policies, const folder *hosts,
                             const folder *certs) {
  counts out = {0, 0, 0};
  for (size_t i = 0; i < policies->num_inputs; i++) {
    const input *in = &policies->inputs[i];
    pv_policy policy;
    memset(&policy, 0xaa, sizeof policy);
    if (pv_policy_open(&policy, in->data, in->len) != PV_OK) {
      expect(is_zero(&policy, sizeof policy), in->path,
             "a refused policy is zero");
      continue;
    }
    out.num_opened++;
    check_rules(in, &policy);
    check_damage(in);
    if (certs->num_inputs > 0) {
      check_decisions(&out, in, &policy, hosts, certs);
    }
  }
  return out;
}

// What must hold whatever there is to read.
static void check_without_inputs(void) {
  const pv_policy no_policy = {0};
  const uint64_t positions[2] = {0, 0};
  const pv_column column = {NULL, 0, {positions, 2, 1}};
  uint8_t digest[32];
  for (int status = 0; status < 256; status++) {
    expect(pv_status_text((pv_status)status)[0] != '\0', "a status",
           "each number has words");
  }
  expect(pv_policy_find(&no_policy, "example.org", 11) == PV_NO_RULE,
         "no policy", "it has no rule");
  expect(pv_sha256_many(digest, &column) == PV_ERR_ARGUMENT &&
             is_zero(digest, sizeof digest),
         "offsets of 2 bytes", "they are refused");
  uint8_t bits[1] = {0xff}, statuses[1] = {0xff};
  size_t num_malformed = 7;
  expect(pv_certs_are_pinned(bits, digest, statuses, &num_malformed, digest, 1,
                             &column) == PV_ERR_ARGUMENT &&
             bits[0] == 0 && statuses[0] == 0 && num_malformed == 0,
         "offsets of 2 bytes", "nothing is found with them");
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: replay DIR\n");
    return 2;
  }
  folder certs = read_folder(argv[1], "cert");
  folder hosts = read_folder(argv[1], "host");
  folder policies = read_folder(argv[1], "policy");
  check_without_inputs();
  const size_t num_keys = check_certificates(&certs);
  const size_t num_kernels = certs.num_inputs > 0 ? check_kernels(&certs) : 0;
  const size_t num_canonical = check_hosts(&hosts);
  const counts decided = check_policies(&policies, &hosts, &certs);
  printf("cert    %zu read, %zu have a key\n", certs.num_inputs, num_keys);
  printf("kernels %zu agree about all of them\n", num_kernels);
  printf("host    %zu read, %zu are canonical or become so\n", hosts.num_inputs,
         num_canonical);
  printf("policy  %zu read, %zu opened, %zu decisions, %zu accepted\n",
         policies.num_inputs, decided.num_opened, decided.num_decisions,
         decided.num_accepted);
  const size_t num_inputs =
      certs.num_inputs + hosts.num_inputs + policies.num_inputs;
  free_folder(&certs);
  free_folder(&hosts);
  free_folder(&policies);
  if (num_inputs == 0) {
    fprintf(stderr, "replay: %s: nothing to read\n", argv[1]);
    return 2;
  }
  return num_findings == 0 ? 0 : 1;
}
