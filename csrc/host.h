// host.h: what the core asks about a canonical host.
#ifndef PINVERIFY_HOST_H
#define PINVERIFY_HOST_H

#include <stdbool.h>
#include <stddef.h>

// pv__host_is_address tells an IP literal from a name; `host` is canonical.
bool pv__host_is_address(const char *host, size_t host_len);

#endif  // PINVERIFY_HOST_H
