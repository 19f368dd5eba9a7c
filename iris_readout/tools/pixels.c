/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* madvise */
#include "pixels.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * A file that is cut short, or a disk that fails, while it is mapped: pixels
 * that are not there raise this signal.  Nothing was written yet.
 */
static void lose_file(int number)
{
	static const char message[] =
		"iris-readout: reads: got a file that could not be read to its "
		"end while it was fitted, expected it to stay as it is; copy "
		"it again\n";
	ssize_t n = write(STDERR_FILENO, message, sizeof message - 1);

	(void)number;
	(void)n;
	_exit(EXIT_INPUT);
}

static void catch_loss(struct sigaction *before)
{
	struct sigaction action;

	memset(&action, 0, sizeof action);
	action.sa_handler = lose_file;
	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGBUS, &action, before);
}

bool pixels_open(pixel_source *p, const exposure *e, report *r)
{
	memset(p, 0, sizeof *p);
	p->exposure = e;
	p->maps = calloc(e->nfile, sizeof *p->maps);
	if (p->maps == NULL)
		return report_memory(r);
	catch_loss(&p->before);
	return true;
}

static size_t read_bytes(const raw_file *file)
{
	return (size_t)file->shape.nx * (size_t)file->shape.ny *
	       sizeof(uint16_t);
}

/* Where a read begins in its file. */
static size_t offset_of(const raw_file *file, const raw_read *read)
{
	return (size_t)file->data_at + (size_t)read->plane * read_bytes(file);
}

/*
 * Map a whole file that is still the one that was checked.  A file that cannot
 * be mapped, by its file system or for want of mappings, is no failure.
 */
static bool map_file(mapping *map, const raw_file *file, report *r)
{
	struct stat about;
	int descriptor = open(file->path, O_RDONLY | O_CLOEXEC);
	void *start = MAP_FAILED;
	bool good = true;

	if (descriptor < 0)
		return true;
	if (fstat(descriptor, &about) == 0) {
		good = content_same(&file->state, &about, file->path, r);
		if (good)
			start = mmap(NULL, (size_t)about.st_size, PROT_READ,
				     MAP_PRIVATE, descriptor, 0);
	}
	(void)close(descriptor);
	if (start == MAP_FAILED)
		return good;
	map->start = start;
	map->size = (size_t)about.st_size;
	(void)madvise(start, map->size, MADV_WILLNEED);
	return true;
}

/* The bytes of a read in its mapped file, or NULL. */
static bool find_mapped(pixel_source *p, const raw_read *read,
			const unsigned char **bytes, report *r)
{
	const raw_file *file = &p->exposure->files[read->file];
	mapping *map = &p->maps[read->file];
	size_t at = offset_of(file, read);

	*bytes = NULL;
	if (file->data_at <= 0)
		return true;
	if (map->start == NULL && !map_file(map, file, r))
		return false;
	if (map->start != NULL && at < map->size &&
	    map->size - at >= read_bytes(file))
		*bytes = map->start + at;
	return true;
}

static bool open_file(pixel_source *p, const raw_read *read, report *r)
{
	const raw_file *file = &p->exposure->files[read->file];
	struct stat about;
	int status = 0;

	if (p->file != NULL && p->index == read->file)
		return true;
	fitsfile_close(p->file);
	p->file = NULL;
	p->index = read->file;
	if (stat(file->path, &about) == 0 &&
	    !content_same(&file->state, &about, file->path, r))
		return false;
	if (fits_open_diskfile(&p->file, file->path, READONLY, &status) == 0)
		return true;
	p->file = NULL;
	return fitsfile_failed(r, file->path, "PRIMARY", status);
}

/* Native counts, through CFITSIO. */
static bool read_pixels(pixel_source *p, const raw_read *read,
			uint16_t *counts, report *r)
{
	const raw_file *file = &p->exposure->files[read->file];
	LONGLONG count = file->shape.nx * file->shape.ny;
	LONGLONG first[3] = { 1, 1, read->plane + 1 };
	int status = 0;

	if (!open_file(p, read, r))
		return false;
	if (fits_read_pixll(p->file, TUSHORT, first, count, NULL, counts, NULL,
			    &status) == 0)
		return true;
	return fitsfile_failed(r, file->path, "PRIMARY", status);
}

bool pixels_fetch(pixel_source *p, const raw_read *read, iris_read *one,
		  report *r)
{
	const raw_file *file = &p->exposure->files[read->file];
	const unsigned char *bytes;

	if (!find_mapped(p, read, &bytes, r))
		return false;
	if (bytes != NULL) {
		one->counts = bytes;
		one->order = IRIS_FITS;
		one->borrowed = 1;
		return true;
	}
	if (p->counts == NULL)
		p->counts = malloc(read_bytes(file));
	if (p->counts == NULL)
		return report_memory(r);
	one->counts = p->counts;
	one->order = IRIS_NATIVE;
	one->borrowed = 0;
	return read_pixels(p, read, p->counts, r);
}

void pixels_forget(const pixel_source *p, const raw_read *read)
{
	const raw_file *file = &p->exposure->files[read->file];
	const mapping *map = &p->maps[read->file];
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t begin, end;

	if (map->start == NULL)
		return;
	begin = (offset_of(file, read) + page - 1) / page * page;
	end = (offset_of(file, read) + read_bytes(file)) / page * page;
	/* They come back from the file if they are wanted after all. */
	if (begin < end && end <= map->size)
		(void)madvise((void *)(uintptr_t)(map->start + begin),
			      end - begin, MADV_DONTNEED);
}

void pixels_release(pixel_source *p)
{
	for (size_t i = 0; p->maps != NULL && i < p->exposure->nfile; i++) {
		mapping *map = &p->maps[i];

		if (map->start != NULL)
			(void)munmap((void *)(uintptr_t)map->start, map->size);
		map->start = NULL;
	}
}

void pixels_close(pixel_source *p)
{
	pixels_release(p);
	fitsfile_close(p->file);
	if (p->maps != NULL)
		(void)sigaction(SIGBUS, &p->before, NULL);
	free(p->maps);
	free(p->counts);
	memset(p, 0, sizeof *p);
}

bool pixels_compare(const exposure *e, const raw_read *a, const raw_read *b,
		    bool *same, report *r)
{
	const size_t size = read_bytes(&e->files[a->file]);
	pixel_source source;
	uint16_t *counts = malloc(2 * size);
	bool good;

	if (counts == NULL)
		return report_memory(r);
	good = pixels_open(&source, e, r) &&
	       read_pixels(&source, a, counts, r) &&
	       read_pixels(&source, b, counts + size / sizeof *counts, r);
	*same = good && memcmp(counts, counts + size / sizeof *counts,
			       size) == 0;
	pixels_close(&source);
	free(counts);
	return good;
}
