/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loops over the lanes of a block that the compiler turns into vector code:
 * references, counts to charge, sums, linear estimators.  Part of kernels.c.
 */
#ifndef IRIS_READOUT_KERNELS_LANES_H
#define IRIS_READOUT_KERNELS_LANES_H

#include "internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { L = IRIS_LANES };

#define FOR_L for (size_t l = 0; l < L; l++)

/* --- references ---------------------------------------------------------- */

static inline bool is_good(float value)
{
	return (value > 0.0f) & (value <= FLT_MAX);
}

/*
 * Flags of gain, noise and saturation level; where they are no good, values
 * that do no harm.  On entry variance is the noise, extra the variance of the
 * reference correction [DN^2].
 */
static void check_references(iris_block *block, const float *extra,
			     bool mapped_level)
{
	const uint32_t no_check = mapped_level
		? IRIS_DQ_MASK(IRIS_DQ_NO_SAT_CHECK) : 0;

	FOR_L {
		const float g = block->gain[l], noise = block->variance[l];
		const float level = block->level[l];
		const bool gain = is_good(g), both = gain & is_good(noise);
		const bool limited = is_good(level) & (level < 65535.0f);

		block->dq[l] |= (gain ? 0 : IRIS_DQ_MASK(IRIS_DQ_NO_GAIN_VALUE)
				 | IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE))
			| (is_good(noise) ? 0
			   : IRIS_DQ_MASK(IRIS_DQ_OTHER_BAD_PIXEL)
			   | IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE))
			| (is_good(level) ? 0 : no_check);
		block->variance[l] = both ? noise * noise + g * g * extra[l]
			: 1.0f;
		block->gain[l] = gain ? g : 1.0f;
		block->level[l] = limited ? level : 65535.0f;
	}
}

/*
 * The second coefficient becomes one less: what is added to x.  A pixel whose
 * polynomial is not finite keeps its counts.
 */
static void check_linearity(iris_block *block, size_t ncoef)
{
	_Alignas(64) float sum[L];
	size_t c;

	memcpy(sum, block->pedestal, sizeof(sum));
	for (c = 0; c < ncoef; c++)
		FOR_L
			sum[l] += block->coeff[c][l] * 0.0f;
	FOR_L {
		const bool good = sum[l] - sum[l] == 0.0f;

		block->coeff[1][l] -= 1.0f;
		block->dq[l] |= good ? 0 : IRIS_DQ_MASK(IRIS_DQ_NO_LIN_CORR);
		block->pedestal[l] = good ? block->pedestal[l] : 0.0f;
		block->limit[l] = good ? block->limit[l] : HUGE_VALF;
		sum[l] = good ? 1.0f : 0.0f;
	}
	for (c = 0; c < ncoef; c++)
		FOR_L
			block->coeff[c][l] = sum[l] > 0.0f ? block->coeff[c][l]
				: 0.0f;
}

/* --- counts to charge ---------------------------------------------------- */

static inline uint16_t decode(const unsigned char *bytes, iris_byte_order order)
{
	uint16_t value;

	memcpy(&value, bytes, 2);
	if (order == IRIS_SWAPPED)
		return (uint16_t)(value << 8 | value >> 8);
	if (order == IRIS_FITS)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		return (uint16_t)((value << 8 | value >> 8) ^ 0x8000u);
#else
		return (uint16_t)(value ^ 0x8000u);
#endif
	return value;
}

/*
 * Counts of a block in one read, and which lanes have been at or above their
 * level or at zero in any read so far.
 */
static inline void decode_lanes(const unsigned char *bytes, size_t count,
				iris_byte_order order, const float *level,
				float *counts, int32_t *odd)
{
	size_t l;

	if (count == L) {
		for (l = 0; l < L; l++) {
			const float c = (float)decode(bytes + 2 * l, order);

			counts[l] = c;
			odd[l] |= -(int32_t)((c >= level[l]) | (c <= 0.0f));
		}
		return;
	}
	for (l = 0; l < count; l++) {
		counts[l] = (float)decode(bytes + 2 * l, order);
		odd[l] |= (counts[l] >= level[l]) | (counts[l] <= 0.0f);
	}
	for (; l < L; l++)
		counts[l] = 1.0f; /* neither zero nor saturated */
}

/* Every byte order has its own loop. */
static void load_counts(const iris_stored *read, const iris_block *block,
			size_t nx, float *counts, int32_t *odd)
{
	const unsigned char *bytes = read->counts
		+ 2 * (block->y * nx + block->x);

	switch (read->order) {
	case IRIS_NATIVE:
		decode_lanes(bytes, block->count, IRIS_NATIVE, block->level,
			     counts, odd);
		break;
	case IRIS_SWAPPED:
		decode_lanes(bytes, block->count, IRIS_SWAPPED, block->level,
			     counts, odd);
		break;
	default:
		decode_lanes(bytes, block->count, IRIS_FITS, block->level,
			     counts, odd);
		break;
	}
}

static bool any(const int32_t *lanes)
{
	int32_t found = 0;

	FOR_L
		found |= lanes[l];
	return found != 0;
}

/* First reads that are saturated, zero, beyond the limit of linearity. */
typedef struct cuts {
	_Alignas(64) int32_t saturated[L], zero[L], beyond[L], odd[L];
} cuts;

static void find_cuts(const float *counts, const float *level, int32_t k,
		      cuts *c)
{
	FOR_L {
		const int32_t above = counts[l] >= level[l] ? k : IRIS_NEVER;
		const int32_t empty = counts[l] <= 0.0f ? k : IRIS_NEVER;

		c->saturated[l] = above < c->saturated[l] ? above
			: c->saturated[l];
		c->zero[l] = empty < c->zero[l] ? empty : c->zero[l];
	}
}

/* Reads before the first that cannot be used, and the flags that say why. */
static void cut(iris_block *block, const cuts *c)
{
	FOR_L {
		const int32_t zero = c->zero[l];
		const int32_t saturated = c->saturated[l];
		const int32_t near_by = block->near_by[l];
		int32_t usable = block->nusable[l];
		uint32_t dq = 0;

		dq |= saturated < IRIS_NEVER
			? IRIS_DQ_MASK(IRIS_DQ_SATURATED) : 0;
		dq |= zero < IRIS_NEVER ? IRIS_DQ_MASK(IRIS_DQ_AD_FLOOR) : 0;
		usable = saturated < usable ? saturated : usable;
		usable = zero < usable ? zero : usable;
		dq |= near_by < usable ? IRIS_DQ_MASK(IRIS_DQ_CHARGELOSS) : 0;
		usable = near_by < usable ? near_by : usable;
		block->saturated[l] = saturated;
		block->nusable[l] = usable;
		block->dq[l] |= dq;
	}
}

/* What the reference pixels say must be taken off a block in one read. */
static void load_offset(const iris_calibration *c, const iris_block *block,
			size_t entry, float *offset)
{
	const float *column = c->column + entry * c->nx + block->x;
	const float *row = c->row + entry * c->nrow + block->y;
	size_t l;

	if (block->count == L)
		memcpy(offset, column, L * sizeof(*offset));
	else
		memset(offset, 0, L * sizeof(*offset));
	for (l = 0; block->count < L && l < block->count; l++)
		offset[l] = column[l];
	if (c->nrow == c->ny)
		for (l = 0; l < L; l++)
			offset[l] += row[0];
	else if (c->nrow > 0)
		for (l = 0; l < block->count; l++)
			offset[l] += row[(block->x + l) / c->width * c->ny];
}

/*
 * What linearity adds to x, by Horner's rule.  It is small against x, so that
 * it carries little rounding.
 */
static void add_linearity(const iris_block *block, size_t ncoef,
			  const float *counts, const float *offset,
			  float *x, float *added)
{
	size_t c;

	FOR_L {
		x[l] = counts[l] - offset[l] - block->pedestal[l];
		added[l] = block->coeff[ncoef - 1][l];
	}
	for (c = ncoef - 1; c-- > 0;)
		FOR_L
			added[l] = added[l] * x[l] + block->coeff[c][l];
}

/* First read in which x is beyond its limit, or has no linear value. */
static void find_beyond(const iris_block *block, const float *x,
			const float *added, int32_t k, int32_t *beyond)
{
	_Alignas(64) int32_t over[L];

	FOR_L
		over[l] = -(int32_t)((x[l] > block->limit[l])
				     | !(fabsf(added[l]) <= FLT_MAX));
	if (!any(over))
		return;
	FOR_L {
		const int32_t at = over[l] ? k : IRIS_NEVER;

		beyond[l] = at < beyond[l] ? at : beyond[l];
	}
}

/* A read on its way, and the first read that charge is counted from. */
typedef struct sample {
	_Alignas(64) float counts[L], offset[L], added[L];
} sample;

/* Charge since the first read: differences first, so that nothing is lost. */
static void to_charge(const iris_block *block, const float *counts,
		      const sample *now, const sample *zero, bool corrected,
		      float *charge)
{
	if (!corrected) {
		FOR_L
			charge[l] = block->gain[l]
				* (counts[l] - zero->counts[l]);
		return;
	}
	FOR_L
		charge[l] = block->gain[l]
			* ((counts[l] - zero->counts[l])
			   - (now->offset[l] - zero->offset[l])
			   + (now->added[l] - zero->added[l]));
}

static void correct(const iris_calibration *c, const iris_block *block,
		    size_t entry, int32_t k, const float *counts, sample *now,
		    int32_t *beyond)
{
	_Alignas(64) float x[L];

	if (c->column != NULL)
		load_offset(c, block, entry, now->offset);
	if (c->ncoef == 0)
		return;
	add_linearity(block, c->ncoef, counts, now->offset, x, now->added);
	if (beyond != NULL)
		find_beyond(block, x, now->added, k, beyond);
}

static void start_cuts(const iris_block *block, cuts *c)
{
	FOR_L {
		c->saturated[l] = block->saturated[l];
		c->zero[l] = c->beyond[l] = IRIS_NEVER;
		c->odd[l] = 0;
	}
}

/* First saturated read only. */
static void scan(const iris_calibration *c, iris_block *block, size_t first,
		 size_t count)
{
	_Alignas(64) float counts[L];
	cuts found;
	size_t k;

	start_cuts(block, &found);
	for (k = 0; k < count; k++) {
		load_counts(&c->reads[iris_entry(first + k)], block, c->nx,
			    counts, found.odd);
		if (any(found.odd))
			find_cuts(counts, block->level, (int32_t)(first + k),
				  &found);
	}
	FOR_L
		block->saturated[l] = found.saturated[l];
}

/* Raw counts of the reads, and where they cannot be used any more. */
static void load_reads(const iris_calibration *c, iris_block *block,
		       size_t first, size_t count, float *counts, cuts *found)
{
	size_t k;

	start_cuts(block, found);
	for (k = 0; k < count; k++)
		load_counts(&c->reads[iris_entry(first + k)], block, c->nx,
			    counts + k * L, found->odd);
	if (any(found->odd))
		for (k = 0; k < count; k++)
			find_cuts(counts + k * L, block->level,
				  (int32_t)(first + k), found);
	cut(block, found);
}

static void cut_beyond(iris_block *block, const int32_t *beyond)
{
	FOR_L {
		const bool over = beyond[l] < block->nusable[l];

		block->nusable[l] = over ? beyond[l] : block->nusable[l];
		block->dq[l] |= over ? IRIS_DQ_MASK(IRIS_DQ_NONLINEAR) : 0;
	}
}

static void calibrate(const iris_calibration *c, iris_block *block,
		      size_t first, size_t count, float *charge)
{
	const bool corrected = c->column != NULL || c->ncoef > 0;
	sample start = {0}, now = {0};
	cuts found;
	size_t k;

	load_reads(c, block, first, count, charge, &found);
	load_counts(&c->reads[0], block, c->nx, start.counts, found.odd);
	correct(c, block, 0, 0, start.counts, &start, NULL);
	for (k = 0; k < count; k++) {
		if (corrected)
			correct(c, block, iris_entry(first + k),
				(int32_t)(first + k), charge + k * L, &now,
				found.beyond);
		to_charge(block, charge + k * L, &now, &start, corrected,
			  charge + k * L);
	}
	if (c->ncoef > 0)
		cut_beyond(block, found.beyond);
}

/* --- sums ---------------------------------------------------------------- */

/*
 * Sums in float over at most IRIS_BATCH samples, then added in double: no
 * digit of a long ramp is lost, and few are converted.
 */
static void accumulate(iris_block *block, const iris_pattern *p, size_t first,
		       size_t count, const float *charge)
{
	_Alignas(64) float sum[L] = {0}, moment[L] = {0};
	size_t k;

	for (k = 0; k < count; k++) {
		const float *q = charge + k * L;
		const float weight = (float)p->count[first + k];
		const float time = (float)(p->count[first + k]
					   * (p->time[first + k] - p->time[0]));
		const int32_t index = (int32_t)(first + k);

		FOR_L {
			const float used = index < block->nusable[l]
				? q[l] : 0.0f;

			sum[l] += weight * used;
			moment[l] += time * used;
		}
	}
	FOR_L {
		block->sum[l] += (double)sum[l];
		block->moment[l] += (double)moment[l];
	}
}

/* Last usable charge. */
static void keep_last(iris_block *block, size_t first, size_t count,
		      const float *charge)
{
	_Alignas(64) float last[L];
	size_t k;

	FOR_L
		last[l] = (float)block->sum[l];
	for (k = 0; k < count; k++) {
		const int32_t index = (int32_t)(first + k);
		const float *q = charge + k * L;

		FOR_L
			last[l] = index < block->nusable[l] ? q[l] : last[l];
	}
	FOR_L
		block->sum[l] = (double)last[l];
}

/* Sum of the last less that of the first reads, `most` each or half of them. */
static void end_sums(iris_block *block, size_t nread, int32_t most,
		     const float *charge)
{
	_Alignas(64) float sum[L] = {0};
	_Alignas(64) int32_t early[L], late[L];
	int32_t latest = (int32_t)nread;
	size_t k;

	FOR_L {
		const int32_t half = block->nusable[l] / 2;

		early[l] = most < half ? most : half;
		late[l] = block->nusable[l] - early[l];
		latest = late[l] < latest ? late[l] : latest;
	}
	for (k = 0; k < nread; k++) {
		const float *q = charge + k * L;
		const int32_t index = (int32_t)k;

		if (index >= most && index < latest)
			continue;
		FOR_L {
			sum[l] += (index >= late[l])
				& (index < block->nusable[l]) ? q[l] : 0.0f;
			sum[l] -= index < early[l] ? q[l] : 0.0f;
		}
	}
	FOR_L
		block->sum[l] = (double)sum[l];
}

static bool is_uniform(const iris_block *block)
{
	int32_t differ = 0;

	FOR_L
		differ |= block->nusable[l] ^ block->nusable[0];
	return differ == 0;
}

/* The estimator of one lane; where all lanes share one, it is read once. */
static inline void slope_lane(iris_block *block, size_t l, double offset,
			      double scale, float read, float photon,
			      int32_t nused)
{
	const float rate = (float)((block->moment[l] - offset * block->sum[l])
				   * scale);

	block->rate[l] = rate;
	block->var_read[l] = block->variance[l] * read;
	block->photon_factor[l] = photon;
	block->var_photon[l] = (rate > 0.0f ? rate : 0.0f) * photon;
	block->nused[l] = nused;
}

/* Rate of the linear estimator that fits the usable samples of each lane. */
static void slope(iris_block *block, const iris_slope *slopes)
{
	if (is_uniform(block)) {
		const iris_slope s = slopes[block->nusable[0]];

		FOR_L
			slope_lane(block, l, s.offset, s.scale,
				   (float)s.read_factor,
				   (float)s.photon_factor, s.nused);
		return;
	}
	FOR_L {
		const iris_slope *s = &slopes[block->nusable[l]];

		slope_lane(block, l, s->offset, s->scale,
			   (float)s->read_factor, (float)s->photon_factor,
			   s->nused);
	}
}

/* --- the end ------------------------------------------------------------- */

/* Pixels without a rate are NaN, reference pixels 0. */
static void blank(iris_block *block)
{
	const uint32_t unusable = IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	const uint32_t border = IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
	_Alignas(64) uint32_t none[L];
	_Alignas(64) float value[L];

	FOR_L {
		none[l] = block->nused[l] == 0 ? unusable
			: block->dq[l] & unusable;
		value[l] = (block->dq[l] & border) != 0 ? 0.0f : NAN;
	}
	FOR_L
		none[l] = fabsf(block->rate[l]) <= FLT_MAX ? none[l] : unusable;
	FOR_L
		none[l] = block->var_read[l] <= FLT_MAX ? none[l] : unusable;
	FOR_L {
		block->rate[l] = none[l] ? value[l] : block->rate[l];
		block->var_read[l] = none[l] ? value[l] : block->var_read[l];
		block->var_photon[l] = none[l] ? value[l]
			: block->var_photon[l];
		block->photon_factor[l] = none[l] ? value[l]
			: block->photon_factor[l];
		block->chi2[l] = none[l] ? NAN : block->chi2[l];
		block->dq[l] |= none[l];
		block->nused[l] = none[l] ? 0 : block->nused[l];
	}
}

#endif
