/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two-point test: where hits are found, and the variance of its statistic
 * against the plain double sum over the coefficients of every read.
 */
#include "check.h"
#include "dense.h"
#include "internal.h"

enum { MOST = 12 };

typedef struct fixture {
	double time[MOST], charge[MOST];
	unsigned char broken[MOST + 1];
	iris_jump jumps[MOST];
	iris_pixel pixel;
} fixture;

/* A ramp of 50 e-/s with uneven times and a noise of 10 e-. */
static void start(fixture *f, size_t nread)
{
	size_t k;

	for (k = 0; k < MOST; k++) {
		f->time[k] = 2.0 * (double)k + 0.3 * (double)(k % 3);
		f->charge[k] = 50.0 * (f->time[k] - f->time[0]);
		f->broken[k] = k == 0;
	}
	f->pixel = (iris_pixel){nread, f->time, f->charge, 100.0, f->broken};
}

static void hit(fixture *f, size_t read, double charge)
{
	size_t k;

	for (k = read; k < f->pixel.nsample; k++)
		f->charge[k] += charge;
}

static void test_smooth_ramps_are_left_alone(void)
{
	fixture f;
	size_t n, k;

	for (n = 0; n <= MOST; n++) {
		start(&f, n);
		CHECK(iris_two_point_find(&f.pixel, 4.5, f.jumps) == 0);
		for (k = 0; k < n; k++)
			CHECK(f.broken[k] == (k == 0));
	}
}

static void test_hit_in_every_difference(void)
{
	fixture f;
	size_t n, at;

	for (n = 3; n <= MOST; n++) {
		for (at = 1; at < n; at++) {
			start(&f, n);
			hit(&f, at, 400.0);
			CHECK(iris_two_point_find(&f.pixel, 4.5, f.jumps)
			      == 1);
			CHECK(f.jumps[0].sample == at && f.broken[at]);
			CHECK_CLOSE(f.jumps[0].amplitude, 400.0, 1e-9);
			CHECK(f.jumps[0].sigma > 4.5);
		}
	}
}

static void test_several_hits_are_measured_without_each_other(void)
{
	fixture f;

	start(&f, MOST);
	hit(&f, 2, 3000.0);
	hit(&f, 3, 500.0);
	hit(&f, 9, -800.0);
	CHECK(iris_two_point_find(&f.pixel, 4.5, f.jumps) == 3);
	CHECK(f.jumps[0].sample == 2 && f.jumps[1].sample == 3
	      && f.jumps[2].sample == 9);
	CHECK_CLOSE(f.jumps[0].amplitude, 3000.0, 1e-8);
	CHECK_CLOSE(f.jumps[1].amplitude, 500.0, 1e-8);
	CHECK_CLOSE(f.jumps[2].amplitude, -800.0, 1e-8);
	CHECK(f.jumps[2].sigma < -4.5);
}

static void test_of_two_differences_the_larger_is_the_hit(void)
{
	fixture f;

	start(&f, 3);
	hit(&f, 2, -400.0); /* cannot be told from a hit in the first */
	CHECK(iris_two_point_find(&f.pixel, 4.5, f.jumps) == 1);
	CHECK(f.jumps[0].sample == 1 && f.jumps[0].amplitude > 0.0);
	start(&f, 2);
	hit(&f, 1, 1e6);
	CHECK(iris_two_point_find(&f.pixel, 4.5, f.jumps) == 0);
}

/*
 * Variance of difference `at` less its part of the mean of those in `used`, as
 * that of a combination of reads with noise and shared photons.
 */
static double plain_variance(const fixture *f, size_t at, const int *used)
{
	static dense_ramp ramp;
	const size_t n = f->pixel.nsample;
	double c[MOST] = {0.0}, total = 0.0, charge = 0.0, read, photon;
	size_t i;

	for (i = 1; i < n; i++) {
		if (!used[i])
			continue;
		total += f->time[i] - f->time[i - 1];
		charge += f->charge[i] - f->charge[i - 1];
	}
	for (i = 1; i < n; i++) {
		const double a = i == at ? 1.0 : used[i]
			? -(f->time[at] - f->time[at - 1]) / total : 0.0;

		c[i] += a;
		c[i - 1] -= a;
	}
	dense_reads(&ramp, f->time, n, f->pixel.variance);
	dense_variance(&ramp, c, &read, &photon);
	return read + photon * charge / total;
}

static void test_significance(void)
{
	fixture f;
	size_t a, b, i;

	for (a = 1; a < MOST; a++) {
		for (b = a + 1; b < MOST; b++) {
			int used[MOST];

			start(&f, MOST);
			hit(&f, a, 700.0);
			hit(&f, b, 900.0);
			CHECK(iris_two_point_find(&f.pixel, 4.5, f.jumps)
			      == 2);
			for (i = 0; i < MOST; i++)
				used[i] = i != a && i != b && i > 0;
			CHECK_CLOSE(f.jumps[0].sigma,
				    700.0 / sqrt(plain_variance(&f, a, used)),
				    1e-9);
			CHECK_CLOSE(f.jumps[1].sigma,
				    900.0 / sqrt(plain_variance(&f, b, used)),
				    1e-9);
		}
	}
}

/* The table of the vector code is the variance with all reads there. */
static void test_table(void)
{
	iris_two_point table;
	float photon[MOST], read[MOST];
	iris_pattern p;
	fixture f;
	size_t n, i, k;

	table = (iris_two_point){photon, read};
	CHECK(iris_pattern_create(&p, MOST) == IRIS_OK);
	for (n = 3; n <= MOST; n++) {
		start(&f, n);
		p.nsample = n;
		for (k = 0; k < n; k++) {
			p.time[k] = p.tau[k] = f.time[k];
			p.count[k] = p.weight[k] = 1.0;
		}
		iris_pattern_complete(&p);
		iris_two_point_set(&table, &p);
		for (i = 1; i < n; i++) {
			int used[MOST];
			double v;

			for (k = 0; k < MOST; k++)
				used[k] = k != i && k > 0 && k < n;
			v = plain_variance(&f, i, used);
			CHECK_CLOSE(100.0f * read[i - 1]
				    + 50.0f * photon[i - 1], v, 1e-6 * v);
		}
	}
	iris_pattern_destroy(&p);
}

int main(void)
{
	test_smooth_ramps_are_left_alone();
	test_hit_in_every_difference();
	test_several_hits_are_measured_without_each_other();
	test_of_two_differences_the_larger_is_the_hit();
	test_significance();
	test_table();
	return failures != 0;
}
