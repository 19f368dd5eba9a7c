/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames of one scene, combined pixel by pixel: sorting networks across the
 * frames, clipping, sums.  Part of kernels.c.
 *
 * A block of pixels is worked on as columns: row f of a column holds frame f,
 * lanes are pixels.  Values are float, as they came; everything that decides
 * or adds up is double.  No exchange and no sum depends on a value, so that a
 * pixel takes the same steps whatever its neighbours are; a group of lanes
 * stops clipping when none of them changes any more.
 */
#ifndef IRIS_READOUT_KERNELS_STACK_H
#define IRIS_READOUT_KERNELS_STACK_H

#include "vector.h"

#include <math.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef double vdouble __attribute__((vector_size(IRIS_VECTOR)));
typedef int64_t vlong __attribute__((vector_size(IRIS_VECTOR)));
typedef uint64_t vulong __attribute__((vector_size(IRIS_VECTOR)));
typedef float vnarrow __attribute__((vector_size(IRIS_VECTOR / 2)));

enum {
	D = V / 2, /* doubles of a vector */
	P = 2,     /* vectors side by side: hides additions */
	W = P * D  /* lanes clipped together */
};

#define FOR_P for (int u = 0; u < P; u++)

/* --- doubles ------------------------------------------------------------- */

/* The compiler converts no more than two at a time by itself. */
static inline vdouble widen(const float *lanes)
{
#if defined(__AVX512F__) && IRIS_VECTOR == 64
	return (vdouble)_mm512_cvtps_pd(_mm256_load_ps(lanes));
#elif defined(__AVX__) && IRIS_VECTOR == 32
	return (vdouble)_mm256_cvtps_pd(_mm_load_ps(lanes));
#else
	const vnarrow value = *(const vnarrow *)(const void *)lanes;

	return __builtin_convertvector(value, vdouble);
#endif
}

static inline void narrow(float *lanes, vdouble value)
{
#if defined(__AVX512F__) && IRIS_VECTOR == 64
	_mm256_store_ps(lanes, _mm512_cvtpd_ps((__m512d)value));
#elif defined(__AVX__) && IRIS_VECTOR == 32
	_mm_store_ps(lanes, _mm256_cvtpd_ps((__m256d)value));
#else
	*(vnarrow *)(void *)lanes = __builtin_convertvector(value, vnarrow);
#endif
}

static inline vdouble all_double(double value)
{
	return value - (vdouble){0};
}

static inline vlong all_long(int64_t value)
{
	return value - (vlong){0};
}

static inline vdouble only_double(vlong mask, vdouble a)
{
	return (vdouble)(mask & (vlong)a);
}

static inline vdouble choose_double(vlong mask, vdouble a, vdouble b)
{
	return (vdouble)((mask & (vlong)a) | (~mask & (vlong)b));
}

/* Counts from 0 to 2^52 as doubles: by their bits, few sets can convert them. */
static inline vdouble number(vlong count)
{
	return (vdouble)(count | (vlong)all_double(0x1p52))
		- all_double(0x1p52);
}

static inline vlong half_of(vlong count)
{
	return (vlong)((vulong)count >> 1);
}

/* The lanes that a mask has, a bit each. */
static inline uint64_t lanes_of(vlong mask)
{
#if defined(__AVX512DQ__) && IRIS_VECTOR == 64
	return _mm512_movepi64_mask((__m512i)mask);
#elif defined(__AVX__) && IRIS_VECTOR == 32
	return (uint64_t)_mm256_movemask_pd((__m256d)mask);
#elif defined(__SSE2__) && IRIS_VECTOR == 16
	return (uint64_t)_mm_movemask_pd((__m128d)mask);
#else
	uint64_t lanes = 0;

	for (int l = 0; l < D; l++)
		lanes |= (uint64_t)(mask[l] != 0) << l;
	return lanes;
#endif
}

static inline bool any_long(vlong mask)
{
	return lanes_of(mask) != 0;
}

static inline vdouble root(vdouble a)
{
#if defined(__AVX512F__) && IRIS_VECTOR == 64
	return (vdouble)_mm512_sqrt_pd((__m512d)a);
#elif defined(__AVX__) && IRIS_VECTOR == 32
	return (vdouble)_mm256_sqrt_pd((__m256d)a);
#else
	for (int l = 0; l < D; l++)
		a[l] = sqrt(a[l]);
	return a;
#endif
}

/* --- sorting ------------------------------------------------------------- */

/* The smaller of two, and the larger; of equal ones the second. */
static inline vreal smaller(vreal a, vreal b)
{
#if defined(__AVX512F__) && IRIS_VECTOR == 64
	return (vreal)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX__) && IRIS_VECTOR == 32
	return (vreal)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__) && IRIS_VECTOR == 16
	return (vreal)_mm_min_ps((__m128)a, (__m128)b);
#else
	return choose(a < b, a, b);
#endif
}

static inline vreal larger(vreal a, vreal b)
{
#if defined(__AVX512F__) && IRIS_VECTOR == 64
	return (vreal)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__) && IRIS_VECTOR == 32
	return (vreal)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__) && IRIS_VECTOR == 16
	return (vreal)_mm_max_ps((__m128)a, (__m128)b);
#else
	return choose(a > b, a, b);
#endif
}

/*
 * Sort `lanes` columns of n values each, ascending: Batcher's merge exchange
 * for any n (Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M).
 */
INLINE void sort_columns(float *column, size_t n, size_t lanes)
{
	size_t top = 1, p;

	while (top < n)
		top *= 2;
	for (p = top / 2; p > 0; p /= 2) {
		size_t q = top / 2, r = 0, d = p;

		for (;;) {
			size_t i, l;

			for (i = 0; i + d < n; i++) {
				float *a = column + i * L, *b = a + d * L;

				for (l = 0; (i & p) == r && l < lanes; l += V) {
					const vreal x = load(a + l);
					const vreal y = load(b + l);

					store(a + l, smaller(x, y));
					store(b + l, larger(x, y));
				}
			}
			if (q == p)
				break;
			d = q - p;
			q /= 2;
			r = p;
		}
	}
}

/* --- clipping of W lanes ------------------------------------------------- */

typedef struct clipped {
	size_t n;             /* frames */
	const float *sorted;  /* columns; what is no value is infinite */
	vlong first[P], count[P]; /* values still in: a run of the sorted ones */
	vdouble low[P], high[P];  /* they lie between these */
	vdouble last_low[P], last_high[P]; /* limits of the last pass */
	vdouble centre[P];        /* their median */
	vdouble mean[P], square[P]; /* and, by the rule of sigma, these */
	bool full;                /* all values of all lanes are in */
} clipped;

INLINE vlong are_in(vdouble value, vdouble low, vdouble high)
{
	return (vlong)(value >= low) & (vlong)(value <= high);
}

/* Count the values between the limits, and those below. */
INLINE void count_values(clipped *c)
{
	const float *top = c->sorted + (c->n - 1) * L;
	vlong missing = all_long(0);
	size_t k;

	FOR_P {
		missing |= ~are_in(widen(c->sorted + u * D), c->low[u],
				   c->high[u]);
		missing |= ~are_in(widen(top + u * D), c->low[u], c->high[u]);
		c->first[u] = all_long(0);
		c->count[u] = all_long((int64_t)c->n);
	}
	c->full = !any_long(missing);
	if (c->full)
		return;
	FOR_P
		c->count[u] = all_long(0);
	for (k = 0; k < c->n; k++)
		FOR_P {
			const vdouble x = widen(c->sorted + k * L + u * D);

			c->first[u] -= (vlong)(x < c->low[u]);
			c->count[u] -= are_in(x, c->low[u], c->high[u]);
		}
}

/* Median of `count` sorted values from `first` on; 0.5 (a + b) of two. */
INLINE void find_median(const float *sorted, size_t n, const vlong first[P],
			const vlong count[P], bool full, vdouble median[P])
{
	vlong a[P], b[P];
	vdouble x[P], y[P];
	size_t k;

	if (full) {
		FOR_P
			median[u] = 0.5
				* (widen(sorted + (n - 1) / 2 * L + u * D)
				   + widen(sorted + n / 2 * L + u * D));
		return;
	}
	FOR_P {
		/* Of no value: no place, which unsigned sums may wrap to. */
		a[u] = (vlong)((vulong)first[u]
			       + (vulong)half_of(count[u] - 1));
		b[u] = first[u] + half_of(count[u]);
		x[u] = y[u] = all_double(0.0);
	}
	for (k = 0; k < n; k++)
		FOR_P {
			const vdouble value = widen(sorted + k * L + u * D);
			const vlong at = all_long((int64_t)k);

			x[u] += only_double(a[u] == at, value);
			y[u] += only_double(b[u] == at, value);
		}
	FOR_P
		median[u] = 0.5 * (x[u] + y[u]);
}

/* Mean of the values that are in, summed in ascending order. */
INLINE void find_mean(clipped *c, bool full)
{
	size_t k;

	FOR_P
		c->mean[u] = all_double(0.0);
	for (k = 0; k < c->n; k++)
		FOR_P {
			const vdouble x = widen(c->sorted + k * L + u * D);

			c->mean[u] += full ? x : only_double(
				are_in(x, c->low[u], c->high[u]), x);
		}
	FOR_P
		c->mean[u] = c->mean[u] / number(c->count[u]);
}

/* Sum of the squares of their distances from that. */
INLINE void find_square(clipped *c, bool full)
{
	size_t k;

	FOR_P
		c->square[u] = all_double(0.0);
	for (k = 0; k < c->n; k++)
		FOR_P {
			const vdouble x = widen(c->sorted + k * L + u * D);
			const vdouble d = x - c->mean[u];

			c->square[u] += full ? d * d : only_double(
				are_in(x, c->low[u], c->high[u]), d * d);
		}
}

INLINE void standard_deviation(clipped *c, bool full, vdouble sigma[P])
{
	find_mean(c, full);
	find_square(c, full);
	FOR_P
		sigma[u] = root(c->square[u] / number(c->count[u]));
}

/* Root of the median variance of the values that are in; 0 without any. */
static void expected_sigma(const clipped *c, const float *value,
			   const float *variance, float *room,
			   vdouble sigma[P])
{
	const vlong none[P] = {0};
	size_t f;

	FOR_P
		sigma[u] = all_double(0.0);
	if (variance == NULL)
		return;
	for (f = 0; f < c->n; f++)
		FOR_P {
			const size_t at = f * L + (size_t)u * D;
			const vlong in = are_in(widen(value + at), c->low[u],
						c->high[u]);

			narrow(room + at,
			       choose_double(in, widen(variance + at),
					     all_double(HUGE_VAL)));
		}
	sort_columns(room, c->n, W);
	find_median(room, c->n, none, c->count, c->full, sigma);
	FOR_P {
		const vdouble v = only_double(sigma[u] > 0.0, sigma[u]);

		sigma[u] = root(v);
	}
}

/* Median absolute deviation of the values that are in, about their median. */
static void median_deviation(const clipped *c, float *room, vdouble result[P])
{
	const vlong none[P] = {0};
	const vlong sign = (vlong)all_double(-0.0);
	size_t k;

	for (k = 0; k < c->n; k++)
		FOR_P {
			const size_t at = k * L + (size_t)u * D;
			const vdouble x = widen(c->sorted + at);
			const vlong in = are_in(x, c->low[u], c->high[u]);
			const vdouble d = x - c->centre[u];

			narrow(room + at,
			       choose_double(in, (vdouble)((vlong)d & ~sign),
					     all_double(HUGE_VAL)));
		}
	sort_columns(room, c->n, W);
	find_median(room, c->n, none, c->count, c->full, result);
}

/* Whether a value lies further than `limit` from the centre, in any lane. */
static bool some_beyond(const clipped *c, const vdouble limit[P])
{
	vlong beyond = all_long(0);
	size_t k;

	for (k = 0; k < c->n; k++)
		FOR_P {
			const vdouble x = widen(c->sorted + k * L + u * D);

			beyond |= are_in(x, c->low[u], c->high[u])
				& ~are_in(x, c->centre[u] - limit[u],
					  c->centre[u] + limit[u]);
		}
	return any_long(beyond);
}

/*
 * The larger of the expected sigma and of 1.4826 times the median absolute
 * deviation, corrected for few values and then held to a multiple of the
 * expected one.  The second is looked for only where it can matter.
 */
static void robust_sigma(const iris_stack_job *job, const clipped *c,
			 const float *value, const float *variance,
			 float *room, vdouble sigma[P])
{
	const vdouble clip = all_double(job->options->clip);
	vdouble limit[P], spread[P];

	expected_sigma(c, value, variance, room, sigma);
	FOR_P
		limit[u] = clip * sigma[u];
	if (!some_beyond(c, limit))
		return;
	median_deviation(c, room, spread);
	FOR_P {
		const vdouble most = IRIS_FEW_EXCESS * sigma[u];
		const vlong few = (vlong)(c->count[u] < all_long(IRIS_FEW))
			& (vlong)(sigma[u] > 0.0);
		vdouble s = spread[u];

		for (int l = 0; l < D; l++)
			s[l] *= job->factor[c->count[u][l]];
		s = choose_double(few & (vlong)(s > most), most, s);
		sigma[u] = choose_double((vlong)(s > sigma[u]), s, sigma[u]);
	}
}

/* Values must not lie further than clip sigma from the centre. */
INLINE void set_limits(const iris_stack_job *job, clipped *c,
		       const vdouble sigma[P])
{
	const bool robust = job->options->rule == IRIS_CLIP_ROBUST;

	FOR_P {
		const vdouble wide = all_double(job->options->clip) * sigma[u];
		/* Of two values none is the odd one. */
		const vlong spared = (vlong)(c->count[u] < all_long(3))
			& all_long(robust ? -1 : 0);
		const vdouble t = choose_double(spared, all_double(HUGE_VAL),
						wide);

		c->last_low[u] = c->centre[u] - t;
		c->last_high[u] = c->centre[u] + t;
		c->low[u] = choose_double(
			(vlong)(c->last_low[u] > c->low[u]), c->last_low[u],
			c->low[u]);
		c->high[u] = choose_double(
			(vlong)(c->last_high[u] < c->high[u]),
			c->last_high[u], c->high[u]);
	}
}

INLINE void start_clipping(clipped *c)
{
	FOR_P {
		c->low[u] = c->last_low[u] = all_double(-(double)FLT_MAX);
		c->high[u] = c->last_high[u] = all_double((double)FLT_MAX);
	}
}

/*
 * Take out values far from the median until none is left that is.  By the rule
 * of sigma those between the limits of the last pass are used, as
 * astropy.stats.sigma_clip has it: what an earlier one took out comes back
 * where they allow.
 */
static void clip_lanes(const iris_stack_job *job, clipped *c,
		       const float *value, const float *variance, float *room)
{
	const bool robust = job->options->rule == IRIS_CLIP_ROBUST;
	size_t pass;

	start_clipping(c);
	FOR_P
		c->centre[u] = c->mean[u] = c->square[u]
			= all_double(0.0);
	count_values(c);
	for (pass = 0; pass < job->options->iterations; pass++) {
		vlong before[P], changed = all_long(0);
		vdouble sigma[P];

		find_median(c->sorted, c->n, c->first, c->count, c->full,
			    c->centre);
		if (robust)
			robust_sigma(job, c, value, variance, room, sigma);
		else
			standard_deviation(c, c->full, sigma);
		set_limits(job, c, sigma);
		FOR_P
			before[u] = c->count[u];
		count_values(c);
		FOR_P
			changed |= c->count[u] != before[u];
		if (!any_long(changed))
			break;
	}
	FOR_P {
		c->low[u] = robust ? c->low[u] : c->last_low[u];
		c->high[u] = robust ? c->high[u] : choose_double(
			(vlong)(c->last_high[u] <= (double)FLT_MAX),
			c->last_high[u], all_double((double)FLT_MAX));
	}
	count_values(c);
}

/*
 * Lanes of which some value is not there, or may be clipped in a first pass.
 * By the robust rule sigma is not below the root of the least variance.
 */
INLINE void find_odd(const iris_stack_job *job, clipped *c,
		     const float *variance, vlong odd[P])
{
	const float *top = c->sorted + (c->n - 1) * L;
	vdouble sigma[P];
	size_t f;

	start_clipping(c);
	FOR_P {
		c->count[u] = all_long((int64_t)c->n);
		c->first[u] = all_long(0);
		odd[u] = (vlong)(widen(top + u * D) > (double)FLT_MAX);
		c->centre[u] = c->mean[u] = c->square[u] = sigma[u]
			= all_double(0.0);
	}
	c->full = true;
	if (job->options->iterations == 0)
		return;
	find_median(c->sorted, c->n, c->first, c->count, true, c->centre);
	if (job->options->rule == IRIS_CLIP_SIGMA)
		standard_deviation(c, true, sigma);
	else if (variance != NULL) {
		FOR_P
			sigma[u] = widen(variance + u * D);
		for (f = 1; f < c->n; f++)
			FOR_P {
				const vdouble v = widen(variance + f * L
							+ u * D);

				sigma[u] = choose_double((vlong)(v < sigma[u]),
							 v, sigma[u]);
			}
		FOR_P
			sigma[u] = root(only_double((vlong)(sigma[u] > 0.0),
						    sigma[u]));
	}
	set_limits(job, c, sigma);
	FOR_P {
		odd[u] |= (vlong)(widen(c->sorted + u * D) < c->last_low[u])
			| (vlong)(widen(top + u * D) > c->last_high[u]);
	}
	start_clipping(c);
}

/* --- means of P lanes ---------------------------------------------------- */

/* Columns of a block, and what comes of it. */
typedef struct columns {
	size_t n;
	float *value, *sorted, *room;
	float *read, *variance; /* of read noise and whole; NULL: not known */
	_Alignas(64) float result[L], spread[L], count[L];
	_Alignas(64) double low[L], high[L]; /* of the values used */
} columns;

/* Sums over the used values of each lane, with weights 1 / read noise^2. */
typedef struct weighted {
	vdouble weight[P], value[P], propagated[P];
	vdouble variance[P]; /* without weights */
	vlong plain[P];      /* some weight cannot be had: all are equal */
} weighted;

INLINE void add_weighted(const columns *k, const clipped *c, size_t lane,
			 weighted *s)
{
	size_t f;

	FOR_P {
		s->weight[u] = s->value[u] = s->propagated[u] = s->variance[u]
			= all_double(0.0);
		s->plain[u] = all_long(0);
	}
	for (f = 0; f < k->n; f++)
		FOR_P {
			const size_t at = f * L + lane + (size_t)u * D;
			const vdouble x = widen(k->value + at);
			const vlong in = are_in(x, c->low[u], c->high[u]);
			const vdouble r = widen(k->read + at);
			const vdouble w = only_double(in, 1.0 / r);
			const vdouble v = only_double(
				in, widen(k->variance + at));

			s->plain[u] |= in & ~(vlong)(r > 0.0);
			s->weight[u] += w;
			s->value[u] += w * only_double(in, x);
			s->variance[u] += v;
			s->propagated[u] += w * w * v;
		}
}

/* Raise a variance to the scatter where that is larger than chance allows. */
INLINE vdouble raised(const iris_stack_job *job, const clipped *c, int u,
		      vdouble given, vdouble variance)
{
	const vdouble n = number(c->count[u]);
	const vdouble ratio = c->square[u] / (n - 1.0) / given;
	vdouble limit = n;

	for (int l = 0; l < D; l++)
		limit[l] = job->options->excess[c->count[u][l]];
	return choose_double((vlong)(n > 1.0) & (vlong)(given > 0.0)
			     & (vlong)(ratio > limit),
			     variance * ratio, variance);
}

/* Weighted mean and its variance in the place of the plain ones. */
INLINE void weigh(const iris_stack_job *job, const columns *k, clipped *c,
		  size_t lane, bool full, vdouble variance[P])
{
	const bool raise = job->options->excess != NULL;
	weighted s;

	add_weighted(k, c, lane, &s);
	FOR_P
		c->mean[u] = choose_double(s.plain[u], c->mean[u],
					   s.value[u] / s.weight[u]);
	if (raise)
		find_square(c, full);
	FOR_P {
		const vdouble n = number(c->count[u]);

		variance[u] = choose_double(s.plain[u],
					    s.variance[u] / (n * n),
					    s.propagated[u]
					    / (s.weight[u] * s.weight[u]));
		if (raise)
			variance[u] = raised(job, c, u, s.variance[u] / n,
					     variance[u]);
	}
}

/*
 * Results of a group of which the used values are known; `summed` if mean and
 * squares are.  The variance of a median of three and more is pi / 2 times
 * that of the mean.
 */
INLINE void average_lanes(const iris_stack_job *job, columns *k, clipped *c,
			  size_t lane, bool full, bool summed)
{
	vdouble variance[P];

	FOR_P
		variance[u] = all_double(0.0);
	if (!summed)
		find_mean(c, full);
	if (k->read != NULL)
		weigh(job, k, c, lane, full, variance);
	else if (!summed && job->out->variance != NULL)
		find_square(c, full);
	if (job->options->centre == IRIS_CENTRE_MEDIAN)
		find_median(c->sorted, c->n, c->first, c->count, full,
			    c->centre);
	FOR_P {
		const vdouble n = number(c->count[u]);
		const vdouble nan = all_double((double)NAN);
		const vlong none = (vlong)(n <= 0.0);
		const size_t at = lane + (size_t)u * D;
		vdouble v = k->read != NULL ? variance[u]
			: c->square[u] / (n * (n - 1.0));
		vdouble x = c->mean[u];

		if (job->options->centre == IRIS_CENTRE_MEDIAN) {
			x = c->centre[u];
			v = v * choose_double((vlong)(n > 2.0),
					      all_double(1.5707963267948966),
					      all_double(1.0));
		}
		narrow(k->result + at, choose_double(none, nan, x));
		narrow(k->spread + at, choose_double(
			(vlong)(v >= 0.0) & ~none, v, nan));
		narrow(k->count + at, n);
		memcpy(k->low + at, &c->low[u], sizeof(vdouble));
		memcpy(k->high + at, &c->high[u], sizeof(vdouble));
	}
}

/* Which values of a lane are used. */
static inline bool is_used(const columns *k, size_t f, size_t lane)
{
	const double x = (double)k->value[f * L + lane];

	return x >= k->low[lane] && x <= k->high[lane];
}

/* --- pixels that are not done with the others ---------------------------- */

/*
 * Columns of their own, of pixels from anywhere.  They wait until there are
 * many: groups are full then.
 */
typedef struct odd_pixels {
	size_t count;
	size_t pixel[L];
	bool with_values;
	columns k;
} odd_pixels;

static void add_odd(odd_pixels *odd, const columns *k, size_t lane,
		    size_t pixel)
{
	columns *own = &odd->k;
	const size_t slot = odd->count++;
	size_t f;

	odd->pixel[slot] = pixel;
	for (f = 0; f < k->n; f++)
		own->sorted[f * L + slot] = k->sorted[f * L + lane];
	for (f = 0; odd->with_values && f < k->n; f++)
		own->value[f * L + slot] = k->value[f * L + lane];
	for (f = 0; k->read != NULL && f < k->n; f++) {
		own->read[f * L + slot] = k->read[f * L + lane];
		own->variance[f * L + slot] = k->variance[f * L + lane];
	}
}

/* Lanes without a value, up to the end of the last group. */
static void pad_odd(odd_pixels *odd)
{
	const columns *own = &odd->k;
	size_t f, l;

	for (f = 0; f < own->n; f++)
		for (l = odd->count; l % W != 0; l++) {
			const size_t at = f * L + l;

			own->sorted[at] = own->value[at] = HUGE_VALF;
			if (own->read != NULL)
				own->read[at] = own->variance[at] = 1.0f;
		}
}

/* Flags of an odd pixel: OR of the used values; where there is none, of all. */
static uint32_t flags_of_odd(const iris_stack_job *job, const odd_pixels *odd,
			     size_t slot)
{
	uint32_t of_used = 0, of_all = IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	const columns *own = &odd->k;
	size_t f;

	for (f = 0; f < own->n; f++) {
		const iris_stack_frame *frame = &job->frames[f];
		const uint32_t dq = frame->dq != NULL
			? frame->dq[odd->pixel[slot]] : 0;

		of_all |= dq;
		if (is_used(own, f, slot))
			of_used |= dq;
	}
	return own->count[slot] > 0.0f ? of_used : of_all;
}

static void store_odd(const iris_stack_job *job, const odd_pixels *odd)
{
	const iris_stack_planes *out = job->out;
	const columns *own = &odd->k;
	size_t i, f;

	for (i = 0; i < odd->count; i++) {
		const size_t pixel = odd->pixel[i];

		out->value[pixel] = own->result[i];
		if (out->variance != NULL)
			out->variance[pixel] = own->spread[i];
		if (out->nused != NULL)
			out->nused[pixel] = (uint16_t)own->count[i];
		if (out->dq != NULL)
			out->dq[pixel] = flags_of_odd(job, odd, i);
		for (f = 0; f < own->n; f++)
			if (job->frames[f].used != NULL)
				job->frames[f].used[pixel] =
					is_used(own, f, i);
	}
}

/* Combine the odd pixels, however many values they have or lose. */
static void combine_odd(const iris_stack_job *job, odd_pixels *odd)
{
	columns *own = &odd->k;
	size_t lane;

	pad_odd(odd);
	for (lane = 0; lane < odd->count; lane += W) {
		clipped c;

		c.n = own->n;
		c.sorted = own->sorted + lane;
		clip_lanes(job, &c, own->value + lane,
			   own->read != NULL ? own->variance + lane : NULL,
			   own->room + lane);
		average_lanes(job, own, &c, lane, false, false);
	}
	store_odd(job, odd);
	odd->count = 0;
}

/*
 * Combine the others, which have all their values and keep them: no masks are
 * needed.  Returns the lanes for which that does not hold, a bit each.
 */
static uint64_t combine_even(const iris_stack_job *job, columns *k)
{
	const bool summed = job->options->iterations > 0
		&& job->options->rule == IRIS_CLIP_SIGMA;
	uint64_t odd = 0;
	size_t lane;

	for (lane = 0; lane < L; lane += W) {
		vlong of_group[P];
		clipped c;

		c.n = k->n;
		c.sorted = k->sorted + lane;
		find_odd(job, &c, k->read != NULL ? k->variance + lane : NULL,
			 of_group);
		if (summed)
			average_lanes(job, k, &c, lane, true, true);
		else
			average_lanes(job, k, &c, lane, true, false);
		FOR_P
			odd |= lanes_of(of_group[u])
				<< (lane + (size_t)(u * D));
	}
	return odd;
}

/* --- from frames, to planes ---------------------------------------------- */

static const uint32_t no_flags[L]; /* none, and a variance of 0 */

/* L values of which `count` are there; the rest is 0. */
static inline const void *whole(const void *from, size_t count, void *room)
{
	if (from == NULL)
		return no_flags;
	if (count == L)
		return from;
	memset(room, 0, L * sizeof(float));
	memcpy(room, from, count * sizeof(float));
	return room;
}

/* Variances of one frame; `good` becomes 0 where they are not finite. */
static void take_variance(const float *restrict r, const float *restrict p,
			  float scale, float *restrict read,
			  float *restrict variance, float *restrict good)
{
	const float square = scale * scale;

	FOR_L {
		const float of_read = r[l] / square, of_photon = p[l] / square;
		float fine = fabsf(of_read) <= FLT_MAX ? good[l] : 0.0f;

		fine = fabsf(of_photon) <= FLT_MAX ? fine : 0.0f;
		read[l] = of_read;
		variance[l] = of_read + of_photon;
		good[l] = fine;
	}
}

static inline const void *at(const void *plane, size_t first)
{
	return plane != NULL ? (const float *)plane + first : NULL;
}

/* Values of frame f; what cannot be used is infinite. */
static void take_frame(const iris_stack_job *job, columns *k, size_t f,
		       size_t first, size_t count)
{
	const iris_stack_frame *frame = &job->frames[f];
	float *restrict value = k->value + f * L;
	_Alignas(64) float room[3][L], good[L];
	const float *x = whole(at(frame->value, first), count, room[0]);
	const uint32_t *dq = whole(at(frame->dq, first), count, room[1]);
	const bool as_it_is = frame->offset == 0.0f && frame->scale == 1.0f;

	FOR_L
		good[l] = dq[l] & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE) ? 0.0f : 1.0f;
	if (k->read != NULL)
		take_variance(whole(at(frame->var_read, first), count, room[1]),
			      whole(at(frame->var_photon, first), count,
				    room[2]),
			      frame->scale, k->read + f * L,
			      k->variance + f * L, good);
	if (!as_it_is)
		FOR_L
			room[1][l] = (x[l] - frame->offset) / frame->scale;
	if (!as_it_is)
		x = room[1];
	FOR_L {
		const float v = x[l];
		const float fine = fabsf(v) <= FLT_MAX ? good[l] : 0.0f;

		value[l] = fine > 0.0f ? v : HUGE_VALF;
	}
}

/* Planes of a block of which every value is used. */
static void store_even(const iris_stack_job *job, const columns *k,
		       size_t first, size_t count)
{
	const iris_stack_planes *out = job->out;
	size_t f, l;

	memcpy(out->value + first, k->result, count * sizeof(*out->value));
	if (out->variance != NULL)
		memcpy(out->variance + first, k->spread,
		       count * sizeof(*out->variance));
	for (l = 0; out->nused != NULL && l < count; l++)
		out->nused[first + l] = (uint16_t)k->n;
	for (l = 0; out->dq != NULL && l < count; l++)
		out->dq[first + l] = 0;
	for (f = 0; f < k->n; f++) {
		const iris_stack_frame *frame = &job->frames[f];

		if (frame->used != NULL)
			memset(frame->used + first, 1, count);
		if (out->dq == NULL || frame->dq == NULL)
			continue;
		for (l = 0; l < count; l++)
			out->dq[first + l] |= frame->dq[first + l];
	}
}

static void place_columns(columns *k, size_t n, bool known, float *scratch)
{
	const size_t size = n * L;

	k->n = n;
	k->value = scratch;
	k->sorted = scratch + size;
	k->room = scratch + 2 * size;
	k->read = known ? scratch + 3 * size : NULL;
	k->variance = known ? scratch + 4 * size : NULL;
}

/* One block; its odd pixels wait. */
static void combine_block(const iris_stack_job *job, size_t first,
			  size_t count, columns *k, odd_pixels *odd)
{
	uint64_t found;
	size_t f;

	for (f = 0; f < k->n; f++)
		take_frame(job, k, f, first, count);
	memcpy(k->sorted, k->value, k->n * L * sizeof(*k->sorted));
	sort_columns(k->sorted, k->n, L);
	found = combine_even(job, k);
	store_even(job, k, first, count);
	if (odd->count + (size_t)__builtin_popcountll(found) > L)
		combine_odd(job, odd);
	for (; found != 0; found &= found - 1) {
		const size_t lane = (size_t)__builtin_ctzll(found);

		if (lane < count)
			add_odd(odd, k, lane, first + lane);
	}
}

/* Whether it matters which values are used, or in which frame they are. */
static bool needs_values(const iris_stack_job *job)
{
	size_t f;

	for (f = 0; f < job->nframe; f++)
		if (job->frames[f].used != NULL)
			return true;
	return job->out->dq != NULL || job->frames[0].var_read != NULL
		|| job->options->rule == IRIS_CLIP_ROBUST;
}

/* Combine pixels [first, first + count). */
static void combine_stack(const iris_stack_job *job, size_t first,
			  size_t count, float *scratch)
{
	const size_t n = job->nframe, end = first + count;
	const bool known = job->frames[0].var_read != NULL;
	odd_pixels odd;
	columns k;

	place_columns(&k, n, known, scratch);
	place_columns(&odd.k, n, known, scratch + 5 * n * L);
	odd.count = 0;
	odd.with_values = needs_values(job);
	for (; first < end; first += L)
		combine_block(job, first, end - first < L ? end - first : L,
			      &k, &odd);
	if (odd.count > 0)
		combine_odd(job, &odd);
}

#endif
