// scan.h: the size of packed pins, for other files of the core.
#ifndef PINVERIFY_SCAN_H
#define PINVERIFY_SCAN_H

#include <stdint.h>

// pv__packed_num_rows counts the 32-byte rows that `num_pins` packed pins take.
uint64_t pv__packed_num_rows(uint64_t num_pins);

#endif  // PINVERIFY_SCAN_H
