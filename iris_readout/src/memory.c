/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that is reserved once, when a ramp is made, for the most it may ever
 * need.  Its pages are zero and cost nothing until they are touched; those of
 * reads that were folded are given back.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, madvise */
#include "internal.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* Planes from this size on are asked for in large pages, where there are any. */
#define LARGE ((size_t)8 << 20)

/* `count` items of `size` bytes, page-aligned; NULL without memory. */
void *iris_reserve(size_t count, size_t size)
{
	void *memory;

	if (count == 0 || size == 0)
		count = size = 1;
	if (count > SIZE_MAX / 2 / size)
		return NULL;
	memory = mmap(NULL, count * size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return memory != MAP_FAILED ? memory : NULL;
}

/* The same for planes of which everything is touched, one page after the other. */
void *iris_reserve_planes(size_t count, size_t size)
{
	void *memory = iris_reserve(count, size);

#ifdef MADV_HUGEPAGE
	if (memory != NULL && count * size >= LARGE)
		(void)madvise(memory, count * size, MADV_HUGEPAGE);
#endif
	return memory;
}

void iris_unreserve(void *memory, size_t count, size_t size)
{
	if (count == 0 || size == 0)
		count = size = 1;
	if (memory != NULL)
		(void)munmap(memory, count * size);
}

/* Give the pages that lie wholly inside back; they read as anything after. */
void iris_discard(void *memory, size_t bytes)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t begin = ((uintptr_t)memory + page - 1) / page * page;
	const uintptr_t end = ((uintptr_t)memory + bytes) / page * page;

	if (end > begin)
		(void)madvise((char *)memory + (begin - (uintptr_t)memory),
			      end - begin, MADV_DONTNEED);
}
