// host.h: questions about canonical hosts, for other files of the core.
#ifndef PINVERIFY_HOST_H
#define PINVERIFY_HOST_H

#include <stdbool.h>
#include <stddef.h>

// pv__host_is_address returns true if a host is an IP literal. The host must be
// spelt canonically.
bool pv__host_is_address(const char *host, size_t host_len);

// pv__host_is_canonical returns true if `host` is spelt canonically.
bool pv__host_is_canonical(const char *host, size_t host_len);

#endif  // PINVERIFY_HOST_H
