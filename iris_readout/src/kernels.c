/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vector code, compiled once per instruction set (IRIS_KERNELS names the
 * table, IRIS_KERNELS_NAME the set, IRIS_VECTOR its vectors in bytes).
 *
 * Vectors run across pixels and no sum runs across them, products and sums are
 * never fused (-ffp-contract=off), divisions are divisions: every set gives the
 * same bits.
 */
#include "kernels_fold.h"
#include "kernels_frame.h"
#include "kernels_lanes.h"
#include "kernels_stack.h"

#include <math.h>
#include <string.h>

/* --- differences --------------------------------------------------------- */

/*
 * What is known of all lanes of a block: constants to the compiler, which makes
 * a version of the code below for each.
 */
typedef struct shape {
	bool folded; /* some sample is the mean of several reads */
	bool full;   /* all samples are usable */
} shape;

/* The covariance of differences at a rate: on the diagonal ... */
INLINE vreal diagonal(const iris_pattern *p, shape is, size_t i, vreal rate,
		      vreal s2)
{
	if (!is.folded)
		return rate * p->step[i] + (s2 + s2);
	return rate * p->photon[i] + s2 * p->read[i];
}

/* ... and between i - 1 and i. */
INLINE vreal beside(const iris_pattern *p, shape is, size_t i, vreal rate,
		    vreal s2)
{
	if (!is.folded)
		return -s2;
	return rate * p->photon_off[i] + s2 * p->read_off[i];
}

/* Lanes [lane, lane + G) of the differences of neighbouring samples. */
INLINE void difference(const float *charge, size_t i, size_t lane, vreal d[U])
{
	const float *q = charge + i * L + lane;

	FOR_U
		d[u] = load(q + L + u * V) - load(q + u * V);
}

/* Which lanes have difference i. */
INLINE void present(const iris_block *block, shape is, size_t i, size_t lane,
		    vmask m[U])
{
	FOR_U
		m[u] = is.full ? all_mask(-1) : load_mask(block->nusable + lane + u * V)
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

INLINE void sweep_start(sweep *s, const iris_block *block, size_t lane,
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
INLINE void sweep_step(sweep *s, const iris_pattern *p, shape is, size_t i,
		       const vreal r[U], float inflate, vreal inverse[U])
{
	FOR_U {
		const vreal off = beside(p, is, i, s->rate[u], s->s2[u]);
		const vreal on = diagonal(p, is, i, s->rate[u], s->s2[u]);
		const vreal factor = off * inverse[u]; /* 0 for the first */

		s->pivot[u] = on * inflate - factor * off;
		s->y[u] = r[u] - factor * s->y[u];
		s->z[u] = p->step[i] - factor * s->z[u];
		inverse[u] = 1.0f / s->pivot[u];
	}
}

INLINE vreal counted(shape is, vmask m, vreal a)
{
	return is.full ? a : only(m, a);
}

INLINE void sweep_sum(sweep *s, shape is, const vmask m[U],
		      const vreal inverse[U], bool squares)
{
	FOR_U {
		const vreal z = s->z[u] * inverse[u];

		if (squares)
			s->a[u] += counted(is, m[u], s->y[u]
					   * (s->y[u] * inverse[u]));
		s->b[u] += counted(is, m[u], s->y[u] * z);
		s->g[u] += counted(is, m[u], s->z[u] * z);
	}
}

/*
 * A first rate that one hit does not move: the mean of the differences without
 * the largest and the smallest.
 */
INLINE void guess(const iris_block *block, const iris_pattern *p, shape is,
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
		present(block, is, i, lane, m);
		FOR_U {
			const vreal r = d[u] * p->inverse[i];
			const vmask lower = is.full ? r < low[u]
				: (r < low[u]) & m[u];
			const vmask higher = is.full ? r > high[u]
				: (r > high[u]) & m[u];

			sum[u] += counted(is, m[u], d[u]);
			time[u] += counted(is, m[u], all(p->step[i]));
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
INLINE void first_pass(const iris_block *block, const iris_pattern *p,
		       shape is, const float *charge, size_t lane,
		       vreal rate[U])
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
		present(block, is, i, lane, m);
		sweep_step(&s, p, is, i, d, 1.0f, inverse);
		sweep_sum(&s, is, m, inverse, false);
	}
	FOR_U
		rate[u] = s.b[u] / s.g[u];
}

/* Second pass about that rate; keeps y, z and 1 / pivot in scratch. */
INLINE void second_pass(const iris_block *block, const iris_pattern *p,
			shape is, const float *charge, size_t lane,
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
		present(block, is, i, lane, m);
		FOR_U
			d[u] = d[u] - rate[u] * p->step[i];
		sweep_step(s, p, is, i, d, 1.0f, inverse);
		sweep_sum(s, is, m, inverse, true);
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
	vreal w[U];              /* v / G: its weight in the rate */
	vreal read[U], photon[U];
	vmask suspect[U];
} back;

typedef struct thresholds {
	float one, two; /* of chi-square; 0: no test */
} thresholds;

/* Sums of the variance of the weights: 2 x the term beside the diagonal. */
INLINE void back_sums(back *b, const iris_pattern *p, shape is, size_t i,
		      int u, vreal w)
{
	const vreal square = w * w;

	if (!is.folded) {
		b->read[u] += (square - w * b->w[u]) * 2.0f;
		b->photon[u] += p->step[i] * square;
		return;
	}
	b->read[u] += p->read[i] * square;
	b->photon[u] += p->photon[i] * square;
	if (i + 2 < p->nsample) {
		b->read[u] += 2.0f * p->read_off[i + 1] * (w * b->w[u]);
		b->photon[u] += 2.0f * p->photon_off[i + 1] * (w * b->w[u]);
	}
}

/* Whether leaving out i, or i and i + 1, gains more than the thresholds. */
INLINE vmask back_suspect(const back *b, int u, vreal y, vreal v, vreal w,
			  vreal g, vreal l, thresholds t, bool pair)
{
	const vreal own = g - v * w;
	vmask suspect = y * y > own * t.one;
	vreal next, both, form;

	if (!pair)
		return suspect;
	next = b->g[u] - b->v[u] * b->w[u];
	both = -(l * b->g[u]) - v * b->w[u];
	form = y * y * next - 2.0f * (y * b->u[u]) * both
		+ b->u[u] * b->u[u] * own;
	return suspect | (form > (own * next - both * both) * t.two);
}

INLINE void back_step(back *b, const sweep *s, const iris_pattern *p,
		      shape is, size_t i, const vmask m[U], const float *kept,
		      const vreal shift[U], const vreal inverse_g[U],
		      thresholds t)
{
	const bool last = i + 2 >= p->nsample;

	FOR_U {
		const vreal ip = load(kept + 2 * L + u * V);
		const vreal z = load(kept + L + u * V);
		/* After the last one u, v and g of the next are 0. */
		const vreal l = beside(p, is, last ? i : i + 1, s->rate[u],
				       s->s2[u]) * ip;
		const vreal v = z * ip - l * b->v[u];
		const vreal y = (load(kept + u * V) - shift[u] * z) * ip
			- l * b->u[u];
		const vreal g = ip + l * (l * b->g[u]);
		const vreal w = counted(is, m[u], v * inverse_g[u]);

		if (t.one > 0.0f)
			b->suspect[u] |= m[u]
				& back_suspect(b, u, y, v, w, g, l, t,
					       is.folded && t.two > 0.0f
					       && !last);
		back_sums(b, p, is, i, u, w);
		b->u[u] = counted(is, m[u], y);
		b->v[u] = counted(is, m[u], v);
		b->w[u] = w;
		b->g[u] = counted(is, m[u], g);
	}
}

INLINE void likelihood_lanes(iris_block *block, const iris_pattern *p,
			     shape is, thresholds t, const float *charge,
			     float *scratch, size_t lane)
{
	vreal rate[U], shift[U], inverse_g[U];
	sweep s;
	back b;
	size_t i;

	guess(block, p, is, charge, lane, rate);
	first_pass(block, p, is, charge, lane, rate);
	second_pass(block, p, is, charge, lane, rate, &s, scratch);
	FOR_U {
		inverse_g[u] = 1.0f / s.g[u];
		shift[u] = s.b[u] * inverse_g[u];
		b.u[u] = b.v[u] = b.w[u] = b.g[u] = all(0.0f);
		b.read[u] = b.photon[u] = all(0.0f);
		b.suspect[u] = all_mask(0);
	}
	for (i = p->nsample - 1; i-- > 0;) {
		vmask m[U];

		present(block, is, i, lane, m);
		back_step(&b, &s, p, is, i, m, scratch + 3 * i * L + lane,
			  shift, inverse_g, t);
	}
	FOR_U {
		store(block->rate + lane + u * V, rate[u] + shift[u]);
		store(block->var_read + lane + u * V, s.s2[u] * b.read[u]);
		store(block->photon_factor + lane + u * V, b.photon[u]);
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
				    const iris_pattern *p, shape is,
				    size_t lane, sweep *s, float *scratch)
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
		vmask m[U];

		present(block, is, i, lane, m);
		FOR_U
			r[u] = all(p->step[i]);
		sweep_step(s, p, is, i, r, p->inflate[i], inverse);
		sweep_sum(s, is, m, inverse, false);
		FOR_U {
			store(kept + u * V, s->y[u]);
			store(kept + 2 * L + u * V, inverse[u]);
		}
	}
}

static void weighted_lanes(iris_block *block, const iris_pattern *p,
			   const float *charge, float *scratch, size_t lane)
{
	const shape is = {p->folded, false};
	vreal sum[U], inverse_g[U];
	sweep s;
	back b;
	size_t i;

	weighted_forward(block, p, is, lane, &s, scratch);
	FOR_U {
		inverse_g[u] = 1.0f / s.g[u];
		sum[u] = b.v[u] = b.w[u] = b.read[u] = b.photon[u] = all(0.0f);
	}
	for (i = p->nsample - 1; i-- > 0;) {
		const float *kept = scratch + 3 * i * L + lane;
		const bool last = i + 2 >= p->nsample;
		vreal d[U];
		vmask m[U];

		difference(charge, i, lane, d);
		present(block, is, i, lane, m);
		FOR_U {
			const vreal ip = load(kept + 2 * L + u * V);
			const vreal off = beside(p, is, last ? i : i + 1,
						 s.rate[u], s.s2[u]);
			const vreal v = only(m[u], load(kept + u * V) * ip
					     - off * ip * b.v[u]);
			const vreal w = only(m[u], v * inverse_g[u]);

			sum[u] += w * only(m[u], d[u]);
			back_sums(&b, p, is, i, u, w);
			b.v[u] = v;
			b.w[u] = w;
		}
	}
	FOR_U {
		store(block->rate + lane + u * V, sum[u]);
		store(block->var_read + lane + u * V, s.s2[u] * b.read[u]);
		store(block->photon_factor + lane + u * V, b.photon[u]);
	}
}

static bool is_full(const iris_block *block, const iris_pattern *p)
{
	int32_t least = (int32_t)p->nsample;

	FOR_L
		least = block->nusable[l] < least ? block->nusable[l] : least;
	return least == (int32_t)p->nsample;
}

static void likelihood(iris_block *block, const iris_pattern *p, float one,
		       float two, const float *charge, float *scratch)
{
	const thresholds t = {one, two};
	const bool full = is_full(block, p) && p->nsample > 1;
	size_t lane;

	for (lane = 0; lane < L; lane += G) {
		if (p->folded)
			likelihood_lanes(block, p, (shape){true, false}, t,
					 charge, scratch, lane);
		else if (full)
			likelihood_lanes(block, p, (shape){false, true}, t,
					 charge, scratch, lane);
		else
			likelihood_lanes(block, p, (shape){false, false}, t,
					 charge, scratch, lane);
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
	const shape is = {p->folded, false};
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
			present(block, is, i, lane, m);
			FOR_U
				d[u] = d[u] - rate[u] * p->step[i];
			sweep_step(&s, p, is, i, d, 1.0f, inverse);
			sweep_sum(&s, is, m, inverse, true);
		}
		FOR_U
			store(block->chi2 + lane + u * V,
			      s.a[u] - s.b[u] * (s.b[u] / s.g[u]));
	}
	reduce_chi_square(block);
}

const iris_kernels IRIS_KERNELS = {
	.name = IRIS_KERNELS_NAME,
	.check_references = check_references,
	.check_linearity = check_linearity,
	.start = start,
	.stage = stage,
	.scan = scan,
	.calibrate = calibrate,
	.sum_up = sum_up,
	.accumulate = accumulate,
	.keep_last = keep_last,
	.end_sums = end_sums,
	.clamp = clamp,
	.slope = slope,
	.count_reads = count_reads,
	.is_odd = is_odd,
	.blank = blank,
	.two_point = two_point,
	.likelihood = likelihood,
	.chi_square = chi_square,
	.fold = fold,
	.fold_means = fold_means,
	.combine_stack = combine_stack,
	.subtract_dark = subtract_dark,
	.divide_flat = divide_flat,
};
