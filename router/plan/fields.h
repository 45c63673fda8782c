/* fields.h - `fields:` of a stream, done on the slices in C: keep, drop, rename, notation.
 *
 * In this order, each on the name the message has: `keep` chooses (all, when it is not given), `drop` takes from what is kept, `rename` gives
 * new names (an exact name before a wildcard, of wildcards the first given), and `notation` writes those anew that rename left alone:
 *   dots   position.speed, as it is
 *   snake  position_speed: every `.` and `#` becomes `_`
 *   camel  PositionSpeed: what stands behind a `.` or `#`, and the first letter, becomes a capital; the separators go
 * When two fields end with the same name, one that rename named beats one it did not, else the first in the message wins. A name is never
 * written twice. In keep and drop an asterisk stands for any run of bytes; in rename one on each side: "can.*": "bus.*". */
#ifndef SLUICE_PLAN_FIELDS_H
#define SLUICE_PLAN_FIELDS_H

#include <stddef.h>

struct arena;
struct buf;
struct diag;
struct fields;
struct message;
struct node;

/* Compile the map under `fields:`; NULL after an error (told to d). */
struct fields *fields_compile(struct arena *a, const struct node *map, struct diag *d);
/* Append the message with the fields chosen and renamed; values byte for byte, in the order they came, on one line. No allocation but
 * out's growth, and for names that came with JSON escapes. */
void fields_apply(const struct fields *f, const struct message *m, struct buf *out);
/* In normal form, as YAML on one line: {notation: snake, keep: [ident, "can.*"]}. The same text means the same fields. */
void fields_print(const struct fields *f, struct buf *out);

#endif
