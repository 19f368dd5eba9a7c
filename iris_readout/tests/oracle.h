/* SPDX-License-Identifier: BSD-3-Clause */
/* One pixel of a scene from raw counts to its result, the slow way. */
#ifndef IRIS_READOUT_TESTS_ORACLE_H
#define IRIS_READOUT_TESTS_ORACLE_H

#include "scene.h"

/* Counted reads [first, first + count) are averaged; nsample 0: none are. */
typedef struct oracle_folding {
	size_t nsample;
	size_t first[IRIS_MAX_RESULTANTS], count[IRIS_MAX_RESULTANTS];
} oracle_folding;

typedef struct oracle_result {
	double rate, var_read, photon_factor;
	double chi2; /* per degree of freedom; NaN: none */
	uint32_t dq;
	size_t nused;
	uint32_t saturated; /* number of the first saturated read, or 0 */
	uint32_t jump;      /* number of the read that a hit is found in, or 0 */
} oracle_result;

oracle_result oracle_pixel(const scene *s, const oracle_folding *folding,
			   size_t y, size_t x);

#endif
