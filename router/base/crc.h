/* crc.h - CRC-32C (Castagnoli), hardware where the processor has it, a table where not. Same value either way. */
#ifndef SLUICE_BASE_CRC_H
#define SLUICE_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *p, size_t n);          /* start with 0; may be continued */
uint32_t crc32c_scalar(uint32_t crc, const void *p, size_t n);   /* the twin, for tests */

#endif
