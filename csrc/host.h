// host.h: questions about canonical hosts, for other files of the core.
#ifndef PINVERIFY_HOST_H
#define PINVERIFY_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// pv__name_takes_shape returns true if a canonical host may be the name of a
// rule of this shape: no IP address takes a wildcard, and no name of more than
// PV_ANY_LABELS_MAX labels takes "**.".
bool pv__name_takes_shape(const char *name, size_t name_len, uint32_t shape);

// pv__name_is_canonical returns true if a name takes this shape and is
// canonical.
bool pv__name_is_canonical(const char *name, size_t name_len, uint32_t shape);

#endif  // PINVERIFY_HOST_H
