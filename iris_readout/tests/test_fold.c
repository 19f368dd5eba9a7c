/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Folding: which reads share a resultant, what a cut costs, that it depends on
 * the number of reads alone, and that hits in it are found and weigh nothing.
 */
#include "check.h"
#include "internal.h"
#include "numbers.h"

#include <string.h>

enum { NX = 70, LONG = 1000 };

typedef struct outcome {
	float rate[NX], var_read[NX], var_photon[NX], chi2[NX];
	uint32_t dq[NX];
	uint16_t nused[NX];
} outcome;

static iris_options options_of_test(size_t memory_limit)
{
	iris_options o;

	iris_options_init(&o, 1, NX);
	o.ref_pixels = 0;
	o.nthreads = 1;
	o.gain.value = 2.0f;
	o.read_noise.value = 10.0f;
	o.memory_limit = memory_limit;
	return o;
}

static iris_planes planes_of(outcome *out)
{
	return (iris_planes){.rate = out->rate, .var_read = out->var_read,
		.var_photon = out->var_photon, .chi2 = out->chi2,
		.dq = out->dq, .nused = out->nused};
}

/* --- which reads are folded together ------------------------------------- */

/* Four of one read, then pairs of two, of four and so on; the last is shorter. */
static void check_counts(const iris_pattern *p, size_t nread)
{
	double total = 0.0;
	size_t k;

	CHECK(p->nsample <= IRIS_MAX_RESULTANTS);
	for (k = 0; k < p->nsample; k++) {
		CHECK(p->first[k] == (uint16_t)total + 1);
		total += p->count[k];
		if (k < 4)
			CHECK_CLOSE(p->count[k], 1.0, 0.0);
		else if (k + 1 < p->nsample)
			CHECK(p->count[k] >= p->count[k - 1]
			      && p->count[k] <= 2.0 * p->count[k - 1]);
	}
	CHECK_CLOSE(total, (double)nread, 0.0);
}

/* Of a ramp that is cut, no less than half of the reads are left. */
static void check_cuts(const iris_pattern *p, size_t nread)
{
	size_t cut, k;

	for (cut = 2; cut <= nread; cut++) {
		double left = 0.0;

		for (k = 0; k < p->nsample; k++)
			if ((size_t)p->first[k] - 1 + (size_t)p->count[k]
			    <= cut)
				left += p->count[k];
		CHECK(left >= 0.5 * (double)cut);
	}
}

static void test_which_reads_are_folded_together(void)
{
	static const size_t lengths[] = {9, 16, 24, 25, 48, 49, 100, 416, LONG};
	static uint16_t read[NX];
	const iris_options o = options_of_test(1);
	outcome out;
	const iris_planes planes = planes_of(&out);
	iris_ramp *ramp = NULL;
	size_t i, k;

	for (k = 0; k < NX; k++)
		read[k] = 1000;
	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		for (k = 0; k < lengths[i]; k++)
			CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE,
					     0.72 * (double)k) == IRIS_OK);
		CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
		check_counts(&ramp->pattern, lengths[i]);
		check_cuts(&ramp->pattern, lengths[i]);
		CHECK_CLOSE(iris_ramp_folding(ramp), (double)lengths[i]
			    / (double)ramp->pattern.nsample, 1e-12);
		CHECK(out.nused[0] == lengths[i]);
		CHECK(iris_ramp_reset(ramp) == IRIS_OK);
		CHECK_CLOSE(iris_ramp_folding(ramp), 1.0, 0.0);
	}
	iris_ramp_destroy(ramp);
}

/* --- folded ramps of noise ----------------------------------------------- */

typedef struct ramps {
	uint16_t reads[LONG][NX];
	uint16_t hit[NX]; /* index of the read, 0: none */
	double rate[NX];  /* e-/s */
} ramps;

/*
 * Poisson light, read noise of 10 e-, and hits: of 500 DN on every fifth pixel,
 * of 75 DN (10 sigma of a difference of faint light) on its neighbour.
 */
static const double amplitudes[5] = {500.0, 75.0, 0.0, 0.0, 0.0};

static void simulate(ramps *r, size_t nread, numbers *n)
{
	size_t x, k;

	for (x = 0; x < NX; x++) {
		double charge = 0.0;

		r->rate[x] = pow(10.0, 2.0 * uniform(n) - 0.5);
		r->hit[x] = x % 5 > 1 ? 0
			: (uint16_t)(1 + below(n, (uint32_t)nread - 1));
		for (k = 0; k < nread; k++) {
			const double dn = 1000.0 + 0.5 * (
				charge + 10.0 * gaussian(n));

			r->reads[k][x] = (uint16_t)(
				dn + 0.5 + (r->hit[x] > 0 && k >= r->hit[x]
					    ? amplitudes[x % 5] : 0.0));
			charge += poisson(n, 0.72 * r->rate[x]);
		}
	}
}

static iris_ramp *fit(const ramps *r, size_t nread, size_t memory_limit,
		      outcome *out)
{
	const iris_options o = options_of_test(memory_limit);
	const iris_planes planes = planes_of(out);
	iris_ramp *ramp = NULL;
	size_t k;

	memset(out, 0, sizeof(*out));
	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	for (k = 0; k < nread; k++)
		CHECK(iris_ramp_push(ramp, r->reads[k], IRIS_NATIVE,
				     0.72 * (double)k) == IRIS_OK);
	CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
	return ramp;
}

/* Whenever folding began, 8, 24 or 64 reads into the ramp: the same bits. */
static void test_memory_does_not_change_a_folded_result(void)
{
	static ramps r;
	static const size_t kept[] = {24, 64};
	outcome first, other;
	numbers n = {1};
	iris_ramp *a, *b;
	size_t i, na, nb;

	simulate(&r, 100, &n);
	a = fit(&r, 100, 1, &first);
	CHECK(iris_ramp_folding(a) > 1.0);
	for (i = 0; i < 2; i++) {
		b = fit(&r, 100, kept[i] * 2 * NX, &other);
		CHECK(memcmp(&first, &other, sizeof(first)) == 0);
		(void)iris_ramp_events(a, &na);
		(void)iris_ramp_events(b, &nb);
		CHECK(na == nb && na > 0);
		iris_ramp_destroy(b);
	}
	iris_ramp_destroy(a);
}

/* Hits of one size: how many there are, and were found in their read. */
static size_t count_found(const ramps *r, const iris_ramp *ramp, size_t kind,
			  size_t *hits)
{
	const double charge = 2.0 * amplitudes[kind];
	size_t count, i, x, found = 0;
	const iris_event *e = iris_ramp_events(ramp, &count);

	for (i = 0; i < count; i++)
		found += e[i].kind == IRIS_EVENT_JUMP && e[i].x % 5 == kind
			&& e[i].read == (uint32_t)r->hit[e[i].x] + 1
			&& fabs((double)e[i].amplitude - charge) < 100.0;
	for (x = kind; x < NX; x += 5)
		*hits += r->hit[x] > 0;
	return found;
}

/* Hits are found in their reads; rates are as good as they say. */
static void test_truth(void)
{
	enum { TRIALS = 30, READS = 150 };
	static ramps r;
	numbers n = {2};
	double pull = 0.0, square = 0.0, chi2 = 0.0;
	size_t trial, x, found[2] = {0}, hits[2] = {0};

	for (trial = 0; trial < TRIALS; trial++) {
		outcome out;
		iris_ramp *ramp;

		simulate(&r, READS, &n);
		ramp = fit(&r, READS, 1, &out);
		found[0] += count_found(&r, ramp, 0, &hits[0]);
		found[1] += count_found(&r, ramp, 1, &hits[1]);
		for (x = 0; x < NX; x++) {
			const double sigma = sqrt((double)(out.var_read[x]
							   + out.var_photon[x]));
			const double p = ((double)out.rate[x] - r.rate[x])
				/ sigma;

			pull += p;
			square += p * p;
			chi2 += (double)out.chi2[x];
			CHECK(fabs(p) < 6.0);
			CHECK(x % 5 > 0 || (out.dq[x] & IRIS_DQ_MASK(
				IRIS_DQ_JUMP_DET)));
		}
		iris_ramp_destroy(ramp);
	}
	CHECK(found[0] == hits[0]);
	CHECK((double)found[1] > 0.95 * (double)hits[1]);
	/* Statistical errors: 0.022, 0.031 and 0.008 of the means. */
	CHECK_CLOSE(pull / (TRIALS * NX), 0.0, 0.08);
	CHECK_CLOSE(square / (TRIALS * NX), 1.0, 0.12);
	CHECK_CLOSE(chi2 / (TRIALS * NX), 1.0, 0.04);
}

/* Light without noise comes out as it went in, also with uneven times. */
static void test_straight_ramps(void)
{
	static uint16_t read[NX];
	const iris_options o = options_of_test(1);
	outcome out;
	const iris_planes planes = planes_of(&out);
	iris_ramp *ramp = NULL;
	size_t x, k, seconds = 0;

	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	for (k = 0; k < 90; k++) {
		for (x = 0; x < NX; x++)
			read[x] = (uint16_t)(500 + x * seconds / 2);
		CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, (double)seconds)
		      == IRIS_OK);
		seconds += 2 + 2 * (k % 3);
	}
	CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
	for (x = 0; x < NX; x++) {
		CHECK_CLOSE(out.rate[x], (double)x, 1e-5 * (double)x + 1e-6);
		CHECK(out.chi2[x] < 1e-3f && out.dq[x] == 0);
	}
	iris_ramp_destroy(ramp);
}

/* Weights, cds and mcds need the reads themselves. */
static void test_what_cannot_be_folded(void)
{
	static uint16_t reads[10][NX];
	iris_options o = options_of_test(1);
	iris_ramp *ramp = NULL;
	size_t k;

	for (k = 0; k < NX * 10; k++)
		reads[k / NX][k % NX] = 1000;
	o.mode = IRIS_MODE_MCDS;
	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	for (k = 0; k < 8; k++)
		CHECK(iris_ramp_push(ramp, reads[k], IRIS_NATIVE, (double)k)
		      == IRIS_OK);
	CHECK(iris_ramp_push(ramp, reads[8], IRIS_NATIVE, 8.0)
	      == IRIS_ERROR_MEMORY);
	CHECK(strstr(iris_ramp_error(ramp), "memory_limit") != NULL);
	iris_ramp_destroy(ramp);
	o.mode = IRIS_MODE_UTR;
	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	for (k = 0; k < 10; k++) {
		const iris_read read = {reads[k], IRIS_NATIVE, (double)k,
					k == 9 ? 0.5 : 1.0, 0, 0};

		CHECK(iris_ramp_push_read(ramp, &read)
		      == (k < 9 ? IRIS_OK : IRIS_ERROR_MEMORY));
	}
	CHECK(iris_ramp_nread(ramp) == 9);
	iris_ramp_destroy(ramp);
}

int main(void)
{
	test_which_reads_are_folded_together();
	test_memory_does_not_change_a_folded_result();
	test_truth();
	test_straight_ramps();
	test_what_cannot_be_folded();
	return failures != 0;
}
