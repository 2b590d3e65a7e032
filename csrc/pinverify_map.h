// pinverify_map.h: functions that open policies in files, and their manual.
//
// These functions are not part of the core, because they need POSIX (open,
// fstat, mmap), and the core does no I/O. If you copy the folder, compile
// map/policy_map.c as well.
//
//   pv_policy_file file;
//   if (pv_policy_map(&file, "pins.pvpol") != 1) {
//     fprintf(stderr, "%s: %s\n", path,
//             file.error != 0 ? strerror(file.error) : file.why);
//     refuse to start
//   }
//   pv_evaluate(&report, NULL, &file.policy, ...);
//   pv_policy_unmap(&file);  // when no thread uses file.policy any more
//
// Never change a file that is mapped. The file is checked once, and then used
// in place: after a change, a process decides wrongly or reads other memory,
// and truncating the file kills the process (SIGBUS). Write a new file and
// rename it over the old one, as `pinverify compile` does. Where others may
// write to the file, use pv_policy_read.
#ifndef PINVERIFY_MAP_H
#define PINVERIFY_MAP_H

#include "pinverify.h"

#ifdef __cplusplus
extern "C" {
#endif

// A pv_policy_file is a policy with the bytes that it points into. If all is
// zero, no file is open. It may be moved, but never use two copies of it.
typedef struct pv_policy_file {
  pv_policy policy;      // all zero if there is none
  const uint8_t *bytes;  // read-only; NULL: none
  size_t len;
  int error;        // the errno of the call that failed, or 0
  const char *why;  // a static text in English, never NULL: why it failed
} pv_policy_file;

// pv_policy_map maps a file with a compiled policy: all processes that map it
// share its memory. pv_policy_read makes a copy instead, so that later changes
// of the file do not matter.
//
// Both refuse anything but a regular file, and never wait for a pipe. They
// check the first bytes and the size before they read or map anything else, and
// then the whole policy, as pv_policy_open does.
//
// Returns 1; or 0, and then out->why says why, and nothing is open. Whatever
// `*out` held before is overwritten. Time: linear in the size of the file.
PV_API PV_CHECK int pv_policy_map(pv_policy_file *out, const char *path);
PV_API PV_CHECK int pv_policy_read(pv_policy_file *out, const char *path);

// pv_policy_unmap frees the bytes after either function, and makes `*file` all
// zero. Nothing may use file->policy any more. A file that is not open is left
// alone.
PV_API void pv_policy_unmap(pv_policy_file *file);

#ifdef __cplusplus
}
#endif

#endif  // PINVERIFY_MAP_H
