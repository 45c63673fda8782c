/* file_parts.h - the inside of the file sender: file.c (the driver, on the loop), file_writer.c (a thread that opens, writes, syncs, rotates). */
#ifndef SLUICE_SENDERS_FILE_PARTS_H
#define SLUICE_SENDERS_FILE_PARTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_settings {
	char *path;              /* "-": standard output */
	uint64_t rotate_size;    /* 0: never by size */
	int64_t rotate_every_us; /* 0: never by time */
	unsigned keep;           /* rotated files; 0: all */
};

struct file_writer;

enum file_result { FILE_WRITTEN, FILE_RETRY, FILE_BLOCKED };

/* `stop` is looked at while a write waits for whoever reads a pipe. */
struct file_writer *file_writer_new(const _Atomic bool *stop);
void file_writer_free(struct file_writer *w);
/* Other settings from here on (copied), or the same once more: the file is opened anew. */
void file_writer_set(struct file_writer *w, const struct file_settings *s);
/* Append whole lines; not synced yet. What could not be written whole leaves nothing behind in a regular file. */
enum file_result file_writer_append(struct file_writer *w, const char *p, size_t n, char *why, size_t whylen);
/* What was appended is on disk. */
enum file_result file_writer_sync(struct file_writer *w, char *why, size_t whylen);

#endif
