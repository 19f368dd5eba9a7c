/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The likelihood fit of one pixel with any mask of differences, in double
 * precision: for pixels that the vector code found suspect.
 *
 * Differences of neighbouring samples have a tridiagonal covariance C (see
 * iris_pattern); a difference that is masked is taken out together with its row
 * and column.  One forward sweep of the L D L^T factors and one backward sweep
 * give C^-1 r, C^-1 t and the diagonal of C^-1 (Brandt 2024, PASP 136, 045004).
 *
 * Jumps (Brandt 2024, PASP 136, 045005): leaving out difference i, or i and
 * i + 1 where a hit inside a resultant spoils both, lowers chi-square.  A
 * candidate is judged with the covariance at the rate found without it: at the
 * rate with it, its own charge would count as noise and hide it.
 */
#include "internal.h"

#include <math.h>

/*
 * One pair of sweeps with the covariance at some rate: the best rate, the
 * residuals about it and their chi-square; arrays are (nsample - 1).
 */
typedef struct solution {
	double rate, chi2;
	double inverse_g; /* 1 / t' C^-1 t */
	double *u, *v;    /* C^-1 r, C^-1 t */
	double *d;        /* diagonal of C^-1 */
	double *l;        /* -l[i] d[i + 1]: next to it */
} solution;

typedef struct candidate {
	size_t difference;
	bool pair;     /* with the next one */
	double excess; /* of chi-square over the threshold */
} candidate;

typedef struct test {
	double one, two; /* thresholds of chi-square */
	bool pairs;
} test;

static size_t differences(const iris_pixel *pixel)
{
	return pixel->nsample > 0 ? pixel->nsample - 1 : 0;
}

static bool present(const iris_pixel *pixel, size_t i)
{
	return !pixel->broken[i + 1];
}

static size_t count_present(const iris_pixel *pixel)
{
	size_t count = 0, i;

	for (i = 0; i < differences(pixel); i++)
		count += present(pixel, i);
	return count;
}

static double step(const iris_pattern *p, size_t i)
{
	return p->exact_step[i];
}

static double charge(const iris_pixel *pixel, size_t i)
{
	return pixel->charge[i + 1] - pixel->charge[i];
}

static double on_diagonal(const iris_pattern *p, double rate, double s2,
			  size_t i)
{
	return rate * p->exact_photon[i] + s2 * p->exact_read[i];
}

/* Between differences i - 1 and i, which share sample i. */
static double off_diagonal(const iris_pattern *p, double rate, double s2,
			   size_t i)
{
	return rate * p->exact_photon_off[i] + s2 * p->exact_read_off[i];
}

/* As in the vector code: the mean without the extremes. */
static double first_guess(const iris_pattern *p, const iris_pixel *pixel)
{
	double sum = 0.0, time = 0.0, lowest = HUGE_VAL, highest = -HUGE_VAL;
	size_t low = 0, high = 0, count = 0, i;

	for (i = 0; i < differences(pixel); i++) {
		const double rate = charge(pixel, i) * p->exact_inverse[i];

		if (!present(pixel, i))
			continue;
		sum += charge(pixel, i);
		time += step(p, i);
		count++;
		low = rate < lowest ? i : low;
		high = rate > highest ? i : high;
		lowest = rate < lowest ? rate : lowest;
		highest = rate > highest ? rate : highest;
	}
	if (count < 3 || low == high)
		return sum / time;
	return (sum - charge(pixel, low) - charge(pixel, high))
		/ (time - step(p, low) - step(p, high));
}

/* Sums of a forward sweep, residuals about `about`. */
typedef struct sums {
	double a, b, g; /* r' C^-1 r, t' C^-1 r, t' C^-1 t */
} sums;

/*
 * Forward sweep with the covariance at `rate`, its diagonal divided by the
 * weights of the intervals if asked.  Where s is not NULL, y / p, z / p, 1 / p
 * and the factors are kept in it; masked differences have 0.
 */
static sums forward(const iris_pattern *p, const iris_pixel *pixel,
		    double rate, double about, bool weighted, solution *s)
{
	const size_t n = differences(pixel);
	const double photons = fmax(rate, 0.0);
	sums out = {0.0, 0.0, 0.0};
	double y = 0.0, z = 0.0, inverse = 0.0; /* of a masked one: apart */
	size_t i;

	for (i = 0; i < n; i++) {
		double off, factor, on;

		if (s != NULL)
			s->u[i] = s->v[i] = s->d[i] = s->l[i] = 0.0;
		if (!present(pixel, i)) {
			y = z = inverse = 0.0;
			continue;
		}
		off = off_diagonal(p, photons, pixel->variance, i);
		factor = off * inverse;
		on = on_diagonal(p, photons, pixel->variance, i);
		if (weighted)
			on /= p->weight[i + 1];
		y = charge(pixel, i) - about * step(p, i) - factor * y;
		z = step(p, i) - factor * z;
		inverse = 1.0 / (on - factor * off);
		out.a += y * y * inverse;
		out.b += y * z * inverse;
		out.g += z * z * inverse;
		if (s == NULL)
			continue;
		if (i > 0)
			s->l[i - 1] = factor;
		s->u[i] = y * inverse;
		s->v[i] = z * inverse;
		s->d[i] = inverse;
	}
	return out;
}

/* Both sweeps: residuals about the best rate with the covariance at `rate`. */
static void solve(const iris_pattern *p, const iris_pixel *pixel, double rate,
		  bool weighted, solution *s)
{
	const sums f = forward(p, pixel, rate, rate, weighted, s);
	const size_t n = differences(pixel);
	const double shift = f.b / f.g;
	size_t i;

	s->rate = rate + shift;
	s->chi2 = fmax(f.a - f.b * shift, 0.0);
	s->inverse_g = 1.0 / f.g;
	for (i = n; i-- > 0;) {
		if (i + 1 < n && s->l[i] != 0.0) {
			s->u[i] -= s->l[i] * (s->u[i + 1]
					      + shift * s->v[i + 1]);
			s->v[i] -= s->l[i] * s->v[i + 1];
			s->d[i] += s->l[i] * s->l[i] * s->d[i + 1];
		}
		s->u[i] -= shift * s->v[i];
	}
}

/* First pass: the rate with the covariance of a first guess. */
static double first_rate(const iris_pattern *p, const iris_pixel *pixel)
{
	const double rate = first_guess(p, pixel);
	const sums f = forward(p, pixel, rate, rate, false, NULL);

	return rate + f.b / f.g;
}

/* Two passes. */
static double second_rate(const iris_pattern *p, const iris_pixel *pixel)
{
	const double rate = first_rate(p, pixel);
	const sums f = forward(p, pixel, rate, rate, false, NULL);

	return rate + f.b / f.g;
}

/* Entries (i, i) and (i, i + 1) of the matrix of the residuals. */
static double own(const solution *s, size_t i)
{
	return s->d[i] - s->v[i] * s->v[i] * s->inverse_g;
}

static double shared(const solution *s, size_t i)
{
	return -s->l[i] * s->d[i + 1] - s->v[i] * s->v[i + 1] * s->inverse_g;
}

/* Of a difference that makes the rate alone nothing can be said. */
static bool is_alone(const solution *s, size_t i)
{
	return !(own(s, i) > 1e-9 * s->d[i]);
}

/* What chi-square gains when difference i is left out. */
static double gain_of_one(const solution *s, size_t i)
{
	return s->u[i] * s->u[i] / own(s, i);
}

/* The same for i and i + 1. */
static double gain_of_two(const solution *s, size_t i)
{
	const double first = own(s, i), second = own(s, i + 1);
	const double both = shared(s, i);

	return (s->u[i] * s->u[i] * second
		- 2.0 * s->u[i] * s->u[i + 1] * both
		+ s->u[i + 1] * s->u[i + 1] * first)
		/ (first * second - both * both);
}

static double gain(const solution *s, const candidate *c)
{
	return c->pair ? gain_of_two(s, c->difference)
		: gain_of_one(s, c->difference);
}

/* Two neighbours that share a sample of several reads. */
static bool is_pair(const iris_pattern *p, const iris_pixel *pixel, size_t i)
{
	return i + 1 < differences(pixel) && present(pixel, i)
		&& present(pixel, i + 1) && p->count[i + 1] > 1.0;
}

static candidate best(const iris_pattern *p, const iris_pixel *pixel,
		      const solution *s, const test *t)
{
	candidate c = {SIZE_MAX, false, -HUGE_VAL};
	double excess;
	size_t i;

	for (i = 0; i < differences(pixel); i++) {
		if (!present(pixel, i) || is_alone(s, i))
			continue;
		excess = gain_of_one(s, i) - t->one;
		if (excess > c.excess)
			c = (candidate){i, false, excess};
		if (!t->pairs || !is_pair(p, pixel, i) || is_alone(s, i + 1))
			continue;
		excess = gain_of_two(s, i) - t->two;
		if (excess > c.excess)
			c = (candidate){i, true, excess};
	}
	return c;
}

/* Of two differences one cannot say which is wrong: hits add charge. */
static size_t larger(const iris_pattern *p, const iris_pixel *pixel)
{
	size_t found = SIZE_MAX, i;

	for (i = 0; i < differences(pixel); i++)
		if (present(pixel, i)
		    && (found == SIZE_MAX
			|| charge(pixel, i) / step(p, i)
			> charge(pixel, found) / step(p, found)))
			found = i;
	return found;
}

static void mask(iris_pixel *pixel, const candidate *c, unsigned char value)
{
	pixel->broken[c->difference + 1] = value;
	if (c->pair)
		pixel->broken[c->difference + 2] = value;
}

/*
 * A candidate's gain with the covariance at the rate of all differences, and at
 * the rate without the candidate.
 */
typedef struct trial {
	double rate_with, with;
	double rate_without, without;
} trial;

/* 1 where both rates lie well above 0, 0 where one is not above it. */
static double brightness(const trial *t)
{
	const double apart = fabs(t->rate_with - t->rate_without);
	const double least = fmin(t->rate_with, t->rate_without);

	return apart > 0.0 ? fmin(fmax(least / apart, 0.0), 1.0) : 1.0;
}

/*
 * Threshold of a trial.  The rate without a difference is low where that
 * difference is high by chance, so that its error is taken too small: of
 * two-sided false hits there are cosh(T^2 e) times as many as there should be,
 * e being the relative change of the error at threshold T.  The rate with it
 * would bury real hits instead.  SHARE of the surplus is taken off, the
 * skewness of the counts included, but no more than MOST of the threshold: false
 * hits and completeness then are both within their limits, a fifth and 0.02
 * (docs/decisions/0006).  Near no light, where rates end at 0, there is none.
 */
#define SHARE 1.2
#define MOST 0.025

static double raised(double threshold, const trial *t, double bright)
{
	const double apart = fabs(t->rate_with - t->rate_without);
	const double change = 0.5 * log(t->without / t->with)
		* sqrt(threshold / t->without);
	const double x = bright * fabs(threshold * change);

	if (!(apart > 0.0) || !isfinite(x))
		return threshold;
	/* 2 ln cosh x */
	return threshold
		+ fmin(SHARE * 2.0 * (x + log1p(exp(-2.0 * x)) - log(2.0)),
		       MOST * threshold);
}

/*
 * The rate without the candidate; but near no light, where a low difference
 * makes it high and other rates end at 0, the rate with it (a low difference
 * cannot hide there: with it the rate is the lower one).
 */
static double rate_to_try(const trial *t, double bright)
{
	if (t->rate_without <= t->rate_with)
		return t->rate_without;
	return bright * t->rate_without + (1.0 - bright) * t->rate_with;
}

/* Take the best candidate out if it stands the test; false where none does. */
static bool find_one(const iris_pattern *p, iris_pixel *pixel, solution *s,
		     const test *t, candidate *c)
{
	const size_t count = count_present(pixel);
	double threshold, bright;
	trial tried;

	if (count < 2)
		return false;
	tried.rate_with = first_rate(p, pixel);
	solve(p, pixel, tried.rate_with, false, s);
	*c = best(p, pixel, s, &(test){t->one, t->two, t->pairs && count > 2});
	threshold = c->pair ? t->two : t->one;
	if (c->difference == SIZE_MAX
	    || c->excess < (IRIS_WORTH_A_LOOK - 1.0) * threshold)
		return false;
	if (count == 2)
		c->difference = larger(p, pixel);
	tried.with = gain(s, c);
	mask(pixel, c, 1);
	tried.rate_without = second_rate(p, pixel);
	mask(pixel, c, 0);
	bright = brightness(&tried);
	solve(p, pixel, rate_to_try(&tried, bright), false, s);
	tried.without = gain(s, c);
	if (!(tried.without > raised(threshold, &tried, bright)))
		return false;
	mask(pixel, c, 1);
	return true;
}

/* Amplitude of a jump against all differences that are left, and its error. */
static void measure(const iris_pattern *p, iris_pixel *pixel, double rate,
		    const candidate *c, solution *s, iris_jump *jump)
{
	const size_t i = c->difference;
	double amplitude, variance;

	mask(pixel, c, 0);
	solve(p, pixel, rate, false, s);
	mask(pixel, c, 1);
	if (is_alone(s, i)) { /* against a rate that others gave */
		amplitude = charge(pixel, i) - rate * step(p, i);
		variance = on_diagonal(p, fmax(rate, 0.0), pixel->variance, i);
	} else if (c->pair) { /* the sum of two amplitudes */
		const double first = own(s, i), second = own(s, i + 1);
		const double both = shared(s, i);
		const double det = first * second - both * both;

		amplitude = (s->u[i] * (second - both)
			     + s->u[i + 1] * (first - both)) / det;
		variance = (first + second - 2.0 * both) / det;
	} else {
		amplitude = s->u[i] / own(s, i);
		variance = 1.0 / own(s, i);
	}
	jump->sample = i + 1;
	jump->amplitude = amplitude;
	jump->sigma = amplitude / sqrt(variance);
}

/* Reads in samples that touch a difference in use. */
static size_t count_reads(const iris_pattern *p, const iris_pixel *pixel)
{
	size_t reads = 0, k;

	for (k = 0; k < pixel->nsample; k++) {
		const bool before = k > 0 && !pixel->broken[k];
		const bool after = k + 1 < pixel->nsample
			&& !pixel->broken[k + 1];

		if (before || after)
			reads += (size_t)p->count[k];
	}
	return reads;
}

/*
 * The rate with the weights w = K^-1 t of the differences, K being C at `rate`
 * with its diagonal divided by the weights of the intervals (without them
 * generalised least squares; see kernels.c), and its variance w' C w.
 */
static void weigh(const iris_pattern *p, const iris_pixel *pixel, double rate,
		  solution *s, iris_result *r)
{
	double sum = 0.0, time = 0.0, read = 0.0, photon = 0.0, before = 0.0;
	size_t i;

	solve(p, pixel, rate, p->weighted, s);
	for (i = 0; i < differences(pixel); i++) {
		const double w = s->v[i];

		sum += w * charge(pixel, i);
		time += w * step(p, i);
		read += w * w * on_diagonal(p, 0.0, 1.0, i);
		photon += w * w * on_diagonal(p, 1.0, 0.0, i);
		if (i > 0) {
			read += 2.0 * w * before * off_diagonal(p, 0.0, 1.0, i);
			photon += 2.0 * w * before
				* off_diagonal(p, 1.0, 0.0, i);
		}
		before = w;
	}
	r->rate = sum / time;
	r->var_read = pixel->variance * read / (time * time);
	r->photon_factor = photon / (time * time);
	r->var_photon = (double)iris_photon_variance(
		(float)r->rate, (float)r->var_read, (float)r->photon_factor);
}

/* Threshold of chi-square with two degrees of freedom as rare as sigma. */
double iris_two_omit_threshold(double sigma)
{
	return -2.0 * log(erfc(sigma / sqrt(2.0)));
}

static iris_result no_rate(void)
{
	return (iris_result){NAN, NAN, NAN, NAN, NAN, 0};
}

/* Take jumps out one by one; their number. */
static size_t find_all(const iris_pattern *p, iris_pixel *pixel, solution *s,
		       double sigma, iris_jump *jumps)
{
	const test t = {sigma * sigma, iris_two_omit_threshold(sigma),
			p->folded};
	candidate c;
	size_t count = 0;

	while (sigma > 0.0 && find_one(p, pixel, s, &t, &c)) {
		jumps[count].sample = c.difference + 1;
		jumps[count].amplitude = c.pair ? 1.0 : 0.0;
		count++;
	}
	return count;
}

static solution arrays(const iris_pixel *pixel, double *scratch)
{
	const size_t n = pixel->nsample;

	return (solution){
		.u = scratch, .v = scratch + n,
		.d = scratch + 2 * n, .l = scratch + 3 * n,
	};
}

/*
 * Chi-square per degree of freedom of the differences in use about their best
 * rate, with the covariance at `rate`; NaN with fewer than two differences.
 */
double iris_chi_square(const iris_pattern *pattern, const iris_pixel *pixel,
		       double rate, double *scratch)
{
	const size_t count = count_present(pixel);
	solution s = arrays(pixel, scratch);

	if (count < 2)
		return NAN;
	solve(pattern, pixel, rate, false, &s);
	return s.chi2 / (double)(count - 1);
}

/*
 * Fit one pixel.
 *
 * Given:    pattern     covariance of the samples
 *           pixel       charge, variance; broken is what is masked already
 *           jump_sigma  threshold, 0 for no test
 *           scratch     (4 * nsample) doubles
 * Returned: pixel->broken  the jumps found are masked too
 *           jumps, *njump  the jumps found, most significant first
 */
iris_result iris_likelihood_fit(const iris_pattern *pattern, iris_pixel *pixel,
				double jump_sigma, double *scratch,
				iris_jump *jumps, size_t *njump)
{
	solution s = arrays(pixel, scratch);
	iris_result r = no_rate();
	double rate;
	size_t i;

	*njump = 0;
	if (count_present(pixel) == 0)
		return r;
	*njump = find_all(pattern, pixel, &s, jump_sigma, jumps);
	rate = second_rate(pattern, pixel);
	for (i = 0; i < *njump; i++) {
		const candidate c = {jumps[i].sample - 1,
				     jumps[i].amplitude > 0.0, 0.0};

		measure(pattern, pixel, rate, &c, &s, &jumps[i]);
	}
	r.chi2 = iris_chi_square(pattern, pixel, rate, scratch);
	weigh(pattern, pixel, rate, &s, &r);
	if (pattern->weighted) /* with C at its own rate */
		weigh(pattern, pixel, r.rate, &s, &r);
	r.nused = count_reads(pattern, pixel);
	return r;
}
