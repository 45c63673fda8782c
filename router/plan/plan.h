/* plan.h - what the router made of the specification: the compiled, immutable routing table.
 *
 * plan_compile() turns the checked tree into a plan; the reload allots store numbers and then seals it; after plan_seal()
 * nothing in it is written again, so every worker reads it without a lock. A plan, its arena and its Lua states share one
 * life, counted by plan_ref/plan_unref (any thread). Everything here is pure: no I/O, no libevent, no LevelDB; what has to be
 * read from disk comes in through struct loader, what adapters declare through struct catalogue.
 *
 * The message's question is answered by plan_route(): (channel, ident) -> which streams, at the same cost for 10 and for 100 000
 * devices. All strings are UTF-8, NUL-terminated and in the arena. */
#ifndef SLUICE_PLAN_PLAN_H
#define SLUICE_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct arena;
struct diag;      /* spec/diag.h: the list of problems */
struct stamp_set; /* message/write.h */
struct node;      /* spec/tree.h: a YAML node with its position */
struct message;   /* message/message.h */
struct where;     /* plan/where.h: a compiled condition */
struct fields;    /* plan/fields.h: a compiled field map */

/* Where a thing is written, for people. */
struct place { const char *file; unsigned line, column; };

/* ---- options: what a channel, destination, transform or adapter was given, checked and with defaults filled in ---- */

/* Read by name, without knowing YAML. A name that the schema does not have is a bug (asserts). */
struct options;
bool options_has(const struct options *o, const char *name);           /* given, or defaulted to something */
const char *options_text(const struct options *o, const char *name);   /* NULL = not given; secrets resolved */
int64_t options_int(const struct options *o, const char *name);        /* integers; durations in us; sizes in bytes */
double options_number(const struct options *o, const char *name);      /* numbers; rates per second */
bool options_bool(const struct options *o, const char *name);
const struct options *options_map(const struct options *o, const char *name);  /* NULL = not given */
unsigned options_count(const struct options *o, const char *name);     /* items of a list (0 = not given) or pairs of a map */
const char *options_item(const struct options *o, const char *name, unsigned i);   /* i-th item of a list, as text */
const char *options_pair(const struct options *o, const char *name, unsigned i, const char **key); /* i-th pair of a map of texts */
struct place options_place(const struct options *o, const char *name); /* of the value; of the map when name is NULL or not given */
const char *options_json(const struct options *o);                     /* all of it as JSON, secrets resolved, for Lua; never for people */

/* ---- templates: url, headers, topic with {param} ------------------------------------------------------------------ */

struct template {
	const char *source;         /* as written */
	unsigned nparams;           /* 0: constant */
	const char *const *params;  /* parameter names in order of appearance, duplicates kept */
	const char *const *literals;/* nparams + 1 texts around them */
};

/* ---- the plan's members --------------------------------------------------------------------------------------------- */

enum durability_setting { SETTING_FSYNC, SETTING_OS };

struct settings {
	const char *data;
	unsigned workers;           /* resolved: `auto` is the number of processors */
	enum durability_setting durability;
	uint64_t limit_disk, limit_memory, limit_message, limit_body;
	int64_t limit_script_us;
	int64_t history_us;         /* 0: nothing is kept */
	unsigned limit_connections;
	int log_level, log_format;  /* base/log.h enums */
	const char *const *adapter_dirs; unsigned nadapter_dirs;  /* resolved paths, in search order */
	const char *admin_listen;
};

/* Keys the router itself sets come first in plan->stamps; those of the devices' fields follow (at most STAMPS_MAX - 1 keys in all, else an
 * error of the specification). */
enum stamp_number { STAMP_SERVER_TIMESTAMP, STAMP_CHANNEL_ID, STAMP_CHANNEL_NAME, STAMP_PEER, STAMP_TIMESTAMP, STAMP_DEVICE_ID, STAMP_DEVICE_NAME, STAMP_OWN };

struct channel {
	const char *name;
	struct place place;
	unsigned ix;                /* in plan->channels */
	uint32_t number;            /* store_name(NAME_CHANNEL): `channel.id` in messages; set before sealing */
	uint32_t history;           /* store_name(NAME_HISTORY), 0: its messages are not kept; set before sealing */
	bool enabled;
	const char *type;           /* "http", … */
	const struct options *options;
	const char *format;         /* "flespi" (native) or the adapter that decodes */
	const char *at;             /* JSON path to the array, or NULL */
	const char *ident_field;    /* "ident" unless told otherwise */
	bool stamp;                 /* false with `stamp: off` */
	bool keep[STAMP_OWN];       /* by enum stamp_number: `keep:` lists it, a message's own value stays */
	bool keep_fields;           /* … and the same for the devices' fields (`keep: ["*"]` keeps all) */
	bool refuse_whole;          /* refuse: whole */
	int64_t dedupe_us;          /* 0: none */
	int64_t time_past_us, time_future_us;     /* 0: no bound */
	bool time_now;              /* what is out of bounds gets the current time, and is no dead letter */
	const struct options *decoder_options;    /* for an adapter format */
	uint64_t fingerprint;       /* of everything that decides whether its live object may stay (secret and certificate contents included) */
};

struct device {
	const char *ident; size_t ident_len;   /* as declared; a wildcard device has its pattern here */
	struct place place;
	bool wildcard;
	bool has_id; int64_t id;
	const char *name;                      /* NULL: none */
	/* What the router sets in its messages: device.id and device.name where given, and its fields. Values are JSON text; number i is the key's
	 * number in plan->stamps. */
	unsigned nstamps; const char *const *stamp_keys; const char *const *stamp_values; const uint8_t *stamp_numbers;
};

enum transport { TRANSPORT_HTTP, TRANSPORT_MQTT, TRANSPORT_TCP, TRANSPORT_KAFKA, TRANSPORT_AMQP, TRANSPORT_FILE, TRANSPORT_NULL };

/* Nobody but the far end may see this text; shown: what stands in its place, the reference it came from or •••. */
struct secret_text { const char *text; size_t len; const char *shown; };

struct destination {
	const char *name;
	struct place place;
	const char *type;              /* as written: "http", "null", or an adapter's name */
	enum transport transport;
	const char *adapter;           /* NULL for native types */
	const struct options *options; /* of the type, the transport's common ones included */
	struct template url;           /* checked for scheme and shape; secrets resolved */
	const char *url_shown;         /* for people: secrets as ••• */
	unsigned nsecrets; const struct secret_text *secrets; /* all that it was told, the longest first */
	unsigned nheaders; const char *const *header_names; const struct template *header_values;
	unsigned naccept; const int *accept;
	const char *id_name;           /* `id:` header or property that carries the message id, or NULL */
	double rate;                   /* messages per second, 0 = no limit */
	unsigned window, connections;
	bool replies;                  /* tcp: the adapter reads what comes back */
	/* mqtt: where each message is published. source NULL: no template is given. own_topics: the adapter may say one for each message,
	 * which is then kept with it as address value ADDRESS_TOPIC. */
	struct template topic;
	bool own_topics;
	bool per_device;               /* the adapter wants one connection per ident */
	/* the joiner: how entries become one body */
	const char *body_open, *body_separator, *body_close, *body_type;
	bool gzip;
	/* TLS: files' names, and their contents when they were loaded */
	const char *tls_ca, *tls_cert, *tls_key; bool tls_verify;
	uint64_t fingerprint;
};

/* A name that no parameter has (template.c refuses blanks). */
#define ADDRESS_TOPIC " topic"

/* How the bytes are made: fields in C, then transforms in order, then the destination adapter's `transform`. Streams share one where
 * everything that decides the bytes is equal. */
struct step {
	const char *adapter;              /* name in the catalogue */
	const struct options *options;
	struct place place;
	bool per_device;                  /* takes data of the subscription's devices */
	bool destination;                 /* the destination's own adapter: last */
};
struct rendering {
	unsigned ix;                      /* in plan->renderings; 0 is pass-through */
	uint32_t number;                  /* store_name(NAME_RENDERING, identity); 0 for pass-through; set before sealing */
	const char *identity;             /* what decides the bytes, as text (hashes of adapter files, options, fields …) */
	const struct fields *fields;      /* NULL: all as they are */
	unsigned nsteps; const struct step *steps;
	unsigned naddress; const char *const *address;  /* parameters that url, headers or topic need, kept with the entry (only when the
	                                                   bytes are not the message itself) */
	bool state;                       /* an adapter keeps state: never shared */
	bool json;                        /* rows are joined into a JSON text: bytes that a script made ready must be one value each */
};

enum ordering { ORDER_STREAM, ORDER_DEVICE, ORDER_NONE };
enum refused_policy { REFUSED_DEAD_LETTER, REFUSED_RETRY, REFUSED_DROP };
enum full_setting { SETTING_FULL_BLOCK, SETTING_FULL_DROP_OLDEST, SETTING_FULL_DROP_NEWEST };

struct stream {
	const char *name;
	struct place place;
	unsigned ix;
	const char *was;                  /* renamed from, or NULL */
	bool enabled, paused;
	const struct destination *destination;
	const struct rendering *rendering;
	const char *form;                 /* what the bytes are ready for: "json", or transport/adapter/joiner/number */
	const char *buffer_name;          /* stream, destination's name and form: the key of its buffer */
	uint32_t number, buffer;          /* store_name(NAME_STREAM, name), store_name(NAME_BUFFER, buffer_name); set before sealing */
	const struct where *where;        /* NULL: all */
	unsigned batch_messages; uint64_t batch_bytes; int64_t batch_linger_us;
	enum ordering ordering;
	unsigned in_flight;
	int64_t retry_first_us, retry_max_us, retry_timeout_us;
	enum refused_policy refused;
	int64_t ttl_us;                   /* 0: none */
	uint64_t buffer_max;              /* 0: a quarter of limits.disk */
	enum full_setting full;
	uint64_t dead_max; int64_t dead_ttl_us;
	uint64_t fingerprint;
};

/* ---- routing -------------------------------------------------------------------------------------------------------- */

/* One stream a message goes to, and why. */
struct target {
	const struct stream *stream;
	const char *device_data;          /* JSON object of the subscription's per-device data, or NULL */
	struct place why;                 /* the subscription (or the device's line in it) */
};
struct route {
	const struct device *device;      /* NULL: not declared */
	unsigned n;                       /* 0: unrouted */
	const struct target *targets;     /* sorted by stream->ix, each stream once */
};

struct plan {
	struct arena *arena;
	uint64_t generation;              /* set before sealing; 1 for the first */
	const char *file;                 /* the specification's main file */
	struct settings settings;
	struct channel *channels; unsigned nchannels;
	struct destination *destinations; unsigned ndestinations;
	struct rendering *renderings; unsigned nrenderings;   /* [0] is pass-through */
	struct stream *streams; unsigned nstreams;
	struct device *devices; unsigned ndevices;
	const struct stamp_set *stamps;   /* message/write.h: every key the router sets, in the order of enum stamp_number, then the devices' */
	struct routing *routing;          /* plan/route.c */
	struct kept *kept;                /* plan/compile.h: what plan_print() needs of the specification */
	void *scripts;                    /* the transforms' part that belongs to this plan (one life); freed through scripts_free */
	void (*scripts_free)(void *scripts);
	_Atomic unsigned refs;
	bool sealed;
};

/* ---- compiling --------------------------------------------------------------------------------------------------------- */

/* What compilation may ask of the outside. Every function may be called any number of times. */
/* Which channels to ask about: only those of one house can be in each other's way; to others of its house a channel is like all that share its front;
 * and two of one front are in each other's way only in one room. A channel without a house is in nobody's way. */
struct whereabouts { struct buf house, front, room; };
struct loader {
	void *arg;
	/* The file's whole content (malloc'ed, NUL behind it) and length, or NULL with words in why. Path as resolved against the including file. */
	char *(*read)(void *arg, const char *path, size_t *len, char *why, size_t whylen);
	/* Paths that match a pattern, sorted, malloc'ed list of malloc'ed names, NULL-terminated. */
	char **(*glob)(void *arg, const char *pattern);
	const char *(*env)(void *arg, const char *name);
	/* 0 when nobody but its owner may read the file, or nobody can say; else its permissions. Asked of files with secrets in them. May be NULL. */
	unsigned (*exposed)(void *arg, const char *path);
	/* What the types of channels alone know: could this one be opened, and, where `beside` is not NULL, both at once? Asked of enabled ones; opens
	 * nothing. 0, or -1 and why. NULL: nobody can say. */
	int (*channel)(const struct channel *c, const struct channel *beside, char *why, size_t whylen);
	void (*whereabouts)(const struct channel *c, struct whereabouts *d);   /* of one that could be opened; NULL where channel is */
	bool no_secrets;    /* `check --no-secrets`: references are taken as given without being read, and who may read literal ones is not asked */
};
extern const struct loader loader_files;   /* the real one: files and getenv (lives in router/, not in plan/) */

/* What is known of an adapter, native destination type or channel type. */
struct type_info {
	const char *name;
	const char *summary;
	bool native;                        /* C, not Lua */
	bool is_channel, is_destination, is_transform, is_format;
	enum transport transport;           /* of a destination */
	const struct node *options_schema;  /* JSON Schema subset as a tree; NULL: native types stand in schemas/sluice.json */
	const struct node *device_schema;   /* per-device data, or NULL */
	const struct node *defaults;        /* stream keys an adapter prefers (batch, buffer …), or NULL */
	const char *body_open, *body_separator, *body_close, *body_type;   /* NULL: joined as the transport does */
	unsigned body_most;                 /* messages in one body; 0: as many as the stream says */
	bool has_transform, has_state, has_request, has_topic;
	bool has_reply;
	bool per_device;                    /* connection = "device" */
	bool certificate;                   /* over https only with a client certificate */
	unsigned form_number;
	uint64_t hash;                      /* of the file's text */
};
struct catalogue {
	void *arg;
	const struct type_info *(*find)(void *arg, const char *name);            /* NULL: unknown */
	const struct type_info *(*next)(void *arg, unsigned *i);                 /* for did-you-mean and listings */
	bool (*told)(void *arg, const char *name);  /* is there one of that name, which find has said the faults of? NULL: never */
};

/* Read, check and compile. Problems go to d (all of them, errors and warnings); NULL when there was an error. adapters
 * is called once `settings.adapters` is known, to give the catalogue for these folders (problems in adapter files are reported
 * there too). The plan is not sealed: numbers and generation are still to be set. */
struct plan *plan_compile(const char *file, const struct loader *l,
                          const struct catalogue *(*adapters)(void *arg, const char *const *dirs, unsigned ndirs, struct diag *d), void *adapters_arg,
                          struct diag *d);
void plan_seal(struct plan *p);
const struct plan *plan_ref(const struct plan *p);
void plan_unref(const struct plan *p);     /* the last one frees it, scripts first; p may be NULL, or not sealed yet */

/* The answer for one message. Never fails. Thread-safe on a sealed plan. `cache` may be NULL; a worker gives its own so that
 * idents matched by wildcards are resolved once (bounded; see route.c). */
struct route_cache;
struct route_cache *route_cache_new(void);
void route_cache_free(struct route_cache *c);
struct route plan_route(const struct plan *p, const struct channel *c, const char *ident, size_t len, struct route_cache *cache);

const struct stream *plan_stream(const struct plan *p, const char *name);
const struct channel *plan_channel(const struct plan *p, const char *name);
const struct destination *plan_destination(const struct plan *p, const char *name);

/* The plan in normal form: a specification that compiles to the same plan; references in place of secrets. `from` is the folder that the specification's
 * path started at, and makes all paths absolute: the text then means the same wherever it is kept. With NULL it does so in that folder alone. */
void plan_print(const struct plan *p, const char *from, struct buf *out);
/* As JSON, for programs. */
void plan_print_json(const struct plan *p, const char *from, struct buf *out);
/* As a picture for Graphviz. */
void plan_print_dot(const struct plan *p, struct buf *out);

/* Words from outside may hold what the far end was told: appended to out without. False: they hold nothing of it, and out is as it was. */
bool destination_hides(const struct destination *d, const char *words, size_t n, struct buf *out);

/* Expand a template for one message: the parameters' text, percent-encoded when `encode`. 0, or -1 with *missing set to the name of
 * the first parameter the message does not have (or has as null, object or array). */
int template_write(const struct template *t, const struct message *m, bool encode, struct buf *out, const char **missing);

#endif
