/* SPDX-License-Identifier: BSD-3-Clause */
/* What fuzz targets share: numbers out of bytes, and claims that must hold. */
#ifndef IRIS_READOUT_TESTS_FUZZ_H
#define IRIS_READOUT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Entry point that libFuzzer, or replay.c, calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLAIM(condition)                                                   \
	do {                                                               \
		if (!(condition)) {                                        \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__,     \
				      __LINE__, #condition);               \
			abort();                                           \
		}                                                          \
	} while (0)

/* Bytes that were not used yet; zeros once they are. */
typedef struct source {
	const uint8_t *byte;
	size_t left;
} source;

static inline uint32_t take(source *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->byte++;
}

/* A number below `limit`, which is at most 256. */
static inline uint32_t take_below(source *s, uint32_t limit)
{
	return take(s) % limit;
}

static inline uint32_t take_16(source *s)
{
	const uint32_t high = take(s);

	return high << 8 | take(s);
}

#endif
