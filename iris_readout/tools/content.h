/* SPDX-License-Identifier: BSD-3-Clause */
/* What is known of a file from its bytes alone, read once from end to end. */
#ifndef CONTENT_H
#define CONTENT_H

#include "report.h"
#include "sha256.h"

#include <sys/stat.h>

enum { CONTENT_MAGIC = 9, FITS_BLOCK = 2880 };

/* A file as it was when it was checked. */
typedef struct file_state {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
} file_state;

typedef struct content {
	unsigned char magic[CONTENT_MAGIC];
	unsigned char tail[4];
	uint64_t size;
	char hex[SHA256_HEX];
	file_state state;
	uint32_t *sums; /* of each whole block of FITS_BLOCK bytes */
	size_t nsum, capacity;
	int trouble; /* errno, or one of content.c */
} content;

/* Never fails itself: content_check tells. */
void content_read(content *bytes, const char *path);

/* The same for many files, by some threads (0: one for each processor). */
void content_read_all(content *bytes, char *const *paths, size_t count,
		      unsigned nthreads);

/* Fail unless all bytes could be read. */
bool content_check(const content *bytes, const char *path, report *r);

/*
 * Sum of the 32-bit big-endian words of the bytes from `begin` to `end`, both
 * multiples of FITS_BLOCK, in ones' complement: DATASUM of the FITS standard
 * (4.0, appendix J).
 */
uint32_t content_sum(const content *bytes, int64_t begin, int64_t end);

/* Fail unless a file is the one that was read. */
bool content_same(const file_state *then, const struct stat *now,
		  const char *path, report *r);

void content_free(content *bytes);

#endif
