/* compile.h - what the files of the compiler share; nobody outside plan/ includes it.
 *
 * The way of a specification: load.c reads all files into trees · schema_check() looks at each · load.c merges them · names.c sees that
 * all that is named exists · build.c, stream.c make the plan's members · subscribe.c makes the routing table · warnings.c looks at it. Problems are collected on the
 * way; names.c works on trees that may still be wrong; what comes after it needs a faultless tree, and after a mistake is given what sound.c leaves of this
 * one, so that one run tells everything. */
#ifndef SLUICE_PLAN_COMPILE_H
#define SLUICE_PLAN_COMPILE_H

#include "base/arena.h"
#include "base/map.h"
#include "message/write.h"
#include "plan/plan.h"
#include "spec/conf.h"
#include "spec/diag.h"
#include "spec/rule.h"
#include "spec/schema.h"
#include "spec/tree.h"

/* A section whose members have names: channels, groups, destinations, streams. */
struct section {
	const char *key;      /* "streams" */
	const char *one;      /* "stream" */
	struct node *node;    /* all files' members together: a mapping, perhaps empty */
	struct map names;     /* name -> struct entry */
};

/* A device as it is declared, in YAML or CSV. */
struct declared {
	const char *ident;
	size_t len;
	struct mark at;
	const struct node *in; /* the mapping; NULL: CSV */
	bool wildcard, has_id;
	bool implied;         /* covered by a wildcard, and named somewhere */
	bool refused;         /* its row of CSV is wrong: it holds neither its ident nor its id against another one */
	unsigned ix;          /* in kept->devices and plan->devices */
	int64_t id;
	const char *name;
	unsigned ngroups, nfields;
	const char **groups;
	struct mark *groups_at;
	const char **keys, **values;  /* fields; values are JSON text */
};

struct file { struct node *root; const char *path; };

/* What a plan keeps of its making, for plan_print() and for its end. */
struct kept {
	struct schema *schema;        /* rules of adapters' options */
	struct section channels, groups, destinations, streams;
	struct node *settings, *subscriptions;
	struct declared **devices;
	unsigned ndevices;
	struct stamp_set stamps;
	const struct node *answering;  /* what is default for a channel with a fixed answer */
	const struct node **preferred; /* by stream->ix: what its adapter would rather have, or NULL */
	struct schema_types types;
	struct map rules;             /* name of an adapter -> its rule as a destination; "options NAME" -> of its options alone */
};

struct compiler {
	struct arena *arena;          /* the plan's */
	struct plan *plan;
	struct kept *kept;
	const struct loader *loader;
	const struct catalogue *catalogue;
	struct diag *diag;
	struct file *files;
	unsigned nfiles, cap;
	unsigned order;               /* of the next source */
	const struct node **csv, **devices; /* what stands under devices-from and devices */
	unsigned ncsv, ndevices;
	const struct node *channels_written; /* after mistakes: as they stand in the files */
	bool devices_lost;            /* a file of devices could not be read */
	bool partial;                 /* of the member that is being built something was taken away: what it lacks is not missed */
	struct map secrets;           /* reference -> its text */
	struct map idents;            /* ident -> struct declared */
	struct declared **wildcards;
	unsigned nwildcards;
	bool stamps_full;
	struct umap used;             /* entries that something names */
};

/* load.c */
bool load_known(const struct compiler *c, const char *path);     /* is this one of the files? */
bool load_files(struct compiler *c, const char *path);          /* false: some file could not be read or is not YAML */
void load_merge(struct compiler *c);
void sections_fini(struct kept *k);
const char *load_path(struct compiler *c, const char *file, const char *path);  /* a path as the file that names it means it */

/* secret.c: the text of a scalar with its references resolved and, for paths, its folder put in front; problems are told. NULL when c is. */
const char *text_resolved(struct compiler *c, const struct rule *r, const struct node *scalar, const char *text);
/* confidence.c: all secrets below a node, resolved or written out, the longest first. */
const struct secret_text *secrets_told(struct compiler *c, const struct rule *r, const struct node *n, unsigned *count);
/* Files that hold literal secrets and may be read by others; after all schema_check()s. */
void secrets_exposed(struct compiler *c);
/* All references of all files, for a specification that will not be built because of other mistakes. */
void secrets_check(struct compiler *c);

/* device_csv.c: a scalar under devices-from; for it, of device.c: a new device, and what a field may be called. */
void devices_from(struct compiler *c, const struct node *named);
struct declared *declared_new(struct compiler *c, const char *ident, const struct mark *at);
void device_field_check(struct compiler *c, const char *key, const struct mark *at);

/* device.c */
void devices_declare(struct compiler *c);
struct declared *device_declared(struct compiler *c, const char *ident, size_t len);  /* exact, or made of the wildcard that covers it; NULL */
bool device_any(struct compiler *c, const char *pattern, size_t len);                 /* does the wildcard match a declared device? */
/* A wildcard that is named and is a part of a declared one becomes a device of its own. */
void device_narrower(struct compiler *c, const char *pattern, size_t len);
/* The next declared wildcard that shares some idents with the pattern, which does not get these; NULL: no more. *i is 0 at first. After all were
 * named. */
const struct declared *device_partly(const struct compiler *c, const char *pattern, size_t len, unsigned *i);
void devices_build(struct compiler *c);
int stamp_own(const char *name);   /* enum stamp_number of a name the router sets itself, or -1 */

/* names.c */
void names_check(struct compiler *c);
void names_unused(struct compiler *c);   /* warnings, for a specification without errors */
void names_partly(struct compiler *c);
const struct rule *device_data_rule(struct compiler *c, const struct node *stream);   /* of the data a stream's adapters take; NULL: none */

const struct rule *adapter_options_rule(struct compiler *c, const struct type_info *t);

/* options.c; `also` as in conf.h */
const struct options *options_make(struct compiler *c, const struct rule *rule, const struct node *map, const struct node *also);

/* sound.c: the merged specification without all that is wrong, or stands on what is. False: nothing can be said. */
bool sound_only(struct compiler *c);

/* build.c */
void build_settings(struct compiler *c);
void build_channels(struct compiler *c);
void build_destinations(struct compiler *c);
/* doors.c: can all channels be open at once? */
void doors_check(struct compiler *c);
const char *const *adapter_dirs(struct compiler *c, struct conf settings, unsigned *n);
struct place place_of(struct compiler *c, const struct mark *at);
const struct rule *rule_of(const char *definition);

/* stream.c */
void build_streams(struct compiler *c);

/* subscribe.c */
void build_routing(struct compiler *c);

/* warnings.c: what the finished plan and its routing table show. `idle`, by device: it would feed a stream that is not enabled. */
void warn_routes(struct compiler *c, const bool *idle);

/* route.c */
struct cell { const struct target *targets; unsigned n; };
struct routing {
	struct map idents;               /* ident -> struct device */
	const struct device **wildcards; /* the most exact first */
	unsigned nwildcards;
	const struct cell **rows;        /* by device, then one for idents that are not declared; nchannels cells each, shared where equal */
};
void routing_free(struct routing *r);

void kept_free(struct kept *k);

#endif
