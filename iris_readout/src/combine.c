/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ramps of one exposure, combined pixel by pixel.
 *
 * The weights come from the read pattern and the read noise at one common
 * rate.  With the photon variance of each ramp's own rate, a ramp that
 * fluctuates low would weigh more and faint pixels would come out too faint.
 */
#include "internal.h"

#include <math.h>

static bool is_used(const iris_planes *ramp, size_t i)
{
	return !(ramp->dq[i] & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE))
		&& isfinite(ramp->rate[i]) && isfinite(ramp->photon_factor[i])
		&& iris_is_good(ramp->var_read[i]);
}

/* Mean rate of the used ramps weighted by 1 / var_read, not below 0. */
static double common_rate(const iris_planes *ramps, size_t nramps, size_t i)
{
	double sum = 0.0, weights = 0.0;
	size_t r;

	for (r = 0; r < nramps; r++) {
		if (!is_used(&ramps[r], i))
			continue;
		sum += (double)ramps[r].rate[i] / (double)ramps[r].var_read[i];
		weights += 1.0 / (double)ramps[r].var_read[i];
	}
	return weights > 0.0 ? fmax(sum / weights, 0.0) : 0.0;
}

/* Sums over the used ramps of one pixel. */
typedef struct sums {
	double weight, rate, var_read, photon_factor, chi2, dof;
	uint32_t used_dq, all_dq;
	unsigned long nused;
	size_t count;
} sums;

static void add(sums *s, const iris_planes *ramp, size_t i, double common)
{
	const double var_read = (double)ramp->var_read[i];
	const double factor = (double)ramp->photon_factor[i];
	const double weight = 1.0 / (var_read + factor * common);

	s->count++;
	s->used_dq |= ramp->dq[i];
	s->weight += weight;
	s->rate += weight * (double)ramp->rate[i];
	s->var_read += weight * weight * var_read;
	s->photon_factor += weight * weight * factor;
	if (ramp->nused != NULL)
		s->nused += ramp->nused[i];
	if (ramp->chi2 != NULL && ramp->nused != NULL && ramp->nused[i] > 2
	    && isfinite(ramp->chi2[i])) {
		s->dof += ramp->nused[i] - 2.0;
		s->chi2 += (ramp->nused[i] - 2.0) * (double)ramp->chi2[i];
	}
}

static sums add_up(const iris_planes *ramps, size_t nramps, size_t i)
{
	const double common = common_rate(ramps, nramps, i);
	sums s = {0};
	size_t r;

	for (r = 0; r < nramps; r++) {
		s.all_dq |= ramps[r].dq[i];
		if (is_used(&ramps[r], i))
			add(&s, &ramps[r], i, common);
	}
	return s;
}

static void store(const iris_planes *out, size_t i, const sums *s)
{
	const bool none = s->count == 0;
	const bool border = s->all_dq & IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
	const double empty = border ? 0.0 : NAN;
	const double norm = s->weight * s->weight;
	const double rate = none ? empty : s->rate / s->weight;
	const double factor = none ? empty : s->photon_factor / norm;

	out->rate[i] = (float)rate;
	if (out->var_read != NULL)
		out->var_read[i] = (float)(none ? empty : s->var_read / norm);
	if (out->var_photon != NULL)
		out->var_photon[i] = (float)(none ? empty
					     : fmax(rate, 0.0) * factor);
	if (out->photon_factor != NULL)
		out->photon_factor[i] = (float)factor;
	if (out->chi2 != NULL)
		out->chi2[i] = s->dof > 0.0 ? (float)(s->chi2 / s->dof) : NAN;
	if (out->dq != NULL)
		out->dq[i] = none ? s->all_dq
			| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE) : s->used_dq;
	if (out->nused != NULL)
		out->nused[i] = s->nused < UINT16_MAX
			? (uint16_t)s->nused : UINT16_MAX;
}

iris_status iris_combine_ramps(const iris_planes *ramps, size_t nramps,
			       size_t npixels, const iris_planes *out)
{
	size_t r, i;

	if (ramps == NULL || out == NULL || out->rate == NULL)
		return IRIS_ERROR_NULL;
	if (nramps == 0)
		return IRIS_ERROR_TOO_FEW;
	for (r = 0; r < nramps; r++) {
		const iris_planes *ramp = &ramps[r];

		if (ramp->rate == NULL || ramp->var_read == NULL
		    || ramp->var_photon == NULL || ramp->photon_factor == NULL
		    || ramp->dq == NULL)
			return IRIS_ERROR_NULL;
		if ((out->chi2 != NULL || out->nused != NULL)
		    && ramp->nused == NULL)
			return IRIS_ERROR_NULL;
		if (out->chi2 != NULL && ramp->chi2 == NULL)
			return IRIS_ERROR_NULL;
	}
	for (i = 0; i < npixels; i++) {
		const sums s = add_up(ramps, nramps, i);

		store(out, i, &s);
	}
	return IRIS_OK;
}
