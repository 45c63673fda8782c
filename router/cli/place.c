/* place.c - see pages.h. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/pages.h"
#include "store/store.h"

#define STILL_MEMORY (16u << 20)

static bool answers(const char *data)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool there = (size_t)snprintf(a.sun_path, sizeof a.sun_path, "%s/control.sock", data) < sizeof a.sun_path && fd >= 0 &&
		connect(fd, (struct sockaddr *)&a, sizeof a) == 0;

	if (fd >= 0)
		close(fd);
	return there;
}

int place_open(struct place_of_store *p, const char *argument, bool is_data, bool still)
{
	struct store_options o = { .path = p->data, .durability = DURABILITY_FSYNC, .disk_limit = UINT64_MAX / 2, .memory_limit = STILL_MEMORY,
		.as_it_lies = true };
	char why[512] = "";

	memset(p, 0, sizeof *p);
	if (is_data)
		snprintf(p->data, sizeof p->data, "%s", argument);
	else if (client_data(argument, p->data, sizeof p->data) < 0)
		return EX_NOINPUT;
	p->running = answers(p->data);
	if (p->running)
		return 0;
	if (!still) {
		fprintf(stderr, "sluice: no instance runs on %s, and this needs one\n", p->data);
		return EX_UNAVAILABLE;
	}
	log_setup(LOG_WARN, LOG_LOGFMT);
	p->store = store_open(&o, why, sizeof why);
	if (!p->store) {
		fprintf(stderr, "sluice: %s\n", why);
		return EX_NOINPUT;
	}
	return 0;
}

void place_close(struct place_of_store *p)
{
	if (p->store)
		store_close(p->store);
	p->store = NULL;
}
