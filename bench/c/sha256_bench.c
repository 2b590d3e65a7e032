// sha256_bench.c: SHA-256 of many keys, back to back, beside OpenSSL: with the
// kernel that this machine uses, and with each other one that it can run.
//
//   sha256_bench [--quick] [--case TEXT] FOLDER
#include <stdio.h>
#include <string.h>

#include "../../csrc/pinverify.h"
#include "bench.h"
#include "peers.h"

// The keys of one set of certificates, and room for their digests.
typedef struct keys {
  cert_set set;
  uint8_t *digests;
} keys;

static keys keys_read(const char *folder, const char *name) {
  const cert_set certs = cert_set_read(folder, name);
  keys k = {.digests = bench_alloc(certs.num * PV_DIGEST_LEN)};
  k.set.data = bench_alloc((size_t)certs.offsets[certs.num]);
  k.set.offsets = bench_alloc((certs.num + 1) * sizeof *k.set.offsets);
  k.set.offsets[0] = 0;
  for (size_t i = 0; i < certs.num; i++) {
    const uint64_t at = certs.offsets[i];
    const uint64_t end = k.set.offsets[k.set.num];
    pv_span spki;
    if (pv_spki_from_cert(&spki, certs.data + at,
                          (size_t)(certs.offsets[i + 1] - at)) == PV_OK) {
      memcpy(k.set.data + end, spki.data, spki.len);
      k.set.offsets[++k.set.num] = end + spki.len;
    }
  }
  return k;
}

static void run_ours(void *context, size_t round) {
  const keys *k = context;
  const pv_column column = {
      k->set.data,
      (size_t)k->set.offsets[k->set.num],
      {k->set.offsets, sizeof *k->set.offsets, k->set.num}};
  (void)round;
  if (pv_sha256_many(k->digests, &column) != PV_OK) {
    fprintf(stderr, "bench: the offsets do not ascend\n");
  }
  bench_keep(k->digests);
}

static void run_openssl(void *context, size_t round) {
  const keys *k = context;
  (void)round;
  for (size_t i = 0; i < k->set.num; i++) {
    const uint64_t at = k->set.offsets[i];
    openssl_sha256(k->digests + PV_DIGEST_LEN * i, k->set.data + at,
                   (size_t)(k->set.offsets[i + 1] - at));
  }
  bench_keep(k->digests);
}

static void compare(const bench_options *options, const char *name,
                    const char *kernel, keys *k) {
  char case_name[80];
  snprintf(case_name, sizeof case_name, "%s, %s", name, kernel);
  const bench_case what = {.bench = "SHA-256 of many keys",
                           .name = case_name,
                           .unit = "key",
                           .units = (double)k->set.num};
  const bench_task ours = {"pinverify", run_ours, k};
  const bench_task theirs = {"OpenSSL", run_openssl, k};
  bench_compare(options, &what, &ours, &theirs);
}

int main(int argc, char **argv) {
  const char *const names[] = {"web", "real"};
  const bench_options options = bench_read_options(argc, argv);
  if (options.num_rest != 1) {
    fprintf(stderr, "usage: sha256_bench [--quick] [--case TEXT] FOLDER\n");
    return 2;
  }
  for (size_t i = 0; i < 2; i++) {
    keys k = keys_read(options.rest[0], names[i]);
    const char *kernel;
    for (size_t j = 0; (kernel = pv_sha256_kernel_name(j)) != NULL; j++) {
      if (pv_sha256_use_kernel(j) == PV_OK) {
        compare(&options, names[i], kernel, &k);
      }
    }
  }
  return 0;
}
