/* scalar.h - what a text means, once somebody knows of which kind it is; and back. Nothing else is accepted, no blanks, no signs. */
#ifndef SLUICE_SPEC_SCALAR_H
#define SLUICE_SPEC_SCALAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Each returns 0, or -1 when the text is not of that kind or too large for it. */
int scalar_duration(const char *s, int64_t *us); /* 200ms 30s 10m 2h 10d, 1.5h, and 0 */
int scalar_size(const char *s, uint64_t *bytes); /* 64KiB 1MiB 2GiB, 64kB 1MB 2GB, bytes without a unit */
int scalar_rate(const char *s, double *per_second); /* 200/s 600/m 10000/h; above 0 */
int scalar_int(const char *s, int64_t *v);          /* -?[0-9]+ */
int scalar_number(const char *s, double *v);        /* as JSON writes numbers */
int scalar_bool(const char *s, bool *v);            /* true, false */

/* The shortest text that reads as the same value. */
void scalar_write_duration(struct buf *out, int64_t us);
void scalar_write_size(struct buf *out, uint64_t bytes);

#endif
