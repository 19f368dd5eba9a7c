/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The linear estimators of the rate and the chi-square of a ramp.
 *
 * Every estimator is a set of weights w_k, one per read, that add up to 0 in
 * each run of joined reads.  With W_k = sum over i >= k of w_i, the charge
 * collected between reads k - 1 and k enters all later reads and so weighs
 * W_k: the photon variance is rate * sum W_k^2 (t_k - t_{k-1}), exact for the
 * correlated reads of a ramp.
 */
#include "internal.h"

#include <math.h>

/* End of the run of joined reads that begins at `first`. */
static size_t run_end(const iris_pixel *pixel, size_t first)
{
	size_t end = first + 1;

	while (end < pixel->nread && !pixel->broken[end])
		end++;
	return end;
}

/*
 * One slope and an offset per run: w = (t - mean t of the run) over the sum of
 * squares of all runs.  A run of one read has weight 0.
 */
static void set_slope(iris_estimator *estimator, const iris_pixel *pixel)
{
	double total = 0.0;
	size_t first, end, k;

	estimator->nused = 0;
	for (first = 0; first < pixel->nread; first = end) {
		double mean = 0.0;

		end = run_end(pixel, first);
		for (k = first; k < end; k++)
			mean += pixel->time[k] - pixel->time[first];
		mean /= (double)(end - first);
		for (k = first; k < end; k++) {
			const double t = pixel->time[k] - pixel->time[first]
				- mean;

			estimator->weight[k] = t;
			total += t * t;
		}
		if (end - first > 1)
			estimator->nused += end - first;
	}
	for (k = 0; k < pixel->nread; k++)
		estimator->weight[k] /= total > 0.0 ? total : 1.0;
}

/* Mean of the last n reads minus mean of the first n, over the mean time. */
static void set_difference(iris_estimator *estimator, const iris_pixel *pixel,
			   size_t n)
{
	const size_t last = pixel->nread - n;
	double time = 0.0;
	size_t k;

	for (k = 0; k < n; k++)
		time += pixel->time[last + k] - pixel->time[k];
	for (k = 0; k < pixel->nread; k++)
		estimator->weight[k] = 0.0;
	for (k = 0; k < n; k++) {
		estimator->weight[k] = -1.0 / time;
		estimator->weight[last + k] = 1.0 / time;
	}
	estimator->nused = 2 * n;
}

/*
 * Set the estimator of the mode for the usable reads of a pixel.
 *
 * Given:    options  mode, nfowler
 *           pixel    nread, time, broken
 * Returned: estimator  nused 0 where the reads give no rate
 */
void iris_estimator_set(iris_estimator *estimator, const iris_options *options,
			const iris_pixel *pixel)
{
	double sum = 0.0;
	size_t k;

	estimator->nused = 0;
	estimator->photon_factor = 0.0;
	if (pixel->nread < 2)
		return;
	if (options->mode == IRIS_MODE_UTR)
		set_slope(estimator, pixel);
	else if (options->mode == IRIS_MODE_CDS)
		set_difference(estimator, pixel, 1);
	else if (options->nfowler < pixel->nread / 2)
		set_difference(estimator, pixel, options->nfowler);
	else
		set_difference(estimator, pixel, pixel->nread / 2);
	for (k = pixel->nread - 1; k > 0; k--) {
		sum += estimator->weight[k];
		if (!pixel->broken[k])
			estimator->photon_factor += sum * sum
				* (pixel->time[k] - pixel->time[k - 1]);
	}
}

/*
 * Chi-square per degree of freedom of the differences in use about their best
 * constant rate.
 *
 * Given:    pixel  charge, noise, time, broken
 *           rate   e-/s, fitted: sets the photon part of the covariance
 * Returned: NaN with fewer than two differences in use
 *
 * The covariance of the differences is tridiagonal (Brandt 2024, PASP 136,
 * 045004, doi:10.1088/1538-3873/ad38d9, section 2): dt rate + s_{k-1} + s_k on
 * the diagonal, -s_k beside it.  One forward sweep of its L D L^T factors over
 * each run gives A = d' C^-1 d, B = t' C^-1 d, G = t' C^-1 t; the best constant
 * is B / G and chi-square A - B^2 / G.  The fitted rate is taken off d first,
 * so that A and B^2 / G stay small.
 */
double iris_chi_square(const iris_pixel *pixel, double rate)
{
	const double photons = fmax(rate, 0.0);
	double a = 0.0, b = 0.0, g = 0.0;
	double pivot = 0.0, y = 0.0, z = 0.0;
	size_t count = 0, k;

	for (k = 1; k < pixel->nread; k++) {
		const double dt = pixel->time[k] - pixel->time[k - 1];
		const double d = pixel->charge[k] - pixel->charge[k - 1]
			- rate * dt;
		const double diagonal = photons * dt + pixel->noise[k - 1]
			+ pixel->noise[k];

		if (pixel->broken[k])
			continue;
		if (pixel->broken[k - 1]) {
			pivot = diagonal;
			y = d;
			z = dt;
		} else {
			const double below = -pixel->noise[k - 1];
			const double factor = below / pivot;

			pivot = diagonal - factor * below;
			y = d - factor * y;
			z = dt - factor * z;
		}
		a += y * y / pivot;
		b += y * z / pivot;
		g += z * z / pivot;
		count++;
	}
	if (count < 2)
		return NAN;
	return fmax(a - b * b / g, 0.0) / (double)(count - 1);
}
