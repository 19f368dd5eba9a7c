/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Long ramps: reads are folded into at most IRIS_MAX_RESULTANTS sums of
 * neighbouring reads, IRIS_BATCH at a time.
 *
 * When the resultants are all taken, neighbours are merged in pairs and the
 * next ones take twice as many reads.  The first ones stay short: four of one
 * read, two of two, two of four and so on, so that a pixel that saturates early
 * loses no more than half of its reads.  Which reads are folded together
 * depends on their number alone.
 *
 * A hit inside a resultant spoils both differences it is in.  So that it does
 * no more, each read is tested before it is folded: its difference from the
 * last one against the mean rate so far (the first batch: against the median).
 */
#include "internal.h"

#include <math.h>
#include <string.h>

enum { HEAD = 4 }; /* resultants of one read at the start */

/*
 * Threshold of the test of single reads over that of the fit.  A false hit here
 * costs two of some twenty differences, one missed is found in the fit if it
 * matters: 1.2 * 4.5 = 5.4 sigma keep false ones at 3e-5 of 400-read ramps.
 */
#define STRICTER 1.2

/* What is done with one read of a batch. */
typedef struct operation {
	size_t merge;  /* pairs from this resultant on first; 0: none */
	size_t nmerge; /* resultants from there on */
	size_t slot;   /* then into this one */
	bool opens;    /* as its first read */
} operation;

struct iris_fold {
	size_t npixel;
	float *sum;       /* (MAX_RESULTANTS, npixel) e- */
	uint32_t *broken; /* (npixel) bit r: r is not joined to r - 1 */
	float *last;      /* (npixel) charge of the last read, e- */
	float *charge;    /* (npixel) of the differences without hits, e- */
	float *time;      /* (npixel) of them, s */
	size_t nresultant;
	size_t most;      /* reads a new resultant takes */
	size_t first[IRIS_MAX_RESULTANTS]; /* index of its first read */
	size_t count[IRIS_MAX_RESULTANTS];
	operation operations[IRIS_BATCH];
};

iris_status iris_fold_create(iris_fold **fold, size_t npixel)
{
	iris_fold *f = iris_reserve(1, sizeof(*f));

	*fold = f;
	if (f == NULL)
		return IRIS_ERROR_MEMORY;
	f->npixel = npixel;
	f->sum = iris_reserve(IRIS_MAX_RESULTANTS * npixel, sizeof(float));
	f->broken = iris_reserve(npixel, sizeof(*f->broken));
	f->last = iris_reserve(npixel, sizeof(float));
	f->charge = iris_reserve(npixel, sizeof(float));
	f->time = iris_reserve(npixel, sizeof(float));
	if (f->sum == NULL || f->broken == NULL || f->last == NULL
	    || f->charge == NULL || f->time == NULL)
		return IRIS_ERROR_MEMORY;
	iris_fold_reset(f);
	return IRIS_OK;
}

void iris_fold_destroy(iris_fold *f)
{
	if (f == NULL)
		return;
	iris_unreserve(f->sum, IRIS_MAX_RESULTANTS * f->npixel, sizeof(float));
	iris_unreserve(f->broken, f->npixel, sizeof(*f->broken));
	iris_unreserve(f->last, f->npixel, sizeof(float));
	iris_unreserve(f->charge, f->npixel, sizeof(float));
	iris_unreserve(f->time, f->npixel, sizeof(float));
	iris_unreserve(f, 1, sizeof(*f));
}

void iris_fold_reset(iris_fold *f)
{
	f->nresultant = 0;
	f->most = 1;
}

/* Reads in the average resultant. */
double iris_fold_mean(const iris_fold *f)
{
	double reads = 0.0;
	size_t r;

	for (r = 0; r < f->nresultant; r++)
		reads += (double)f->count[r];
	return f->nresultant > 0 ? reads / (double)f->nresultant : 1.0;
}

/* First resultant that is merged when new ones begin to take `most` reads. */
static size_t merge_start(size_t most)
{
	size_t start = HEAD;

	for (; most > 2; most /= 2)
		start += 2;
	return start;
}

/* Make room: the plan of it goes into the operation, the counts change. */
static void plan_merge(iris_fold *f, operation *o)
{
	size_t r, to;

	f->most *= 2;
	to = o->merge = merge_start(f->most);
	o->nmerge = f->nresultant - o->merge;
	for (r = to; r < f->nresultant; r += 2, to++) {
		f->first[to] = f->first[r];
		f->count[to] = f->count[r] + f->count[r + 1];
	}
	f->nresultant = to;
}

/* Decide what happens to reads [first, first + count). */
void iris_fold_plan(iris_ramp *ramp, size_t first, size_t count)
{
	iris_fold *f = ramp->fold;
	size_t k;

	for (k = 0; k < count; k++) {
		operation *o = &f->operations[k];
		const size_t n = f->nresultant;

		memset(o, 0, sizeof(*o));
		if (n == IRIS_MAX_RESULTANTS && f->count[n - 1] == f->most)
			plan_merge(f, o);
		o->opens = f->nresultant == 0
			|| f->count[f->nresultant - 1] >= f->most;
		if (o->opens) {
			f->first[f->nresultant] = first + k;
			f->count[f->nresultant] = 0;
			f->nresultant++;
		}
		o->slot = f->nresultant - 1;
		f->count[o->slot]++;
	}
}

/* The samples that the fit sees. */
void iris_fold_pattern(iris_ramp *ramp)
{
	const iris_fold *f = ramp->fold;
	iris_pattern *p = &ramp->pattern;
	size_t r, k;

	p->nsample = f->nresultant;
	for (r = 0; r < p->nsample; r++) {
		const double n = (double)f->count[r];
		double time = 0.0, tau = 0.0;

		for (k = 0; k < f->count[r]; k++) {
			const double t = ramp->seconds[f->first[r] + k];

			time += t;
			tau += t * (2.0 * (n - (double)k) - 1.0);
		}
		p->time[r] = time / n;
		p->tau[r] = tau / (n * n);
		p->count[r] = n;
		p->weight[r] = 1.0;
		p->first[r] = ramp->number[f->first[r]];
	}
	iris_pattern_complete(p);
}

/* --- test of single reads ------------------------------------------------ */

/* Median of the seven differences of eight reads, per lane, as rates. */
static void median_rate(const float *charge, const double *seconds,
			float *rate)
{
	enum { N = IRIS_BATCH - 1 };
	_Alignas(64) float r[N][IRIS_LANES];
	size_t i, j, l;

	for (i = 0; i < N; i++) {
		const float inverse = (float)(1.0 / (seconds[i + 1]
						     - seconds[i]));

		for (l = 0; l < IRIS_LANES; l++)
			r[i][l] = (charge[(i + 1) * IRIS_LANES + l]
				   - charge[i * IRIS_LANES + l]) * inverse;
	}
	for (i = 0; i < N; i++) { /* odd-even transposition */
		for (j = i & 1; j + 1 < N; j += 2) {
			for (l = 0; l < IRIS_LANES; l++) {
				const float a = r[j][l], b = r[j + 1][l];

				r[j][l] = a < b ? a : b;
				r[j + 1][l] = a < b ? b : a;
			}
		}
	}
	memcpy(rate, r[N / 2], sizeof(r[0]));
}

typedef struct trial {
	_Alignas(64) float rate[IRIS_LANES];  /* e-/s */
	_Alignas(64) float noise[IRIS_LANES]; /* variance of the rate */
	_Alignas(64) float excess[IRIS_LANES];
	_Alignas(64) float variance[IRIS_LANES];
	_Alignas(64) int32_t hit[IRIS_LANES];
} trial;

static void expect(const iris_fold *f, const iris_block *block, size_t i,
		   size_t first, const float *charge, const double *seconds,
		   trial *t)
{
	size_t l;

	const float whole = first == 0
		? (float)(seconds[IRIS_BATCH - 1] - seconds[0]) / 1.414f : 0.0f;

	if (first == 0)
		median_rate(charge, seconds, t->rate);
	for (l = 0; l < block->count && first > 0; l++) {
		const float time = f->time[i + l];

		t->rate[l] = time > 0.0f ? f->charge[i + l] / time : 0.0f;
	}
	for (l = 0; l < IRIS_LANES; l++) {
		/* Of a median of seven: that of the mean, half as much again. */
		const float time = first == 0
			? (block->nusable[l] >= IRIS_BATCH ? whole : 0.0f)
			: l < block->count ? f->time[i + l] : 0.0f;
		const float rate = t->rate[l] > 0.0f ? t->rate[l] : 0.0f;

		/* Nothing is known of a pixel that was cut at once. */
		t->noise[l] = time > 0.0f
			? (2.0f * block->variance[l] / time + rate) / time
			: HUGE_VALF;
	}
}

/* Which lanes jump between the charges `before` and `now`. */
static void try_read(const iris_block *block, const float *before,
		     const float *now, float step, float square, int32_t k,
		     trial *t)
{
	size_t l;

	for (l = 0; l < IRIS_LANES; l++) {
		const float rate = t->rate[l] > 0.0f ? t->rate[l] : 0.0f;

		t->excess[l] = now[l] - before[l] - t->rate[l] * step;
		t->variance[l] = 2.0f * block->variance[l] + rate * step
			+ t->noise[l] * (step * step);
		t->hit[l] = (t->excess[l] * t->excess[l]
			     > square * t->variance[l])
			& (k < block->nusable[l]);
	}
}

/* Sums of the differences that count, and marks for those that do not. */
static void note_read(iris_ramp *ramp, size_t strip, const iris_block *block,
		      size_t k, const float *before, const float *now,
		      float step, const trial *t, const operation *o)
{
	iris_fold *f = ramp->fold;
	const size_t i = block->y * ramp->options.nx + block->x;
	const uint32_t bits = (uint32_t)(o->opens ? 1u : 3u) << o->slot;
	size_t l;

	for (l = 0; l < block->count; l++) {
		const bool counts = (int32_t)k < block->nusable[l]
			&& !t->hit[l];

		f->charge[i + l] += counts ? now[l] - before[l] : 0.0f;
		f->time[i + l] += counts ? step : 0.0f;
	}
	for (l = 0; l < block->count; l++) {
		if (!t->hit[l]
		    || (block->dq[l] & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)))
			continue;
		f->broken[i + l] |= bits;
		iris_event_jump(ramp, strip, block, l, ramp->number[k],
				(double)t->excess[l],
				(double)t->excess[l]
				/ sqrt((double)t->variance[l]));
	}
}

/* --- folding ------------------------------------------------------------- */

/* Bit r of resultants merged in pairs from `start` on. */
static uint32_t merge_bits(uint32_t bits, size_t start)
{
	uint32_t merged = bits & ((1u << start) - 1u);
	size_t r, to = start;

	for (r = start; r <= IRIS_MAX_RESULTANTS; r += 2, to++) {
		if (bits >> r & 3u)
			merged |= 1u << to;
		if (bits >> r & 2u)
			merged |= 2u << to;
	}
	return merged;
}

static void merge(const iris_fold *f, const operation *o, size_t i,
		  size_t count)
{
	size_t r, to = o->merge, l;

	for (r = o->merge; r < o->merge + o->nmerge; r += 2, to++) {
		const float *a = f->sum + r * f->npixel + i;
		const float *b = a + f->npixel;
		float *out = f->sum + to * f->npixel + i;

		for (l = 0; l < count; l++)
			out[l] = a[l] + b[l];
	}
	for (l = 0; l < count; l++)
		if (f->broken[i + l] != 0)
			f->broken[i + l] = merge_bits(f->broken[i + l],
						      o->merge);
}

static void fold_read(const iris_fold *f, const operation *o, size_t i,
		      size_t count, const float *charge)
{
	float *sum = f->sum + o->slot * f->npixel + i;
	size_t l;

	if (o->nmerge > 0)
		merge(f, o, i, count);
	if (o->opens)
		memcpy(sum, charge, count * sizeof(*sum));
	else
		for (l = 0; l < count; l++)
			sum[l] += charge[l];
}

static void fold_block(const iris_job *job, size_t strip,
		       iris_workspace *work)
{
	iris_ramp *ramp = job->ramp;
	iris_fold *f = ramp->fold;
	iris_block *block = &work->block;
	const size_t i = block->y * ramp->options.nx + block->x;
	const double *seconds = ramp->seconds + job->first;
	const float square = (float)(STRICTER * STRICTER
				     * ramp->options.jump_sigma
				     * ramp->options.jump_sigma);
	_Alignas(64) float last[IRIS_LANES] = {0};
	trial t = {0};
	size_t k;

	if (job->first > 0)
		memcpy(last, f->last + i, block->count * sizeof(*last));
	else
		memset(f->broken + i, 0, block->count * sizeof(*f->broken));
	if (job->first == 0)
		for (k = 0; k < block->count; k++)
			f->charge[i + k] = f->time[i + k] = 0.0f;
	if (square > 0.0f && (job->first > 0 || job->count == IRIS_BATCH))
		expect(f, block, i, job->first, work->charge, seconds, &t);
	for (k = 0; k < job->count; k++) {
		const float *now = work->charge + k * IRIS_LANES;
		const float *before = k > 0 ? now - IRIS_LANES : last;
		const operation *o = &f->operations[k];

		fold_read(f, o, i, block->count, now);
		if (job->first + k == 0 || !(square > 0.0f))
			continue;
		try_read(block, before, now,
			 (float)(seconds[k] - seconds[(ptrdiff_t)k - 1]),
			 square, (int32_t)(job->first + k), &t);
		note_read(ramp, strip, block, job->first + k, before, now,
			  (float)(seconds[k] - seconds[(ptrdiff_t)k - 1]), &t,
			  o);
	}
	memcpy(f->last + i,
	       work->charge + (job->count - 1) * IRIS_LANES,
	       block->count * sizeof(*f->last));
}

/* The rows of a strip of copied reads are not needed any more. */
static void release(const iris_job *job, size_t y0, size_t y1)
{
	const iris_ramp *ramp = job->ramp;
	const size_t row = 2 * ramp->options.nx;
	size_t k;

	for (k = job->first; k < job->first + job->count; k++)
		if (k > 0 && k < ramp->nslot)
			iris_discard(ramp->arena + (k * ramp->options.ny + y0)
				     * row, (y1 - y0) * row);
}

static void calibrate_and_fold(const iris_job *job, size_t strip,
			       iris_workspace *work)
{
	const iris_ramp *ramp = job->ramp;
	iris_block *block = &work->block;

	iris_block_neighbours(ramp, block);
	if (job->first > 0)
		iris_block_resume(ramp, block);
	iris_block_calibrate(ramp, block, job->first, job->count,
			     work->charge);
	fold_block(job, strip, work);
	iris_block_suspend(ramp, block, job->first == 0);
}

/* Fold the reads of a job, at most IRIS_BATCH, as planned. */
void iris_strip_fold(const iris_job *job, size_t strip, iris_workspace *work)
{
	size_t y0, y1;

	iris_strip_walk(job, strip, work, calibrate_and_fold);
	iris_strip_rows(job->ramp, strip, &y0, &y1);
	if (job->ramp->releasing)
		release(job, y0, y1);
}

/* Means of the resultants of a block, what is usable and what is broken. */
void iris_fold_load(const iris_ramp *ramp, iris_block *block, float *charge,
		    uint32_t *broken)
{
	const iris_fold *f = ramp->fold;
	const size_t i = block->y * ramp->options.nx + block->x;
	size_t r, l;

	iris_block_resume(ramp, block);
	for (r = 0; r < f->nresultant; r++) {
		const float scale = 1.0f / (float)f->count[r];

		for (l = 0; l < IRIS_LANES; l++)
			charge[r * IRIS_LANES + l] = l < block->count
				? f->sum[r * f->npixel + i + l] * scale : 0.0f;
	}
	for (l = 0; l < block->count; l++) {
		size_t usable = 0;

		while (usable < f->nresultant
		       && f->first[usable] + f->count[usable]
		       <= (size_t)block->nusable[l])
			usable++;
		block->nusable[l] = (int32_t)usable;
		broken[l] = f->broken[i + l]
			& ((1u << (usable < 31 ? usable : 31)) - 1u);
	}
}
