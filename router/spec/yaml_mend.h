/* yaml_mend.h - a text that is no YAML, without the place where it stops being that, so that what stands behind is looked at too. For yaml.c. */
#ifndef SLUICE_SPEC_YAML_MEND_H
#define SLUICE_SPEC_YAML_MEND_H

#include "spec/source.h"
#include "spec/tree_build.h"

#define MENDS_MAX 24            /* in one file; who makes more mistakes is told of these first */
#define MENDED_MAX (4u << 20)   /* bytes read anew for it, in all */

struct mend {
	struct source *source;
	char *text;              /* as long as the source's, line by line; NULL: nothing was taken away yet */
	struct lost lost[MENDS_MAX];
	unsigned n;
	unsigned attempts;       /* at the last place */
};

/* An error at `line`, of something that began at `begun` (0: nobody knows); more: a key where none may be. Take it away; false: enough was tried. */
bool mend(struct mend *m, unsigned line, unsigned begun, bool more);
/* Did nobody yet tell of an error at this line? */
bool mend_is_new(const struct mend *m, unsigned line);

/* The line above that holds something, if that is a text without a key; else 0. */
unsigned mend_keyless(struct source *s, unsigned line);

#endif
