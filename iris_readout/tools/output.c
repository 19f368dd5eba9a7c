/* SPDX-License-Identifier: BSD-3-Clause */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 1000 }; /* CFITSIO takes names of up to 1024 bytes */

/* The one thing a signal must find: the file to remove. */
static char temporary[PATH_ROOM + 64];
static volatile sig_atomic_t begun;

static void remove_and_die(int number)
{
	if (begun)
		(void)unlink(temporary);
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

static void catch_signals(void)
{
	static const int deadly[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action;

	memset(&action, 0, sizeof action);
	action.sa_handler = remove_and_die;
	(void)sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
		(void)sigaction(deadly[i], &action, NULL);
	/* A file-size limit is then a write error like a full disk. */
	(void)signal(SIGXFSZ, SIG_IGN);
}

/* Folder of a path with its slash, "./" for a bare name. */
static void folder_of(const char *path, char folder[PATH_ROOM + 16])
{
	size_t length = (size_t)(base_name(path) - path);

	memcpy(folder, length > 0 ? path : "./", length > 0 ? length : 2);
	folder[length > 0 ? length : 2] = '\0';
}

static bool fail_output(report *r, const char *path, const char *got)
{
	return report_fail(r, path, "-o", "got '%s', expected a folder that "
			   "can be written; choose another place", got);
}

static bool is_same_file(const struct stat *about, const char *other)
{
	struct stat otherwise;

	return other != NULL && stat(other, &otherwise) == 0 &&
	       about->st_dev == otherwise.st_dev &&
	       about->st_ino == otherwise.st_ino;
}

static bool is_an_input(const settings *s, const struct stat *about)
{
	const char *const references[] = { s->gain.file, s->read_noise.file,
					   s->saturation.file, s->linearity,
					   s->bad_pixels, s->ref_weights };

	for (size_t i = 0; i < sizeof references / sizeof *references; i++)
		if (is_same_file(about, references[i]))
			return true;
	for (size_t i = 0; i < s->nread; i++)
		if (is_same_file(about, s->reads[i]))
			return true;
	return false;
}

static bool fail_exists(report *r, const char *path)
{
	return report_fail(r, path, "-o", "got a file that exists, expected a "
			   "new name; choose one or give --overwrite");
}

bool output_check(const settings *s, report *r)
{
	char folder[PATH_ROOM + 16];
	struct stat about;

	if (strlen(s->output) >= PATH_ROOM)
		return fail_output(r, s->output, "a name that is too long");
	folder_of(s->output, folder);
	if (access(folder, W_OK) != 0)
		return fail_output(r, s->output, strerror(errno));
	if (stat(s->output, &about) != 0)
		return true;
	if (is_an_input(s, &about))
		return report_fail(r, s->output, "-o", "got one of the "
				   "inputs, expected another file; inputs are "
				   "never written");
	if (!S_ISREG(about.st_mode))
		return fail_output(r, s->output, "not a plain file");
	return s->overwrite || fail_exists(r, s->output);
}

const char *output_begin(const char *path, report *r)
{
	static const char pattern[] = ".iris-readout.XXXXXX";
	char folder[PATH_ROOM + 16];
	int descriptor;

	folder_of(path, folder);
	(void)snprintf(temporary, sizeof temporary, "%s%s", folder, pattern);
	descriptor = mkstemp(temporary);
	if (descriptor < 0) {
		(void)fail_output(r, path, strerror(errno));
		return NULL;
	}
	begun = 1;
	catch_signals();
	/* CFITSIO wants to make the file itself. */
	(void)close(descriptor);
	(void)unlink(temporary);
	return temporary;
}

static bool flush(const char *path, int flags)
{
	int descriptor = open(path, flags);
	bool good = descriptor >= 0 && fsync(descriptor) == 0;

	if (descriptor >= 0 && close(descriptor) != 0)
		good = false;
	return good;
}

/* Give the final name; without overwrite never to a file that came since. */
static bool rename_to(const char *path, bool overwrite)
{
	if (!overwrite && link(temporary, path) == 0)
		return unlink(temporary) == 0;
	if (!overwrite && (errno == EEXIST || access(path, F_OK) == 0)) {
		errno = EEXIST;
		return false;
	}
	return rename(temporary, path) == 0;
}

bool output_commit(const char *path, bool overwrite, report *r)
{
	char folder[PATH_ROOM + 16];

	folder_of(path, folder);
	if (!flush(temporary, O_RDWR))
		return fail_output(r, path, strerror(errno));
	if (!rename_to(path, overwrite))
		return errno == EEXIST ? fail_exists(r, path)
				       : fail_output(r, path, strerror(errno));
	begun = 0;
	(void)flush(folder, O_RDONLY); /* not every file system can */
	return true;
}

void output_abandon(void)
{
	if (begun)
		(void)unlink(temporary);
	begun = 0;
}
