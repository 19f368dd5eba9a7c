/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Jumps: where they are found, and the variance of the test statistic against
 * the plain double sum over the coefficients of every read.
 */
#include "check.h"
#include "internal.h"

enum { MOST = 12 };

typedef struct fixture {
	double time[MOST], charge[MOST], noise[MOST];
	unsigned char broken[MOST];
	iris_jump jumps[MOST];
	iris_pixel pixel;
} fixture;

/* A ramp of 50 e-/s with uneven times and uneven noise of about 10 e-. */
static void start(fixture *f, size_t nread)
{
	size_t k;

	for (k = 0; k < MOST; k++) {
		f->time[k] = 2.0 * (double)k + 0.3 * (double)(k % 3);
		f->charge[k] = 50.0 * (f->time[k] - f->time[0]);
		f->noise[k] = 100.0 + 7.0 * (double)(k % 4);
		f->broken[k] = k == 0;
	}
	f->pixel = (iris_pixel){nread, f->time, f->charge, f->noise,
				f->broken};
}

static void hit(fixture *f, size_t read, double charge)
{
	size_t k;

	for (k = read; k < f->pixel.nread; k++)
		f->charge[k] += charge;
}

static void test_smooth_ramps_are_left_alone(void)
{
	fixture f;
	size_t n, k;

	for (n = 1; n <= MOST; n++) {
		start(&f, n);
		CHECK(iris_jump_find(&f.pixel, 4.5, f.jumps) == 0);
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
			CHECK(iris_jump_find(&f.pixel, 4.5, f.jumps) == 1);
			CHECK(f.jumps[0].read == at && f.broken[at]);
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
	CHECK(iris_jump_find(&f.pixel, 4.5, f.jumps) == 3);
	CHECK(f.jumps[0].read == 2 && f.jumps[1].read == 3
	      && f.jumps[2].read == 9);
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
	CHECK(iris_jump_find(&f.pixel, 4.5, f.jumps) == 1);
	CHECK(f.jumps[0].read == 1 && f.jumps[0].amplitude > 0.0);
	start(&f, 2);
	hit(&f, 1, 1e6);
	CHECK(iris_jump_find(&f.pixel, 4.5, f.jumps) == 0);
}

/* Variance of amplitude of the hit at `at`, the others in `used`. */
static double plain_variance(const fixture *f, size_t at, const int *used)
{
	double c[MOST] = {0.0}, total = 0.0, charge = 0.0, variance = 0.0;
	size_t i;

	for (i = 1; i < f->pixel.nread; i++) {
		if (!used[i])
			continue;
		total += f->time[i] - f->time[i - 1];
		charge += f->charge[i] - f->charge[i - 1];
	}
	for (i = 1; i < f->pixel.nread; i++) {
		const double dt = f->time[i] - f->time[i - 1];
		double a = 0.0;

		if (i == at)
			a = 1.0;
		else if (used[i])
			a = -(f->time[at] - f->time[at - 1]) / total;
		c[i] += a;
		c[i - 1] -= a;
		variance += a * a * dt * charge / total;
	}
	for (i = 0; i < f->pixel.nread; i++)
		variance += c[i] * c[i] * f->noise[i];
	return variance;
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
			CHECK(iris_jump_find(&f.pixel, 4.5, f.jumps) == 2);
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

int main(void)
{
	test_smooth_ramps_are_left_alone();
	test_hit_in_every_difference();
	test_several_hits_are_measured_without_each_other();
	test_of_two_differences_the_larger_is_the_hit();
	test_significance();
	return failures != 0;
}
