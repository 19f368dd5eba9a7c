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
	P = 4,     /* vectors side by side: sums wait for each other */
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

static inline bool any_long(vlong mask)
{
	int64_t found = 0;

	for (int l = 0; l < D; l++)
		found |= mask[l];
	return found != 0;
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
		a[u] = first[u] + half_of(count[u] - 1);
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

/* Standard deviation of the values that are in, about their mean. */
INLINE void deviation_lanes(const clipped *c, bool full, vdouble sigma[P])
{
	vdouble mean[P], square[P];
	size_t k;

	FOR_P
		mean[u] = square[u] = all_double(0.0);
	for (k = 0; k < c->n; k++)
		FOR_P {
			const vdouble x = widen(c->sorted + k * L + u * D);

			mean[u] += full ? x : only_double(
				are_in(x, c->low[u], c->high[u]), x);
		}
	FOR_P
		mean[u] = mean[u] / number(c->count[u]);
	for (k = 0; k < c->n; k++)
		FOR_P {
			const vdouble x = widen(c->sorted + k * L + u * D);
			const vdouble d = x - mean[u];

			square[u] += full ? d * d : only_double(
				are_in(x, c->low[u], c->high[u]), d * d);
		}
	FOR_P
		sigma[u] = root(square[u] / number(c->count[u]));
}

static void standard_deviation(const clipped *c, vdouble sigma[P])
{
	if (c->full)
		deviation_lanes(c, true, sigma);
	else
		deviation_lanes(c, false, sigma);
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

/* Half the width that values may have about the centre. */
INLINE void set_limits(const iris_stack_job *job, clipped *c,
		       const float *value, const float *variance, float *room)
{
	const bool robust = job->options->rule == IRIS_CLIP_ROBUST;
	vdouble sigma[P];

	if (robust)
		robust_sigma(job, c, value, variance, room, sigma);
	else
		standard_deviation(c, sigma);
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

/*
 * Take out values far from the median until none is left that is, at most
 * `passes` times.  Returns the lanes that changed last, a bit each.
 */
static uint64_t clip_lanes(const iris_stack_job *job, clipped *c,
			   const float *value, const float *variance,
			   float *room, size_t passes)
{
	uint64_t changed = 0;
	size_t pass;

	FOR_P {
		c->low[u] = c->last_low[u] = all_double(-(double)FLT_MAX);
		c->high[u] = c->last_high[u] = all_double((double)FLT_MAX);
	}
	count_values(c);
	for (pass = 0; pass < passes; pass++) {
		const bool full = c->full;
		vlong before[P];

		find_median(c->sorted, c->n, c->first, c->count, full,
			    c->centre);
		set_limits(job, c, value, variance, room);
		FOR_P
			before[u] = c->count[u];
		count_values(c);
		if (full && c->full)
			return 0;
		changed = 0;
		FOR_P
			for (int l = 0; l < D; l++)
				changed |= (uint64_t)(c->count[u][l]
						      != before[u][l])
					<< (u * D + l);
		if (changed == 0)
			return 0;
	}
	return changed;
}

/* Limits of the values that are used. */
typedef struct limits {
	_Alignas(64) double low[L], high[L];
} limits;

/*
 * By the rule of sigma they are those of the last pass alone, as
 * astropy.stats.sigma_clip has it: what an earlier one took out comes back
 * where they allow.
 */
static void keep_limits(const iris_stack_job *job, const clipped *c,
			limits *to)
{
	const bool robust = job->options->rule == IRIS_CLIP_ROBUST;

	FOR_P {
		const vdouble low = robust ? c->low[u] : c->last_low[u];
		const vdouble high = robust ? c->high[u] : c->last_high[u];

		memcpy(to->low + u * D, &low, sizeof(low));
		memcpy(to->high + u * D, &high, sizeof(high));
	}
}

/* --- blocks -------------------------------------------------------------- */

/* Columns of a block, and what comes of it. */
typedef struct columns {
	size_t n;
	float *value, *sorted, *room;
	float *read, *variance; /* of read noise and whole; NULL: not known */
	float *few;             /* three columns of lanes that are clipped on */
	limits limits;
	_Alignas(64) float result[L], spread[L], count[L];
} columns;

/* Columns `from` of the lanes of a list; lanes without a value at its end. */
static void gather(float *to, const float *from, size_t n,
		   const unsigned char *list, size_t count)
{
	size_t f, i;

	for (f = 0; f < n; f++) {
		for (i = 0; i < count; i++)
			to[f * L + i] = from[f * L + list[i]];
		for (; i % W != 0; i++)
			to[f * L + i] = HUGE_VALF;
	}
}

/* Clip the lanes of a list from the beginning, in groups of their own. */
static void clip_on(const iris_stack_job *job, columns *k,
		    const unsigned char *list, size_t count)
{
	const size_t size = k->n * L;
	const bool robust = job->options->rule == IRIS_CLIP_ROBUST;
	float *variance = k->read != NULL && robust ? k->few + 2 * size : NULL;
	size_t lane, i;
	limits own;

	gather(k->few, k->sorted, k->n, list, count);
	if (robust)
		gather(k->few + size, k->value, k->n, list, count);
	if (variance != NULL)
		gather(variance, k->variance, k->n, list, count);
	for (lane = 0; lane < count; lane += W) {
		clipped c;

		c.n = k->n;
		c.sorted = k->few + lane;
		(void)clip_lanes(job, &c, k->few + size + lane,
				 variance != NULL ? variance + lane : NULL,
				 k->room + lane, job->options->iterations);
		keep_limits(job, &c, &own);
		for (i = 0; i < W && lane + i < count; i++) {
			k->limits.low[list[lane + i]] = own.low[i];
			k->limits.high[list[lane + i]] = own.high[i];
		}
	}
}

/*
 * Set the limits of all lanes.  Few lanes change in the first pass; they go on
 * together, so that the others need not wait for them.
 */
static void clip_columns(const iris_stack_job *job, columns *k)
{
	const size_t passes = job->options->iterations;
	unsigned char list[L];
	size_t count = 0, lane, l;

	for (lane = 0; lane < L; lane += W) {
		uint64_t changed;
		limits own;
		clipped c;

		c.n = k->n;
		c.sorted = k->sorted + lane;
		changed = clip_lanes(job, &c, k->value + lane,
				     k->read != NULL ? k->variance + lane
				     : NULL, k->room + lane,
				     passes < 1 ? passes : 1);
		keep_limits(job, &c, &own);
		memcpy(k->limits.low + lane, own.low, W * sizeof(double));
		memcpy(k->limits.high + lane, own.high, W * sizeof(double));
		for (l = 0; changed != 0 && l < W; l++)
			if (changed >> l & 1)
				list[count++] = (unsigned char)(lane + l);
	}
	if (passes > 1 && count > 0)
		clip_on(job, k, list, count);
}

/* --- sums over W lanes --------------------------------------------------- */

typedef struct sums_of {
	vdouble value[P], variance[P];                 /* equal weights */
	vdouble weight[P], weighted[P], propagated[P]; /* 1 / read noise^2 */
	vdouble square[P]; /* of the distances from the mean */
	vdouble n[P], mean[P];
	vlong plain[P];    /* some weight cannot be had: all are equal */
} sums_of;

/* Which values are used, 1 or 0, into the room. */
INLINE void mark_used(const columns *k, const clipped *c, size_t lane)
{
	size_t f;

	for (f = 0; f < k->n; f++)
		FOR_P {
			const size_t at = f * L + lane + (size_t)u * D;
			const vlong in = are_in(widen(k->value + at),
						c->low[u], c->high[u]);

			narrow(k->room + at,
			       only_double(in, all_double(1.0)));
		}
}

/* Sums of the values that are used, in ascending order. */
INLINE void add_values(const clipped *c, bool full, sums_of *s)
{
	size_t k;

	FOR_P {
		s->value[u] = s->variance[u] = s->weight[u] = s->weighted[u]
			= s->propagated[u] = s->square[u] = all_double(0.0);
		s->plain[u] = all_long(0);
		s->n[u] = number(c->count[u]);
	}
	for (k = 0; k < c->n; k++)
		FOR_P {
			const vdouble x = widen(c->sorted + k * L + u * D);

			s->value[u] += full ? x : only_double(
				are_in(x, c->low[u], c->high[u]), x);
		}
	FOR_P
		s->mean[u] = s->value[u] / s->n[u];
}

/* Sums with weights, frame after frame. */
INLINE void add_weighted(const columns *k, const clipped *c, size_t lane,
			 sums_of *s)
{
	size_t f;

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
			s->weighted[u] += w * only_double(in, x);
			s->variance[u] += v;
			s->propagated[u] += w * w * v;
		}
	FOR_P
		s->mean[u] = choose_double(s->plain[u], s->mean[u],
					   s->weighted[u] / s->weight[u]);
}

INLINE void add_squares(const clipped *c, sums_of *s)
{
	size_t k;

	for (k = 0; k < c->n; k++)
		FOR_P {
			const vdouble x = widen(c->sorted + k * L + u * D);
			const vdouble d = x - s->mean[u];

			s->square[u] += only_double(
				are_in(x, c->low[u], c->high[u]), d * d);
		}
}

/* Raise a variance to the scatter where that is larger than chance allows. */
INLINE vdouble raised(const iris_stack_job *job, const sums_of *s, int u,
		      vdouble variance)
{
	const vdouble mean = s->variance[u] / s->n[u];
	const vdouble ratio = s->square[u] / (s->n[u] - 1.0) / mean;
	vdouble limit = s->n[u];

	for (int l = 0; l < D; l++)
		limit[l] = job->options->excess[(size_t)limit[l]];
	return choose_double((vlong)(s->n[u] > 1.0) & (vlong)(mean > 0.0)
			     & (vlong)(ratio > limit),
			     variance * ratio, variance);
}

/* Mean of a group and its variance; without a value neither is a number. */
INLINE void average_lanes(const iris_stack_job *job, const columns *k,
			  const clipped *c, size_t lane, sums_of *s,
			  vdouble variance[P])
{
	const bool known = k->read != NULL;
	const bool raise = known && job->options->excess != NULL;

	if (c->full)
		add_values(c, true, s);
	else
		add_values(c, false, s);
	if (known)
		add_weighted(k, c, lane, s);
	if (job->out->variance == NULL)
		return;
	if (raise || !known)
		add_squares(c, s);
	FOR_P {
		const vdouble n = s->n[u];

		if (!known) {
			variance[u] = s->square[u] / (n * (n - 1.0));
			continue;
		}
		variance[u] = choose_double(s->plain[u],
					    s->variance[u] / (n * n),
					    s->propagated[u]
					    / (s->weight[u] * s->weight[u]));
		if (raise)
			variance[u] = raised(job, s, u, variance[u]);
	}
}

/* The median in the place of the mean; its variance is pi / 2 of it from 3 on. */
INLINE void take_median(const clipped *c, sums_of *s, vdouble variance[P])
{
	find_median(c->sorted, c->n, c->first, c->count, c->full, s->mean);
	FOR_P
		variance[u] = variance[u] * choose_double(
			(vlong)(s->n[u] > 2.0), all_double(1.5707963267948966),
			all_double(1.0));
}

/* Results of a group from its limits. */
static void combine_lanes(const iris_stack_job *job, columns *k, size_t lane,
			  bool marked)
{
	vdouble variance[P];
	clipped c;
	sums_of s;

	c.n = k->n;
	c.sorted = k->sorted + lane;
	FOR_P {
		memcpy(&c.low[u], k->limits.low + lane + u * D, sizeof(vdouble));
		memcpy(&c.high[u], k->limits.high + lane + u * D,
		       sizeof(vdouble));
		c.high[u] = choose_double((vlong)(c.high[u] <= (double)FLT_MAX),
					  c.high[u], all_double((double)FLT_MAX));
		variance[u] = all_double(0.0);
	}
	count_values(&c);
	if (marked)
		mark_used(k, &c, lane);
	average_lanes(job, k, &c, lane, &s, variance);
	if (job->options->centre == IRIS_CENTRE_MEDIAN)
		take_median(&c, &s, variance);
	FOR_P {
		const vlong none = (vlong)(s.n[u] <= 0.0);
		const vdouble nan = all_double((double)NAN);
		const size_t at = lane + (size_t)u * D;

		narrow(k->result + at, choose_double(none, nan, s.mean[u]));
		narrow(k->spread + at, choose_double(
			(vlong)(variance[u] >= 0.0) & ~none, variance[u],
			nan));
		narrow(k->count + at, s.n[u]);
	}
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

	FOR_L
		good[l] = dq[l] & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE) ? 0.0f : 1.0f;
	if (k->read != NULL)
		take_variance(whole(at(frame->var_read, first), count, room[1]),
			      whole(at(frame->var_photon, first), count,
				    room[2]),
			      frame->scale, k->read + f * L,
			      k->variance + f * L, good);
	FOR_L {
		const float v = (x[l] - frame->offset) / frame->scale;
		const float fine = fabsf(v) <= FLT_MAX ? good[l] : 0.0f;

		value[l] = fine > 0.0f ? v : HUGE_VALF;
	}
}

/* OR of the flags of the used values; where there is none, of all. */
static void store_dq(const iris_stack_job *job, const columns *k, size_t first,
		     size_t count)
{
	uint32_t of_used[L], of_all[L];
	size_t f;

	FOR_L {
		of_used[l] = 0;
		of_all[l] = IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	}
	for (f = 0; f < k->n; f++) {
		const uint32_t *dq = job->frames[f].dq;
		const float *used = k->room + f * L;

		for (size_t l = 0; dq != NULL && l < count; l++) {
			of_used[l] |= used[l] > 0.0f ? dq[first + l] : 0;
			of_all[l] |= dq[first + l];
		}
	}
	for (size_t l = 0; l < count; l++)
		job->out->dq[first + l] = k->count[l] > 0.0f ? of_used[l]
			: of_all[l];
}

static void store_stack(const iris_stack_job *job, const columns *k,
			size_t first, size_t count)
{
	const iris_stack_planes *out = job->out;
	size_t f, l;

	memcpy(out->value + first, k->result, count * sizeof(*out->value));
	if (out->variance != NULL)
		memcpy(out->variance + first, k->spread,
		       count * sizeof(*out->variance));
	for (l = 0; out->nused != NULL && l < count; l++)
		out->nused[first + l] = (uint16_t)k->count[l];
	if (out->dq != NULL)
		store_dq(job, k, first, count);
	for (f = 0; f < k->n; f++) {
		uint8_t *used = job->frames[f].used;

		for (l = 0; used != NULL && l < count; l++)
			used[first + l] = k->room[f * L + l] > 0.0f;
	}
}

/* Whether something is wanted that depends on which values are used. */
static bool is_marked(const iris_stack_job *job)
{
	size_t f;

	for (f = 0; f < job->nframe; f++)
		if (job->frames[f].used != NULL)
			return true;
	return job->out->dq != NULL;
}

/* Combine pixels [first, first + count), at most L of them. */
static void combine_stack(const iris_stack_job *job, size_t first,
			  size_t count, float *scratch)
{
	const size_t n = job->nframe, size = n * L;
	const bool marked = is_marked(job);
	const bool known = job->frames[0].var_read != NULL;
	size_t f, lane;
	columns k; /* not cleared: that would take as long as the sums */

	k.n = n;
	k.value = scratch;
	k.sorted = scratch + size;
	k.room = scratch + 2 * size;
	k.few = scratch + 3 * size;
	k.read = known ? scratch + 6 * size : NULL;
	k.variance = known ? scratch + 7 * size : NULL;
	for (f = 0; f < n; f++)
		take_frame(job, &k, f, first, count);
	memcpy(k.sorted, k.value, size * sizeof(*k.sorted));
	sort_columns(k.sorted, n, L);
	clip_columns(job, &k);
	for (lane = 0; lane < L; lane += W)
		combine_lanes(job, &k, lane, marked);
	store_stack(job, &k, first, count);
}

#endif
