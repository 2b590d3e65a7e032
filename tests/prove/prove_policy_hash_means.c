// Harnesses for the meaning of policy_hash.c: for hosts of up to 17 bytes, the ends
// that are found are those that begin with a label, and each is hashed from its
// own bytes as hash_name hashes a name.
#include "harness.h"
#include "policy_hash.c"

enum { LONGEST = 17, WORDS = LONGEST / 8 + 1 };

static uint8_t host[LONGEST];
static size_t host_len;

// The last bytes in front of a place, fewer than eight or all of a word: the
// very last is lowest.
static uint64_t spec_bytes(size_t end, size_t num) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < num; i++) {
    bytes |= (uint64_t)host[end - 1 - i] << 8 * i;
  }
  return bytes;
}

void prove_load_last(void) {
  uint8_t any_host[LONGEST];
  size_t any_len, len;
  memcpy(host, any_host, sizeof host);
  __CPROVER_assume(any_len <= LONGEST && len <= any_len);
  const uint64_t bytes = load_last(host, any_len, len);
  __CPROVER_assert(bytes == spec_bytes(len, len < 8 ? len : 8), "the last bytes");
  REACHED(len == 7 && any_len == 7 && bytes == 9);
  REACHED(len == 7 && any_len == 9 && bytes == 9);
  REACHED(len == 0);
}

// ---- how a name is hashed ---------------------------------------------------

// A state counts the words that have been hashed.
sip_state no_words(const uint64_t key[2]) {
  return (sip_state){{0}};
}

void next_word(sip_word v[4], sip_word bytes) {
  const size_t end = host_len - 8 * (size_t)v[0];
  if (end >= 8) {
    __CPROVER_assert(bytes == spec_bytes(end, 8), "the next word");
  }
  v[0] += 1;
}

sip_word hash_of_host(sip_word v[4], sip_word bytes) {
  __CPROVER_assert(v[0] == host_len / 8, "the whole words");
  __CPROVER_assert(bytes == (spec_bytes(host_len % 8, host_len % 8) |
                             (uint64_t)host_len << 56),
                   "the other bytes, and the length");
  return host_len;
}

void prove_hash_name(void) {
  const uint64_t key[2] = {0};
  uint8_t any_host[LONGEST];
  size_t any_len;
  memcpy(host, any_host, sizeof host);
  __CPROVER_assume(any_len <= LONGEST);
  host_len = any_len;
  __CPROVER_assert(hash_name(key, host, host_len) == host_len,
                   "the hash of all bytes");
  REACHED(host_len == LONGEST);
  REACHED(host_len == 5);
}

// ---- the ends that begin in one word ----------------------------------------

void prove_add_ends(void) {
  host_ends ends = {.num = 1};
  uint64_t last_words[ENDS_MAX], bytes;
  size_t i, left;
  __CPROVER_assume(i < HOST_WORDS && left <= PV_HOST_MAX - 8 * i);
  add_ends(&ends, last_words, i, bytes, left);

  size_t num = 1;
  for (size_t n = 0; n < 8; n++) {
    if (n == left || (bytes >> 8 * n & 0xff) == '.') {
      const uint64_t own = n == 0 ? 0 : bytes << (64 - 8 * n) >> (64 - 8 * n);
      __CPROVER_assert(ends.lens[num] == 8 * i + n, "its length");
      __CPROVER_assert(last_words[num] == (own | (uint64_t)(8 * i + n) << 56),
                       "its own bytes, and its length");
      num += 1;
    }
  }
  __CPROVER_assert(ends.num == num, "no other end");
  REACHED(num == 9 && i == 9);
  REACHED(num == 2 && left == 3);
}

// ---- the words of a host ----------------------------------------------------

static size_t num_words, num_ends;
static const host_ends *ends_given;
static const uint64_t *words_given;

void any_add_ends(host_ends *out, uint64_t *out_last_words, size_t i,
                  uint64_t bytes, size_t left) {
  size_t any_num;
  __CPROVER_assert(i == num_words && left == host_len - 8 * i, "word by word");
  __CPROVER_assert(bytes == spec_bytes(left, left < 8 ? left : 8), "its bytes");
  __CPROVER_assert(out->num == num_ends, "behind those before");
  __CPROVER_assume(num_ends <= any_num && any_num <= 8 * i + 8);
  out->num = num_ends = any_num;
  num_words += 1;
  ends_given = out;
  words_given = out_last_words;
}

void hash_of_each(uint64_t *out_hashes, const sip_state *states,
                  const uint64_t *last_words, size_t num) {
  __CPROVER_assert(num == num_ends, "each end");
  __CPROVER_assert(out_hashes == ends_given->hashes, "the hashes of the ends");
  __CPROVER_assert(last_words == words_given, "the words of the ends");
  __CPROVER_assert(num_words == host_len / 8 + 1, "each word");
  for (size_t i = 0; i < WORDS; i++) {
    __CPROVER_assert(i >= num_words || states[i].v[0] == i, "the state before it");
  }
  for (size_t i = 0; i < ENDS_ALIGN; i++) {
    __CPROVER_assert(last_words[num + i] == 0, "what is not there is zero");
  }
}

void prove_pv__find_ends(void) {
  const uint64_t key[2] = {0};
  uint8_t any_host[LONGEST];
  size_t any_len;
  host_ends ends;
  memcpy(host, any_host, sizeof host);
  __CPROVER_assume(any_len <= LONGEST);
  host_len = any_len;
  num_words = num_ends = 0;
  pv__find_ends(&ends, key, host, host_len);
  REACHED(host_len == LONGEST && ends.num == 9);
  REACHED(host_len == 0);
}
