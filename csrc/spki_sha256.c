// spki_sha256.c: certificate --> SHA-256 of its SPKI, for one certificate and
// for many; and the search for this digest among pins, in the same call.
#include <string.h>

#include "columns.h"
#include "sha256.h"
#include "spki.h"

// The key is hashed while the walk goes on: a processor does both at the same
// time, so the second half of the walk costs nothing. The digest counts only if
// the rest of the certificate is strict DER.
static inline pv_status hash_spki(uint8_t out[32], const uint8_t *cert,
                                  size_t cert_len) {
  spki_walk walk;
  sha256_running running;
  pv_status status = pv__spki_find(&walk, cert, cert_len);
  if (status == PV_OK) {
    pv__sha256_begin(&running, walk.fields.spki.data, walk.fields.spki.len);
    status = pv__spki_check(&walk);
  }
  if (status == PV_OK) {
    pv__sha256_end(out, &running);
  } else {
    memset(out, 0, PV_DIGEST_LEN);
  }
  return status;
}

pv_status pv_spki_sha256(uint8_t out[32], const uint8_t *cert,
                         size_t cert_len) {
  return hash_spki(out, cert, cert_len);
}

uint32_t pv_cert_is_pinned(pv_status *out_status, const uint8_t *packed,
                           size_t num_pins, const uint8_t *cert,
                           size_t cert_len) {
  uint8_t digest[PV_DIGEST_LEN];
  const pv_status status = hash_spki(digest, cert, cert_len);
  if (out_status != NULL) {
    *out_status = status;
  }
  return status == PV_OK ? pv_packed_contain(packed, num_pins, digest) : 0;
}

// ---- columns ----------------------------------------------------------------

// Up to SHA256_CHUNK certificates of a column, and the places of their results.
typedef struct chunk {
  const pv_column *certs;
  size_t first;
  size_t num;
  uint8_t *out_digests;
  uint8_t *out_statuses;
} chunk;

static chunk next_chunk(const pv_column *certs, size_t done) {
  const size_t left = certs->offsets.num - done;
  return (chunk){.certs = certs,
                 .first = done,
                 .num = left < SHA256_CHUNK ? left : SHA256_CHUNK};
}

// Hardware prefetchers cannot follow the walk, so whole certificates are
// prefetched: in the first chunk CERTS_AHEAD ahead; each later chunk while the
// one before is processed, up to WANTED_MAX (what L2 holds). The walk takes
// a third of a chunk's time, so it prefetches a third of the next chunk.
enum { CERTS_AHEAD = 12, WANTED_MAX = 512 * 1024, SHARE_OF_WALK = 3 };

static void prefetch_cert(const pv_column *certs, size_t i) {
  if (i < certs->offsets.num) {
    const pv_span cert = column_item(certs, i);
    for (size_t at = 0; at < cert.len; at += CACHE_LINE)
      LOOP(cert.len + CACHE_LINE - at, at < cert.len + CACHE_LINE)
    {
      PV_PREFETCH(cert.data + at);
    }
  }
}

// Returns the bytes of the chunk after `part`, at most WANTED_MAX of them.
static pv_span wanted_after(const chunk *part) {
  const pv_offsets *offsets = &part->certs->offsets;
  const chunk next = next_chunk(part->certs, part->first + part->num);
  const size_t at = (size_t)offset_at(offsets, next.first);
  const size_t end = (size_t)offset_at(offsets, next.first + next.num);
  const size_t len = end - at;
  return (pv_span){or_empty(part->certs->data) + at,
                   len < WANTED_MAX ? len : WANTED_MAX};
}

// Returns the number of malformed certificates.
static size_t hash_chunk(const chunk *part) {
  pv_span spkis[SHA256_CHUNK];
  pv_span wanted = wanted_after(part);
  const size_t piece = wanted.len / (SHARE_OF_WALK * part->num);
  size_t num_malformed = 0;
  for (size_t i = 0; i < part->num; i++) {
    prefetch_next(&wanted, piece);
    if (part->first == 0) {
      prefetch_cert(part->certs, i + CERTS_AHEAD);
    }
    const pv_span cert = column_item(part->certs, part->first + i);
    const pv_status status = pv_spki_from_cert(&spkis[i], cert.data, cert.len);
    part->out_statuses[i] = (uint8_t)status;
    num_malformed += status != PV_OK;
  }
  pv__sha256_chunk(part->out_digests, spkis, part->num, wanted);
  return num_malformed;
}

pv_status pv_certs_are_pinned(uint8_t *out_pinned, uint8_t *out_digests,
                              uint8_t *out_statuses, size_t *out_num_malformed,
                              const uint8_t *packed, size_t num_pins,
                              const pv_column *certs) {
  const size_t num = certs->offsets.num;
  uint8_t digests[SHA256_CHUNK * PV_DIGEST_LEN];
  uint8_t found[SHA256_CHUNK];
  *out_num_malformed = 0;
  clear(out_pinned, num / 8 + (num % 8 != 0));
  if (!column_fits(certs)) {
    clear(out_digests, PV_DIGEST_LEN * num);
    clear(out_statuses, num);
    return PV_ERR_ARGUMENT;
  }
  for (size_t done = 0; done < num; done += SHA256_CHUNK) {
    chunk part = next_chunk(certs, done);
    part.out_digests =
        out_digests == NULL ? digests : out_digests + PV_DIGEST_LEN * done;
    part.out_statuses = out_statuses + done;
    *out_num_malformed += hash_chunk(&part);
    if (out_pinned == NULL) {
      continue;
    }
    pv_packed_contain_many(found, packed, num_pins, part.out_digests, part.num);
    for (size_t i = 0; i < part.num; i++) {
      const uint8_t pinned = found[i] & (part.out_statuses[i] == PV_OK);
      out_pinned[(done + i) / 8] |= (uint8_t)(pinned << (i % 8));
    }
  }
  return PV_OK;
}

pv_status pv_spki_sha256_many(uint8_t *out_digests, uint8_t *out_statuses,
                              size_t *out_num_malformed,
                              const pv_column *certs) {
  return pv_certs_are_pinned(NULL, out_digests, out_statuses, out_num_malformed,
                             NULL, 0, certs);
}

size_t pv__spki_chunk(uint8_t *out_digests, uint8_t *out_statuses,
                      const pv_column *certs, size_t first) {
  chunk part = next_chunk(certs, first);
  part.out_digests = out_digests;
  part.out_statuses = out_statuses;
  (void)hash_chunk(&part);
  return part.num;
}
