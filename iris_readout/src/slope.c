/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Least squares of one pixel whose ramp is broken by jumps: one slope for all
 * runs of joined samples, an offset for each, in double precision.
 *
 * The weight of a sample is its time less the mean time of its run.  The charge
 * of difference i is in all later samples of the run and so weighs
 * W_i = sum of their weights, times the weight of the interval; the slope is
 * sum W_i d_i / sum W_i t_i, its photon variance follows from W_i as that of
 * every linear estimator.
 */
#include "internal.h"

#include <math.h>

/* End of the run of joined samples that begins at `first`. */
static size_t run_end(const iris_pixel *pixel, size_t first)
{
	size_t end = first + 1;

	while (end < pixel->nsample && !pixel->broken[end])
		end++;
	return end;
}

/* weights[i]: of the difference that ends with sample i, 0 where broken. */
static size_t set_weights(const iris_pattern *p, const iris_pixel *pixel,
			  double *weights)
{
	size_t used = 0, first, end, k;

	for (first = 0; first < pixel->nsample; first = end) {
		double mean = 0.0, total = 0.0, cumulated = 0.0, reads = 0.0;

		end = run_end(pixel, first);
		for (k = first; k < end; k++) {
			mean += p->count[k] * (p->time[k] - p->time[first]);
			total += p->count[k];
			reads += p->count[k];
		}
		mean /= total;
		for (k = end; k-- > first;) {
			cumulated += p->count[k]
				* (p->time[k] - p->time[first] - mean);
			weights[k] = k > first
				? cumulated * p->weight[k] : 0.0;
		}
		if (end - first > 1)
			used += (size_t)reads;
	}
	return used;
}

/* Variance of a sum of weighted differences for unit rate and read variance. */
static void set_variance(const iris_pattern *p, const iris_pixel *pixel,
			 const double *weights, iris_result *r)
{
	double read = 0.0, photon = 0.0;
	size_t k;

	for (k = 0; k < pixel->nsample; k++) {
		const double before = weights[k];
		const double after = k + 1 < pixel->nsample
			? weights[k + 1] : 0.0;

		/* Sample k: mean of count reads; its charge has tau and time. */
		read += (before - after) * (before - after) / p->count[k];
		if (k > 0)
			photon += before * before
				* (p->tau[k - 1] + p->tau[k]
				   - 2.0 * p->time[k - 1])
				+ (k > 1 ? 2.0 * before * weights[k - 1]
				   * (p->time[k - 1] - p->tau[k - 1]) : 0.0);
	}
	r->var_read = pixel->variance * read;
	r->photon_factor = photon;
}

/*
 * Given:    pixel    charge, variance, broken
 *           scratch  (4 * nsample) doubles
 * Returned: nused 0 where the samples give no rate
 */
iris_result iris_slope_fit(const iris_pattern *p, const iris_pixel *pixel,
			   double *scratch)
{
	iris_result r = {NAN, NAN, NAN, NAN, NAN, 0};
	double sum = 0.0, time = 0.0;
	const size_t used = set_weights(p, pixel, scratch);
	size_t k;

	for (k = 1; k < pixel->nsample; k++) {
		sum += scratch[k] * (pixel->charge[k] - pixel->charge[k - 1]);
		time += scratch[k] * (p->time[k] - p->time[k - 1]);
	}
	if (!(time > 0.0))
		return r;
	set_variance(p, pixel, scratch, &r);
	r.rate = sum / time;
	r.var_read /= time * time;
	r.photon_factor /= time * time;
	r.var_photon = fmax(r.rate, 0.0) * r.photon_factor;
	r.nused = used;
	r.chi2 = iris_chi_square(p, pixel, r.rate, scratch);
	return r;
}
