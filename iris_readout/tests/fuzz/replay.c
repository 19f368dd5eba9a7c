/* SPDX-License-Identifier: BSD-3-Clause */
/* Run a fuzz target on the files of the command line: without libFuzzer. */
#include "fuzz.h"

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t size = 0, room = 0;
	uint8_t *data = NULL;

	if (file == NULL) {
		perror(path);
		return 1;
	}
	do {
		uint8_t *larger;

		room = 2 * room + 4096;
		larger = realloc(data, room);
		if (larger == NULL)
			abort();
		data = larger;
		size += fread(data + size, 1, room - size, file);
	} while (size == room);
	(void)fclose(file);
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = argc < 2, i;

	for (i = 1; i < argc; i++)
		failed |= run_file(argv[i]);
	return failed;
}
