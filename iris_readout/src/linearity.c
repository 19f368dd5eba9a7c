/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linearity: y = sum c_k x^k with x = reference-corrected DN - pedestal
 * replaces x.  The noise is taken as that of the uncorrected read: the slope
 * of the polynomial is within a few per cent of 1 below its limit.
 */
#include "internal.h"

#include <math.h>

/*
 * Correct one pixel in place.  Returns the number of reads that may be used:
 * those before the first beyond the limit (or without a finite result).
 */
static size_t correct(const iris_linearity *linearity, size_t npixel,
		      size_t pixel, double *counts, size_t nread)
{
	const float *coeffs = linearity->coeffs + pixel;
	const double limit = linearity->limit != NULL
		? (double)linearity->limit[pixel] : HUGE_VAL;
	const double pedestal = linearity->pedestal != NULL
		? (double)linearity->pedestal[pixel] : 0.0;
	size_t k, c;

	for (k = 0; k < nread; k++) {
		const double x = counts[k] - pedestal;
		double y = 0.0;

		if (x > limit)
			return k;
		for (c = linearity->ncoef; c-- > 0;)
			y = y * x + (double)coeffs[c * npixel];
		if (!isfinite(y))
			return k;
		counts[k] = y;
	}
	return nread;
}

static bool has_correction(const iris_linearity *linearity, size_t npixel,
			   size_t pixel)
{
	size_t c;

	for (c = 0; c < linearity->ncoef; c++)
		if (!isfinite(linearity->coeffs[c * npixel + pixel]))
			return false;
	return linearity->pedestal == NULL
		|| isfinite(linearity->pedestal[pixel]);
}

/* Correct a block; a pixel without a correction keeps its counts. */
void iris_linearity_apply(const iris_ramp *ramp, iris_block *block)
{
	const iris_linearity *linearity = &ramp->options.linearity;
	const size_t first = block->y * ramp->options.nx + block->x;
	size_t p;

	if (linearity->ncoef == 0)
		return;
	for (p = 0; p < block->count; p++) {
		size_t usable;

		if (iris_is_reference(&ramp->options, block->y, block->x + p))
			continue;
		if (!has_correction(linearity, ramp->npixel, first + p)) {
			block->dq[p] |= IRIS_DQ_MASK(IRIS_DQ_NO_LIN_CORR);
			continue;
		}
		usable = correct(linearity, ramp->npixel, first + p,
				 block->counts + p * ramp->nread,
				 block->nusable[p]);
		if (usable < block->nusable[p]) {
			block->dq[p] |= IRIS_DQ_MASK(IRIS_DQ_NONLINEAR);
			block->nusable[p] = (uint16_t)usable;
		}
	}
}
