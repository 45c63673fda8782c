/* number.h - a double as text: the shortest that reads back as the same double, always with a `.` or an exponent. */
#ifndef SLUICE_TRANSFORMS_NUMBER_H
#define SLUICE_TRANSFORMS_NUMBER_H

#include <stdint.h>

#define NUMBER_TEXT_MAX 32

/* Writes a finite double; returns the length, without a NUL. A double that is an integer keeps its kind: 1.0 is written "1.0". */
unsigned number_write_double(char *out, double v);
unsigned number_write_int(char *out, int64_t v);

#endif
