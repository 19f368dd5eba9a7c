/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ramps of one exposure, combined pixel by pixel.
 *
 * The weights come from the read pattern and the read noise at one common
 * rate.  With the photon variance of each ramp's own rate, a ramp that
 * fluctuates low would weigh more and faint pixels would come out too faint.
 *
 * Pixels are added up in blocks, ramp after ramp, so that the loops are long
 * and simple.  Rejection looks at all ramps of one pixel against each other;
 * a cheap bound on the deviations spares nearly all pixels that.
 */
#include "iris_readout.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { BLOCK = 64 }; /* pixels added up together */

typedef struct stack {
	const iris_planes *ramps;
	size_t nramps;
	bool weighted, with_reads, with_chi2;
	double limit; /* square of the largest deviation [sigma^2], or 0 */
} stack;

/*
 * Ramps left out of one pixel: a list along the call stack, so that there is
 * neither a limit to their number nor an allocation.
 */
typedef struct rejected {
	size_t ramp;
	const struct rejected *earlier;
} rejected;

/* Pixels of one ramp; used is 1 or 0. */
typedef struct block {
	float used[BLOCK], rate[BLOCK], var_read[BLOCK], factor[BLOCK];
	uint32_t used_dq[BLOCK], dq[BLOCK];
} block;

/* Sums over the used ramps of each pixel of a block. */
typedef struct sums {
	double common[BLOCK]; /* first the sum, then the rate, not below 0 */
	double inverse[BLOCK]; /* sum of 1 / var_read; 0: no ramp is used */
	double lowest[BLOCK], lowest_minus[BLOCK]; /* of rate and -rate */
	double least_read[BLOCK], least_factor[BLOCK];
	double weight[BLOCK], rate[BLOCK], var_read[BLOCK], factor[BLOCK];
	double chi2[BLOCK], dof[BLOCK], nused[BLOCK], count[BLOCK];
	uint32_t used_dq[BLOCK], all_dq[BLOCK];
} sums;

static bool is_left_out(const rejected *list, size_t ramp)
{
	for (; list != NULL; list = list->earlier)
		if (list->ramp == ramp)
			return true;
	return false;
}

/*
 * 1 where a ramp has a rate, else 0.  Selects and not &&: loops without
 * branches become vector instructions.
 */
static inline float is_usable(float rate, float var_read, float factor,
			      uint32_t dq)
{
	float used = dq & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE) ? 0.0f : 1.0f;

	used = fabsf(rate) <= FLT_MAX ? used : 0.0f;
	used = var_read > 0.0f ? used : 0.0f;
	used = var_read <= FLT_MAX ? used : 0.0f;
	used = factor >= 0.0f ? used : 0.0f;
	return factor <= FLT_MAX ? used : 0.0f;
}

static bool is_used(const iris_planes *ramp, size_t i)
{
	return is_usable(ramp->rate[i], ramp->var_read[i],
			 ramp->photon_factor[i], ramp->dq[i]) > 0.0f;
}

/* Pixels of one ramp, harmless numbers where it is not used. */
static void take(block *restrict b, const iris_planes *ramp, size_t first,
		 size_t count)
{
	const float *restrict rate = ramp->rate + first;
	const float *restrict var_read = ramp->var_read + first;
	const float *restrict factor = ramp->photon_factor + first;
	const uint32_t *restrict dq = ramp->dq + first;
	size_t p;

	for (p = 0; p < count; p++) {
		const float used = is_usable(rate[p], var_read[p], factor[p],
					     dq[p]);

		b->used[p] = used;
		b->rate[p] = used > 0.0f ? rate[p] : 0.0f;
		b->var_read[p] = used > 0.0f ? var_read[p] : 1.0f;
		b->factor[p] = used > 0.0f ? factor[p] : 0.0f;
		b->used_dq[p] = used > 0.0f ? dq[p] : 0;
		b->dq[p] = dq[p];
	}
}

static inline double least(double a, double b)
{
	return a < b ? a : b;
}

static void clear(sums *s, size_t count)
{
	size_t p;

	for (p = 0; p < count; p++) {
		s->common[p] = s->inverse[p] = s->weight[p] = 0.0;
		s->rate[p] = s->var_read[p] = s->factor[p] = 0.0;
		s->chi2[p] = s->dof[p] = s->nused[p] = 0.0;
		s->lowest[p] = s->lowest_minus[p] = HUGE_VAL;
		s->least_read[p] = s->least_factor[p] = HUGE_VAL;
		s->count[p] = 0.0;
		s->used_dq[p] = s->all_dq[p] = 0;
	}
}

/* First pass: what the weights and the bound on the deviations need. */
static void survey(sums *restrict s, const block *restrict b, size_t count)
{
	size_t p;

	for (p = 0; p < count; p++) {
		const double used = (double)b->used[p];
		const double r = (double)b->rate[p];
		const double v = (double)b->var_read[p];
		const double f = (double)b->factor[p];
		const double inverse = used / v;
		const double far = used > 0.0 ? 0.0 : HUGE_VAL;

		s->common[p] += r * inverse;
		s->inverse[p] += inverse;
		s->lowest[p] = least(r + far, s->lowest[p]);
		s->lowest_minus[p] = least(far - r, s->lowest_minus[p]);
		s->least_read[p] = least(v + far, s->least_read[p]);
		s->least_factor[p] = least(f + far, s->least_factor[p]);
		s->count[p] += used;
	}
	for (p = 0; p < count; p++) {
		s->used_dq[p] |= b->used_dq[p];
		s->all_dq[p] |= b->dq[p];
	}
}

/* Mean rate of the used ramps weighted by 1 / var_read, not below 0. */
static void set_common_rate(sums *s, size_t count)
{
	size_t p;

	for (p = 0; p < count; p++) {
		const double mean = s->common[p] / s->inverse[p];

		s->common[p] = mean > 0.0 ? mean : 0.0; /* 0 for 0 / 0 too */
	}
}

/* Second pass: the weighted sums. */
static void add(sums *restrict s, const block *restrict b, bool weighted,
		size_t count)
{
	/* weights of a sum: those of unit variance at every rate */
	const double own = weighted ? 1.0 : 0.0;
	size_t p;

	for (p = 0; p < count; p++) {
		const double v = (double)b->var_read[p];
		const double f = (double)b->factor[p];
		const double variance = v + f * s->common[p];
		const double w = (double)b->used[p]
			/ (own * variance + (1.0 - own));

		s->weight[p] += w;
		s->rate[p] += w * (double)b->rate[p];
		s->var_read[p] += w * w * v;
		s->factor[p] += w * w * f;
	}
}

static void add_reads(sums *restrict s, const block *restrict b,
		      const iris_planes *ramp, size_t first, size_t count)
{
	const uint16_t *restrict nused = ramp->nused + first;
	size_t p;

	for (p = 0; p < count; p++)
		s->nused[p] += (double)(b->used[p] * (float)nused[p]);
}

/* Chi-square with its degrees of freedom, the reads less two. */
static void add_chi2(sums *restrict s, const block *restrict b,
		     const iris_planes *ramp, size_t first, size_t count)
{
	const uint16_t *restrict nused = ramp->nused + first;
	const float *restrict chi2 = ramp->chi2 + first;
	size_t p;

	for (p = 0; p < count; p++) {
		const float reads = b->used[p] * (float)nused[p];
		const float finite = fabsf(chi2[p]) <= FLT_MAX ? 1.0f : 0.0f;
		const float value = finite > 0.0f ? chi2[p] : 0.0f;
		const float more = reads > 2.0f ? reads - 2.0f : 0.0f;
		const double dof = (double)(finite * more);

		s->dof[p] += dof;
		s->chi2[p] += dof * (double)value;
	}
}

/* Sums of `count` pixels over the ramps that are not in the list. */
static void add_up(const stack *t, size_t first, size_t count,
		   const rejected *list, sums *s)
{
	block b;
	size_t r;

	clear(s, count);
	for (r = 0; r < t->nramps; r++) {
		if (is_left_out(list, r))
			continue;
		take(&b, &t->ramps[r], first, count);
		survey(s, &b, count);
	}
	set_common_rate(s, count);
	for (r = 0; r < t->nramps; r++) {
		if (is_left_out(list, r))
			continue;
		take(&b, &t->ramps[r], first, count);
		add(s, &b, t->weighted, count);
		if (t->with_reads)
			add_reads(s, &b, &t->ramps[r], first, count);
		if (t->with_chi2)
			add_chi2(s, &b, &t->ramps[r], first, count);
	}
}

/*
 * The mean of the ramps times `scale`.  Without a ramp the weight is 0 and
 * everything comes out as NaN.
 */
static void finish(sums *s, double scale, size_t count)
{
	size_t p;

	for (p = 0; p < count; p++) {
		const double norm = scale / s->weight[p];

		s->rate[p] *= norm;
		s->var_read[p] *= norm * norm;
		/* of a sum, each ramp has only 1 / scale of the rate */
		s->factor[p] *= norm / s->weight[p];
		s->chi2[p] /= s->dof[p];
	}
	for (p = 0; p < count; p++) {
		if (s->count[p] > 0.0)
			continue;
		s->used_dq[p] = s->all_dq[p]
			| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
		if (s->all_dq[p] & IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL))
			s->rate[p] = s->var_read[p] = s->factor[p] = 0.0;
	}
}

static void store_plane(float *restrict plane, const double *restrict value,
			size_t count)
{
	size_t p;

	for (p = 0; p < count; p++)
		plane[p] = (float)value[p];
}

static void store(const iris_planes *out, size_t first, size_t count,
		  const sums *s)
{
	const double most = (double)UINT16_MAX;
	double photon[BLOCK];
	size_t p;

	for (p = 0; p < count; p++)
		photon[p] = (s->rate[p] > 0.0 ? s->rate[p] : 0.0)
			* s->factor[p];
	store_plane(out->rate + first, s->rate, count);
	if (out->var_read != NULL)
		store_plane(out->var_read + first, s->var_read, count);
	if (out->var_photon != NULL)
		store_plane(out->var_photon + first, photon, count);
	if (out->photon_factor != NULL)
		store_plane(out->photon_factor + first, s->factor, count);
	if (out->chi2 != NULL)
		store_plane(out->chi2 + first, s->chi2, count);
	if (out->dq != NULL)
		memcpy(out->dq + first, s->used_dq, count * sizeof(*out->dq));
	for (p = 0; out->nused != NULL && p < count; p++)
		out->nused[first + p] = (uint16_t)least(s->nused[p], most);
}

/*
 * Whether a ramp of the pixel may lie beyond the limit.  The combination of
 * the others lies between the lowest and the highest rate, and the variance is
 * not below that of one ramp at the lowest rate: never false without reason.
 */
static bool may_deviate(const stack *t, const sums *s, size_t p)
{
	const double range = -s->lowest_minus[p] - s->lowest[p];
	const double rate = s->lowest[p] > 0.0 ? s->lowest[p] : 0.0;

	return s->count[p] > 1.0
		&& range * range > t->limit * (s->least_read[p]
					       + s->least_factor[p] * rate);
}

/*
 * Square of the deviation of one ramp from the weighted mean of the others, in
 * units of its variance.  The photon variances are those at the common rate of
 * the others: an outlier does not hide in its own photon noise.
 */
static double deviation(const stack *t, size_t ramp, size_t i,
			const rejected *list, sums *s)
{
	const stack mean = {.ramps = t->ramps, .nramps = t->nramps,
			    .weighted = true};
	const rejected with = {ramp, list};
	const iris_planes *own = &t->ramps[ramp];
	double difference, norm, variance;

	add_up(&mean, i, 1, &with, s);
	norm = 1.0 / s->weight[0];
	difference = (double)own->rate[i] - s->rate[0] * norm;
	variance = (double)own->var_read[i] + s->var_read[0] * norm * norm
		+ ((double)own->photon_factor[i] + s->factor[0] * norm * norm)
		* s->common[0];
	return difference * difference / variance;
}

/* The ramp that deviates most, and the square of its deviation. */
static size_t worst_ramp(const stack *t, size_t i, const rejected *list,
			 sums *s, double *most)
{
	size_t r, worst = 0;

	*most = -1.0;
	for (r = 0; r < t->nramps; r++) {
		double square;

		if (is_left_out(list, r) || !is_used(&t->ramps[r], i))
			continue;
		square = deviation(t, r, i, list, s);
		if (square > *most) {
			*most = square;
			worst = r;
		}
	}
	return worst;
}

/*
 * Whether the two ramps that were added up differ.  Neither is the odd one, so
 * their photon variances are those at the common rate of both.
 */
static bool two_differ(const stack *t, const sums *s, size_t i,
		       const rejected *list)
{
	const double range = -s->lowest_minus[0] - s->lowest[0];
	double variance = 0.0;
	size_t r;

	for (r = 0; r < t->nramps; r++) {
		const iris_planes *ramp = &t->ramps[r];

		if (!is_left_out(list, r) && is_used(ramp, i))
			variance += (double)ramp->var_read[i]
				+ (double)ramp->photon_factor[i]
				* s->common[0];
	}
	return range * range > t->limit * variance;
}

/* Sums of one pixel without the ramps in the list and without outliers. */
static void reject(const stack *t, size_t i, const rejected *list, sums *s)
{
	add_up(t, i, 1, list, s);
	if (s->count[0] > 2.0) {
		rejected next = {0, list};
		double most;

		next.ramp = worst_ramp(t, i, list, s, &most);
		if (most > t->limit) {
			reject(t, i, &next, s);
			return;
		}
		add_up(t, i, 1, list, s);
	}
	if (list != NULL)
		s->used_dq[0] |= IRIS_DQ_MASK(IRIS_DQ_OUTLIER);
	if (s->count[0] < 3.0 && two_differ(t, s, i, list))
		s->used_dq[0] |= IRIS_DQ_MASK(IRIS_DQ_UNRELIABLE_SLOPE);
}

/* Put the one pixel that `from` has in the place of pixel p. */
static void replace(sums *s, size_t p, const sums *from)
{
	s->weight[p] = from->weight[0];
	s->rate[p] = from->rate[0];
	s->var_read[p] = from->var_read[0];
	s->factor[p] = from->factor[0];
	s->chi2[p] = from->chi2[0];
	s->dof[p] = from->dof[0];
	s->nused[p] = from->nused[0];
	s->used_dq[p] = from->used_dq[0];
}

/* All is added up before anything is stored: out may be one of the ramps. */
static void combine_block(const stack *t, size_t first, size_t count,
			  const iris_planes *out)
{
	sums s, one;
	size_t p;

	add_up(t, first, count, NULL, &s);
	for (p = 0; t->limit > 0.0 && p < count; p++) {
		if (!may_deviate(t, &s, p))
			continue;
		reject(t, first + p, NULL, &one);
		replace(&s, p, &one);
	}
	finish(&s, t->weighted ? 1.0 : (double)t->nramps, count);
	store(out, first, count, &s);
}

/* All planes that are needed are there. */
static bool is_complete(const iris_planes *ramp, const iris_planes *out)
{
	return ramp->rate != NULL && ramp->var_read != NULL
		&& ramp->var_photon != NULL && ramp->photon_factor != NULL
		&& ramp->dq != NULL
		&& ((out->chi2 == NULL && out->nused == NULL)
		    || ramp->nused != NULL)
		&& (out->chi2 == NULL || ramp->chi2 != NULL);
}

iris_status iris_combine_ramps(const iris_planes *ramps, size_t nramps,
			       size_t npixels, iris_combination combination,
			       double reject_sigma, const iris_planes *out)
{
	stack t = {
		.ramps = ramps,
		.nramps = nramps,
		.weighted = combination == IRIS_COMBINE_MEAN,
		.limit = reject_sigma * reject_sigma,
	};
	size_t r, i;

	if (ramps == NULL || out == NULL || out->rate == NULL)
		return IRIS_ERROR_NULL;
	if (nramps == 0)
		return IRIS_ERROR_TOO_FEW;
	for (r = 0; r < nramps; r++)
		if (!is_complete(&ramps[r], out))
			return IRIS_ERROR_NULL;
	if ((combination != IRIS_COMBINE_MEAN
	     && combination != IRIS_COMBINE_SUM) || !(reject_sigma >= 0.0))
		return IRIS_ERROR_OPTION;
	t.with_reads = out->nused != NULL || out->chi2 != NULL;
	t.with_chi2 = out->chi2 != NULL;
	for (i = 0; i < npixels; i += BLOCK)
		combine_block(&t, i, npixels - i < BLOCK ? npixels - i : BLOCK,
			      out);
	return IRIS_OK;
}
