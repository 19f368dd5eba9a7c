/* SPDX-License-Identifier: BSD-3-Clause */
#include "content.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Small enough to stay in the nearest caches between copy, sum and digest. */
enum { CHUNK = 16 * FITS_BLOCK };

enum { MAX_THREADS = 64, NOT_PLAIN = -1 };

/* Words of a third of a block: so many bytes add up to less than 2^16. */
enum { THIRD = FITS_BLOCK / 4 / 3 };

static uint32_t fold(uint64_t sum)
{
	while (sum >> 32 != 0)
		sum = (sum & 0xffffffff) + (sum >> 32);
	return (uint32_t)sum;
}

/* Two bytes of each word at once: vector code needs no byte swap then. */
static uint64_t sum_third(const unsigned char *bytes)
{
	uint32_t even = 0, odd = 0;

	for (size_t i = 0; i < THIRD; i++, bytes += 4) {
		const uint32_t word = (uint32_t)bytes[0] |
				      (uint32_t)bytes[1] << 8 |
				      (uint32_t)bytes[2] << 16 |
				      (uint32_t)bytes[3] << 24;

		even += word & 0x00ff00ff;
		odd += word >> 8 & 0x00ff00ff;
	}
	return ((uint64_t)(even & 0xffff) << 24) +
	       ((uint64_t)(odd & 0xffff) << 16) +
	       ((uint64_t)(even >> 16) << 8) + (odd >> 16);
}

static bool add_sum(content *bytes, const unsigned char *block)
{
	if (bytes->nsum == bytes->capacity) {
		size_t capacity = 2 * bytes->capacity + 1024;
		uint32_t *sums = realloc(bytes->sums,
					 capacity * sizeof *sums);

		if (sums == NULL)
			return false;
		bytes->sums = sums;
		bytes->capacity = capacity;
	}
	bytes->sums[bytes->nsum++] = fold(sum_third(block) +
					  sum_third(block + 4 * THIRD) +
					  sum_third(block + 8 * THIRD));
	return true;
}

static void keep_ends(content *bytes, const unsigned char *chunk, size_t n)
{
	for (size_t i = 0; i < n && bytes->size + i < CONTENT_MAGIC; i++)
		bytes->magic[bytes->size + i] = chunk[i];
	for (size_t i = n < 4 ? 0 : n - 4; i < n; i++) {
		memmove(bytes->tail, bytes->tail + 1, 3);
		bytes->tail[3] = chunk[i];
	}
	bytes->size += n;
}

/* Fill the chunk, so that blocks begin where it does; short at the end only. */
static ssize_t read_chunk(int file, unsigned char *chunk)
{
	size_t filled = 0;

	while (filled < CHUNK) {
		ssize_t n = read(file, chunk + filled, CHUNK - filled);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		filled += (size_t)n;
	}
	return (ssize_t)filled;
}

static int read_all(content *bytes, int file)
{
	unsigned char chunk[CHUNK];
	sha256 digest;
	ssize_t n;

	sha256_begin(&digest);
	while ((n = read_chunk(file, chunk)) > 0) {
		sha256_add(&digest, chunk, (size_t)n);
		for (ssize_t at = 0; at + FITS_BLOCK <= n; at += FITS_BLOCK)
			if (!add_sum(bytes, chunk + at))
				return ENOMEM;
		keep_ends(bytes, chunk, (size_t)n);
	}
	sha256_end(&digest, bytes->hex);
	return n < 0 ? EIO : 0;
}

static file_state state_of(const struct stat *about)
{
	return (file_state){ about->st_dev, about->st_ino, about->st_size,
			     about->st_mtim };
}

void content_read(content *bytes, const char *path)
{
	struct stat about;
	int file;

	memset(bytes, 0, sizeof *bytes);
	/* Before it is opened: a pipe would wait for its other end. */
	if (stat(path, &about) == 0 && !S_ISREG(about.st_mode)) {
		bytes->trouble = NOT_PLAIN;
		return;
	}
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || fstat(file, &about) != 0) {
		bytes->trouble = errno;
	} else {
		bytes->state = state_of(&about);
		bytes->trouble = read_all(bytes, file);
	}
	if (file >= 0)
		(void)close(file);
}

/* What the threads share: each takes the next file. */
typedef struct queue {
	content *bytes;
	char *const *paths;
	size_t count;
	atomic_size_t next;
} queue;

static void *work(void *shared)
{
	queue *q = shared;
	size_t i;

	while ((i = atomic_fetch_add(&q->next, 1)) < q->count)
		content_read(&q->bytes[i], q->paths[i]);
	return NULL;
}

void content_read_all(content *bytes, char *const *paths, size_t count,
		      unsigned nthreads)
{
	queue q = { .bytes = bytes, .paths = paths, .count = count };
	pthread_t threads[MAX_THREADS];
	size_t wanted = nthreads, started = 0;

	if (nthreads == 0) {
		long n = sysconf(_SC_NPROCESSORS_ONLN);

		wanted = n > 0 ? (size_t)n : 1;
	}
	wanted = wanted < count ? wanted : count;
	wanted = wanted < MAX_THREADS ? wanted : MAX_THREADS;
	atomic_init(&q.next, 0);
	/* This thread is one of them; where none can be had, it does all. */
	while (started + 1 < wanted &&
	       pthread_create(&threads[started], NULL, work, &q) == 0)
		started++;
	(void)work(&q);
	while (started > 0)
		(void)pthread_join(threads[--started], NULL);
}

bool content_check(const content *bytes, const char *path, report *r)
{
	static const char remedy[] = "check its name and permissions";

	switch (bytes->trouble) {
	case 0:
		return true;
	case NOT_PLAIN:
		return report_fail(r, path, "file", "got something that is "
				   "not a plain file, expected a FITS file; "
				   "%s", remedy);
	case ENOMEM:
		return report_memory(r);
	case EIO:
		return report_fail(r, path, "file", "got a read error, "
				   "expected %s; check the disk",
				   "all its bytes");
	default:
		return report_fail(r, path, "file", "got '%s', expected a "
				   "readable FITS file; %s",
				   strerror(bytes->trouble), remedy);
	}
}

uint32_t content_sum(const content *bytes, int64_t begin, int64_t end)
{
	uint64_t sum = 0;

	for (int64_t i = begin / FITS_BLOCK; i < end / FITS_BLOCK; i++)
		if ((uint64_t)i < bytes->nsum)
			sum += bytes->sums[i];
	return fold(sum);
}

bool content_same(const file_state *then, const struct stat *now,
		  const char *path, report *r)
{
	if (now->st_size < then->size)
		return report_fail(r, path, "file", "got a file of %lld bytes, "
				   "expected the %lld it had when it was "
				   "checked: it was truncated since; copy it "
				   "again", (long long)now->st_size,
				   (long long)then->size);
	if (now->st_size == then->size && now->st_dev == then->device &&
	    now->st_ino == then->inode &&
	    now->st_mtim.tv_sec == then->modified.tv_sec &&
	    now->st_mtim.tv_nsec == then->modified.tv_nsec)
		return true;
	return report_fail(r, path, "file", "got a file that was changed since "
			   "it was checked, expected the same; %s",
			   "run again when it is complete");
}

void content_free(content *bytes)
{
	free(bytes->sums);
	memset(bytes, 0, sizeof *bytes);
}
