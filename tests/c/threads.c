// threads.c: many threads, one core, for ThreadSanitizer.
//
//   threads DIR        a folder as replay.c reads it
//
// First all of them use the core for the first time in this process at the same
// moment, when nobody has chosen kernels yet. Then they decide about peers by
// whatever policy is current, while one thread swaps the policies and another
// one the kernels: each decision must be that of the policy it was made with.
// Exits with 1 if one is not, with 2 if there is not enough to read.
#include <pthread.h>
#include <stdatomic.h>

#include "inputs.h"
#include "pinverify.h"

enum { NUM_THREADS = 8, NUM_ROUNDS = 200, NUM_HOSTS = 8, NUM_CERTS = 8 };
enum { NUM_PEERS = NUM_HOSTS * NUM_CERTS };

// What the threads share. All but the last three is set before they start.
typedef struct shared {
  pthread_barrier_t start;
  const input *hosts[NUM_HOSTS];
  pv_span certs[NUM_CERTS];
  pv_policy policies[2];
  pv_report expected[2][NUM_PEERS];
  _Atomic(const pv_policy *) current;
  atomic_size_t num_wrong;
  atomic_bool over;
} shared;

static void count_wrong(shared *all, bool holds) {
  if (!holds) {
    atomic_fetch_add(&all->num_wrong, 1);
  }
}

// ---- the first use ----------------------------------------------------------

static void *use_first(void *argument) {
  // FIPS 180-4's example: SHA-256 of "abc".
  static const uint8_t expected[32] = {
      0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
      0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
      0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
  shared *all = argument;
  uint8_t digest[32];
  pthread_barrier_wait(&all->start);
  pv_sha256(digest, (const uint8_t *)"abc", 3);
  count_wrong(all, pv_pins_contain(expected, 1, digest) == 1);
  return NULL;
}

// ---- decisions while policies and kernels change ----------------------------

static pv_report decide(const shared *all, const pv_policy *policy,
                        size_t peer) {
  const input *host = all->hosts[peer / NUM_CERTS];
  pv_report out;
  if (pv_evaluate(&out, NULL, policy, (const char *)host->data, host->len,
                &all->certs[peer % NUM_CERTS], 1, 1700000000) != PV_OK) {
    out = (pv_report){0};
  }
  return out;
}

static void *decide_often(void *argument) {
  shared *all = argument;
  pthread_barrier_wait(&all->start);
  for (size_t round = 0; round < NUM_ROUNDS; round++) {
    for (size_t peer = 0; peer < NUM_PEERS; peer++) {
      const pv_policy *policy = atomic_load(&all->current);
      const pv_report report = decide(all, policy, peer);
      const pv_report *expected = &all->expected[policy - all->policies][peer];
      count_wrong(all, memcmp(&report, expected, sizeof report) == 0);
    }
  }
  return NULL;
}

static void *swap_policies(void *argument) {
  shared *all = argument;
  pthread_barrier_wait(&all->start);
  for (size_t i = 0; !atomic_load(&all->over); i++) {
    atomic_store(&all->current, &all->policies[i % 2]);
  }
  return NULL;
}

static void *swap_kernels(void *argument) {
  shared *all = argument;
  pthread_barrier_wait(&all->start);
  for (size_t i = 0, j = 0; !atomic_load(&all->over); i++, j++) {
    i = pv_sha256_use_kernel(i) == PV_OK ? i : 0;
    j = pv_scan_use_kernel(j) == PV_OK ? j : 0;
  }
  return NULL;
}

// ---- putting it together ----------------------------------------------------

static pthread_t start(void *(*run)(void *), shared *all) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, run, all) != 0) {
    fprintf(stderr, "threads: no more threads\n");
    exit(2);
  }
  return thread;
}

static void race_for_first_use(shared *all) {
  pthread_t threads[NUM_THREADS];
  pthread_barrier_init(&all->start, NULL, NUM_THREADS);
  for (size_t i = 0; i < NUM_THREADS; i++) {
    threads[i] = start(use_first, all);
  }
  for (size_t i = 0; i < NUM_THREADS; i++) {
    pthread_join(threads[i], NULL);
  }
  pthread_barrier_destroy(&all->start);
}

static void decide_while_swapping(shared *all) {
  pthread_t threads[NUM_THREADS];
  pthread_barrier_init(&all->start, NULL, NUM_THREADS + 2);
  const pthread_t policies = start(swap_policies, all);
  const pthread_t kernels = start(swap_kernels, all);
  for (size_t i = 0; i < NUM_THREADS; i++) {
    threads[i] = start(decide_often, all);
  }
  for (size_t i = 0; i < NUM_THREADS; i++) {
    pthread_join(threads[i], NULL);
  }
  atomic_store(&all->over, true);
  pthread_join(policies, NULL);
  pthread_join(kernels, NULL);
  pthread_barrier_destroy(&all->start);
}

// Chooses hosts and certificates, and says whether there are enough.
static bool choose_peers(shared *all, const folder *hosts,
                         const folder *certs) {
  if (hosts->num_inputs < NUM_HOSTS || certs->num_inputs < NUM_CERTS) {
    return false;
  }
  for (size_t i = 0; i < NUM_HOSTS; i++) {
    all->hosts[i] = &hosts->inputs[i];
  }
  for (size_t i = 0; i < NUM_CERTS; i++) {
    all->certs[i] = (pv_span){certs->inputs[i].data, certs->inputs[i].len};
  }
  return true;
}

// Opens the first two policies, and notes what each of them decides.
static bool open_policies(shared *all, const folder *policies) {
  size_t num_opened = 0;
  for (size_t i = 0; i < policies->num_inputs && num_opened < 2; i++) {
    const input *in = &policies->inputs[i];
    pv_policy *policy = &all->policies[num_opened];
    if (pv_policy_open(policy, in->data, in->len) == PV_OK) {
      for (size_t peer = 0; peer < NUM_PEERS; peer++) {
        all->expected[num_opened][peer] = decide(all, policy, peer);
      }
      num_opened++;
    }
  }
  atomic_store(&all->current, &all->policies[0]);
  return num_opened == 2;
}

int main(int argc, char **argv) {
  static shared all;
  if (argc != 2) {
    fprintf(stderr, "usage: threads DIR\n");
    return 2;
  }
  race_for_first_use(&all);
  folder certs = read_folder(argv[1], "cert");
  folder hosts = read_folder(argv[1], "host");
  folder policies = read_folder(argv[1], "policy");
  const bool enough =
      choose_peers(&all, &hosts, &certs) && open_policies(&all, &policies);
  if (enough) {
    decide_while_swapping(&all);
    printf("threads %d, %d decisions each, %zu wrong\n", NUM_THREADS,
           NUM_ROUNDS * NUM_PEERS, atomic_load(&all.num_wrong));
  } else {
    fprintf(stderr, "threads: %s: too little to read\n", argv[1]);
  }
  free_folder(&certs);
  free_folder(&hosts);
  free_folder(&policies);
  if (!enough) {
    return 2;
  }
  return atomic_load(&all.num_wrong) == 0 ? 0 : 1;
}
