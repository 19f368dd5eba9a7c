/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loops over the lanes of a block that the compiler turns into vector code:
 * references, counts to charge, sums, linear estimators.  Part of kernels.c.
 */
#ifndef IRIS_READOUT_KERNELS_LANES_H
#define IRIS_READOUT_KERNELS_LANES_H

#include "vector.h"

#include <math.h>
#include <string.h>

/* --- references ---------------------------------------------------------- */

static inline vmask are_good(vreal a)
{
	return (a > 0) & (a <= all(FLT_MAX)); /* iris_is_good */
}

/*
 * Flags of gain, noise and saturation level; where they are no good, values
 * that do no harm.
 */
static void check_references(const iris_references *r, size_t count,
			     bool mapped_level)
{
	const vmask unusable = all_mask(IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE));
	const vmask no_gain = unusable
		| all_mask((int32_t)IRIS_DQ_MASK(IRIS_DQ_NO_GAIN_VALUE));
	const vmask no_noise = unusable
		| all_mask((int32_t)IRIS_DQ_MASK(IRIS_DQ_OTHER_BAD_PIXEL));
	const vmask no_check = all_mask(mapped_level
		? (int32_t)IRIS_DQ_MASK(IRIS_DQ_NO_SAT_CHECK) : 0);
	size_t i;

	for (i = 0; i < count; i += V) {
		const vreal g = load(r->gain + i), s = load(r->noise + i);
		const vreal level = load(r->level + i);
		const vmask known = are_good(g), quiet = are_good(s);
		const vmask there = are_good(level);
		const vmask dq = (~known & no_gain) | (~quiet & no_noise)
			| (~there & no_check);

		store_flags(r->dq + i, load_flags(r->dq + i) | dq);
		store(r->variance + i,
		      choose(known & quiet, s * s + g * g * load(r->extra + i),
			     all(1.0f)));
		store(r->gain + i, choose(known, g, all(1.0f)));
		store(r->level + i, choose(there & (level < all(65535.0f)),
					   level, all(65535.0f)));
	}
}

/* A pixel whose polynomial is not finite keeps its counts. */
static void mend_linearity(const iris_references *r, size_t i, size_t ncoef)
{
	float sum = r->pedestal[i];
	size_t c;

	for (c = 0; c < ncoef; c++)
		sum += r->coeff[c * IRIS_STAGED + i] * 0.0f;
	if (sum - sum == 0.0f)
		return;
	r->dq[i] |= IRIS_DQ_MASK(IRIS_DQ_NO_LIN_CORR);
	r->pedestal[i] = 0.0f;
	r->limit[i] = HUGE_VALF;
	for (c = 0; c < ncoef; c++)
		r->coeff[c * IRIS_STAGED + i] = 0.0f;
}

/* The second coefficient becomes one less: what is added to x. */
static void check_linearity(const iris_references *r, size_t count,
			    size_t ncoef)
{
	enum { PIECE = 256 };
	float sum[PIECE];
	size_t i, x, c;

	for (i = 0; i < count; i++)
		r->coeff[IRIS_STAGED + i] -= 1.0f;
	for (i = 0; i < count; i += PIECE) {
		const size_t n = count - i < PIECE ? count - i : PIECE;
		int32_t bad = 0;

		memcpy(sum, r->pedestal + i, n * sizeof(*sum));
		for (c = 0; c < ncoef; c++)
			for (x = 0; x < n; x++)
				sum[x] += r->coeff[c * IRIS_STAGED + i + x]
					* 0.0f;
		for (x = 0; x < n; x++)
			bad |= sum[x] - sum[x] != 0.0f;
		for (x = 0; x < n && bad; x++)
			mend_linearity(r, i + x, ncoef);
	}
}

static void start(iris_block *block, const uint32_t *dq)
{
	FOR_L {
		block->dq[l] = dq[l];
		block->nusable[l] = IRIS_NEVER;
		block->saturated[l] = IRIS_NEVER;
		block->near_by[l] = IRIS_NEVER;
		block->chi2[l] = NAN;
	}
	FOR_L
		block->sum[l] = block->moment[l] = 0.0;
}

/* --- counts to charge ---------------------------------------------------- */

static inline uint16_t swap(uint16_t value)
{
	return (uint16_t)(value << 8 | value >> 8);
}

static inline uint16_t from_fits(uint16_t value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	value = swap(value);
#endif
	return (uint16_t)(value ^ 0x8000u);
}

/*
 * Counts of one read on a stretch of a row, in the order of this machine; as
 * many 1 (neither zero nor saturated) after them as make whole blocks.
 */
static void stage(const unsigned char *bytes, size_t count,
		  iris_byte_order order, uint16_t *counts)
{
	uint16_t value;
	size_t i;

	if (order == IRIS_NATIVE)
		memcpy(counts, bytes, 2 * count);
	for (i = 0; i < count && order == IRIS_SWAPPED; i++) {
		memcpy(&value, bytes + 2 * i, 2);
		counts[i] = swap(value);
	}
	for (i = 0; i < count && order == IRIS_FITS; i++) {
		memcpy(&value, bytes + 2 * i, 2);
		counts[i] = from_fits(value);
	}
	for (i = count; i % L != 0; i++)
		counts[i] = 1;
}

/* First reads that are saturated, zero, beyond the limit of linearity. */
typedef struct cuts {
	_Alignas(64) int32_t saturated[L], zero[L], beyond[L];
} cuts;

static void start_cuts(const iris_block *block, cuts *c)
{
	FOR_L {
		c->saturated[l] = block->saturated[l];
		c->zero[l] = c->beyond[l] = IRIS_NEVER;
	}
}

static void find_cuts(const uint16_t *counts, const float *level, int32_t k,
		      cuts *c)
{
	FOR_L {
		const float value = (float)counts[l];
		const int32_t above = value >= level[l] ? k : IRIS_NEVER;
		const int32_t empty = value <= 0.0f ? k : IRIS_NEVER;

		c->saturated[l] = above < c->saturated[l] ? above
			: c->saturated[l];
		c->zero[l] = empty < c->zero[l] ? empty : c->zero[l];
	}
}

/*
 * Reads before the first that cannot be used, and the flags that say why it
 * was the first, whatever comes later: neighbours that saturate from read `end`
 * on do not matter yet.
 */
static void cut(iris_block *block, const cuts *c, int32_t end)
{
	FOR_L {
		const int32_t zero = c->zero[l], beyond = c->beyond[l];
		const int32_t saturated = c->saturated[l];
		const int32_t near_by = block->near_by[l] < end
			? block->near_by[l] : IRIS_NEVER;
		int32_t usable = block->nusable[l];
		uint32_t dq = 0;

		dq |= saturated < IRIS_NEVER
			? IRIS_DQ_MASK(IRIS_DQ_SATURATED) : 0;
		dq |= zero < IRIS_NEVER ? IRIS_DQ_MASK(IRIS_DQ_AD_FLOOR) : 0;
		usable = saturated < usable ? saturated : usable;
		usable = zero < usable ? zero : usable;
		dq |= ((near_by < usable) & (near_by <= beyond))
			? IRIS_DQ_MASK(IRIS_DQ_CHARGELOSS) : 0;
		usable = near_by < usable ? near_by : usable;
		dq |= beyond < usable ? IRIS_DQ_MASK(IRIS_DQ_NONLINEAR) : 0;
		usable = beyond < usable ? beyond : usable;
		block->saturated[l] = saturated;
		block->nusable[l] = usable;
		block->dq[l] |= dq;
	}
}

/* First saturated read only. */
static void scan(iris_block *block, size_t first, size_t count)
{
	cuts found;
	size_t k;

	start_cuts(block, &found);
	for (k = 0; k < count; k++)
		find_cuts(block->reads + k * IRIS_STAGED, block->level,
			  (int32_t)(first + k), &found);
	FOR_L
		block->saturated[l] = found.saturated[l];
}

/* What is done to the counts, known of the whole block. */
typedef struct steps {
	bool offset; /* reference pixels */
	size_t ncoef;
} steps;

/* One vector of pixels and what is the same in all their reads. */
typedef struct pixels {
	vreal gain, level, pedestal, limit;
	vreal counts, offset, added; /* of the first read */
} pixels;

/* Reference correction of V lanes in a read; rows of outputs differ. */
INLINE vreal load_offset(const iris_calibration *c, const iris_block *block,
			 size_t entry, size_t lane)
{
	const float *row = c->row + entry * c->nrow + block->y;
	_Alignas(64) float offset[V];
	int l;

	for (l = 0; l < V; l++) {
		const size_t x = block->x + lane + (size_t)l;

		offset[l] = x < c->nx ? c->column[entry * c->nx + x] : 0.0f;
		if (c->nrow > c->ny && x < c->nx)
			offset[l] += row[x / c->width * c->ny];
		else if (c->nrow > 0)
			offset[l] += row[0];
	}
	return load(offset);
}

/* The same where all lanes lie in the row and share its side correction. */
INLINE vreal load_simple_offset(const iris_calibration *c,
				const iris_block *block, size_t entry,
				size_t lane)
{
	vreal offset;

	memcpy(&offset, c->column + entry * c->nx + block->x + lane,
	       sizeof(offset));
	if (c->nrow > 0)
		offset += c->row[entry * c->nrow + block->y];
	return offset;
}

INLINE vreal offset_of(const iris_calibration *c, const iris_block *block,
		       size_t entry, size_t lane)
{
	if (block->count == L && c->nrow <= c->ny)
		return load_simple_offset(c, block, entry, lane);
	return load_offset(c, block, entry, lane);
}

/*
 * What linearity adds to x, by Horner's rule, without the constant, which does
 * not matter to differences.  It is small against x, so that it carries little
 * rounding.
 */
INLINE vreal linearity_of(const iris_block *block, size_t ncoef, size_t lane,
			  vreal x)
{
	const float *coeff = block->coeff + lane;
	vreal added = load(coeff + (ncoef - 1) * IRIS_STAGED);
	size_t c;

	for (c = ncoef - 1; c-- > 1;)
		added = added * x + load(coeff + c * IRIS_STAGED);
	return added * x;
}

INLINE vmask is_beyond(const pixels *p, vreal x, vreal added)
{
	return (x > p->limit) | ~(added - added == 0);
}

INLINE pixels start_pixels(const iris_calibration *c, const iris_block *block,
			   steps todo, size_t lane)
{
	pixels p = {
		.gain = load(block->gain + lane),
		.level = load(block->level + lane),
		.counts = load_counts(block->origin + lane),
	};

	p.offset = p.added = p.pedestal = p.limit = all(0.0f);
	if (todo.offset)
		p.offset = offset_of(c, block, 0, lane);
	if (todo.ncoef > 0) {
		p.pedestal = load(block->pedestal + lane);
		p.limit = load(block->limit + lane);
		p.added = linearity_of(block, todo.ncoef, lane,
				       p.counts - p.offset - p.pedestal);
	}
	return p;
}

/*
 * Charge of V lanes in read k since the first one, differences first, so that
 * nothing is lost.  Sets in odd where x is beyond the limit of linearity.
 */
INLINE vreal charge_of(const iris_calibration *c, const iris_block *block,
		       steps todo, const pixels *p, size_t first, size_t k,
		       size_t lane, vmask *odd)
{
	const vreal n = load_counts(block->reads + k * IRIS_STAGED + lane);
	vreal q = n - p->counts, offset = all(0.0f);

	if (todo.offset) {
		offset = offset_of(c, block, iris_entry(first + k), lane);
		q -= offset - p->offset;
	}
	if (todo.ncoef > 0) {
		const vreal x = n - offset - p->pedestal;

		*odd |= x > p->limit;
		q += linearity_of(block, todo.ncoef, lane, x) - p->added;
	}
	return p->gain * q;
}

/* Whether some count of the block is zero or saturated. */
INLINE bool has_extremes(const iris_block *block, size_t count)
{
	uint16_t low[L], high[L];
	int32_t odd = 0;
	size_t k;

	memset(low, -1, sizeof(low));
	memset(high, 0, sizeof(high));
	for (k = 0; k < count; k++) {
		const uint16_t *n = block->reads + k * IRIS_STAGED;

		FOR_L
			low[l] = n[l] < low[l] ? n[l] : low[l];
		FOR_L
			high[l] = n[l] > high[l] ? n[l] : high[l];
	}
	FOR_L
		odd |= (low[l] == 0) | ((float)high[l] >= block->level[l]);
	return odd != 0;
}

/*
 * Returns whether some read is beyond the limit of linearity, or a charge is
 * not finite: then their sum is not either.
 */
INLINE bool calibrate_lanes(const iris_calibration *c, const iris_block *block,
			    steps todo, size_t first, size_t count,
			    size_t lane, float *charge)
{
	const pixels p = start_pixels(c, block, todo, lane);
	vmask odd = all_mask(0);
	vreal sum = all(0.0f);
	size_t k;

	for (k = 0; k < count; k++) {
		const vreal q = charge_of(c, block, todo, &p, first, k, lane,
					  &odd);

		sum += q;
		store(charge + k * L + lane, q);
	}
	return any(odd | ~(sum - sum == 0));
}

/* Where reads cannot be used any more, where some cannot. */
static void find_all_cuts(const iris_calibration *c, iris_block *block,
			  size_t first, size_t count)
{
	cuts found;
	size_t k, lane;

	start_cuts(block, &found);
	for (k = 0; k < count; k++)
		find_cuts(block->reads + k * IRIS_STAGED, block->level,
			  (int32_t)(first + k), &found);
	for (lane = 0; lane < L && c->ncoef > 0; lane += V) {
		const steps todo = {c->column != NULL, c->ncoef};
		const pixels p = start_pixels(c, block, todo, lane);

		for (k = count; k-- > 0;) {
			const vreal n = load_counts(
				block->reads + k * IRIS_STAGED + lane);
			const vreal offset = todo.offset
				? offset_of(c, block, iris_entry(first + k),
					    lane) : all(0.0f);
			const vreal x = n - offset - p.pedestal;
			const vmask beyond = is_beyond(
				&p, x, linearity_of(block, c->ncoef, lane, x));
			int l;

			for (l = 0; l < V; l++)
				if (beyond[l])
					found.beyond[lane + (size_t)l] =
						(int32_t)(first + k);
		}
	}
	cut(block, &found, (int32_t)(first + count));
}

/* The lanes one vector after the other, with what is done as a constant. */
INLINE bool calibrate_block(const iris_calibration *c, const iris_block *block,
			    steps todo, size_t first, size_t count,
			    float *charge)
{
	bool odd = false;
	size_t lane;

	for (lane = 0; lane < L; lane += V)
		odd |= calibrate_lanes(c, block, todo, first, count, lane,
				       charge);
	return odd;
}

/* Run a function of `steps` with those of the ramp as constants. */
#define WITH_STEPS(result, offset, c, call, ...)                        \
	do {                                                            \
		switch ((c)->ncoef) { /* polynomials as they are in use */ \
		case 0:                                                 \
			result = call(c, block, (steps){offset, 0},     \
				      __VA_ARGS__);                     \
			break;                                          \
		case 4:                                                 \
			result = call(c, block, (steps){offset, 4},     \
				      __VA_ARGS__);                     \
			break;                                          \
		case 5:                                                 \
			result = call(c, block, (steps){offset, 5},     \
				      __VA_ARGS__);                     \
			break;                                          \
		case 6:                                                 \
			result = call(c, block, (steps){offset, 6},     \
				      __VA_ARGS__);                     \
			break;                                          \
		default:                                                \
			result = call(c, block, (steps){offset, (c)->ncoef}, \
				      __VA_ARGS__);                     \
		}                                                       \
	} while (0)

static void calibrate(const iris_calibration *c, iris_block *block,
		      size_t first, size_t count, float *charge)
{
	bool odd;

	if (c->column != NULL)
		WITH_STEPS(odd, true, c, calibrate_block, first, count,
			   charge);
	else
		WITH_STEPS(odd, false, c, calibrate_block, first, count,
			   charge);
	FOR_L /* neighbours may have saturated */
		odd |= block->near_by[l] < IRIS_NEVER;
	if (odd || has_extremes(block, count))
		find_all_cuts(c, block, first, count);
}

/* --- sums ---------------------------------------------------------------- */

/*
 * Sums in float over at most IRIS_BATCH samples, then added in double: no
 * digit of a long ramp is lost, and few are converted.
 */
static void accumulate(iris_block *block, const iris_pattern *p, size_t first,
		       size_t count, const float *charge)
{
	_Alignas(64) float sum[L], moment[L];
	size_t k, lane;

	for (lane = 0; lane < L; lane += V) {
		const vmask usable = load_mask(block->nusable + lane)
			- (int32_t)first;
		vreal s = all(0.0f), m = all(0.0f);

		for (k = 0; k < count; k++) {
			const vreal q = only(usable > (int32_t)k,
					     load(charge + k * L + lane));

			s += (float)p->count[first + k] * q;
			m += p->since[first + k] * q;
		}
		store(sum + lane, s);
		store(moment + lane, m);
	}
	FOR_L {
		block->sum[l] += (double)sum[l];
		block->moment[l] += (double)moment[l];
	}
}

typedef struct sums {
	_Alignas(64) double sum[L], moment[L];
} sums;

/*
 * Sums of V lanes over at most IRIS_BATCH reads that are all usable: see
 * accumulate.
 */
INLINE vmask sum_lanes(const iris_calibration *c, const iris_block *block,
		       steps todo, const iris_pattern *p, size_t first,
		       const pixels *pixel, size_t start, size_t end,
		       size_t lane, float *sum, float *moment)
{
	vmask odd = all_mask(0);
	vreal s = all(0.0f), m = all(0.0f);
	size_t k;

	for (k = start; k < end; k++) {
		const vreal q = charge_of(c, block, todo, pixel, first, k, lane,
					  &odd);

		s += q;
		m += p->since[first + k] * q;
	}
	store(sum + lane, s);
	store(moment + lane, m);
	return odd | ~(s - s == 0);
}

INLINE bool sum_block(const iris_calibration *c, const iris_block *block,
		      steps todo, const iris_pattern *p, size_t first,
		      size_t count, sums *total)
{
	_Alignas(64) float sum[L], moment[L];
	vmask odd = all_mask(0);
	pixels pixel[L / V];
	size_t lane, k, end;

	for (lane = 0; lane < L; lane += V)
		pixel[lane / V] = start_pixels(c, block, todo, lane);
	for (k = 0; k < count; k = end) {
		end = count - k < IRIS_BATCH ? count : k + IRIS_BATCH;
		for (lane = 0; lane < L; lane += V)
			odd |= sum_lanes(c, block, todo, p, first,
					 &pixel[lane / V], k, end, lane, sum,
					 moment);
		FOR_L {
			total->sum[l] += (double)sum[l];
			total->moment[l] += (double)moment[l];
		}
	}
	return any(odd);
}

static bool sum_up(const iris_calibration *c, iris_block *block,
		   const iris_pattern *p, size_t first, size_t count)
{
	int32_t cut = 0;
	bool odd;
	sums s;

	FOR_L
		cut |= (block->near_by[l] ^ IRIS_NEVER)
			| (block->nusable[l] ^ IRIS_NEVER);
	if (cut != 0 || has_extremes(block, count))
		return false;
	memcpy(s.sum, block->sum, sizeof(s.sum));
	memcpy(s.moment, block->moment, sizeof(s.moment));
	if (c->column != NULL)
		WITH_STEPS(odd, true, c, sum_block, p, first, count, &s);
	else
		WITH_STEPS(odd, false, c, sum_block, p, first, count, &s);
	if (odd)
		return false;
	memcpy(block->sum, s.sum, sizeof(s.sum));
	memcpy(block->moment, s.moment, sizeof(s.moment));
	return true;
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

static bool is_uniform(const iris_block *block)
{
	int32_t differ = 0;

	FOR_L
		differ |= block->nusable[l] ^ block->nusable[0];
	return differ == 0;
}

/* The sum below where all lanes have the same reads. */
static void end_sums_alike(iris_block *block, size_t most, const float *charge)
{
	const size_t nusable = (size_t)block->nusable[0];
	const size_t n = most < nusable / 2 ? most : nusable / 2;
	const float *late = charge + (nusable - n) * L;
	size_t lane, k;

	for (lane = 0; lane < L; lane += V) {
		_Alignas(64) float sum[V];
		vreal s = all(0.0f);

		for (k = 0; k < n; k++)
			s -= load(charge + k * L + lane);
		for (k = 0; k < n; k++)
			s += load(late + k * L + lane);
		store(sum, s);
		for (int l = 0; l < V; l++)
			block->sum[lane + (size_t)l] = (double)sum[l];
	}
}

/* Sum of the last less that of the first reads, `most` each or half of them. */
static void end_sums(iris_block *block, size_t nread, int32_t most,
		     const float *charge)
{
	_Alignas(64) float sum[L] = {0};
	_Alignas(64) int32_t early[L], late[L];
	int32_t latest = (int32_t)nread;
	size_t k;

	if (is_uniform(block)) {
		end_sums_alike(block, (size_t)most, charge);
		return;
	}
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
			sum[l] += ((index >= late[l])
				   & (index < block->nusable[l])) ? q[l] : 0.0f;
			sum[l] -= index < early[l] ? q[l] : 0.0f;
		}
	}
	FOR_L
		block->sum[l] = (double)sum[l];
}

/* At most `limit` samples are there. */
static void clamp(iris_block *block, int32_t limit)
{
	FOR_L
		block->nusable[l] = block->nusable[l] < limit
			? block->nusable[l] : limit;
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

/* Reads in the usable samples of each lane. */
static void count_reads(iris_block *block, const iris_slope *slopes)
{
	if (is_uniform(block)) {
		const int32_t nused = slopes[block->nusable[0]].nused;

		FOR_L
			block->nused[l] = nused;
		return;
	}
	FOR_L
		block->nused[l] = slopes[block->nusable[l]].nused;
}

/* --- the end ------------------------------------------------------------- */

/* Whether some lane is suspect, or saturated. */
static bool is_odd(const iris_block *block, const uint32_t *broken)
{
	uint32_t odd = 0;

	FOR_L
		odd |= (uint32_t)block->suspect[l] | broken[l]
			| (uint32_t)(block->saturated[l] ^ IRIS_NEVER);
	return odd != 0;
}

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
	FOR_L
		none[l] = block->var_photon[l] <= FLT_MAX ? none[l] : unusable;
	FOR_L
		none[l] = block->photon_factor[l] <= FLT_MAX ? none[l]
			: unusable;
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
