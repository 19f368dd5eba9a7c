/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vector code, compiled once per instruction set (IRIS_KERNELS names the
 * table, IRIS_KERNELS_NAME the set, IRIS_VECTOR its vectors in bytes).
 *
 * Vectors run across pixels and no sum runs across them, products and sums are
 * never fused (-ffp-contract=off), divisions are divisions: every set gives the
 * same bits.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#ifndef IRIS_VECTOR
#define IRIS_VECTOR 16
#define IRIS_KERNELS iris_kernels_baseline
#define IRIS_KERNELS_NAME "baseline"
#endif

typedef float vreal __attribute__((vector_size(IRIS_VECTOR)));
typedef int32_t vmask __attribute__((vector_size(IRIS_VECTOR)));

enum {
	L = IRIS_LANES,
	V = IRIS_VECTOR / 4, /* lanes of a vector */
	U = 2,               /* vectors side by side: hides divisions */
	G = U * V            /* lanes worked on together */
};

#define FOR_U for (int u = 0; u < U; u++)

static inline vreal load(const float *lanes)
{
	return *(const vreal *)(const void *)lanes;
}

static inline void store(float *lanes, vreal value)
{
	*(vreal *)(void *)lanes = value;
}

static inline vmask load_mask(const int32_t *lanes)
{
	return *(const vmask *)(const void *)lanes;
}

static inline vreal all(float value)
{
	return value - (vreal){0};
}

static inline vmask all_mask(int32_t value)
{
	return value - (vmask){0};
}

/* a where the mask is set, else 0. */
static inline vreal only(vmask mask, vreal a)
{
	return (vreal)(mask & (vmask)a);
}

static inline vreal choose(vmask mask, vreal a, vreal b)
{
	return (vreal)((mask & (vmask)a) | (~mask & (vmask)b));
}

static inline vreal at_least_zero(vreal a)
{
	return only(a > 0, a);
}

/* --- counts to charge ---------------------------------------------------- */

static inline float decode(const unsigned char *bytes, iris_byte_order order)
{
	uint16_t value;

	memcpy(&value, bytes, 2);
	if (order == IRIS_SWAPPED)
		value = (uint16_t)(value << 8 | value >> 8);
	if (order == IRIS_FITS)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		value = (uint16_t)((value << 8 | value >> 8) ^ 0x8000u);
#else
		value = (uint16_t)(value ^ 0x8000u);
#endif
	return (float)value;
}

static inline void decode_lanes(const unsigned char *bytes, size_t count,
				iris_byte_order order, float *counts)
{
	size_t l;

	if (count == L) {
		for (l = 0; l < L; l++)
			counts[l] = decode(bytes + 2 * l, order);
		return;
	}
	for (l = 0; l < count; l++)
		counts[l] = decode(bytes + 2 * l, order);
	for (; l < L; l++)
		counts[l] = 1.0f; /* neither zero nor saturated */
}

/* Raw counts of a block in one read; every order has its own loop. */
static void load_counts(const iris_stored *read, const iris_block *block,
			size_t nx, float *counts)
{
	const unsigned char *bytes = read->counts
		+ 2 * (block->y * nx + block->x);

	switch (read->order) {
	case IRIS_NATIVE:
		decode_lanes(bytes, block->count, IRIS_NATIVE, counts);
		break;
	case IRIS_SWAPPED:
		decode_lanes(bytes, block->count, IRIS_SWAPPED, counts);
		break;
	default:
		decode_lanes(bytes, block->count, IRIS_FITS, counts);
		break;
	}
}

/* First reads at or above the level, and at zero. */
static void find_cuts(const float *counts, const float *level, int32_t k,
		      int32_t *saturated, int32_t *zero)
{
	size_t l;

	for (l = 0; l < L; l++) {
		const int32_t above = counts[l] >= level[l] ? k : IRIS_NEVER;
		const int32_t empty = counts[l] <= 0.0f ? k : IRIS_NEVER;

		saturated[l] = above < saturated[l] ? above : saturated[l];
		zero[l] = empty < zero[l] ? empty : zero[l];
	}
}

/* Reads before the first that cannot be used, and the flags that say why. */
static void cut(iris_block *block, const int32_t *zero)
{
	size_t l;

	for (l = 0; l < L; l++) {
		int32_t usable = block->nusable[l];
		uint32_t dq = 0;

		dq |= block->saturated[l] < IRIS_NEVER
			? IRIS_DQ_MASK(IRIS_DQ_SATURATED) : 0;
		dq |= zero[l] < IRIS_NEVER ? IRIS_DQ_MASK(IRIS_DQ_AD_FLOOR) : 0;
		usable = block->saturated[l] < usable
			? block->saturated[l] : usable;
		usable = zero[l] < usable ? zero[l] : usable;
		dq |= block->near_by[l] < usable
			? IRIS_DQ_MASK(IRIS_DQ_CHARGELOSS) : 0;
		usable = block->near_by[l] < usable ? block->near_by[l] : usable;
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

	memset(offset, 0, L * sizeof(*offset));
	memcpy(offset, column, block->count * sizeof(*offset));
	if (c->nrow == c->ny)
		for (l = 0; l < L; l++)
			offset[l] += row[0];
	else if (c->nrow > 0)
		for (l = 0; l < block->count; l++)
			offset[l] += row[(block->x + l) / c->width * c->ny];
}

/*
 * What linearity adds to x, by Horner's rule; the second coefficient of the
 * block is one less than that of the polynomial.  Small against x, so that it
 * carries little rounding.
 */
static void add_linearity(const iris_block *block, size_t ncoef,
			  const float *x, float *added)
{
	size_t l, c;

	for (l = 0; l < L; l++)
		added[l] = block->coeff[ncoef - 1][l];
	for (c = ncoef - 1; c-- > 0;)
		for (l = 0; l < L; l++)
			added[l] = added[l] * x[l] + block->coeff[c][l];
}

static void beyond_limit(const iris_block *block, const float *x,
			 const float *added, int32_t k, int32_t *beyond)
{
	size_t l;

	for (l = 0; l < L; l++) {
		const int32_t over = (x[l] > block->limit[l])
			| !(fabsf(added[l]) <= HUGE_VALF * 0.5f);
		const int32_t at = over ? k : IRIS_NEVER;

		beyond[l] = at < beyond[l] ? at : beyond[l];
	}
}

typedef struct origin {
	_Alignas(64) float counts[L], offset[L], added[L];
} origin;

static void linear_x(const iris_block *block, const float *counts,
		     const float *offset, float *x)
{
	size_t l;

	for (l = 0; l < L; l++)
		x[l] = counts[l] - offset[l] - block->pedestal[l];
}

/* Charge since the first read: differences first, so that nothing is lost. */
static void to_charge(const iris_block *block, const origin *now,
		      const origin *zero, float *charge)
{
	size_t l;

	for (l = 0; l < L; l++)
		charge[l] = block->gain[l]
			* ((now->counts[l] - zero->counts[l])
			   - (now->offset[l] - zero->offset[l])
			   + (now->added[l] - zero->added[l]));
}

static void correct(const iris_calibration *c, iris_block *block,
		    size_t entry, int32_t k, origin *now, int32_t *beyond)
{
	_Alignas(64) float x[L];

	if (c->column != NULL)
		load_offset(c, block, entry, now->offset);
	if (c->ncoef == 0)
		return;
	linear_x(block, now->counts, now->offset, x);
	add_linearity(block, c->ncoef, x, now->added);
	if (beyond != NULL)
		beyond_limit(block, x, now->added, k, beyond);
}

/* First saturated read only. */
static void scan(const iris_calibration *c, iris_block *block, size_t first,
		 size_t count)
{
	_Alignas(64) int32_t zero[L] = {0};
	_Alignas(64) float counts[L];
	size_t k;

	for (k = 0; k < count; k++) {
		load_counts(&c->reads[iris_entry(first + k)], block, c->nx,
			    counts);
		find_cuts(counts, block->level, (int32_t)(first + k),
			  block->saturated, zero);
	}
}

static void calibrate(const iris_calibration *c, iris_block *block,
		      size_t first, size_t count, float *charge)
{
	_Alignas(64) int32_t zero[L], beyond[L];
	origin start, now;
	size_t k, l;

	memset(&start, 0, sizeof(start));
	memset(&now, 0, sizeof(now));
	for (l = 0; l < L; l++)
		zero[l] = beyond[l] = IRIS_NEVER;
	for (k = 0; k < count; k++) {
		load_counts(&c->reads[iris_entry(first + k)], block, c->nx,
			    charge + k * L);
		find_cuts(charge + k * L, block->level, (int32_t)(first + k),
			  block->saturated, zero);
	}
	cut(block, zero);
	load_counts(&c->reads[0], block, c->nx, start.counts);
	correct(c, block, 0, 0, &start, NULL);
	for (k = 0; k < count; k++) {
		memcpy(now.counts, charge + k * L, sizeof(now.counts));
		correct(c, block, iris_entry(first + k), (int32_t)(first + k),
			&now, beyond);
		to_charge(block, &now, &start, charge + k * L);
	}
	for (l = 0; l < L; l++) {
		const bool over = beyond[l] < block->nusable[l];

		block->nusable[l] = over ? beyond[l] : block->nusable[l];
		block->dq[l] |= over ? IRIS_DQ_MASK(IRIS_DQ_NONLINEAR) : 0;
	}
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
	size_t k, l;

	for (k = 0; k < count; k++) {
		const float *q = charge + k * L;
		const float weight = (float)p->count[first + k];
		const float time = (float)(p->count[first + k]
					   * (p->time[first + k] - p->time[0]));
		const int32_t index = (int32_t)(first + k);

		for (l = 0; l < L; l++) {
			const float used = index < block->nusable[l]
				? q[l] : 0.0f;

			sum[l] += weight * used;
			moment[l] += time * used;
		}
	}
	for (l = 0; l < L; l++) {
		block->sum[l] += (double)sum[l];
		block->moment[l] += (double)moment[l];
	}
}

/* --- differences --------------------------------------------------------- */

/* Lanes [lane, lane + G) of the differences of neighbouring samples. */
static inline void difference(const float *charge, size_t i, size_t lane,
			      vreal d[U])
{
	const float *q = charge + i * L + lane;

	FOR_U
		d[u] = load(q + L + u * V) - load(q + u * V);
}

/* Which lanes have difference i. */
static inline void present(const iris_block *block, size_t i, size_t lane,
			   vmask m[U])
{
	FOR_U
		m[u] = load_mask(block->nusable + lane + u * V)
			> all_mask((int32_t)i + 1);
}

/*
 * Two-point test: difference i against the mean rate of all the others, on
 * lanes where all samples are usable; jump.c decides and does the rest.
 */
static void two_point_lanes(iris_block *block, const iris_pattern *p,
			    const iris_two_point *table, float threshold,
			    const float *charge, size_t lane)
{
	const size_t n = p->nsample - 1;
	const float time = (float)(p->time[n] - p->time[0]);
	const vreal square = all(threshold * threshold);
	vmask suspect[U];
	vreal total[U], s2[U];
	size_t i;

	FOR_U {
		total[u] = load(charge + n * L + lane + u * V)
			- load(charge + lane + u * V);
		s2[u] = load(block->variance + lane + u * V);
		suspect[u] = all_mask(0);
	}
	for (i = 0; i < n; i++) {
		const float step = p->step[i], others = 1.0f / (time - step);
		vreal d[U];

		difference(charge, i, lane, d);
		FOR_U {
			const vreal rate = (total[u] - d[u]) * others;
			const vreal r = d[u] - rate * step;
			const vreal v = s2[u] * table->read[i]
				+ at_least_zero(rate) * table->photon[i];

			suspect[u] |= r * r > square * v;
		}
	}
	FOR_U
		memcpy(block->suspect + lane + u * V, &suspect[u],
		       sizeof(suspect[u]));
}

static void two_point(iris_block *block, const iris_pattern *p,
		      const iris_two_point *table, float threshold,
		      const float *charge)
{
	size_t lane, l;

	for (lane = 0; lane < L; lane += G)
		two_point_lanes(block, p, table, threshold, charge, lane);
	for (l = 0; l < L; l++)
		block->suspect[l] |=
			block->nusable[l] < (int32_t)p->nsample ? -1 : 0;
}

/* --- the likelihood fit -------------------------------------------------- */

/*
 * One forward sweep of the L D L^T factors of the covariance C of the
 * differences (Brandt 2024, PASP 136, 045004, section 4, written as a
 * factorisation): with p the pivots and y, z the eliminated residuals and
 * steps, A = r' C^-1 r, B = t' C^-1 r, G = t' C^-1 t.
 */
typedef struct sweep {
	vreal pivot[U], y[U], z[U];
	vreal a[U], b[U], g[U];
	vreal rate[U]; /* in the covariance, >= 0 */
	vreal s2[U];
} sweep;

static inline void sweep_start(sweep *s, const iris_block *block, size_t lane,
			       const vreal rate[U])
{
	FOR_U {
		s->pivot[u] = s->y[u] = s->z[u] = all(0.0f);
		s->a[u] = s->b[u] = s->g[u] = all(0.0f);
		s->s2[u] = load(block->variance + lane + u * V);
		s->rate[u] = at_least_zero(rate[u]);
	}
}

/*
 * Eliminate difference i, with residuals r; inverse receives 1 / pivot.  The
 * variance of the difference is taken `inflate` times as large as it is.
 */
static inline void sweep_step(sweep *s, const iris_pattern *p, size_t i,
			      const vreal r[U], float inflate,
			      vreal inverse[U])
{
	FOR_U {
		const vreal off = s->rate[u] * p->photon_off[i]
			+ s->s2[u] * p->read_off[i];
		const vreal diagonal = (s->rate[u] * p->photon[i]
					+ s->s2[u] * p->read[i]) * inflate;
		const vreal factor = i > 0 ? off * inverse[u] : all(0.0f);

		s->pivot[u] = diagonal - factor * off;
		s->y[u] = r[u] - factor * s->y[u];
		s->z[u] = p->step[i] - factor * s->z[u];
		inverse[u] = 1.0f / s->pivot[u];
	}
}

static inline void sweep_sum(sweep *s, const vmask m[U],
			     const vreal inverse[U], bool squares)
{
	FOR_U {
		const vreal z = s->z[u] * inverse[u];

		if (squares)
			s->a[u] += only(m[u], s->y[u] * (s->y[u] * inverse[u]));
		s->b[u] += only(m[u], s->y[u] * z);
		s->g[u] += only(m[u], s->z[u] * z);
	}
}

/*
 * A first rate that one hit does not move: the mean of the differences without
 * the largest and the smallest.
 */
static inline void guess(const iris_block *block, const iris_pattern *p,
			 const float *charge, size_t lane, vreal rate[U])
{
	vreal sum[U], time[U], low[U], high[U], t_low[U], t_high[U];
	size_t i;

	FOR_U {
		sum[u] = time[u] = t_low[u] = t_high[u] = all(0.0f);
		low[u] = all(HUGE_VALF);
		high[u] = all(-HUGE_VALF);
	}
	for (i = 0; i + 1 < p->nsample; i++) {
		vreal d[U];
		vmask m[U];

		difference(charge, i, lane, d);
		present(block, i, lane, m);
		FOR_U {
			const vreal r = d[u] * p->inverse[i];
			const vmask lower = (r < low[u]) & m[u];
			const vmask higher = (r > high[u]) & m[u];

			sum[u] += only(m[u], d[u]);
			time[u] += only(m[u], all(p->step[i]));
			low[u] = choose(lower, r, low[u]);
			high[u] = choose(higher, r, high[u]);
			t_low[u] = choose(lower, all(p->step[i]), t_low[u]);
			t_high[u] = choose(higher, all(p->step[i]), t_high[u]);
		}
	}
	FOR_U {
		const vmask many = load_mask(block->nusable + lane + u * V)
			> all_mask(3);
		const vreal inner = sum[u] - low[u] * t_low[u]
			- high[u] * t_high[u];

		rate[u] = choose(many,
				 inner / (time[u] - t_low[u] - t_high[u]),
				 sum[u] / time[u]);
	}
}

/* First pass: the rate with the covariance of the guess. */
static inline void first_pass(const iris_block *block, const iris_pattern *p,
			      const float *charge, size_t lane, vreal rate[U])
{
	vreal inverse[U];
	sweep s;
	size_t i;

	sweep_start(&s, block, lane, rate);
	FOR_U
		inverse[u] = all(0.0f);
	for (i = 0; i + 1 < p->nsample; i++) {
		vreal d[U];
		vmask m[U];

		difference(charge, i, lane, d);
		present(block, i, lane, m);
		sweep_step(&s, p, i, d, 1.0f, inverse);
		sweep_sum(&s, m, inverse, false);
	}
	FOR_U
		rate[u] = s.b[u] / s.g[u];
}

/* Second pass about that rate; keeps y, z and 1 / pivot in scratch. */
static inline void second_pass(const iris_block *block, const iris_pattern *p,
			       const float *charge, size_t lane,
			       const vreal rate[U], sweep *s, float *scratch)
{
	vreal inverse[U];
	size_t i;

	sweep_start(s, block, lane, rate);
	FOR_U
		inverse[u] = all(0.0f);
	for (i = 0; i + 1 < p->nsample; i++) {
		float *kept = scratch + 3 * i * L + lane;
		vreal d[U];
		vmask m[U];

		difference(charge, i, lane, d);
		present(block, i, lane, m);
		FOR_U
			d[u] = d[u] - rate[u] * p->step[i];
		sweep_step(s, p, i, d, 1.0f, inverse);
		sweep_sum(s, m, inverse, true);
		FOR_U {
			store(kept + u * V, s->y[u]);
			store(kept + L + u * V, s->z[u]);
			store(kept + 2 * L + u * V, inverse[u]);
		}
	}
}

/*
 * Backward sweep: u = C^-1 r, v = C^-1 t and the diagonal g of C^-1.  Weights
 * are v / G; leaving difference i out lowers chi-square by
 *
 *     u_i^2 / (g_i - v_i^2 / G)
 *
 * (Brandt 2024, PASP 136, 045005, section 3), and leaving out i and i + 1 by
 * the quadratic form of the 2 x 2 block of the same matrix.
 */
typedef struct back {
	vreal u[U], v[U], g[U];  /* of difference i + 1, 0 where absent */
	vreal read[U], photon[U];
	vmask suspect[U];
} back;

typedef struct thresholds {
	float one, two; /* of chi-square; 0: no test */
} thresholds;

static inline void back_step(back *b, const sweep *s, const iris_pattern *p,
			     size_t i, const vmask m[U], const float *kept,
			     const vreal shift[U], const vreal inverse_g[U],
			     thresholds t)
{
	const bool last = i + 2 >= p->nsample;

	FOR_U {
		const vreal ip = load(kept + 2 * L + u * V);
		const vreal off = last ? all(0.0f)
			: s->rate[u] * p->photon_off[i + 1]
			+ s->s2[u] * p->read_off[i + 1];
		const vreal l = off * ip;
		const vreal v = load(kept + L + u * V) * ip - l * b->v[u];
		const vreal y = (load(kept + u * V)
				 - shift[u] * load(kept + L + u * V)) * ip
			- l * b->u[u];
		const vreal g = ip + l * (l * b->g[u]);
		const vreal own = g - v * (v * inverse_g[u]);

		if (t.one > 0.0f)
			b->suspect[u] |= m[u] & (y * y > own * t.one);
		if (t.two > 0.0f && !last) {
			const vreal next = b->g[u]
				- b->v[u] * (b->v[u] * inverse_g[u]);
			const vreal both = -(l * b->g[u])
				- v * (b->v[u] * inverse_g[u]);
			const vreal form = y * y * next
				- 2.0f * (y * b->u[u]) * both
				+ b->u[u] * b->u[u] * own;

			b->suspect[u] |= m[u]
				& (form > (own * next - both * both) * t.two);
		}
		if (!last) {
			b->read[u] += only(m[u], 2.0f * p->read_off[i + 1]
					   * (v * b->v[u]));
			b->photon[u] += only(m[u], 2.0f * p->photon_off[i + 1]
					     * (v * b->v[u]));
		}
		b->read[u] += only(m[u], p->read[i] * (v * v));
		b->photon[u] += only(m[u], p->photon[i] * (v * v));
		b->u[u] = only(m[u], y);
		b->v[u] = only(m[u], v);
		b->g[u] = only(m[u], g);
	}
}

static inline void likelihood_lanes(iris_block *block, const iris_pattern *p,
				    thresholds t, const float *charge,
				    float *scratch, size_t lane)
{
	vreal rate[U], shift[U], inverse_g[U];
	sweep s;
	back b;
	size_t i;

	guess(block, p, charge, lane, rate);
	first_pass(block, p, charge, lane, rate);
	second_pass(block, p, charge, lane, rate, &s, scratch);
	FOR_U {
		inverse_g[u] = 1.0f / s.g[u];
		shift[u] = s.b[u] * inverse_g[u];
		b.u[u] = b.v[u] = b.g[u] = all(0.0f);
		b.read[u] = b.photon[u] = all(0.0f);
		b.suspect[u] = all_mask(0);
	}
	for (i = p->nsample - 1; i-- > 0;) {
		vmask m[U];

		present(block, i, lane, m);
		back_step(&b, &s, p, i, m, scratch + 3 * i * L + lane, shift,
			  inverse_g, t);
	}
	FOR_U {
		const vreal norm = inverse_g[u] * inverse_g[u];

		store(block->rate + lane + u * V, rate[u] + shift[u]);
		store(block->var_read + lane + u * V,
		      s.s2[u] * (b.read[u] * norm));
		store(block->photon_factor + lane + u * V, b.photon[u] * norm);
		store(block->chi2 + lane + u * V,
		      s.a[u] - s.b[u] * shift[u]);
		memcpy(block->suspect + lane + u * V, &b.suspect[u],
		       sizeof(b.suspect[u]));
	}
}

/* Total chi-square to chi-square per degree of freedom. */
static void reduce_chi_square(iris_block *block)
{
	size_t l;

	for (l = 0; l < L; l++) {
		const float chi2 = block->chi2[l] > 0.0f ? block->chi2[l] : 0.0f;
		const int32_t dof = block->nusable[l] - 2;

		block->chi2[l] = dof > 0 ? chi2 / (float)dof : NAN;
	}
}

static void photon_variance(iris_block *block)
{
	size_t l;

	for (l = 0; l < L; l++)
		block->var_photon[l] = iris_photon_variance(
			block->rate[l], block->var_read[l],
			block->photon_factor[l]);
}

/*
 * With weights q of the intervals differences weigh w = K^-1 t, K being C at
 * the rate just found with its diagonal divided by q: where photons make the
 * noise an interval counts q times as much, where reads make it the fit is the
 * best one without the intervals of weight 0.  No q biases the rate; its
 * variance is w' C w.
 */
static inline void weighted_forward(const iris_block *block,
				    const iris_pattern *p, size_t lane,
				    sweep *s, float *scratch)
{
	vreal rate[U], inverse[U];
	size_t i;

	FOR_U {
		rate[u] = load(block->rate + lane + u * V);
		inverse[u] = all(0.0f);
	}
	sweep_start(s, block, lane, rate);
	for (i = 0; i + 1 < p->nsample; i++) {
		float *kept = scratch + 3 * i * L + lane;
		vreal r[U];

		FOR_U
			r[u] = all(p->step[i]);
		sweep_step(s, p, i, r, p->inflate[i], inverse);
		FOR_U {
			store(kept + u * V, s->y[u]);
			store(kept + 2 * L + u * V, inverse[u]);
		}
	}
}

static void weighted_lanes(iris_block *block, const iris_pattern *p,
			   const float *charge, float *scratch, size_t lane)
{
	vreal charge_sum[U], time[U], next[U], read[U], photon[U];
	sweep s;
	size_t i;

	weighted_forward(block, p, lane, &s, scratch);
	FOR_U
		charge_sum[u] = time[u] = next[u] = read[u]
			= photon[u] = all(0.0f);
	for (i = p->nsample - 1; i-- > 0;) {
		const float *kept = scratch + 3 * i * L + lane;
		const bool last = i + 2 >= p->nsample;
		vreal d[U];
		vmask m[U];

		difference(charge, i, lane, d);
		present(block, i, lane, m);
		FOR_U {
			const vreal ip = load(kept + 2 * L + u * V);
			const vreal off = last ? all(0.0f)
				: s.rate[u] * p->photon_off[i + 1]
				+ s.s2[u] * p->read_off[i + 1];
			const vreal v = only(m[u], load(kept + u * V) * ip
					     - off * ip * next[u]);

			charge_sum[u] += v * only(m[u], d[u]);
			time[u] += v * p->step[i];
			read[u] += p->read[i] * (v * v);
			photon[u] += p->photon[i] * (v * v);
			if (!last) {
				read[u] += 2.0f * p->read_off[i + 1]
					* (v * next[u]);
				photon[u] += 2.0f * p->photon_off[i + 1]
					* (v * next[u]);
			}
			next[u] = v;
		}
	}
	FOR_U {
		const vreal norm = 1.0f / time[u];

		store(block->rate + lane + u * V, charge_sum[u] * norm);
		store(block->var_read + lane + u * V,
		      s.s2[u] * (read[u] * norm * norm));
		store(block->photon_factor + lane + u * V,
		      photon[u] * norm * norm);
	}
}

static void likelihood(iris_block *block, const iris_pattern *p, float one,
		       float two, const float *charge, float *scratch)
{
	const thresholds t = {one, two};
	size_t lane;

	for (lane = 0; lane < L; lane += G) {
		likelihood_lanes(block, p, t, charge, scratch, lane);
		/* First with C at the rate of all intervals, then at its own. */
		if (p->weighted)
			weighted_lanes(block, p, charge, scratch, lane);
		if (p->weighted)
			weighted_lanes(block, p, charge, scratch, lane);
	}
	reduce_chi_square(block);
	photon_variance(block);
}

/* Chi-square of the differences about the rate of another estimator. */
static void chi_square(iris_block *block, const iris_pattern *p,
		       const float *charge)
{
	size_t lane, i;

	for (lane = 0; lane < L; lane += G) {
		vreal rate[U], inverse[U];
		sweep s;

		FOR_U {
			rate[u] = load(block->rate + lane + u * V);
			inverse[u] = all(0.0f);
		}
		sweep_start(&s, block, lane, rate);
		for (i = 0; i + 1 < p->nsample; i++) {
			vreal d[U];
			vmask m[U];

			difference(charge, i, lane, d);
			present(block, i, lane, m);
			FOR_U
				d[u] = d[u] - rate[u] * p->step[i];
			sweep_step(&s, p, i, d, 1.0f, inverse);
			sweep_sum(&s, m, inverse, true);
		}
		FOR_U
			store(block->chi2 + lane + u * V,
			      s.a[u] - s.b[u] * (s.b[u] / s.g[u]));
	}
	reduce_chi_square(block);
}

const iris_kernels IRIS_KERNELS = {
	.name = IRIS_KERNELS_NAME,
	.scan = scan,
	.calibrate = calibrate,
	.accumulate = accumulate,
	.two_point = two_point,
	.likelihood = likelihood,
	.chi_square = chi_square,
};
