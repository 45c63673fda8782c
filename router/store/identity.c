/* identity.c - who this store is: sixteen digits drawn when it was made, which stay with it wherever it is moved.
 *
 * A far end that remembers who came (an MQTT session) finds the same one again after a restart, on another machine too. A file of its own,
 * so that a repaired or quarantined database does not make a stranger of us. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/inside.h"

static bool read_identity(const char *path, char out[IDENTITY_LEN + 1])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, IDENTITY_LEN);

	if (fd >= 0)
		close(fd);
	if (n != IDENTITY_LEN)
		return false;
	out[IDENTITY_LEN] = '\0';
	return strspn(out, "0123456789abcdef") == IDENTITY_LEN;
}

/* Whole or not at all: written beside it, synced, renamed. */
static bool write_identity(const char *path, const char *text)
{
	char beside[4096];
	bool ok;
	int fd;

	if ((size_t)snprintf(beside, sizeof beside, "%s.new", path) >= sizeof beside)
		return false;
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	ok = write(fd, text, IDENTITY_LEN) == IDENTITY_LEN && write(fd, "\n", 1) == 1 && fsync(fd) == 0;
	close(fd);
	return ok && rename(beside, path) == 0;
}

void identity_open(struct store *s)
{
	char path[4096];
	uint64_t drawn = 0;

	if ((size_t)snprintf(path, sizeof path, "%s/identity", s->path) < sizeof path && read_identity(path, s->identity))
		return;
	if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn)
		drawn = (uint64_t)clock_real_us();
	snprintf(s->identity, sizeof s->identity, "%016" PRIx64, drawn);
	/* A full disk must not keep the store closed: then it is somebody else after the next start. */
	if (!write_identity(path, s->identity))
		log_warn("store", "no-identity", "path=%s reason=%s hint=%s", log_quote(path), log_quote(strerror(errno)),
			log_quote("until this file can be written, far ends that remember us (MQTT sessions) meet a stranger after each start"));
}

const char *store_identity(const struct store *s)
{
	return s->identity;
}
