/* client.c - finds a running instance by its specification, and asks it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cli/cli.h"
#include "plan/plan.h"
#include "spec/diag.h"
#include "spec/tree.h"

int client_data(const char *file, char *data, size_t n)
{
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	struct buf told = BUF_INIT;
	const struct node *tree = NULL, *path;
	char why[256] = "";
	size_t len;
	char *text = loader_files.read(NULL, file, &len, why, sizeof why);
	const char *slash = strrchr(file, '/');
	int status = -1;

	if (!text) {
		fprintf(stderr, "sluice: %s: %s\n", file, why);
		goto out;
	}
	tree = tree_read_text(a, file, text, len, 0, d);
	if (!tree) {
		diag_print(d, &told, diag_colour(stderr));
		fputs(told.p ? told.p : "", stderr);
		goto out;
	}
	path = node_get(node_get(tree, "settings"), "data");
	if (!path || path->kind != NODE_SCALAR) {
		fprintf(stderr, "sluice: %s: no settings.data in it (use --data FOLDER)\n", file);
		goto out;
	}
	if (path->text[0] == '/' || !slash)
		snprintf(data, n, "%s", path->text);
	else
		snprintf(data, n, "%.*s/%s", (int)(slash - file), file, path->text);
	status = 0;
out:
	buf_fini(&told);
	free(text);
	diag_free(d);
	arena_free(a);
	return status;
}

static bool send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return false;
		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		}
	}
	return true;
}

int client_ask(const char *data, const char *request, struct buf *out)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t got;

	if ((size_t)snprintf(a.sun_path, sizeof a.sun_path, "%s/control.sock", data) >= sizeof a.sun_path) {
		fprintf(stderr, "sluice: %s: longer than a unix socket may be\n", data);
		close(fd);
		return EX_USAGE;
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		fprintf(stderr, "sluice: %s: %s%s\n", a.sun_path, strerror(errno),
			errno == ENOENT || errno == ECONNREFUSED ? " (is the instance running?)" : "");
		if (fd >= 0)
			close(fd);
		return EX_UNAVAILABLE;
	}
	/* An instance that ends just now has closed its end; that is no reason to be killed. */
	if (!send_all(fd, request, strlen(request)) || !send_all(fd, "\n", 1)) {
		fprintf(stderr, "sluice: %s: %s\n", a.sun_path, strerror(errno));
		close(fd);
		return EX_UNAVAILABLE;
	}
	do {
		buf_reserve(out, 65536);
		got = read(fd, out->p + out->len, 65536);
		if (got > 0)
			out->len += (size_t)got;
	} while (got > 0 || (got < 0 && errno == EINTR));
	close(fd);
	if (out->len == 0) {
		fprintf(stderr, "sluice: %s: no answer\n", a.sun_path);
		return EX_UNAVAILABLE;
	}
	out->p[out->len] = '\0';
	return 0;
}

int client_command(const char *data, const char *request, struct buf *out)
{
	int status = client_ask(data, request, out);
	struct lines l;

	if (status != 0)
		return status;
	if (out->p[out->len - 1] != '\n') {
		fputs("sluice: the answer is cut\n", stderr);
		return EX_PROTOCOL;
	}
	lines_open(&l, out);
	while (status == 0 && lines_next(&l))
		if (lines_has(&l, "error")) {
			fprintf(stderr, "sluice: %s\n", lines_text(&l, "error", NULL));
			status = (int)lines_number(&l, "status");
			status = status ? status : EX_SOFTWARE;
		}
	lines_close(&l);
	return status;
}
