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

struct iris_fold {
	size_t npixel;
	/* Sums, e-: of a block the first half of its bytes and the second. */
	unsigned char *half[IRIS_MAX_RESULTANTS][2];
	size_t nplane;    /* of sums that have their slots */
	uint32_t *broken; /* (npixel) bit r: r is not joined to r - 1 */
	float *last;      /* (npixel) charge of the last read, e- */
	float *charge;    /* (npixel) of the differences without hits, e- */
	float *time;      /* (npixel) of them, s */
	size_t nresultant;
	size_t most;      /* reads a new resultant takes */
	size_t first[IRIS_MAX_RESULTANTS]; /* index of its first read */
	size_t count[IRIS_MAX_RESULTANTS];
	iris_fold_batch batch;
};

iris_status iris_fold_create(iris_fold **fold, size_t npixel)
{
	iris_fold *f = iris_reserve(1, sizeof(*f));

	*fold = f;
	if (f == NULL)
		return IRIS_ERROR_MEMORY;
	f->npixel = npixel;
	f->broken = iris_reserve_planes(npixel, sizeof(*f->broken));
	f->last = iris_reserve_planes(npixel, sizeof(float));
	f->charge = iris_reserve_planes(npixel, sizeof(float));
	f->time = iris_reserve_planes(npixel, sizeof(float));
	if (f->broken == NULL || f->last == NULL || f->charge == NULL
	    || f->time == NULL)
		return IRIS_ERROR_MEMORY;
	iris_fold_reset(f);
	return IRIS_OK;
}

void iris_fold_destroy(iris_fold *f)
{
	if (f == NULL)
		return;
	iris_unreserve(f->broken, f->npixel, sizeof(*f->broken));
	iris_unreserve(f->last, f->npixel, sizeof(float));
	iris_unreserve(f->charge, f->npixel, sizeof(float));
	iris_unreserve(f->time, f->npixel, sizeof(float));
	iris_unreserve(f, 1, sizeof(*f));
}

void iris_fold_reset(iris_fold *f)
{
	f->nresultant = f->nplane = 0;
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

static bool is_full(const iris_fold *f)
{
	return f->nresultant == IRIS_MAX_RESULTANTS
		&& f->count[f->nresultant - 1] == f->most;
}

/* Make room: the plan of it goes into the step, the counts change. */
static void plan_merge(iris_fold *f, iris_fold_step *s)
{
	size_t r, to;

	f->most *= 2;
	to = s->merge = merge_start(f->most);
	s->nmerge = f->nresultant - s->merge;
	for (r = to; r < f->nresultant; r += 2, to++) {
		f->first[to] = f->first[r];
		f->count[to] = f->count[r] + f->count[r + 1];
	}
	f->nresultant = to;
	f->batch.low = s->merge < f->batch.low ? s->merge : f->batch.low;
}

static void plan_read(iris_fold *f, size_t read, iris_fold_step *s)
{
	if (is_full(f))
		plan_merge(f, s);
	s->opens = f->nresultant == 0
		|| f->count[f->nresultant - 1] >= f->most;
	if (s->opens) {
		f->first[f->nresultant] = read;
		f->count[f->nresultant] = 0;
		f->nresultant++;
	}
	s->into = f->nresultant - 1;
	f->count[s->into]++;
	f->batch.low = s->into < f->batch.low ? s->into : f->batch.low;
}

/* What the test of single reads needs to know. */
static void plan_test(const iris_ramp *ramp, iris_fold_batch *b)
{
	const double *seconds = ramp->seconds + b->first;
	size_t k;

	b->square = (float)(STRICTER * STRICTER * ramp->options.jump_sigma
			    * ramp->options.jump_sigma);
	for (k = b->first > 0 ? 0 : 1; k < b->count; k++)
		b->step[k].seconds = (float)(seconds[k]
					     - seconds[(ptrdiff_t)k - 1]);
	if (b->first > 0)
		return;
	for (k = 1; k < b->count; k++)
		b->inverse[k - 1] = (float)(1.0 / (seconds[k]
						   - seconds[k - 1]));
	b->whole = (float)(seconds[b->count - 1] - seconds[0]) / 1.414f;
}

/*
 * Two slots of the arena for each sum that there is after the batch.  They may
 * be those of the reads of this batch: a block writes its sums after all of its
 * reads are charge.
 */
static void place_sums(iris_ramp *ramp)
{
	iris_fold *f = ramp->fold;

	for (; f->nplane < f->nresultant; f->nplane++) {
		f->half[f->nplane][0] = iris_slot_take(ramp);
		f->half[f->nplane][1] = iris_slot_take(ramp);
	}
	while (f->nplane > f->nresultant) {
		f->nplane--;
		iris_slot_give(ramp, f->half[f->nplane][1]);
		iris_slot_give(ramp, f->half[f->nplane][0]);
	}
}

/*
 * Decide what happens to reads [first, first + count), whose slots are vacant.
 * Where more reads are there already, room for them is made at once: fewer sums
 * are in memory together with reads that are still kept.
 */
void iris_fold_plan(iris_ramp *ramp, size_t first, size_t count)
{
	iris_fold *f = ramp->fold;
	iris_fold_batch *b = &f->batch;
	size_t k;

	*b = (iris_fold_batch){
		.first = first, .count = count, .before = f->nresultant,
		.low = IRIS_MAX_RESULTANTS,
	};
	for (k = 0; k < count; k++)
		plan_read(f, first + k, &b->step[k]);
	if (is_full(f) && ramp->nread > first + count)
		plan_merge(f, &b->step[count]);
	b->after = f->nresultant;
	place_sums(ramp);
	plan_test(ramp, b);
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

static void merge_broken(uint32_t *broken, size_t count, size_t start)
{
	size_t l;

	for (l = 0; l < count; l++)
		if (broken[l] != 0)
			broken[l] = merge_bits(broken[l], start);
}

/* Marks of lanes that jump in read k of a batch. */
static void note_read(iris_ramp *ramp, size_t strip, const iris_block *block,
		      size_t k, const iris_folded *state, uint32_t *broken)
{
	const iris_fold_batch *b = &ramp->fold->batch;
	const iris_fold_step *s = &b->step[k];
	const uint32_t bits = (uint32_t)(s->opens ? 1u : 3u) << s->into;
	size_t l;

	for (l = 0; l < block->count; l++) {
		const double excess = (double)state->excess[k][l];

		if (!(state->hit[k] >> l & 1)
		    || (block->dq[l] & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)))
			continue;
		broken[l] |= bits;
		iris_event_jump(ramp, strip, block, l,
				ramp->number[b->first + k], excess,
				excess / sqrt((double)state->variance[k][l]));
	}
}

static void note_batch(iris_ramp *ramp, size_t strip, const iris_block *block,
		       const iris_folded *state)
{
	const iris_fold *f = ramp->fold;
	const iris_fold_batch *b = &f->batch;
	uint32_t *broken = f->broken + block->y * ramp->options.nx + block->x;
	size_t k;

	if (b->first == 0)
		memset(broken, 0, block->count * sizeof(*broken));
	for (k = 0; k <= b->count; k++) {
		if (b->step[k].nmerge > 0)
			merge_broken(broken, block->count, b->step[k].merge);
		if (k < b->count && state->hit[k] != 0)
			note_read(ramp, strip, block, k, state, broken);
	}
}

/* `count` pixels of a plane to the lanes of a block, 0 in the others. */
static void to_lanes(const float *plane, size_t count, float *lanes)
{
	memcpy(lanes, plane, count * sizeof(*lanes));
	memset(lanes + count, 0, (IRIS_LANES - count) * sizeof(*lanes));
}

/* A sum is twice as large as a count: half of it lies in either slot. */
static void load_sum(unsigned char *const half[2], size_t i, size_t count,
		     float *lanes)
{
	unsigned char *bytes = (unsigned char *)lanes;

	memcpy(bytes, half[0] + 2 * i, 2 * count);
	memcpy(bytes + 2 * count, half[1] + 2 * i, 2 * count);
	memset(lanes + count, 0, (IRIS_LANES - count) * sizeof(*lanes));
}

static void store_sum(unsigned char *const half[2], size_t i, size_t count,
		      const float *lanes)
{
	const unsigned char *bytes = (const unsigned char *)lanes;

	memcpy(half[0] + 2 * i, bytes, 2 * count);
	memcpy(half[1] + 2 * i, bytes + 2 * count, 2 * count);
}

/* What the batch needs of the reads before it; nothing before the first. */
static void load_state(const iris_fold *f, size_t i, size_t count,
		       iris_folded *state)
{
	const iris_fold_batch *b = &f->batch;
	size_t r;

	for (r = b->low; r < b->before; r++)
		load_sum(f->half[r], i, count, state->sum[r]);
	if (!(b->square > 0.0f))
		return;
	to_lanes(f->last + i, b->first > 0 ? count : 0, state->last);
	to_lanes(f->charge + i, b->first > 0 ? count : 0, state->charge);
	to_lanes(f->time + i, b->first > 0 ? count : 0, state->time);
}

static void store_state(const iris_fold *f, size_t i, size_t count,
			const iris_folded *state)
{
	const size_t bytes = count * sizeof(float);
	const iris_fold_batch *b = &f->batch;
	size_t r;

	for (r = b->low; r < b->after; r++)
		store_sum(f->half[r], i, count, state->sum[r]);
	if (!(b->square > 0.0f))
		return;
	memcpy(f->last + i, state->last, bytes);
	memcpy(f->charge + i, state->charge, bytes);
	memcpy(f->time + i, state->time, bytes);
}

static void fold_block(const iris_job *job, size_t strip,
		       iris_workspace *work)
{
	iris_ramp *ramp = job->ramp;
	iris_fold *f = ramp->fold;
	const iris_block *block = &work->block;
	const size_t i = block->y * ramp->options.nx + block->x;
	iris_folded state;

	load_state(f, i, block->count, &state);
	ramp->kernels->fold(&f->batch, block, work->charge, &state);
	store_state(f, i, block->count, &state);
	note_batch(ramp, strip, block, &state);
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
	iris_strip_walk(job, strip, work, calibrate_and_fold);
}

/* Means of the resultants of a block, what is usable and what is broken. */
void iris_fold_load(const iris_ramp *ramp, iris_block *block, float *charge,
		    uint32_t *broken)
{
	const iris_fold *f = ramp->fold;
	const size_t i = block->y * ramp->options.nx + block->x;
	size_t r, l;

	iris_block_resume(ramp, block);
	for (r = 0; r < f->nresultant; r++)
		load_sum(f->half[r], i, block->count, charge + r * IRIS_LANES);
	ramp->kernels->fold_means(block, f->count, f->nresultant, charge);
	for (l = 0; l < block->count; l++) {
		const int32_t usable = block->nusable[l];

		broken[l] = f->broken[i + l]
			& ((1u << (usable < 31 ? usable : 31)) - 1u);
	}
}
