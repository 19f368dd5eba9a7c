/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two-point test: a leave-one-out test of each difference of neighbouring reads against
 * the rate of all the others.
 *
 *     r_i = d_i - dt_i (D - d_i) / (T - dt_i),  D = sum d_j,  T = sum dt_j
 *
 * over the differences in use.  With f = dt_i / (T - dt_i) the coefficients
 * of r_i are 1 for d_i and -f for every other difference, so that neighbouring
 * differences in use cancel in the reads between them: only the ends of runs
 * of differences (-/+f), and the two reads of d_i (1 + f, or 1 at the end of a
 * run) are left.  The variance is exact for independent reads and Poisson
 * charge:
 *
 *     var r_i = sum_k c_k^2 s_k + max(0, rate of the others) dt_i (1 + f)
 *
 * The most significant difference above the threshold is taken out and the
 * rest is tested again.  With two differences left only their disagreement can
 * be seen; the one with the larger rate is then the hit, because particles add
 * charge.  With one there is nothing to test.
 */
#include "internal.h"

#include <math.h>

#define SMALLEST 1e-60 /* e-^2 */

/* Sums over the differences in use. */
typedef struct sums {
	double charge; /* e- */
	double time;   /* s */
	double ends;   /* variance of the reads at the ends of runs, e-^2 */
	size_t count;
} sums;

static sums add_up(const iris_pixel *pixel)
{
	sums s = {0.0, 0.0, 0.0, 0};
	size_t i;

	for (i = 1; i < pixel->nsample; i++) {
		if (pixel->broken[i])
			continue;
		s.charge += pixel->charge[i] - pixel->charge[i - 1];
		s.time += pixel->time[i] - pixel->time[i - 1];
		if (pixel->broken[i - 1])
			s.ends += pixel->variance;
		if (i + 1 == pixel->nsample || pixel->broken[i + 1])
			s.ends += pixel->variance;
		s.count++;
	}
	return s;
}

/* Residual of difference i, one of those in use, and its variance. */
static double residual(const iris_pixel *pixel, const sums *s, size_t i,
		       double *variance)
{
	const double charge = pixel->charge[i] - pixel->charge[i - 1];
	const double time = pixel->time[i] - pixel->time[i - 1];
	const double rate = (s->charge - charge) / (s->time - time);
	const double f = time / (s->time - time);
	const bool first = pixel->broken[i - 1];
	const bool last = i + 1 == pixel->nsample || pixel->broken[i + 1];
	const double joined = (1.0 + f) * (1.0 + f);
	const double alone = 1.0 - f * f; /* an end: s->ends has f^2 of it */

	*variance = f * f * s->ends
		+ (first ? alone : joined) * pixel->variance
		+ (last ? alone : joined) * pixel->variance
		+ fmax(rate, 0.0) * time * (1.0 + f);
	return charge - rate * time;
}

/* Most significant difference in use; 0 where none is above the threshold. */
static size_t most_significant(const iris_pixel *pixel, const sums *s,
			       double threshold)
{
	double highest = threshold * threshold;
	size_t found = 0, i;

	for (i = 1; i < pixel->nsample; i++) {
		double r, variance;

		if (pixel->broken[i])
			continue;
		r = residual(pixel, s, i, &variance);
		if (r * r > highest * variance) {
			highest = r * r / variance;
			found = i;
		}
	}
	return found;
}

/* The larger of two differences in use, if they disagree; else 0. */
static size_t larger_of_two(const iris_pixel *pixel, const sums *s,
			    double threshold)
{
	size_t i;

	for (i = 1; i < pixel->nsample; i++) {
		double r, variance;

		if (pixel->broken[i])
			continue;
		r = residual(pixel, s, i, &variance);
		if (r > 0.0 && r * r > threshold * threshold * variance)
			return i;
	}
	return 0;
}

/* Amplitude of a broken difference against all that are left. */
static void measure(iris_pixel pixel, iris_jump *jump)
{
	const size_t i = jump->sample;
	double variance;
	sums s;

	pixel.broken[i] = 0;
	s = add_up(&pixel);
	jump->amplitude = residual(&pixel, &s, i, &variance);
	/* Steps that differ by many powers of ten may leave no variance. */
	jump->sigma = jump->amplitude / sqrt(fmax(variance, SMALLEST));
	pixel.broken[i] = 1;
}

/*
 * Find the jumps of one pixel and break the ramp at them.
 *
 * Given:    pixel      charge, variance, time; broken[0] set, the others clear
 *           threshold  two-sided, in sigma
 * Returned: jumps      (nsample) in order of time
 *           the number of jumps; broken is set at each
 */
size_t iris_two_point_find(const iris_pixel *pixel, double threshold,
		      iris_jump *jumps)
{
	size_t count = 0, found, i;

	for (;;) {
		const sums s = add_up(pixel);

		if (s.count < 2)
			break;
		found = s.count == 2 ? larger_of_two(pixel, &s, threshold)
				     : most_significant(pixel, &s, threshold);
		if (found == 0)
			break;
		pixel->broken[found] = 1;
		count++;
	}
	if (count == 0)
		return 0;
	count = 0;
	for (i = 1; i < pixel->nsample; i++) {
		if (!pixel->broken[i])
			continue;
		jumps[count].sample = i;
		measure(*pixel, &jumps[count]);
		count++;
	}
	return count;
}
