/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The likelihood fit of one pixel against dense covariance matrices: any mask,
 * resultants, weights; and the hits it finds against chi-square itself.
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
	iris_jump jumps[MOST];
	size_t njump;
	iris_pixel pixel;
} fixture;

/* Give the library what the dense ramp says. */
static void hand_over(fixture *f)
{
	iris_pattern *p = &f->pattern;
	size_t k;

	p->nsample = f->ramp.nsample;
	for (k = 0; k < p->nsample; k++) {
		const size_t n = f->ramp.count[k];
		double tau = 0.0;
		size_t i, j;

		/* Mean over all pairs of reads of the earlier time. */
		for (i = 0; i < n; i++)
			for (j = 0; j < n; j++)
				tau += f->seconds[f->ramp.first[k]
						  + (i < j ? i : j)];
		p->time[k] = dense_time(&f->ramp, k);
		p->tau[k] = tau / (double)(n * n);
		p->count[k] = (double)n;
		p->weight[k] = f->ramp.weight[k];
		p->first[k] = (uint16_t)(f->ramp.first[k] + 1);
		f->charge[k] = f->ramp.charge[k];
		f->broken[k] = k == 0 || f->ramp.broken[k];
	}
	iris_pattern_complete(p);
	f->pixel = (iris_pixel){p->nsample, p->time, f->charge,
				f->ramp.variance, f->broken};
}

/* Uneven times, a rate of 40 e-/s, noise of some e-. */
static void start(fixture *f, size_t nsample, numbers *n)
{
	size_t k;

	memset(f, 0, sizeof(*f));
	for (k = 0; k < DENSE_MOST; k++)
		f->seconds[k] = 1.0 + 1.4 * (double)k + 0.3 * (double)(k % 3);
	dense_reads(&f->ramp, f->seconds, nsample, 90.0);
	for (k = 0; k < nsample; k++)
		f->ramp.charge[k] = 40.0 * (f->seconds[k] - f->seconds[0])
			+ 9.0 * gaussian(n);
	CHECK(iris_pattern_create(&f->pattern, MOST) == IRIS_OK);
	hand_over(f);
}

/* Fold neighbouring reads into resultants of 1, 1, 2, 3, 1, 2, ... reads. */
static void fold(fixture *f, numbers *n)
{
	static const size_t counts[] = {1, 1, 2, 3, 1, 2, 4};
	size_t k, first = 0;

	for (k = 0; k < f->ramp.nsample; k++) {
		f->ramp.first[k] = first;
		f->ramp.count[k] = counts[k % 7];
		first += f->ramp.count[k];
		f->ramp.charge[k] = 40.0 * (dense_time(&f->ramp, k)
					    - f->seconds[0])
			+ 9.0 * gaussian(n);
	}
	hand_over(f);
}

static iris_result fit(fixture *f, double sigma)
{
	memset(f->scratch, 0x7f, sizeof(f->scratch));
	return iris_likelihood_fit(&f->pattern, &f->pixel, sigma, f->scratch,
				   f->jumps, &f->njump);
}

static void stop(fixture *f)
{
	iris_pattern_destroy(&f->pattern);
}

static void hit(fixture *f, size_t sample, double charge)
{
	size_t k;

	for (k = sample; k < f->ramp.nsample; k++)
		f->ramp.charge[k] += charge;
	hand_over(f);
}

/* --- the fit ------------------------------------------------------------- */

static void compare(fixture *f)
{
	const iris_result r = fit(f, 0.0);
	const dense_fit d = dense_likelihood(&f->ramp, 3);
	const dense_fit far = dense_likelihood(&f->ramp, 30);
	const double sigma = sqrt(d.var_read + 40.0 * d.photon_factor);

	CHECK(f->njump == 0);
	CHECK_CLOSE(r.rate, d.rate, 1e-9);
	CHECK_CLOSE(r.rate, far.rate, 0.01 * sigma);
	CHECK_CLOSE(r.var_read, d.var_read, 1e-9 * d.var_read);
	CHECK_CLOSE(r.photon_factor, d.photon_factor, 1e-9 * d.photon_factor);
	if (d.ndifference > 1)
		CHECK_CLOSE(r.chi2, d.chi2 / (double)(d.ndifference - 1),
			    1e-8);
	else
		CHECK(isnan(r.chi2));
}

static void test_against_dense_matrices(void)
{
	numbers n = {1};
	fixture f;
	size_t nsample;

	for (nsample = 2; nsample <= 20; nsample++) {
		start(&f, nsample, &n);
		compare(&f);
		CHECK(fit(&f, 0.0).nused == nsample);
		fold(&f, &n);
		compare(&f);
		stop(&f);
	}
}

static void test_any_mask(void)
{
	numbers n = {2};
	fixture f;
	size_t trial, k;

	for (trial = 0; trial < 60; trial++) {
		size_t left = 0;

		start(&f, 9, &n);
		if (trial % 2)
			fold(&f, &n);
		for (k = 1; k < 9; k++) {
			f.ramp.broken[k] = below(&n, 3) == 0;
			left += !f.ramp.broken[k];
		}
		hand_over(&f);
		if (left > 0)
			compare(&f);
		stop(&f);
	}
}

static void test_masked_charge_does_not_matter(void)
{
	numbers n = {3};
	fixture f;
	iris_result before, after;

	start(&f, 9, &n);
	f.ramp.broken[4] = f.ramp.broken[5] = 1;
	hand_over(&f);
	before = fit(&f, 0.0);
	hit(&f, 4, 1e5);
	hit(&f, 5, -3e4);
	after = fit(&f, 0.0);
	CHECK_CLOSE(after.rate, before.rate, 1e-9);
	CHECK_CLOSE(after.chi2, before.chi2, 1e-9);
	CHECK(before.nused == 8); /* read 5 touches no difference in use */
	stop(&f);
}

static void test_weights_of_intervals(void)
{
	static const double weights[] = {1.0, 0.5, 0.25, 1.0, 0.0, 0.9, 0.3};
	numbers n = {4};
	fixture f;
	size_t k;

	start(&f, 9, &n);
	for (k = 1; k < 9; k++)
		f.ramp.weight[k] = weights[k % 7];
	hand_over(&f);
	CHECK(f.pattern.weighted);
	compare(&f);
	f.ramp.broken[3] = 1;
	hand_over(&f);
	compare(&f);
	stop(&f);
}

/* Two reads: the difference; three: weights by hand for no photons. */
static void test_two_and_three_reads(void)
{
	numbers n = {5};
	iris_result r;
	fixture f;
	double t;

	start(&f, 2, &n);
	t = f.seconds[1] - f.seconds[0];
	r = fit(&f, 4.5);
	CHECK_CLOSE(r.rate, (f.charge[1] - f.charge[0]) / t, 1e-12);
	CHECK_CLOSE(r.var_read, 2.0 * 90.0 / (t * t), 1e-10);
	CHECK_CLOSE(r.photon_factor, 1.0 / t, 1e-12);
	CHECK(r.nused == 2 && isnan(r.chi2));
	stop(&f);
	start(&f, 3, &n);
	f.seconds[0] = 1.0;
	f.seconds[1] = 2.0;
	f.seconds[2] = 3.0;
	f.ramp.charge[0] = 0.0;
	f.ramp.charge[1] = 5.0;
	f.ramp.charge[2] = -2.0; /* negative: the covariance is that of noise */
	hand_over(&f);
	r = fit(&f, 0.0);
	CHECK_CLOSE(r.rate, -1.0, 1e-12); /* last minus first */
	CHECK_CLOSE(r.var_read, 90.0 / 2.0, 1e-10);
	CHECK_CLOSE(r.var_photon, 0.0, 0.0);
	/* d = 6, -6 about the rate; C^-1 of [2 -1; -1 2] x 90 gives 2/3, 1/3 */
	CHECK_CLOSE(r.chi2, 2.0 * 36.0 * (2.0 - 1.0) / 3.0 / 90.0, 1e-10);
	stop(&f);
}

static void test_no_rate(void)
{
	numbers n = {6};
	fixture f;
	size_t nsample, k;

	for (nsample = 1; nsample < 5; nsample++) {
		start(&f, nsample, &n);
		for (k = 1; k < nsample; k++)
			f.ramp.broken[k] = 1;
		hand_over(&f);
		CHECK(fit(&f, 4.5).nused == 0 && isnan(fit(&f, 4.5).rate));
		CHECK(isnan(iris_chi_square(&f.pattern, &f.pixel, 40.0,
					    f.scratch)));
		stop(&f);
	}
	start(&f, 3, &n);
	f.pixel.nsample = 0;
	CHECK(fit(&f, 4.5).nused == 0);
	stop(&f);
}

static void test_chi_square_at_any_rate(void)
{
	static const double rates[] = {-3.0, 0.0, 40.0, 1e4};
	numbers n = {7};
	fixture f;
	size_t i;

	start(&f, 8, &n);
	f.ramp.broken[3] = 1;
	hand_over(&f);
	for (i = 0; i < 4; i++)
		CHECK_CLOSE(iris_chi_square(&f.pattern, &f.pixel, rates[i],
					    f.scratch),
			    dense_chi_square(&f.ramp, rates[i]) / 5.0, 1e-9);
	stop(&f);
}

/* The mean reported photon variance is near the true one for little light. */
static void test_mean_photon_variance(void)
{
	static const double rates[] = {0.0, 0.3, 3.0, 30.0};
	enum { TRIALS = 20000, READS = 5 };
	numbers n = {8};
	fixture f;
	size_t i, j, k;

	start(&f, READS, &n);
	for (i = 0; i < 4; i++) {
		const double truth = rates[i] * dense_at(&f.ramp, rates[i])
			.photon_factor + dense_at(&f.ramp, rates[i]).var_read;
		double sum = 0.0;

		for (j = 0; j < TRIALS; j++) {
			double charge = 0.0;
			iris_result r;

			for (k = 0; k < READS; k++) {
				if (k > 0)
					charge += poisson(&n, rates[i]
						* (f.seconds[k]
						   - f.seconds[k - 1]));
				f.charge[k] = charge
					+ sqrt(f.ramp.variance) * gaussian(&n);
			}
			r = fit(&f, 0.0);
			sum += r.var_read + r.var_photon;
			CHECK(r.var_photon >= 0.0);
		}
		CHECK_CLOSE(sum / TRIALS, truth, 0.15 * truth);
	}
	stop(&f);
}

/* --- hits ---------------------------------------------------------------- */

/* What leaving out the difference before `sample` takes off chi-square. */
static double gain(const fixture *f, size_t sample, double rate)
{
	static dense_ramp with;
	dense_ramp without = f->ramp;
	size_t k;

	for (k = 1; k < f->ramp.nsample; k++)
		without.broken[k] = f->broken[k];
	without.broken[sample] = 1;
	with = without;
	with.broken[sample] = 0;
	return dense_chi_square(&with, rate) - dense_chi_square(&without, rate);
}

static void test_smooth_ramps_are_left_alone(void)
{
	numbers n = {11};
	fixture f;
	size_t nsample, k;

	for (nsample = 1; nsample <= 20; nsample++) {
		start(&f, nsample, &n);
		(void)fit(&f, 4.5);
		CHECK(f.njump == 0);
		for (k = 0; k < nsample; k++)
			CHECK(f.broken[k] == (k == 0));
		stop(&f);
	}
}

static void test_hit_in_every_difference(void)
{
	numbers n = {12};
	fixture f;
	size_t nsample, at;

	for (nsample = 4; nsample <= 16; nsample++) {
		for (at = 1; at < nsample; at++) {
			iris_result r;

			start(&f, nsample, &n);
			hit(&f, at, 400.0);
			r = fit(&f, 4.5);
			CHECK(f.njump == 1 && f.jumps[0].sample == at);
			CHECK(f.broken[at]);
			CHECK_CLOSE(f.jumps[0].amplitude, 400.0, 70.0);
			CHECK_CLOSE(f.jumps[0].sigma * f.jumps[0].sigma,
				    gain(&f, at, r.rate),
				    1e-3 * gain(&f, at, r.rate));
			stop(&f);
		}
	}
}

/* The fit that is left is that of a mask known beforehand. */
static void test_fit_without_the_hits(void)
{
	numbers n = {13};
	iris_result found, known;
	fixture f;
	size_t j;

	start(&f, 14, &n);
	hit(&f, 3, 900.0);
	hit(&f, 4, 700.0);
	hit(&f, 11, -800.0);
	found = fit(&f, 4.5);
	CHECK(f.njump == 3);
	for (j = 0; j < f.njump; j++)
		CHECK(f.jumps[j].sample == 11
		      ? f.jumps[j].sigma < -4.5 : f.jumps[j].sigma > 4.5);
	f.ramp.broken[3] = f.ramp.broken[4] = f.ramp.broken[11] = 1;
	hand_over(&f);
	known = fit(&f, 0.0);
	CHECK_CLOSE(found.rate, known.rate, 1e-9);
	CHECK_CLOSE(found.var_read, known.var_read, 1e-9);
	CHECK_CLOSE(found.chi2, known.chi2, 1e-9);
	CHECK(found.nused == known.nused);
	stop(&f);
}

/* A 100-sigma hit does not hide one of 8 sigma, nor make false ones. */
static void test_small_hit_beside_a_large_one(void)
{
	numbers n = {14};
	fixture f;

	start(&f, 16, &n);
	hit(&f, 5, 3000.0);
	hit(&f, 12, 150.0);
	(void)fit(&f, 4.5);
	CHECK(f.njump >= 2);
	CHECK(f.broken[5] && f.broken[12]);
	CHECK(f.njump == 2);
	stop(&f);
}

/* Every difference left stands the test, judged as the header says. */
static void test_what_is_left_stands_the_test(void)
{
	enum { TRIALS = 300 };
	numbers n = {15};
	size_t trial, k, left, flagged = 0;
	fixture f;

	for (trial = 0; trial < TRIALS; trial++) {
		start(&f, 10, &n);
		hit(&f, 1 + below(&n, 9), 40.0 + 60.0 * uniform(&n));
		(void)fit(&f, 3.0);
		flagged += f.njump;
		for (k = 1, left = 0; k < 10; k++)
			left += !f.broken[k];
		for (k = 1; k < 10 && left > 2; k++) {
			dense_ramp without = f.ramp;
			double rate;
			size_t j;

			if (f.broken[k])
				continue;
			for (j = 1; j < 10; j++)
				without.broken[j] = f.broken[j] || j == k;
			rate = dense_likelihood(&without, 3).rate;
			CHECK(gain(&f, k, rate) < 9.0 * 1.001);
		}
		stop(&f);
	}
	CHECK(flagged > TRIALS / 4 && flagged < 2 * TRIALS);
}

static void test_of_two_differences_the_larger_is_the_hit(void)
{
	numbers n = {16};
	fixture f;

	start(&f, 3, &n);
	hit(&f, 2, -600.0); /* cannot be told from a hit in the first */
	(void)fit(&f, 4.5);
	CHECK(f.njump == 1 && f.jumps[0].sample == 1);
	CHECK(f.jumps[0].amplitude > 0.0);
	stop(&f);
	start(&f, 2, &n);
	hit(&f, 1, 1e6);
	(void)fit(&f, 4.5);
	CHECK(f.njump == 0);
	stop(&f);
}

/* A hit inside a resultant is in both differences that touch it. */
static void test_hit_inside_a_resultant(void)
{
	numbers n = {17};
	size_t at, k;
	fixture f;

	for (at = 2; at < 12; at++) {
		start(&f, 13, &n);
		fold(&f, &n);
		if (f.ramp.count[at] == 1) {
			stop(&f);
			continue;
		}
		f.ramp.charge[at] += 500.0; /* half of it */
		for (k = at + 1; k < f.ramp.nsample; k++)
			f.ramp.charge[k] += 1000.0;
		hand_over(&f);
		(void)fit(&f, 4.5);
		CHECK(f.broken[at] && f.broken[at + 1]);
		for (k = 1; k < f.ramp.nsample; k++)
			CHECK(!f.broken[k] || k == at || k == at + 1);
		CHECK_CLOSE(f.jumps[0].amplitude, f.njump == 1 ? 1000.0 : 500.0,
			    120.0);
		stop(&f);
	}
}

/* 20.25 and 23.8 of algorithms.md; the tail of chi-square is exp(-x / 2). */
static void test_two_omit_threshold(void)
{
	CHECK_CLOSE(iris_two_omit_threshold(4.5), 23.8, 0.02);
	CHECK_CLOSE(exp(-0.5 * iris_two_omit_threshold(2.0)), 0.0455, 1e-4);
	CHECK_CLOSE(iris_two_omit_threshold(0.0), 0.0, 1e-12);
}

int main(void)
{
	test_against_dense_matrices();
	test_any_mask();
	test_masked_charge_does_not_matter();
	test_weights_of_intervals();
	test_two_and_three_reads();
	test_no_rate();
	test_chi_square_at_any_rate();
	test_mean_photon_variance();
	test_smooth_ramps_are_left_alone();
	test_hit_in_every_difference();
	test_fit_without_the_hits();
	test_small_hit_beside_a_large_one();
	test_what_is_left_stands_the_test();
	test_of_two_differences_the_larger_is_the_hit();
	test_hit_inside_a_resultant();
	test_two_omit_threshold();
	return failures != 0;
}
