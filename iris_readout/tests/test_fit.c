/* SPDX-License-Identifier: BSD-3-Clause */
/* The estimators against closed forms and a dense covariance matrix. */
#include "check.h"
#include "internal.h"

enum { MOST = 8 };

typedef struct fixture {
	double time[MOST], charge[MOST], noise[MOST], weight[MOST];
	unsigned char broken[MOST];
	iris_pixel pixel;
	iris_estimator estimator;
	iris_options options;
} fixture;

static void start(fixture *f, size_t nread, iris_mode mode)
{
	static const double wiggle[MOST] = {0, 9, -7, 12, 3, -15, 6, 1};
	size_t k;

	for (k = 0; k < nread; k++) {
		f->time[k] = 1.0 + (double)k + 0.25 * (double)(k % 2);
		f->charge[k] = 40.0 * (f->time[k] - f->time[0]) + wiggle[k];
		f->noise[k] = 80.0 + 5.0 * (double)k;
		f->broken[k] = k == 0;
	}
	f->pixel = (iris_pixel){nread, f->time, f->charge, f->noise,
				f->broken};
	f->estimator.weight = f->weight;
	iris_options_init(&f->options, 1, 1);
	f->options.mode = mode;
}

static double apply(fixture *f)
{
	double rate = 0.0;
	size_t k;

	iris_estimator_set(&f->estimator, &f->options, &f->pixel);
	for (k = 0; k < f->pixel.nread; k++)
		rate += f->weight[k] * f->charge[k];
	return rate;
}

/* sum_ij w_i w_j min(t_i, t_j): photon variance of correlated reads. */
static double plain_photon_factor(const fixture *f)
{
	double sum = 0.0;
	size_t i, j;

	for (i = 0; i < f->pixel.nread; i++)
		for (j = 0; j < f->pixel.nread; j++)
			sum += f->weight[i] * f->weight[j]
				* fmin(f->time[i], f->time[j]);
	return sum;
}

static void test_cds_and_mcds(void)
{
	fixture f;

	start(&f, 6, IRIS_MODE_CDS);
	CHECK_CLOSE(apply(&f), f.charge[5] / (f.time[5] - f.time[0]), 1e-12);
	CHECK(f.estimator.nused == 2);
	CHECK_CLOSE(f.estimator.photon_factor,
		    1.0 / (f.time[5] - f.time[0]), 1e-12);
	start(&f, 7, IRIS_MODE_MCDS);
	f.options.nfowler = 2;
	CHECK_CLOSE(apply(&f), (f.charge[5] + f.charge[6] - f.charge[1])
		    / (f.time[5] + f.time[6] - f.time[0] - f.time[1]), 1e-12);
	CHECK(f.estimator.nused == 4);
	CHECK_CLOSE(f.estimator.photon_factor, plain_photon_factor(&f), 1e-12);
	f.options.nfowler = 100; /* no more than half of the reads */
	(void)apply(&f);
	CHECK(f.estimator.nused == 6);
	CHECK_CLOSE(f.weight[3], 0.0, 0.0);
}

static void test_slope_of_one_run(void)
{
	fixture f;
	double st = 0.0, sy = 0.0, stt = 0.0, sty = 0.0;
	size_t k;

	start(&f, MOST, IRIS_MODE_UTR);
	for (k = 0; k < MOST; k++) {
		st += f.time[k];
		sy += f.charge[k];
		stt += f.time[k] * f.time[k];
		sty += f.time[k] * f.charge[k];
	}
	CHECK_CLOSE(apply(&f), (MOST * sty - st * sy) / (MOST * stt - st * st),
		    1e-10);
	CHECK(f.estimator.nused == MOST);
	CHECK_CLOSE(f.estimator.photon_factor, plain_photon_factor(&f), 1e-12);
}

static void test_slope_does_not_see_offsets_between_runs(void)
{
	fixture f;
	double rate;
	size_t k;

	start(&f, MOST, IRIS_MODE_UTR);
	f.broken[3] = f.broken[4] = 1; /* runs 0-2, 3, 4-7 */
	rate = apply(&f);
	CHECK(f.estimator.nused == 7);
	CHECK_CLOSE(f.weight[3], 0.0, 0.0);
	for (k = 3; k < MOST; k++)
		f.charge[k] += k == 3 ? 1e4 : -500.0;
	CHECK_CLOSE(apply(&f), rate, 1e-9);
	CHECK(fabs(rate - 40.0) < 5.0);
}

static void test_no_rate(void)
{
	fixture f;
	size_t k;

	start(&f, 1, IRIS_MODE_UTR);
	(void)apply(&f);
	CHECK(f.estimator.nused == 0);
	start(&f, 4, IRIS_MODE_UTR);
	for (k = 0; k < 4; k++)
		f.broken[k] = 1;
	(void)apply(&f);
	CHECK(f.estimator.nused == 0);
}

/* Solve c x = b in place by elimination; c is positive definite. */
static void solve(double c[MOST][MOST], double *b, size_t n)
{
	size_t i, j, k;

	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++) {
			const double factor = c[j][i] / c[i][i];

			for (k = i; k < n; k++)
				c[j][k] -= factor * c[i][k];
			b[j] -= factor * b[i];
		}
	for (i = n; i-- > 0;) {
		for (k = i + 1; k < n; k++)
			b[i] -= c[i][k] * b[k];
		b[i] /= c[i][i];
	}
}

/* a' C^-1 b with the dense covariance of the differences in use. */
static double quadratic(const fixture *f, double rate, const double *a,
			const double *b, const size_t *used, size_t n)
{
	double c[MOST][MOST] = {{0.0}}, x[MOST], sum = 0.0;
	size_t i, j;

	for (i = 0; i < n; i++) {
		const size_t k = used[i];

		x[i] = b[i];
		for (j = 0; j < n; j++) {
			if (used[j] == k)
				c[i][j] = rate * (f->time[k] - f->time[k - 1])
					+ f->noise[k] + f->noise[k - 1];
			else if (used[j] == k + 1)
				c[i][j] = -f->noise[k];
			else if (used[j] + 1 == k)
				c[i][j] = -f->noise[k - 1];
		}
	}
	solve(c, x, n);
	for (i = 0; i < n; i++)
		sum += a[i] * x[i];
	return sum;
}

static void test_chi_square(const size_t *broken, size_t nbroken)
{
	fixture f;
	double d[MOST], t[MOST], a, b, g;
	size_t used[MOST], n = 0, k;

	start(&f, MOST, IRIS_MODE_UTR);
	for (k = 0; k < nbroken; k++)
		f.broken[broken[k]] = 1;
	for (k = 1; k < MOST; k++) {
		if (f.broken[k])
			continue;
		d[n] = f.charge[k] - f.charge[k - 1];
		t[n] = f.time[k] - f.time[k - 1];
		used[n++] = k;
	}
	a = quadratic(&f, 38.0, d, d, used, n);
	b = quadratic(&f, 38.0, d, t, used, n);
	g = quadratic(&f, 38.0, t, t, used, n);
	CHECK_CLOSE(iris_chi_square(&f.pixel, 38.0),
		    (a - b * b / g) / (double)(n - 1), 1e-9);
}

static void test_chi_square_needs_two_differences(void)
{
	fixture f;

	start(&f, 2, IRIS_MODE_UTR);
	CHECK(isnan(iris_chi_square(&f.pixel, 40.0)));
	start(&f, 3, IRIS_MODE_UTR);
	CHECK(iris_chi_square(&f.pixel, -3.0) >= 0.0);
}

int main(void)
{
	static const size_t breaks[] = {3, 4, 6};

	test_cds_and_mcds();
	test_slope_of_one_run();
	test_slope_does_not_see_offsets_between_runs();
	test_no_rate();
	test_chi_square(breaks, 0);
	test_chi_square(breaks, 1);
	test_chi_square(breaks, 3);
	test_chi_square_needs_two_differences();
	return failures != 0;
}
