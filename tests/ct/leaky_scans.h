// leaky_scans.h: the twins of the scans in leaky_scans.c.
#ifndef PINVERIFY_LEAKY_SCANS_H
#define PINVERIFY_LEAKY_SCANS_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t twin(const uint8_t *pins, size_t num_pins,
                      const uint8_t *digest);

twin twin_branch_on_mask;
twin twin_division;
twin twin_early_exit;
twin twin_gather;
twin twin_mask_register;
twin twin_memcmp;
twin twin_table;
twin twin_vector_branch;

#endif  // PINVERIFY_LEAKY_SCANS_H
