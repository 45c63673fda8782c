/* schema.c - `sluice schema [NAME]`: the JSON Schema of the language, for editors; `message` is that of messages. */
#include <stdio.h>
#include <sysexits.h>

#include "base/embedded.h"
#include "cli/cli.h"

int cli_schema(int argc, char **argv)
{
	char path[64];
	const struct embedded *file;

	snprintf(path, sizeof(path), "schemas/%s.json", argc == 2 ? argv[1] : "sluice");
	file = argc <= 2 ? embedded_find(path) : NULL;
	if (file == NULL) {
		fputs("usage: sluice schema [sluice | message | tests]\n", stderr);
		return EX_USAGE;
	}
	fwrite(file->bytes, 1, file->size, stdout);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}
