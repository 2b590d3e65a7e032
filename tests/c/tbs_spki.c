// tbs_spki.c: prints where the walk finds the key of a TBSCertificate that is
// no certificate yet.
//
//   tbs_spki FILE      FILE holds one DER TBSCertificate
//
// It prints the SubjectPublicKeyInfo in hexadecimal, or the number and text of
// the status. Other projects test their parsers with toy keys, which are no
// SubjectPublicKeyInfo, so that pv_spki_from_cert refuses them for what they
// hold. This program looks inside spki.c, at the function that only finds it.

// The programs here are linked with the whole core, which has these names too.
#define pv_spki_from_cert renamed_pv_spki_from_cert
#define pv__spki_find renamed_spki_find
#define pv__spki_check renamed_spki_check
#include "../../csrc/spki.c"
#undef pv_spki_from_cert
#undef pv__spki_find
#undef pv__spki_check

#include <stdio.h>
#include <stdlib.h>

enum { MAX_LEN = 1 << 20 };

int main(int argc, char **argv) {
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  uint8_t *bytes = malloc(MAX_LEN);
  if (file == NULL || bytes == NULL) {
    fprintf(stderr, "usage: tbs_spki FILE\n");
    free(bytes);
    return 2;
  }
  der_cursor in = {bytes, 0, fread(bytes, 1, MAX_LEN, file)};
  der_cursor tbs;
  tbs_fields fields;
  pv_status status = PV_ERR_DER_TBS;
  fclose(file);
  if (der_enter(&in, &tbs, DER_SEQUENCE) && der_at_end(&in)) {
    status = read_tbs_key(&tbs, &fields);
  }
  if (status == PV_OK) {
    status = read_tbs_tail(&tbs);
  }
  if (status != PV_OK) {
    printf("%d %s\n", (int)status, pv_status_text(status));
  } else {
    for (size_t i = 0; i < fields.spki.len; i++) {
      printf("%02x", (unsigned)fields.spki.data[i]);
    }
    printf("\n");
  }
  free(bytes);
  return status == PV_OK ? 0 : 1;
}
