/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reference pixels: the level of each read is measured on the reference rows
 * at the bottom and the top of the detector, apart for each output stripe and
 * column parity (the two column sets of an H4RG output have their own
 * offsets), and taken off every pixel of that stripe and parity.
 *
 * The level is the mean of the values within CLIP robust sigmas of the median.
 * Where a stripe has no usable pixel of one parity, the pixels of both
 * parities stand in, then those of the whole detector; without any the level
 * is 0 (such a read is all zero or all saturated).
 */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

/* Clips 6e-5 of Gaussian values: the variance of the mean is as unclipped. */
#define CLIP 4.0
/* Sigma of a Gaussian over its median absolute deviation. */
#define SIGMA_PER_MAD 1.4826
/* Digitisation can hide a noise below 1 DN: never clip closer than this, DN. */
#define CLOSEST 2.0

/*
 * The whole border may be marked DO_NOT_USE because it is a border, which says
 * nothing about its use as reference.
 */
bool iris_refpix_usable(uint32_t dq)
{
	const uint32_t broken = IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL)
		| IRIS_DQ_MASK(IRIS_DQ_DEAD) | IRIS_DQ_MASK(IRIS_DQ_HOT)
		| IRIS_DQ_MASK(IRIS_DQ_OTHER_BAD_PIXEL);
	const uint32_t border = IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)
		| IRIS_DQ_MASK(IRIS_DQ_NON_SCIENCE);

	if (dq & broken)
		return false;
	return !(dq & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)) || (dq & border);
}

/* Level of column x among the levels of one read. */
size_t iris_refpix_index(const iris_options *options, size_t x)
{
	return x / (options->nx / options->noutputs) * 2 + (x & 1);
}

/* Noise of one pixel in DN, or 0 where the maps have none. */
static double noise_dn(const iris_options *o, size_t pixel)
{
	const float gain = iris_map_at(&o->gain, pixel);
	const float noise = iris_map_at(&o->read_noise, pixel);

	if (!iris_is_good(gain) || !iris_is_good(noise))
		return 0.0;
	return (double)noise / (double)gain;
}

/*
 * Noise [DN] that stands in for reference pixels without one, as in maps made
 * from flats: the mean over all pixels that have one.
 */
double iris_refpix_border_noise(const iris_options *options)
{
	const size_t npixel = options->ny * options->nx;
	double sum = 0.0;
	size_t count = 0, i;

	for (i = 0; i < npixel; i++) {
		const double noise = noise_dn(options, i);

		sum += noise;
		count += noise > 0.0;
	}
	return count > 0 ? sum / (double)count : 0.0;
}

/*
 * Gather the reference rows of columns x0, x0 + step, ... < x1 of one read:
 * values into ramp->border, their variances into ramp->border_var.
 */
static size_t gather(iris_ramp *ramp, const uint16_t *read, size_t x0,
		     size_t x1, size_t step)
{
	const iris_options *o = &ramp->options;
	size_t count = 0, row, x;

	for (row = 0; row < 2 * o->ref_pixels; row++) {
		const size_t y = row < o->ref_pixels
			? row : o->ny - 2 * o->ref_pixels + row;

		for (x = x0; x < x1; x += step) {
			const size_t i = y * o->nx + x;
			double noise;

			if (o->bad_pixels != NULL
			    && !iris_refpix_usable(o->bad_pixels[i]))
				continue;
			if (read[i] == 0 || read[i] == UINT16_MAX)
				continue;
			noise = noise_dn(o, i);
			if (!(noise > 0.0))
				noise = ramp->border_noise;
			ramp->border[count] = read[i];
			ramp->border_var[count] = noise * noise;
			count++;
		}
	}
	return count;
}

static int compare_counts(const void *a, const void *b)
{
	const uint16_t left = *(const uint16_t *)a;
	const uint16_t right = *(const uint16_t *)b;

	return (left > right) - (left < right);
}

static double sorted_median(const uint16_t *sorted, size_t count)
{
	return 0.5 * ((double)sorted[(count - 1) / 2]
		      + (double)sorted[count / 2]);
}

/* Median absolute deviation from twice_median / 2, by merging both sides. */
static double sorted_mad(const uint16_t *sorted, size_t count, double median)
{
	size_t low = 0, high = count - 1, left = count / 2;

	/* Take off the largest deviations until half of the values are left. */
	for (; left > 0; left--) {
		if (median - (double)sorted[low]
		    > (double)sorted[high] - median)
			low++;
		else
			high--;
	}
	return fmax(median - (double)sorted[low],
		    (double)sorted[high] - median);
}

/* Clipped mean of `count` gathered values; sorted is scratch for as many. */
static iris_level clipped_mean(const uint16_t *values, const double *variances,
			       size_t count, uint16_t *sorted)
{
	iris_level level = {0.0, 0.0};
	double median, width;
	size_t kept = 0, i;

	for (i = 0; i < count; i++)
		sorted[i] = values[i];
	qsort(sorted, count, sizeof(*sorted), compare_counts);
	median = sorted_median(sorted, count);
	width = fmax(CLIP * SIGMA_PER_MAD * sorted_mad(sorted, count, median),
		     CLOSEST);
	for (i = 0; i < count; i++) {
		if (fabs((double)values[i] - median) > width)
			continue;
		level.mean += (double)values[i];
		level.variance += variances[i];
		kept++;
	}
	level.mean /= (double)kept;
	level.variance /= (double)kept * (double)kept;
	return level;
}

/*
 * Levels of one read.
 *
 * Given:    read    counts (ny, nx), native order
 * Returned: levels  (2 * noutputs) level of stripe s, parity p at 2 * s + p
 */
void iris_refpix_measure(iris_ramp *ramp, const uint16_t *read,
			 iris_level *levels)
{
	const iris_options *o = &ramp->options;
	const size_t width = o->nx / o->noutputs;
	uint16_t *sorted = ramp->border + 2 * o->ref_pixels * o->nx;
	size_t stripe, parity;

	for (stripe = 0; stripe < o->noutputs; stripe++) {
		const size_t x0 = stripe * width, x1 = x0 + width;

		for (parity = 0; parity < 2; parity++) {
			const size_t start = x0 + ((x0 ^ parity) & 1);
			iris_level level = {0.0, 0.0};
			size_t count = gather(ramp, read, start, x1, 2);

			if (count == 0)
				count = gather(ramp, read, x0, x1, 1);
			if (count == 0)
				count = gather(ramp, read, 0, o->nx, 1);
			if (count > 0)
				level = clipped_mean(ramp->border,
						     ramp->border_var, count,
						     sorted);
			levels[2 * stripe + parity] = level;
		}
	}
}

/* Take the levels off the counts of a block. */
void iris_refpix_subtract(const iris_ramp *ramp, iris_block *block)
{
	size_t p, k;

	if (ramp->nlevel == 0)
		return;
	for (p = 0; p < block->count; p++) {
		const iris_level *level = ramp->levels
			+ iris_refpix_index(&ramp->options, block->x + p);
		double *counts = block->counts + p * ramp->nread;

		for (k = 0; k < block->nusable[p]; k++)
			counts[k] -= level[k * ramp->nlevel].mean;
	}
}
