// policy_files.c: opens a policy in a file in each way, whole, cut and changed.
//
//   policy_files POLICY SCRATCH
//
// SCRATCH is a file that it writes: each beginning of the policy, the policy
// with each of its bytes changed, and with a byte behind it. None of them may
// open, and whatever happens nothing may be left open or mapped.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pinverify_map.h"

typedef int way(pv_policy_file *out, const char *path);
static way *const WAYS[] = {pv_policy_map, pv_policy_read};

static void check(int holds, const char *what) {
  if (!holds) {
    fprintf(stderr, "policy_files: %s\n", what);
    exit(1);
  }
}

static void write_file(const char *path, const uint8_t *bytes, size_t len) {
  FILE *out = fopen(path, "wb");
  check(out != NULL && fwrite(bytes, 1, len, out) == len && fclose(out) == 0,
        "the scratch file cannot be written");
}

static int next_descriptor(void) {
  const int fd = dup(0);
  close(fd);
  return fd;
}

static void refuses(const char *path) {
  const int before = next_descriptor();
  for (size_t i = 0; i < sizeof(WAYS) / sizeof(*WAYS); i++) {
    pv_policy_file file;
    check(WAYS[i](&file, path) == 0, "what is no policy was opened");
    check(file.bytes == NULL && file.len == 0 && file.policy.bytes == NULL,
          "a refused file is mapped");
    check(file.why[0] != '\0', "a refusal has no reason");
    pv_policy_unmap(&file);
  }
  check(next_descriptor() == before, "a refused file is still open");
}

// Reads every byte, also through the policy, so that a sanitizer sees them.
static void opens(const char *path, const uint8_t *bytes, size_t len) {
  const int before = next_descriptor();
  for (size_t i = 0; i < sizeof(WAYS) / sizeof(*WAYS); i++) {
    pv_policy_file file;
    uint8_t digest[PV_DIGEST_LEN];
    check(WAYS[i](&file, path) == 1, "the policy does not open");
    check(file.len == len && memcmp(file.bytes, bytes, len) == 0,
          "the policy has other bytes");
    check(file.why[0] == '\0' && file.error == 0, "an open policy has a fault");
    pv_policy_digest(digest, &file.policy);
    pv_policy_unmap(&file);
    check(file.bytes == NULL && file.policy.bytes == NULL, "it is still there");
    pv_policy_unmap(&file);
  }
  check(next_descriptor() == before, "an opened file is still open");
}

int main(int argc, char **argv) {
  static uint8_t bytes[1 << 16];
  check(argc == 3, "usage: policy_files POLICY SCRATCH");
  FILE *in = fopen(argv[1], "rb");
  check(in != NULL, "there is no policy");
  const size_t len = fread(bytes, 1, sizeof(bytes) - 1, in);
  fclose(in);
  check(len != 0 && len < sizeof(bytes) - 1, "the policy is too large");
  opens(argv[1], bytes, len);
  for (size_t cut = 0; cut < len; cut++) {
    write_file(argv[2], bytes, cut);
    refuses(argv[2]);
  }
  for (size_t i = 0; i < len; i++) {
    bytes[i] ^= 1;
    write_file(argv[2], bytes, len);
    refuses(argv[2]);
    bytes[i] ^= 1;
  }
  write_file(argv[2], bytes, len + 1);
  refuses(argv[2]);
  remove(argv[2]);
  refuses(argv[2]);
  refuses("/");
  puts("policy_files: nothing but the whole policy opens");
  return 0;
}
