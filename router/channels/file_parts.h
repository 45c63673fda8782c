/* file_parts.h - the inside of the file channel type: file.c (which files, on the main loop), file_follow.c (reading one, on a worker's loop),
 * file_place.c (how far it was read, over restarts and rotation), file_rotated.c (which one comes next). */
#ifndef SLUICE_CHANNELS_FILE_PARTS_H
#define SLUICE_CHANNELS_FILE_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "channels/channel.h"

struct event;

/* ---- file_place.c ------------------------------------------------------------------------------------------------------- */

/* So far it was read, and of which file: the head tells a file from another one that got its inode. */
struct file_place {
	uint64_t serial;             /* of the last one that was written for the channel; 0: none was */
	uint64_t device, inode, offset;
	uint32_t head_len, head_crc;
};

/* What is known of the channel's file; false: nothing (or of another path: then the serial counts all the same). */
bool file_place_read(struct file_place *p, const char *data, uint32_t channel, const char *path);
/* Takes the place of the last one, whole or not at all, and is its successor by number. 0, or -1 with errno. */
int file_place_write(struct file_place *p, const char *data, uint32_t channel, const char *path);
/* Device, inode and head of an open file of which so much was read; the serial stays. 0, or -1 with errno. */
int file_place_of(struct file_place *p, int fd, uint64_t offset);
/* Is this (still) the file of the place, and is so much of it there? */
bool file_place_is(const struct file_place *p, int fd);
/* Open the file of the place wherever it stands in path's folder by now; -1: it is gone. */
int file_place_find(const struct file_place *p, const char *path);

/* ---- file_rotated.c ------------------------------------------------------------------------------------------------------- */

/* Another file stands at path than the one that was read to its end, fd: open the one that was begun after it and renamed in turn. -1: there is none, the
 * one at path is next. channel: its name in the log. */
int file_rotated_next(const char *path, int fd, const char *channel);

/* ---- file_follow.c ------------------------------------------------------------------------------------------------------- */

struct follow;
/* The worker's part of a channel: begun, looked at when reading may go on, and ended: `ended` is called when nothing is under way any more. */
struct follow *follow_new(struct intake_loop *l, const struct channel_host *h, const char *channel, const char *path, const char *data, uint32_t number);
void follow_look(struct follow *f);
void follow_end(struct follow *f, void (*ended)(void *arg), void *arg);
void follow_free(struct follow *f);
struct follow *follow_next(struct follow *f);   /* of the same loop */

#endif
