/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads into resultants, a batch of them on the lanes of a block, and the test
 * of each before it is folded: fold.c says what for.  Part of kernels.c.
 */
#ifndef IRIS_READOUT_KERNELS_FOLD_H
#define IRIS_READOUT_KERNELS_FOLD_H

#include "vector.h"

#include <math.h>
#include <string.h>

/* --- sums ---------------------------------------------------------------- */

INLINE void add_lanes(float *out, const float *a, const float *b)
{
	size_t lane;

	for (lane = 0; lane < L; lane += V)
		store(out + lane, load(a + lane) + load(b + lane));
}

static void merge_pairs(const iris_fold_step *s, float sum[][L])
{
	size_t r, to = s->merge;

	for (r = s->merge; r < s->merge + s->nmerge; r += 2, to++)
		add_lanes(sum[to], sum[r], sum[r + 1]);
}

static void fold_sums(const iris_fold_batch *b, const float *charge,
		      iris_folded *state)
{
	size_t k;

	for (k = 0; k <= b->count; k++) {
		const iris_fold_step *s = &b->step[k];
		float *sum = state->sum[s->into];

		merge_pairs(s, state->sum);
		if (k == b->count)
			break;
		if (s->opens)
			memcpy(sum, charge + k * L, L * sizeof(*sum));
		else
			add_lanes(sum, sum, charge + k * L);
	}
}

/* --- test of single reads ------------------------------------------------ */

/* Median of the seven differences of eight reads, as rates. */
INLINE vreal median_rate(const iris_fold_batch *b, const float *charge)
{
	enum { N = IRIS_BATCH - 1 };
	vreal r[N];
	size_t i, j;

	for (i = 0; i < N; i++)
		r[i] = (load(charge + (i + 1) * L) - load(charge + i * L))
			* b->inverse[i];
	for (i = 0; i < N; i++) { /* odd-even transposition */
		for (j = i & 1; j + 1 < N; j += 2) {
			const vreal low = r[j], high = r[j + 1];
			const vmask sorted = low < high;

			r[j] = choose(sorted, low, high);
			r[j + 1] = choose(sorted, high, low);
		}
	}
	return r[N / 2];
}

/* What a read is tested against: V lanes. */
typedef struct expected {
	vreal rate;     /* e-/s */
	vreal positive; /* the same, not below 0 */
	vreal noise;    /* variance of the rate */
	vreal double_variance; /* of one read, twice */
} expected;

INLINE expected expect(const iris_fold_batch *b, const iris_block *block,
		       const iris_folded *state, size_t lane,
		       const float *charge)
{
	expected e = {.double_variance = 2.0f * load(block->variance + lane)};
	vreal time = load(state->time + lane);

	if (b->first == 0) {
		/* Of a median of seven: that of the mean, half as much again. */
		time = only(load_mask(block->nusable + lane)
			    >= all_mask(IRIS_BATCH), all(b->whole));
		e.rate = median_rate(b, charge + lane);
	} else {
		e.rate = only(time > 0.0f, load(state->charge + lane) / time);
	}
	e.positive = at_least_zero(e.rate);
	/* Nothing is known of a pixel that was cut at once. */
	e.noise = choose(time > 0.0f,
			 (e.double_variance / time + e.positive) / time,
			 all(HUGE_VALF));
	return e;
}

/* Read k of a batch against what is expected: V lanes. */
typedef struct trial {
	vreal difference, excess, variance;
	vmask there, hit;
} trial;

INLINE trial try_read(const iris_fold_batch *b, const expected *e,
		      vmask usable, size_t k, vreal before, vreal now)
{
	const float step = b->step[k].seconds;
	trial t = {.difference = now - before};

	t.excess = t.difference - e->rate * step;
	t.variance = e->double_variance + e->positive * step
		+ e->noise * (step * step);
	t.there = usable > all_mask((int32_t)(b->first + k));
	t.hit = (t.excess * t.excess > b->square * t.variance) & t.there;
	return t;
}

/* Where there are hits: which of V lanes jump in which read, by how much. */
static void note_hits(const iris_fold_batch *b, const expected *e,
		      vmask usable, const float *charge, size_t lane,
		      iris_folded *state)
{
	vreal before = load(state->last + lane);
	size_t k;

	for (k = 0; k < b->count; k++) {
		const vreal now = load(charge + k * L + lane);
		const trial t = try_read(b, e, usable, k, before, now);

		before = now;
		store(state->excess[k] + lane, t.excess);
		store(state->variance[k] + lane, t.variance);
		for (int l = 0; l < V && b->first + k > 0; l++)
			if (t.hit[l])
				state->hit[k] |= (uint64_t)1
					<< (lane + (size_t)l);
	}
}

/* The reads of a batch one after the other, and the sums for the next one. */
INLINE void test_lanes(const iris_fold_batch *b, const iris_block *block,
		       const float *charge, size_t lane, iris_folded *state)
{
	const expected e = expect(b, block, state, lane, charge);
	const vmask usable = load_mask(block->nusable + lane);
	vreal before = load(state->last + lane);
	vreal sum = load(state->charge + lane);
	vreal time = load(state->time + lane);
	vmask found = all_mask(0);
	size_t k;

	for (k = 0; k < b->count; k++) {
		const vreal now = load(charge + k * L + lane);
		const trial t = try_read(b, &e, usable, k, before, now);

		before = now;
		if (b->first + k == 0)
			continue;
		sum += only(t.there & ~t.hit, t.difference);
		time += only(t.there & ~t.hit, all(b->step[k].seconds));
		found |= t.hit;
	}
	if (any(found))
		note_hits(b, &e, usable, charge, lane, state);
	store(state->last + lane, before);
	store(state->charge + lane, sum);
	store(state->time + lane, time);
}

static void fold(const iris_fold_batch *b, const iris_block *block,
		 const float *charge, iris_folded *state)
{
	size_t lane;

	memset(state->hit, 0, sizeof(state->hit));
	fold_sums(b, charge, state);
	for (lane = 0; lane < L && b->square > 0.0f; lane += V)
		test_lanes(b, block, charge, lane, state);
}

/* --- the end ------------------------------------------------------------- */

/*
 * Sums of `count` reads each to means, in place, and the number of usable
 * reads to that of resultants without any other read.
 */
static void fold_means(iris_block *block, const size_t *count, size_t n,
		       float *charge)
{
	_Alignas(64) int32_t usable[L] = {0};
	int32_t end = 0;
	size_t r;

	for (r = 0; r < n; r++) {
		const float scale = 1.0f / (float)count[r];
		float *mean = charge + r * L;

		end += (int32_t)count[r];
		FOR_L {
			mean[l] *= scale;
			usable[l] += end <= block->nusable[l];
		}
	}
	FOR_L
		block->nusable[l] = usable[l];
}

#endif
