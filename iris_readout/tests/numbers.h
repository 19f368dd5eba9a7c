/* SPDX-License-Identifier: BSD-3-Clause */
/* Random numbers of a fixed sequence. */
#ifndef IRIS_READOUT_TESTS_NUMBERS_H
#define IRIS_READOUT_TESTS_NUMBERS_H

#include <math.h>
#include <stdint.h>

typedef struct numbers {
	uint64_t state; /* not 0 */
} numbers;

/* In [0, 1): xorshift (Marsaglia 2003, J. Stat. Soft. 8, 14). */
static inline double uniform(numbers *n)
{
	n->state ^= n->state << 13;
	n->state ^= n->state >> 7;
	n->state ^= n->state << 17;
	return (double)(n->state >> 11) / 9007199254740992.0;
}

static inline uint32_t below(numbers *n, uint32_t limit)
{
	return (uint32_t)(uniform(n) * limit);
}

/* Box and Muller. */
static inline double gaussian(numbers *n)
{
	const double radius = sqrt(-2.0 * log(1.0 - uniform(n)));

	return radius * cos(6.283185307179586 * uniform(n));
}

/* By counting arrivals; for small means. */
static inline double poisson(numbers *n, double mean)
{
	const double stop = exp(-mean);
	double product = uniform(n), count = 0.0;

	while (product > stop) {
		product *= uniform(n);
		count += 1.0;
	}
	return count;
}

#endif
