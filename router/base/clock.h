/* clock.h - the three clocks, all in microseconds.
 *
 * real: wall time, may step; for timestamps that people read, ids and positions (made rising by their owners).
 * mono: never steps, stops in suspend; for timeouts and latencies.
 * boot: never steps, runs in suspend; for elapsed time that expiry believes (CLOCK_BOOTTIME). */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_real_us(void);
int64_t clock_mono_us(void);
int64_t clock_boot_us(void);
/* "2026-11-22T22:03:23.123456Z" into out (at least 32 bytes); returns out. */
char *clock_format(int64_t real_us, char *out);

#endif
