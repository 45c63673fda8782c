/* fields.h - `fields:` of a stream, done on the slices in C: keep, drop, rename, notation. */
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
/* Append the message with the fields chosen and renamed; values byte for byte, in the order they came. No allocation but out's growth. */
void fields_apply(const struct fields *f, const struct message *m, struct buf *out);
void fields_print(const struct fields *f, struct buf *out);

#endif
