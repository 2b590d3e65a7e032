// Harnesses for the meaning of policy_hash.c: for hosts of up to 17 bytes, the ends
// that are found are those that begin with a label, and each is hashed from its
// own bytes as hash_name hashes a name.
#include "harness.h"
#include "policy_hash.c"

enum { LONGEST = 17, WORDS = LONGEST / 8 + 1, LOW = 16 };

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
  host_ends ends;
  uint64_t bytes;
  size_t i, before;
  __CPROVER_assume(i < HOST_WORDS && before <= LOW);
  ends.num = before;
  add_ends(&ends, i, bytes);

  size_t num = before;
  for (size_t n = 0; n < 8; n++) {
    if ((bytes >> 8 * n & 0xff) == '.' && num < LOW) {
      __CPROVER_assert(ends.lens[num] == 8 * i + n, "its length");
      num += 1;
    }
  }
  __CPROVER_assert(ends.num == num, "no other end");
  REACHED(num == 8 && before == 0);
  REACHED(num == LOW && before == LOW - 3);
  REACHED(num == before && (bytes & 0xff) == 0xae);
}

// ---- the words of a host ----------------------------------------------------

static size_t num_words, num_ends;
static const host_ends *ends_given;
static uint8_t lens_given[LOW];

void any_add_ends(host_ends *out, size_t i, uint64_t bytes) {
  size_t any_num;
  const size_t left = host_len - 8 * i;
  __CPROVER_assert(i == num_words, "word by word");
  __CPROVER_assert(bytes == spec_bytes(left, left < 8 ? left : 8), "its bytes");
  __CPROVER_assert(out->num == num_ends, "behind those before");
  __CPROVER_assume(num_ends <= any_num && any_num <= LOW);
  out->num = num_ends = any_num;
  num_words += 1;
  ends_given = out;
  memcpy(lens_given, out->lens, sizeof lens_given);
}

// The length of the end behind the first dot; 0 without one.
static size_t spec_rest(void) {
  for (size_t i = 0; i < host_len; i++) {
    if (host[i] == '.') {
      return host_len - 1 - i;
    }
  }
  return 0;
}

void *memchr(const void *bytes, int byte, size_t len) {
  __CPROVER_assert(bytes == host && byte == '.' && len == host_len, "its dots");
  for (size_t i = 0; i < host_len; i++) {
    if (host[i] == '.') {
      return host + i;
    }
  }
  return NULL;
}

// Any of the ends is where it belongs, with the bytes that are in no whole word.
void hash_of_each(uint64_t *out_hashes, const sip_state *states,
                  const uint64_t *last_words, size_t num) {
  size_t i;
  const bool has_rest = num_ends == LOW && spec_rest() > lens_given[LOW - 1];
  __CPROVER_assert(num == num_ends + has_rest + 1,
                   "those of few labels, the one behind the first dot, and all");
  __CPROVER_assume(i < num);
  const size_t len = i < num_ends   ? lens_given[i]
                     : i == num - 1 ? host_len
                                    : spec_rest();
  __CPROVER_assume(len <= host_len);
  __CPROVER_assert(ends_given->lens[i] == len, "in this order");
  __CPROVER_assert(last_words[i] == (spec_bytes(host_len - len / 8 * 8, len % 8) |
                                     (uint64_t)len << 56),
                   "its own bytes, and its length");
  __CPROVER_assert(out_hashes == ends_given->hashes, "the hashes of the ends");
  __CPROVER_assert(num_words == host_len / 8 + 1, "each word");
  for (size_t n = 0; n < WORDS; n++) {
    __CPROVER_assert(n >= num_words || states[n].v[0] == n, "the state before it");
  }
  for (size_t n = 0; n < ENDS_ALIGN; n++) {
    __CPROVER_assert(last_words[num + n] == 0, "what is not there is zero");
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
  REACHED(num_ends == LOW && ends.num == LOW + 2);
  REACHED(host_len == 0);
}
