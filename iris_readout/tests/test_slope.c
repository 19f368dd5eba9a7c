/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linear estimators: the fit of a broken ramp and the tables for whole ones
 * against normal equations and the covariance of the samples.
 */
#include "check.h"
#include "dense.h"
#include "internal.h"
#include "numbers.h"

#include <string.h>

enum { MOST = 24 };

typedef struct fixture {
	dense_ramp ramp;
	double seconds[DENSE_MOST];
	iris_pattern pattern;
	double charge[MOST], scratch[4 * MOST];
	unsigned char broken[MOST];
	iris_pixel pixel;
	iris_slope slopes[MOST + 1];
} fixture;

static void hand_over(fixture *f)
{
	iris_pattern *p = &f->pattern;
	size_t k, i, j;

	p->nsample = f->ramp.nsample;
	for (k = 0; k < p->nsample; k++) {
		const size_t n = f->ramp.count[k];

		p->tau[k] = 0.0;
		for (i = 0; i < n; i++)
			for (j = 0; j < n; j++)
				p->tau[k] += f->seconds[f->ramp.first[k]
						       + (i < j ? i : j)]
					/ (double)(n * n);
		p->time[k] = dense_time(&f->ramp, k);
		p->count[k] = (double)n;
		p->weight[k] = f->ramp.weight[k];
		f->charge[k] = f->ramp.charge[k];
		f->broken[k] = k == 0 || f->ramp.broken[k];
	}
	iris_pattern_complete(p);
	f->pixel = (iris_pixel){p->nsample, p->time, f->charge,
				f->ramp.variance, f->broken};
}

/* Uneven times; samples of one read, or of up to three. */
static void start(fixture *f, size_t nsample, bool folded, numbers *n)
{
	size_t k, first = 0;

	memset(f, 0, sizeof(*f));
	for (k = 0; k < DENSE_MOST; k++)
		f->seconds[k] = 1.0 + (double)k + 0.25 * (double)(k % 2);
	dense_reads(&f->ramp, f->seconds, nsample, 80.0);
	for (k = 0; k < nsample; k++) {
		f->ramp.first[k] = first;
		f->ramp.count[k] = folded ? 1 + k % 3 : 1;
		first += f->ramp.count[k];
		f->ramp.charge[k] = 40.0 * (dense_time(&f->ramp, k)
					    - f->seconds[0])
			+ 9.0 * gaussian(n);
	}
	CHECK(iris_pattern_create(&f->pattern, MOST) == IRIS_OK);
	hand_over(f);
}

static void stop(fixture *f)
{
	iris_pattern_destroy(&f->pattern);
}

/* --- the fit of one pixel ------------------------------------------------ */

static void compare(fixture *f)
{
	const iris_result r = iris_slope_fit(&f->pattern, &f->pixel,
					     f->scratch);
	const dense_fit d = dense_slope(&f->ramp);
	size_t used[DENSE_MOST];
	const size_t n = dense_used(&f->ramp, used);

	CHECK_CLOSE(r.rate, d.rate, 1e-8);
	CHECK_CLOSE(r.var_read, d.var_read, 1e-8);
	CHECK_CLOSE(r.photon_factor, d.photon_factor, 1e-8);
	CHECK_CLOSE(r.var_photon, fmax(d.rate, 0.0) * d.photon_factor, 1e-6);
	if (n > 1)
		CHECK_CLOSE(r.chi2, dense_chi_square(&f->ramp, d.rate)
			    / (double)(n - 1), 1e-8);
	else
		CHECK(isnan(r.chi2));
}

static void test_any_run(void)
{
	numbers n = {1};
	fixture f;
	size_t trial, k;

	for (trial = 0; trial < 80; trial++) {
		size_t joined = 0;

		start(&f, 2 + trial % 10, trial % 2, &n);
		for (k = 1; k < f.ramp.nsample; k++) {
			f.ramp.broken[k] = trial > 20 && below(&n, 3) == 0;
			f.ramp.weight[k] = trial > 50
				? (double)below(&n, 5) / 4.0 + 0.1 : 1.0;
			joined += !f.ramp.broken[k];
		}
		hand_over(&f);
		if (joined > 0)
			compare(&f);
		else
			CHECK(iris_slope_fit(&f.pattern, &f.pixel, f.scratch)
			      .nused == 0);
		stop(&f);
	}
}

/* Of runs 0-2, 3, 4-7 the single read is not used, steps are not seen. */
static void test_slope_does_not_see_offsets_between_runs(void)
{
	numbers n = {2};
	iris_result before, after;
	fixture f;
	size_t k;

	start(&f, 8, false, &n);
	f.ramp.broken[3] = f.ramp.broken[4] = 1;
	hand_over(&f);
	before = iris_slope_fit(&f.pattern, &f.pixel, f.scratch);
	CHECK(before.nused == 7);
	for (k = 3; k < 8; k++)
		f.charge[k] += k == 3 ? 1e4 : -500.0;
	after = iris_slope_fit(&f.pattern, &f.pixel, f.scratch);
	CHECK_CLOSE(after.rate, before.rate, 1e-9);
	CHECK(fabs(after.rate - 40.0) < 8.0);
	stop(&f);
}

static void test_no_rate(void)
{
	numbers n = {3};
	fixture f;
	size_t k;

	start(&f, 4, false, &n);
	f.pixel.nsample = 1;
	CHECK(iris_slope_fit(&f.pattern, &f.pixel, f.scratch).nused == 0);
	f.pixel.nsample = 0;
	CHECK(iris_slope_fit(&f.pattern, &f.pixel, f.scratch).nused == 0);
	f.pixel.nsample = 4;
	for (k = 0; k < 4; k++)
		f.broken[k] = 1;
	CHECK(isnan(iris_slope_fit(&f.pattern, &f.pixel, f.scratch).rate));
	stop(&f);
}

/* --- tables -------------------------------------------------------------- */

/* Rate of the first n samples by the table: what iris_block_slope does. */
static double apply(const fixture *f, size_t n, size_t m)
{
	const iris_slope *s = &f->slopes[n];
	double sum = 0.0, moment = 0.0;
	size_t k;

	for (k = 0; k < n && m == 0; k++) {
		sum += f->pattern.count[k] * f->charge[k];
		moment += f->pattern.count[k] * f->charge[k]
			* (f->pattern.time[k] - f->pattern.time[0]);
	}
	for (k = 0; k < m; k++)
		sum += f->charge[n - 1 - k] - f->charge[k];
	return (moment - s->offset * sum) * s->scale;
}

static void check_entry(const fixture *f, size_t n, size_t m, dense_fit d)
{
	const iris_slope *s = &f->slopes[n];

	CHECK_CLOSE(apply(f, n, m), d.rate, 1e-8);
	CHECK_CLOSE(80.0 * s->read_factor, d.var_read, 1e-8);
	CHECK_CLOSE(s->photon_factor, d.photon_factor, 1e-8);
}

static void check_slopes(fixture *f, const iris_options *o, bool running)
{
	size_t n;

	if (running)
		iris_slopes_set_running(f->slopes, &f->pattern, o->mode);
	else
		iris_slopes_set(f->slopes, &f->pattern, o);
	CHECK(f->slopes[0].nused == 0 && f->slopes[1].nused == 0);
	for (n = 2; n <= f->pattern.nsample; n++) {
		dense_ramp part = f->ramp;
		size_t m = 0, k, reads = 0;

		part.nsample = n;
		for (k = 0; k < n; k++)
			reads += part.count[k];
		if (o->mode == IRIS_MODE_CDS)
			m = 1;
		else if (o->mode == IRIS_MODE_MCDS)
			m = o->nfowler < n / 2 ? o->nfowler : n / 2;
		check_entry(f, n, m, m > 0 ? dense_ends(&part, m)
			    : dense_slope(&part));
		CHECK(f->slopes[n].nused == (m > 0 ? 2 * m : reads));
	}
}

static void test_tables(void)
{
	static const size_t means[] = {1, 2, 5, SIZE_MAX};
	numbers n = {4};
	iris_options o;
	fixture f;
	size_t i;

	iris_options_init(&o, 1, 1);
	start(&f, 14, false, &n);
	check_slopes(&f, &o, false);
	check_slopes(&f, &o, true);
	o.mode = IRIS_MODE_CDS;
	check_slopes(&f, &o, false);
	check_slopes(&f, &o, true);
	o.mode = IRIS_MODE_MCDS;
	for (i = 0; i < 4; i++) {
		o.nfowler = means[i];
		check_slopes(&f, &o, false);
	}
	stop(&f);
	start(&f, 12, true, &n);
	o.mode = IRIS_MODE_UTR;
	check_slopes(&f, &o, false);
	stop(&f);
}

static void test_intervals_that_do_not_count(void)
{
	numbers n = {5};
	iris_options o;
	fixture f;
	size_t k;

	iris_options_init(&o, 1, 1);
	start(&f, 6, false, &n);
	for (k = 1; k < 6; k++)
		f.ramp.weight[k] = k < 3 ? 0.0 : 1.0;
	hand_over(&f);
	iris_slopes_set(f.slopes, &f.pattern, &o);
	CHECK(f.slopes[2].nused == 0 && f.slopes[3].nused == 0);
	CHECK(f.slopes[4].nused > 0);
	stop(&f);
}

/* Sums over 60,000 reads against those of the whole matrix of a few. */
static void test_long_ramp(void)
{
	enum { LONG = 60000 };
	static iris_slope slopes[LONG + 1];
	iris_pattern p;
	size_t k;

	CHECK(iris_pattern_create(&p, LONG) == IRIS_OK);
	p.nsample = LONG;
	for (k = 0; k < LONG; k++) {
		p.time[k] = p.tau[k] = 0.72 * (double)k;
		p.count[k] = p.weight[k] = 1.0;
	}
	iris_pattern_complete(&p);
	iris_slopes_set_running(slopes, &p, IRIS_MODE_UTR);
	/* 12 / (N (N^2 - 1) dt^2) and 6 (N^2 + 1) / (5 N (N^2 - 1) dt) */
	CHECK_CLOSE(slopes[LONG].read_factor * pow(LONG, 3) * 0.72 * 0.72,
		    12.0, 1e-6);
	CHECK_CLOSE(slopes[LONG].photon_factor * LONG * 0.72, 1.2, 1e-6);
	CHECK(slopes[LONG].nused == LONG);
	iris_pattern_destroy(&p);
}

int main(void)
{
	test_any_run();
	test_slope_does_not_see_offsets_between_runs();
	test_no_rate();
	test_tables();
	test_intervals_that_do_not_count();
	test_long_ramp();
	return failures != 0;
}
