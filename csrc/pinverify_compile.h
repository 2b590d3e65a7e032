// pinverify_compile.h: the bytes of a compiled policy, and the functions that
// write them.
//
// This header is for programs that make compiled policies, and for whoever
// reads the bytes of a policy. A program that opens policies and decides by
// them needs pinverify.h alone. If you copy the folder, compile
// compile/policy_compile.c as well.
//
//   const size_t len = pv_policy_compiled_len(&source);
//   uint8_t *bytes = malloc(len);
//   size_t row;
//   pv_policy policy;  // pv_policy_open checks what the compiler does not
//   if (len == 0 || bytes == NULL ||
//       pv_policy_compile(bytes, len, &row, &source) != PV_OK ||
//       pv_policy_open(&policy, bytes, len) != PV_OK) { discard the bytes }
//
// The conventions are those of pinverify.h.
#ifndef PINVERIFY_COMPILE_H
#define PINVERIFY_COMPILE_H

#include "pinverify.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------
// 1. The layout of a compiled policy
// ---------------------------------------------------------------------------
//
// Numbers are little-endian. The digest in the header identifies the policy.
//
//   offset  bytes  the header
//        0      8  "pinvpol2": magic, with the version of this layout
//        8     32  digest of everything from byte 40 on (below)
//       40      8  size of the whole policy
//       48      4  flags. bit 0: hosts without pins are rejected.
//                  bit 1: PinSet 0 is for clients. It applies to a peer
//                  without a name (host_len == 0) and, if there are no
//                  rules, to every peer
//       52      4  num_rules
//       56      4  num_buckets, a power of two from 1 to 2^31
//       60      4  num_pinsets
//       64      8  num_rows: 32-byte rows in the pins section
//       72      8  names_len: bytes in the names section
//       80      8  blocked SPKI pins, for every host: a run (below)
//       88      8  blocked certificate pins, for every host: a run
//       96     16  key of the hash of names: two numbers of 8 bytes
//      112     16  zero
//
// The sections follow without gaps, in this order:
//
//   pins     num_rows x 32 bytes. Packed pins (pinverify.h, section 3), run
//            after run.
//   pinsets  num_pinsets x 80 bytes
//               0   1  mode: a pv_mode
//               1   1  after_expiry: 0 never expires, 1 allow, 2 reject
//               2   6  zero
//               8   8  expires: signed, seconds since 1970-01-01T00:00:00Z;
//                      zero if it never expires
//              16  64  eight runs: for each of the lists pins, leaf, ca and
//                      blocked, in this order, one run of SPKI pins and one
//                      of certificate pins
//            A run is stored as the index of its first row (4 bytes) and the
//            number of its pins (4 bytes); an empty run is zero. Runs may be
//            shared. At least one of the first six runs is not empty.
//   rules    num_rules x 16 bytes, in the order of the buckets, and in a bucket
//            ascending by pattern (as memcmp, then length)
//               0   4  offset of its name in the names section: the names
//                      follow each other in the order of the rules, without
//                      gaps
//               4   4  tag: the upper 32 bits of the name's hash
//               8   4  index of its PinSet, or 0xffffffff for "unpinned"
//              12   1  length of its name, 1 to 253
//              13   1  shape: PV_EXACT, PV_ONE_LABEL or PV_ANY_LABELS
//              14   2  zero
//   buckets  (num_buckets + 1) x 4 bytes. Bucket b contains the rules from
//            index buckets[b] up to, not including, buckets[b + 1]: those for
//            which ((hash ^ shape) & (num_buckets - 1)) == b. No bucket has
//            more than 16 rules.
//   names    names_len bytes: canonical hosts; of a wildcard, the part after
//            "*." or "**." (at most 16 labels after "**."). Then zeros until
//            the size of the whole policy is a multiple of 8.
//
// The hash of a name is SipHash-1-3 of its bytes in reverse order, 64 bits, so
// that one pass over a host gives the hash of each of its suffixes.
//
// The digest is computed in steps. The first is the SHA-256 of bytes 40 to 127.
// The bytes from 128 on are cut into blocks of 4,096; the last one may be
// shorter. For every 256 blocks, and at the end for the blocks that are left,
// the digest is replaced by the SHA-256 of the digest followed by the SHA-256
// of each of these blocks.

// cdef: begin

// ---------------------------------------------------------------------------
// 2. The compiler
// ---------------------------------------------------------------------------

// A pv_policy_source holds the rules and pins that a policy is compiled from,
// in columns.
typedef struct pv_policy_source {
  pv_column patterns;         // "a.example", "*.a.example", "**.a.example"
  const uint32_t *pinset_of;  // for each pattern: its PinSet, or PV_UNPINNED
  const uint8_t *pins;        // num_rows x 32 bytes, as in section 1
  uint64_t num_rows;
  const uint8_t *pinsets;  // num_pinsets x 80 bytes, as in section 1
  uint32_t num_pinsets;
  uint32_t flags;       // as in the header of section 1
  uint32_t blocked[4];  // two runs, as in the header of section 1
} pv_policy_source;

// pv_patterns_canonical writes the canonical spelling of every pattern of a
// column. A pattern is a host (pv_host_canonical), or "*." or "**." followed by
// a name. After "**.", the name has at most PV_ANY_LABELS_MAX labels.
//
// `out` has room for out_len bytes; the bytes of all patterns, plus one for
// each pattern, are always enough. Pattern i is written from out_offsets[i] up
// to, not including, out_offsets[i + 1]; there are num + 1 offsets.
//
// Fails with PV_ERR_ARGUMENT if the column's offsets are wrong or out_len is
// too small, and with PV_ERR_POLICY_PATTERN if a pattern has no canonical
// spelling: then `*out_row` is its number, and otherwise 0. On failure the
// offsets are zero. Time: linear in the bytes.
PV_API PV_CHECK pv_status pv_patterns_canonical(uint8_t *out, size_t out_len,
                                                uint64_t *out_offsets,
                                                size_t *out_row,
                                                const pv_column *patterns);

// pv_policy_compile writes a compiled policy to `out`. pv_policy_compiled_len
// returns its length, which out_len must equal; or 0 if offsets descend or
// exceed the data, or if there are 2^31 patterns or more, or 2^32 bytes of data
// or more.
//
// The patterns are as pv_patterns_canonical writes them. They ascend (by
// memcmp, then by length), and no pattern is there twice. `pins`, `pinsets`,
// `flags` and `blocked` go into the policy as they are.
//
// The key of the hash of names is computed from the patterns, so that equal
// sources give equal bytes, and nobody can choose names for a known key. The
// seed is computed like the digest of section 1, with zeros instead of the
// first SHA-256, and with patterns instead of blocks. The key is the first 16
// bytes of the SHA-256 of the seed followed by a number of 8 bytes. That is the
// lowest number with which no bucket has more than 16 rules. num_buckets is the
// lowest power of two that is not below the number of rules.
//
// Fails with PV_ERR_ARGUMENT if out_len is wrong, and with
// PV_ERR_POLICY_PATTERN or PV_ERR_POLICY_ORDER if a pattern is wrong: then
// `*out_row` is its number, and otherwise 0. Fails with PV_ERR_POLICY_BUCKETS
// if none of the first 65,536 numbers gives such a key; no known names cause
// that. On failure `out` is zero. Pins and PinSets are not checked:
// pv_policy_open does that. Time: linear in the bytes.
PV_API size_t pv_policy_compiled_len(const pv_policy_source *source);
PV_API PV_CHECK pv_status pv_policy_compile(uint8_t *out, size_t out_len,
                                            size_t *out_row,
                                            const pv_policy_source *source);

// cdef: end

#ifdef __cplusplus
}
#endif

#endif  // PINVERIFY_COMPILE_H
