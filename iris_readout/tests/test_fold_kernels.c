/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vector code of folding: every instruction set gives the same bits, and
 * they are right: against lists of reads and differences, one pixel at a time,
 * in double precision.
 */
#include "check.h"
#include "internal.h"
#include "numbers.h"

#include <stdlib.h>
#include <string.h>

/* Vectors of 64 bytes without the instructions: see CMakeLists.txt. */
extern const iris_kernels iris_kernels_wide;

enum { STEPS = IRIS_BATCH + 1 };

typedef struct fixture {
	iris_fold_batch batch;
	iris_block block;
	iris_folded state;
	double seconds[IRIS_BATCH]; /* since the read before */
	_Alignas(64) float variance[IRIS_LANES];
	_Alignas(64) float charge[IRIS_BATCH * IRIS_LANES];
} fixture;

/* --- what comes in ------------------------------------------------------- */

/* Light of all strengths with its noise; hits; pixels that are cut. */
static void set_lanes(fixture *f, numbers *n)
{
	size_t k, l, r;

	memset(&f->block, 0, sizeof(f->block));
	memset(&f->state, 0, sizeof(f->state));
	f->block.count = IRIS_LANES;
	f->block.variance = f->variance;
	for (l = 0; l < IRIS_LANES; l++) {
		const double rate = pow(10.0, 5.0 * uniform(n) - 2.0);
		const size_t hit = l % 3 == 0 ? below(n, IRIS_BATCH) : STEPS;
		const double noise = 9.0;
		double sum = f->batch.first > 0 ? 50.0 : 0.0;

		f->variance[l] = (float)(noise * noise);
		f->block.nusable[l] = l % 5 == 0
			? (int32_t)(f->batch.first + below(n, STEPS))
			: IRIS_NEVER;
		for (k = 0; k < f->batch.count; k++) {
			sum += rate * f->seconds[k]
				+ sqrt(rate * f->seconds[k]) * gaussian(n)
				+ (k == hit ? 300.0 + 5.0 * sqrt(rate) : 0.0);
			f->charge[k * IRIS_LANES + l] =
				(float)(sum + noise * gaussian(n));
		}
		if (f->batch.first == 0)
			continue;
		f->state.last[l] = (float)(50.0 + noise * gaussian(n));
		f->state.time[l] = l % 7 == 0 ? 0.0f : 30.0f;
		f->state.charge[l] = (float)(rate * 30.0)
			* (l % 7 == 0 ? 0.0f : 1.0f);
		for (r = 0; r < f->batch.before; r++)
			f->state.sum[r][l] = (float)(100.0 * uniform(n));
	}
}

static void set_times(fixture *f)
{
	double whole = 0.0;
	size_t k;

	for (k = 0; k < IRIS_BATCH; k++)
		f->seconds[k] = k == 0 && f->batch.first == 0 ? 0.0
			: 0.7 + 0.1 * (double)(k % 3);
	for (k = 0; k < f->batch.count; k++) {
		f->batch.step[k].seconds = (float)f->seconds[k];
		whole += f->seconds[k];
		if (k > 0)
			f->batch.inverse[k - 1] = (float)(1.0 / f->seconds[k]);
	}
	f->batch.whole = (float)whole / 1.414f;
}

/* The first batch: each read for itself. */
static void set_first(fixture *f, numbers *n)
{
	size_t k;

	f->batch = (iris_fold_batch){.count = IRIS_BATCH, .square = 29.16f,
				     .after = IRIS_BATCH};
	for (k = 0; k < IRIS_BATCH; k++)
		f->batch.step[k] = (iris_fold_step){.into = k, .opens = true};
	set_times(f);
	set_lanes(f, n);
}

/* A later one: one more read for the last sum, pairs, new sums, pairs again. */
static void set_later(fixture *f, numbers *n)
{
	iris_fold_batch *b = &f->batch;

	*b = (iris_fold_batch){
		.first = 88, .count = 5, .square = 29.16f, .low = 4,
		.before = IRIS_MAX_RESULTANTS, .after = 13,
		.step = {
			{.into = 23},
			{.merge = 4, .nmerge = 20, .into = 14, .opens = true},
			{.into = 14},
			{.into = 15, .opens = true},
			{.into = 15},
			{.merge = 10, .nmerge = 6},
		},
	};
	set_times(f);
	set_lanes(f, n);
}

/* --- oracle -------------------------------------------------------------- */

/* Sums of one pixel: a list from which pairs are taken. */
static size_t list_sums(const fixture *f, size_t l, double *list)
{
	size_t n = f->batch.before, k, r;

	for (r = 0; r < n; r++)
		list[r] = (double)f->state.sum[r][l];
	for (k = 0; k <= f->batch.count; k++) {
		const iris_fold_step *s = &f->batch.step[k];

		for (r = s->merge; s->nmerge > 0 && r + 1 < n; r++, n--) {
			list[r] += list[r + 1];
			memmove(&list[r + 1], &list[r + 2],
				(n - r - 2) * sizeof(*list));
		}
		if (k == f->batch.count)
			break;
		if (s->opens)
			list[n++] = 0.0;
		list[n - 1] += (double)f->charge[k * IRIS_LANES + l];
	}
	return n;
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double charge_before(const fixture *f, size_t k, size_t l)
{
	return k > 0 ? (double)f->charge[(k - 1) * IRIS_LANES + l]
		: (double)f->state.last[l];
}

/* Rate before the batch and its variance; false: nothing is known. */
static bool expected_rate(const fixture *f, size_t l, double *rate,
			  double *variance)
{
	double rates[IRIS_BATCH], time = (double)f->state.time[l];
	size_t k;

	*rate = time > 0.0 ? (double)f->state.charge[l] / time : 0.0;
	if (f->batch.first == 0) {
		for (k = 1; k < IRIS_BATCH; k++)
			rates[k - 1] = ((double)f->charge[k * IRIS_LANES + l]
					- charge_before(f, k, l))
				/ f->seconds[k];
		qsort(rates, IRIS_BATCH - 1, sizeof(*rates), by_size);
		*rate = rates[3];
		for (time = 0.0, k = 1; k < IRIS_BATCH; k++)
			time += f->seconds[k] / 1.414;
		if (f->block.nusable[l] < IRIS_BATCH)
			time = 0.0;
	}
	*variance = (2.0 * (double)f->variance[l] / time
		     + fmax(*rate, 0.0)) / time;
	return time > 0.0;
}

/* One pixel of the test; reads too close to the threshold may go either way. */
static void check_pixel(const fixture *f, const iris_folded *state, size_t l,
			size_t *nhit)
{
	double rate, noise, charge = (double)f->state.charge[l];
	double time = (double)f->state.time[l];
	const bool known = expected_rate(f, l, &rate, &noise);
	size_t k;

	for (k = f->batch.first == 0 ? 1 : 0; k < f->batch.count; k++) {
		const double step = f->seconds[k];
		const double d = (double)f->charge[k * IRIS_LANES + l]
			- charge_before(f, k, l);
		const double excess = d - rate * step;
		const double v = 2.0 * (double)f->variance[l]
			+ fmax(rate, 0.0) * step + noise * step * step;
		const double sigma = known ? fabs(excess) / sqrt(v) : 0.0;
		const bool there = (int32_t)(f->batch.first + k)
			< f->block.nusable[l];
		const bool hit = state->hit[k] >> l & 1;

		CHECK(fabs(sigma - 5.4) < 1e-3
		      || hit == (there && sigma > 5.4));
		*nhit += hit;
		if (hit) {
			CHECK_CLOSE(state->excess[k][l], excess,
				    1e-4 * (fabs(d) + 100.0));
			CHECK_CLOSE(state->variance[k][l], v, 1e-4 * v);
		}
		charge += there && !hit ? d : 0.0;
		time += there && !hit ? step : 0.0;
	}
	CHECK_CLOSE(state->time[l], time, 1e-5 * time);
	CHECK_CLOSE(state->charge[l], charge, 1e-5 * (fabs(charge) + 1e3));
	CHECK(state->last[l]
	      == f->charge[(f->batch.count - 1) * IRIS_LANES + l]);
}

static size_t check_lanes(const fixture *f, const iris_folded *state)
{
	size_t l, r, nhit = 0;

	for (l = 0; l < IRIS_LANES; l++) {
		double list[2 * IRIS_MAX_RESULTANTS];
		const size_t n = list_sums(f, l, list);

		CHECK(n == f->batch.after);
		for (r = 0; r < n; r++)
			CHECK_CLOSE(state->sum[r][l], list[r],
				    1e-6 * (fabs(list[r]) + 1e3));
		check_pixel(f, state, l, &nhit);
	}
	return nhit;
}

/* --- tests --------------------------------------------------------------- */

static const iris_kernels *sets[5];
static size_t nset;

static void find_sets(void)
{
	const iris_kernels *k = NULL;
	int isa;

	for (isa = IRIS_ISA_BASELINE; isa <= IRIS_ISA_AVX512; isa++)
		if (iris_kernels_choose(&k, (iris_isa)isa, NULL, 0) == IRIS_OK)
			sets[nset++] = k;
#ifdef IRIS_HAVE_WIDE
	sets[nset++] = &iris_kernels_wide;
#endif
}

/* All that counts: excess and variance only where there are hits. */
static bool same_state(const iris_folded *a, const iris_folded *b)
{
	size_t k, l;

	for (k = 0; k < IRIS_BATCH; k++)
		for (l = 0; l < IRIS_LANES; l++)
			if ((a->hit[k] >> l & 1)
			    && (memcmp(&a->excess[k][l], &b->excess[k][l],
				       sizeof(float)) != 0
				|| memcmp(&a->variance[k][l],
					  &b->variance[k][l],
					  sizeof(float)) != 0))
				return false;
	return memcmp(a->sum, b->sum, sizeof(a->sum)) == 0
		&& memcmp(a->last, b->last, sizeof(a->last)) == 0
		&& memcmp(a->charge, b->charge, sizeof(a->charge)) == 0
		&& memcmp(a->time, b->time, sizeof(a->time)) == 0
		&& memcmp(a->hit, b->hit, sizeof(a->hit)) == 0;
}

static void test_fold(void)
{
	enum { TRIALS = 50 };
	static fixture f;
	static iris_folded first, other;
	numbers n = {3};
	size_t trial, s, nhit = 0;

	for (trial = 0; trial < TRIALS; trial++) {
		if (trial % 2 == 0)
			set_first(&f, &n);
		else
			set_later(&f, &n);
		for (s = 0; s < nset; s++) {
			other = f.state;
			sets[s]->fold(&f.batch, &f.block, f.charge, &other);
			if (s == 0)
				first = other;
			CHECK(same_state(&first, &other));
		}
		nhit += check_lanes(&f, &first);
	}
	CHECK(nhit > TRIALS * IRIS_LANES / 10); /* a third are hit somewhere */
}

/* Without a threshold reads are only folded. */
static void test_no_test(void)
{
	static fixture f;
	static iris_folded state;
	numbers n = {4};
	size_t s, k;

	for (s = 0; s < nset; s++) {
		set_later(&f, &n);
		f.batch.square = 0.0f;
		state = f.state;
		sets[s]->fold(&f.batch, &f.block, f.charge, &state);
		CHECK(memcmp(state.charge, f.state.charge,
			     sizeof(state.charge)) == 0);
		for (k = 0; k < IRIS_BATCH; k++)
			CHECK(state.hit[k] == 0);
	}
}

/* Means, and whole resultants before the cut: counted read by read. */
static void test_means(void)
{
	static const size_t count[] = {1, 1, 2, 4, 3};
	enum { N = 5, READS = 11 };
	static iris_block block;
	_Alignas(64) static float charge[N * IRIS_LANES];
	size_t s, l, r, k;

	for (s = 0; s < nset; s++) {
		for (l = 0; l < IRIS_LANES; l++) {
			block.nusable[l] = l == 63 ? IRIS_NEVER
				: (int32_t)(l % (READS + 1));
			for (r = 0; r < N; r++)
				charge[r * IRIS_LANES + l] =
					(float)(count[r] * (l + r));
		}
		sets[s]->fold_means(&block, count, N, charge);
		for (l = 0; l < IRIS_LANES; l++) {
			size_t left = l == 63 ? READS : l % (READS + 1);
			int32_t whole = 0;

			for (k = 0; k < N && left >= count[k]; k++) {
				left -= count[k];
				whole++;
			}
			CHECK(block.nusable[l] == whole);
			for (r = 0; r < N; r++)
				CHECK_CLOSE(charge[r * IRIS_LANES + l], l + r,
					    1e-5);
		}
	}
}

int main(void)
{
	find_sets();
	CHECK(nset > 0);
	test_fold();
	test_no_test();
	test_means();
	return failures != 0;
}
