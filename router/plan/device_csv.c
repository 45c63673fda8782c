/* device_csv.c - devices from a file of `devices-from`: a first row that names the columns, then a row for each device.
 *
 * Every bad row is told with its place, and the rest is read on. A row that is refused holds no ident and no id against a later one, so that of two
 * rows the right one is not refused for the wrong one. */
#include "plan/compile.h"

#include "base/buf.h"
#include "plan/csv.h"
#include "spec/nearest.h"
#include "spec/scalar.h"

#include <stdlib.h>
#include <string.h>

enum column { COLUMN_FIELD, COLUMN_IDENT, COLUMN_ID, COLUMN_NAME, COLUMN_GROUPS };

static const char *const known_columns[] = { [COLUMN_IDENT] = "ident", [COLUMN_ID] = "id", [COLUMN_NAME] = "name", [COLUMN_GROUPS] = "groups" };

static void split_groups(struct compiler *c, struct declared *d, const char *cell, const struct mark *at)
{
	char *text = arena_strdup(c->arena, cell), *save = NULL;

	d->groups = arena_alloc(c->arena, (strlen(cell) / 2 + 1) * sizeof(*d->groups));
	d->groups_at = arena_alloc(c->arena, (strlen(cell) / 2 + 1) * sizeof(*d->groups_at));
	for (char *g = strtok_r(text, " ", &save); g != NULL; g = strtok_r(NULL, " ", &save)) {
		d->groups[d->ngroups] = g;
		d->groups_at[d->ngroups++] = *at;
	}
}

static void declare_row(struct compiler *c, const struct csv *csv, const char *const *header, const enum column *columns, unsigned ncolumns)
{
	struct declared *d = NULL;
	struct buf b = BUF_INIT;
	unsigned errors = diag_errors(c->diag);

	for (unsigned i = 0; i < csv->n; i++)
		if (i < ncolumns && columns[i] == COLUMN_IDENT && csv->cells[i][0] != '\0')
			d = declared_new(c, csv->cells[i], &csv->at[i]);
	if (d == NULL || csv->n > ncolumns) {
		diag_add(c->diag, DIAG_CSV, &csv->at[csv->n > ncolumns ? ncolumns : 0], csv->n > ncolumns ? "the row has more cells than the first" : "the row has no ident");
		if (d != NULL)
			d->refused = true;
		return;
	}
	if (d->len > 128 || strpbrk(d->ident, " #+/\t\n") != NULL)
		diag_add(c->diag, DIAG_BAD_NAME, &d->at, "the ident %s is too long or holds a character that is not allowed", diag_quote(c->diag, d->ident, d->len));
	d->keys = arena_alloc(c->arena, (ncolumns + 1) * sizeof(*d->keys));
	d->values = arena_alloc(c->arena, (ncolumns + 1) * sizeof(*d->values));
	for (unsigned i = 0; i < csv->n; i++) {
		const char *cell = csv->cells[i];

		if (*cell == '\0')
			continue;
		switch (columns[i]) {
		case COLUMN_ID:
			d->has_id = scalar_int(cell, &d->id) == 0 && d->id >= 1 && d->id <= 9007199254740991;
			if (!d->has_id)
				diag_add(c->diag, DIAG_BAD_VALUE, &csv->at[i], "%s is no number of a device", diag_quote(c->diag, cell, strlen(cell)));
			break;
		case COLUMN_NAME:
			d->name = cell;
			break;
		case COLUMN_GROUPS:
			split_groups(c, d, cell, &csv->at[i]);
			break;
		case COLUMN_FIELD:
			buf_clear(&b);
			conf_write_json(&b, NULL, &(struct node){ .kind = NODE_SCALAR, .text = cell, .len = strlen(cell) }, NULL);
			d->keys[d->nfields] = header[i];
			d->values[d->nfields++] = arena_strndup(c->arena, b.p, b.len);
			break;
		case COLUMN_IDENT:
			break;
		}
	}
	d->refused = diag_errors(c->diag) > errors;
	buf_fini(&b);
}

/* Of the columns that mean something the one whose name this hardly misses: `Ident`, `gruops`. */
static enum column nearly(const char *name)
{
	for (unsigned k = COLUMN_IDENT; k <= COLUMN_GROUPS; k++) {
		unsigned distance = nearest_distance(name, known_columns[k]);

		if (distance == 0 || (distance == 1 && k != COLUMN_ID && *name == *known_columns[k]))
			return (enum column)k;
	}
	return COLUMN_FIELD;
}

static void check_columns(struct compiler *c, const struct csv *csv, const char *const *header, const enum column *columns)
{
	bool there[COLUMN_GROUPS + 1] = { false };
	const struct mark *ident = NULL;

	for (unsigned i = 0; i < csv->n; i++)
		there[columns[i]] = true;
	for (unsigned i = 0; i < csv->n; i++) {
		enum column near = columns[i] == COLUMN_FIELD ? nearly(header[i]) : COLUMN_FIELD;

		if (near == COLUMN_IDENT && ident == NULL)
			ident = &csv->at[i];
		else if (near != COLUMN_FIELD && !there[near])
			problem_near(diag_add(c->diag, DIAG_COLUMN, &csv->at[i], "the column %s is a field that each message of the device gets",
				diag_quote(c->diag, header[i], strlen(header[i]))), known_columns[near]);
	}
	if (!there[COLUMN_IDENT]) {
		struct problem *p = diag_add(c->diag, DIAG_CSV, ident != NULL ? ident : &csv->at[0], "there is no column ident");

		problem_near(p, ident != NULL ? "ident" : NULL);
		problem_note(p, "the first row names the columns: ident,id,name,groups,<field>…");
	}
}

static bool read_header(struct compiler *c, struct csv *csv, const struct mark *named, const char **header, enum column *columns)
{
	bool ident = false;

	if (!csv_row(csv)) {
		/* An export that failed must not undeclare a fleet. */
		if (csv->fault == NULL)
			problem_note(diag_add(c->diag, DIAG_CSV, named, "%s is empty: there is not even a row of columns", csv->source->name),
				"the first row names the columns: ident,id,name,groups,<field>…");
		return false;
	}
	for (unsigned i = 0; i < csv->n; i++) {
		header[i] = csv->cells[i];
		columns[i] = COLUMN_FIELD;
		for (unsigned k = COLUMN_IDENT; k <= COLUMN_GROUPS; k++)
			if (strcmp(header[i], known_columns[k]) == 0)
				columns[i] = (enum column)k;
		ident = ident || columns[i] == COLUMN_IDENT;
		if (*header[i] == '\0')
			diag_add(c->diag, DIAG_CSV, &csv->at[i], "the column has no name");
		for (unsigned k = 0; k < i; k++)
			if (strcmp(header[i], header[k]) == 0)
				problem_second(diag_add(c->diag, DIAG_CSV, &csv->at[i], "the column %s stands twice", diag_quote(c->diag, header[i], strlen(header[i]))),
					&csv->at[k], "first given here");
		if (columns[i] == COLUMN_FIELD)
			device_field_check(c, header[i], &csv->at[i]);
	}
	check_columns(c, csv, header, columns);
	return ident;
}

void devices_from(struct compiler *c, const struct node *named)
{
	const char *path = load_path(c, named->at.source->name, named->text), *header[256];
	enum column columns[256];
	struct csv *csv = arena_alloc(c->arena, sizeof(*csv));
	char why[256] = "", *text;
	size_t len, bad, skip;
	unsigned ncolumns;

	text = c->loader->read(c->loader->arg, path, &len, why, sizeof(why));
	if (text == NULL) {
		diag_add(c->diag, DIAG_UNREADABLE, &named->at, "%s can't be read: %s", path, why);
		c->devices_lost = true;
		return;
	}
	skip = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	csv_begin(csv, c->arena, source_new(c->arena, path, text + skip, len - skip, c->order++));
	free(text);
	if (!utf8_valid(csv->source->text, csv->source->len, &bad) || memchr(csv->source->text, '\0', csv->source->len) != NULL) {
		diag_add(c->diag, DIAG_UTF8, &(struct mark){ .source = csv->source }, "the file is not UTF-8 text");
		c->devices_lost = true;
		return;
	}
	if (read_header(c, csv, &named->at, header, columns)) {
		ncolumns = csv->n;
		while (csv_row(csv))
			declare_row(c, csv, header, columns, ncolumns);
	} else {
		c->devices_lost = true;
	}
	if (csv->fault != NULL)
		diag_add(c->diag, DIAG_CSV, &csv->at[csv->n], "%s", csv->fault);
	c->devices_lost = c->devices_lost || csv->fault != NULL;
}
