/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes become an option line and FITS files for the command iris-readout: four
 * bytes of options, then files, a new one at each "SIMPLE  =" or gzip magic at
 * a multiple of 16 bytes.  The command must end with one of its exit statuses
 * and leave its folder as it promises: one whole frame, or nothing new.
 */
#define _GNU_SOURCE /* mkdtemp, getopt's optind = 0 */
#include "fuzz.h"

#include <dirent.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_FILES = 6, MOST_WORDS = 40, BLOCK = 2880, NAME = 256 };

int iris_readout_command(int argc, char **argv);

static char folder[NAME];
static char names[MOST_FILES][NAME + 16];
static char output[NAME + 16];

static void remove_folder(void)
{
	(void)rmdir(folder);
}

/* In TMPDIR, else in memory where the system has such a place. */
static void make_folder(void)
{
	const char *base = getenv("TMPDIR");
	int i;

	if (base == NULL || strlen(base) > NAME / 2)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	(void)snprintf(folder, sizeof(folder), "%s/iris-fuzz-XXXXXX", base);
	if (mkdtemp(folder) == NULL)
		abort();
	(void)atexit(remove_folder);
	for (i = 0; i < MOST_FILES; i++)
		(void)snprintf(names[i], sizeof(names[i]), "%s/%d.fits",
			       folder, i);
	(void)snprintf(output, sizeof(output), "%s/frame.fits", folder);
}

/* --- files --------------------------------------------------------------- */

static int starts_file(const uint8_t *at, size_t left)
{
	return (left >= 9 && memcmp(at, "SIMPLE  =", 9) == 0)
		|| (left >= 3 && memcmp(at, "\x1f\x8b\x08", 3) == 0);
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
	FILE *file = fopen(name, "wb");

	if (file == NULL || fwrite(data, 1, size, file) != size
	    || fclose(file) != 0)
		abort();
}

/* Write the files that follow each other in the bytes; their number. */
static int write_files(const uint8_t *data, size_t size)
{
	size_t begin = 0, at;
	int count = 0;

	for (at = 16; at <= size && count < MOST_FILES; at += 16) {
		const int last = at + 16 > size;

		if (!last && !starts_file(data + at, size - at))
			continue;
		write_file(names[count++], data + begin,
			   (last ? size : at) - begin);
		begin = at;
	}
	if (count == 0)
		write_file(names[count++], data, size);
	return count;
}

/* --- words --------------------------------------------------------------- */

static void add(char **words, int *count, const char *word)
{
	union {
		const char *given;
		char *taken;
	} w = {word}; /* argv is not const, but is not written either */

	words[(*count)++] = w.taken;
}

static void add_numbers(source *s, char **words, int *count)
{
	static const char *const modes[] = {"utr", "cds", "mcds"};
	static const char *const sigmas[] = {"none", "0", "4.5", "1", "nan",
					     "1e300"};
	const uint32_t mode = take(s), number = take(s);

	if (mode % 4 < 3) {
		add(words, count, "--mode");
		add(words, count, modes[mode % 4]);
	}
	if (mode & 16) {
		add(words, count, "--nfowler");
		add(words, count, mode & 32 ? "2" : "2147483647");
	}
	if (number & 1) {
		add(words, count, "--jump-sigma");
		add(words, count, sigmas[(number >> 1) % 6]);
	}
	if (number & 16) {
		add(words, count, "--saturation-grow");
		add(words, count, number & 32 ? "1" : "2147483647");
	}
	if (number & 64) {
		add(words, count, "--gain");
		add(words, count, "2.5");
	}
}

/* The last files may be references instead of reads. */
static int add_references(source *s, char **words, int *count, int nfile)
{
	static const char *const roles[] = {
		NULL, "--gain", "--read-noise", "--saturation", "--linearity",
		"--bad-pixels"
	};
	const uint32_t which = take(s);
	const char *first = roles[which % 6], *second = roles[which / 6 % 6];

	if (first != NULL && nfile > 1) {
		add(words, count, first);
		add(words, count, names[--nfile]);
	}
	if (second != NULL && nfile > 1) {
		add(words, count, second);
		add(words, count, names[--nfile]);
	}
	return nfile;
}

/* False where the command only says its version. */
static int add_flags(source *s, char **words, int *count)
{
	static const char *const flags[] = {
		"--skip-bad-reads", "--overwrite", "--no-chi2", "--no-events",
		"--quiet", "--debug", "--version"
	};
	const uint32_t chosen = take(s);
	int i;

	for (i = 0; i < 6; i++)
		if (chosen & 1u << i)
			add(words, count, flags[i]);
	if (chosen == 0xff)
		add(words, count, flags[6]);
	return chosen != 0xff;
}

/* --- promises ------------------------------------------------------------ */

/* Only the inputs, and the output if there must be one, are there. */
static void check_folder(int nfile, int made)
{
	DIR *directory = opendir(folder);
	const struct dirent *entry;
	int count = 0;

	CLAIM(directory != NULL);
	while ((entry = readdir(directory)) != NULL)
		count += entry->d_name[0] != '.'
			|| strlen(entry->d_name) > 2;
	(void)closedir(directory);
	CLAIM((access(output, F_OK) == 0) == made);
	CLAIM(count == nfile + made);
}

static void check_frame(void)
{
	char start[9];
	struct stat about;
	FILE *file = fopen(output, "rb");

	CLAIM(file != NULL);
	CLAIM(fread(start, 1, sizeof(start), file) == sizeof(start));
	CLAIM(memcmp(start, "SIMPLE  =", sizeof(start)) == 0);
	CLAIM(fclose(file) == 0);
	CLAIM(stat(output, &about) == 0 && about.st_size % BLOCK == 0);
	CLAIM(unlink(output) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *words[MOST_WORDS + 1] = {NULL};
	source s = {data, size};
	int count = 0, nfile, nread, status, fits, i;
	source options;

	if (folder[0] == '\0')
		make_folder();
	options = s;
	nfile = write_files(data + (size < 4 ? size : 4),
			    size < 4 ? 0 : size - 4);
	add(words, &count, "iris-readout");
	add_numbers(&options, words, &count);
	nread = add_references(&options, words, &count, nfile);
	fits = add_flags(&options, words, &count);
	add(words, &count, "--threads");
	add(words, &count, "1");
	add(words, &count, "-o");
	add(words, &count, output);
	for (i = 0; i < nread; i++)
		add(words, &count, names[i]);
	optind = 0;
	status = iris_readout_command(count, words);
	CLAIM(status >= 0 && status <= 2);
	check_folder(nfile, fits && status == 0);
	if (fits && status == 0)
		check_frame();
	for (i = 0; i < nfile; i++)
		CLAIM(unlink(names[i]) == 0);
	return 0;
}
