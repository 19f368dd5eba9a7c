/* SPDX-License-Identifier: BSD-3-Clause */
/* Ramps combined: weights, flags, outliers, and pixels that no ramp has. */
#include "check.h"
#include "iris_readout.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { NPIXEL = 4, NRAMP = 2 };

#define BIT(name) IRIS_DQ_MASK(IRIS_DQ_##name)

typedef struct store {
	float rate[NPIXEL], var_read[NPIXEL], var_photon[NPIXEL];
	float factor[NPIXEL], chi2[NPIXEL];
	uint32_t dq[NPIXEL];
	uint16_t nused[NPIXEL];
} store;

static iris_planes view(store *s)
{
	return (iris_planes){s->rate, s->var_read, s->var_photon, s->factor,
			     s->chi2, s->dq, s->nused};
}

static void fill(store *s, float rate, float var_read, float factor)
{
	size_t i;

	for (i = 0; i < NPIXEL; i++) {
		s->rate[i] = rate;
		s->var_read[i] = var_read;
		s->factor[i] = factor;
		s->var_photon[i] = factor * rate;
		s->chi2[i] = 1.0f;
		s->dq[i] = 0;
		s->nused[i] = 10;
	}
}

static iris_status mean_of(const iris_planes *ramps, size_t nramps,
			   const iris_planes *out)
{
	return iris_combine_ramps(ramps, nramps, NPIXEL, IRIS_COMBINE_MEAN,
				  0.0, out);
}

/* Many pixels on the heap. */
static iris_planes new_planes(size_t npixel)
{
	const iris_planes planes = {
		.rate = calloc(npixel, sizeof(float)),
		.var_read = calloc(npixel, sizeof(float)),
		.var_photon = calloc(npixel, sizeof(float)),
		.photon_factor = calloc(npixel, sizeof(float)),
		.chi2 = calloc(npixel, sizeof(float)),
		.dq = calloc(npixel, sizeof(uint32_t)),
		.nused = calloc(npixel, sizeof(uint16_t)),
	};

	if (planes.rate == NULL || planes.var_read == NULL
	    || planes.var_photon == NULL || planes.photon_factor == NULL
	    || planes.chi2 == NULL || planes.dq == NULL
	    || planes.nused == NULL)
		abort();
	return planes;
}

static void free_planes(iris_planes *planes)
{
	free(planes->rate);
	free(planes->var_read);
	free(planes->var_photon);
	free(planes->photon_factor);
	free(planes->chi2);
	free(planes->dq);
	free(planes->nused);
}

static uint64_t random_state = 20240601;

static double uniform(void) /* splitmix64, (0, 1) */
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return ((double)(z >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	static bool have;
	static double kept;
	double radius, angle;

	if (have) {
		have = false;
		return kept;
	}
	radius = sqrt(-2.0 * log(uniform()));
	angle = 6.283185307179586 * uniform();
	have = true;
	kept = radius * sin(angle);
	return radius * cos(angle);
}

static double poisson(double mean) /* small means only */
{
	const double end = exp(-mean);
	double product = uniform();
	double count = 0.0;

	while (product > end) {
		product *= uniform();
		count += 1.0;
	}
	return count;
}

/* Chance that a Gaussian exceeds x. */
static double tail(double x)
{
	return 0.5 * erfc(x / sqrt(2.0));
}

static void test_weights_have_one_common_rate(void)
{
	store a, b, sum;
	iris_planes ramps[NRAMP] = {view(&a), view(&b)}, out = view(&sum);
	double wa, wb, common;

	fill(&a, 10.0f, 4.0f, 0.1f);
	fill(&b, 20.0f, 1.0f, 0.2f);
	a.chi2[0] = 2.0f;
	b.nused[0] = 4;
	CHECK(mean_of(ramps, NRAMP, &out) == IRIS_OK);
	common = (10.0 / 4.0 + 20.0) / 1.25;
	wa = 1.0 / (4.0 + 0.1 * common);
	wb = 1.0 / (1.0 + 0.2 * common);
	CHECK_CLOSE(sum.rate[0], (wa * 10 + wb * 20) / (wa + wb), 1e-5);
	CHECK_CLOSE(sum.var_read[0], (wa * wa * 4 + wb * wb)
		    / (wa + wb) / (wa + wb), 1e-6);
	CHECK_CLOSE(sum.factor[0], (wa * wa * 0.1 + wb * wb * 0.2)
		    / (wa + wb) / (wa + wb), 1e-7);
	CHECK_CLOSE(sum.var_photon[0], sum.factor[0] * sum.rate[0], 1e-5);
	CHECK_CLOSE(sum.chi2[0], (8 * 2.0 + 2 * 1.0) / 10, 1e-6);
	CHECK(sum.nused[0] == 14);
}

static void test_negative_rates_weigh_by_read_noise(void)
{
	store a, b, sum;
	iris_planes ramps[NRAMP] = {view(&a), view(&b)}, out = view(&sum);

	fill(&a, -10.0f, 3.0f, 0.1f);
	fill(&b, -20.0f, 1.0f, 0.2f);
	CHECK(mean_of(ramps, NRAMP, &out) == IRIS_OK);
	CHECK_CLOSE(sum.rate[0], -17.5, 1e-5);
	CHECK_CLOSE(sum.var_read[0], 0.75, 1e-6);
	CHECK_CLOSE(sum.var_photon[0], 0.0, 0.0);
}

static void test_flags_and_missing_pixels(void)
{
	store a, b, sum;
	iris_planes ramps[NRAMP] = {view(&a), view(&b)}, out = view(&sum);
	int m;

	fill(&a, 10.0f, 4.0f, 0.1f);
	fill(&b, 20.0f, 4.0f, 0.1f);
	a.dq[0] = BIT(HOT);
	b.dq[0] = BIT(JUMP_DET);
	a.dq[1] = BIT(DO_NOT_USE) | BIT(SATURATED);
	a.rate[1] = a.var_read[1] = a.factor[1] = NAN;
	a.dq[2] = b.dq[2] = BIT(DO_NOT_USE);
	a.dq[2] |= BIT(DEAD);
	a.dq[3] = b.dq[3] = BIT(DO_NOT_USE) | BIT(REFERENCE_PIXEL);
	for (m = IRIS_COMBINE_MEAN; m <= IRIS_COMBINE_SUM; m++) {
		const double n = m == IRIS_COMBINE_SUM ? 2.0 : 1.0;

		CHECK(iris_combine_ramps(ramps, NRAMP, NPIXEL,
					 (iris_combination)m, 5.0, &out)
		      == IRIS_OK);
		CHECK(sum.dq[0] == (a.dq[0] | b.dq[0]));
		CHECK_CLOSE(sum.rate[0], n * 15.0, 1e-6);
		CHECK(sum.dq[1] == 0 && sum.nused[1] == 10);
		CHECK_CLOSE(sum.rate[1], n * 20.0, 0.0);
		CHECK(sum.dq[2] == a.dq[2]);
		CHECK(isnan(sum.rate[2]) && isnan(sum.var_photon[2]));
		CHECK(isnan(sum.var_read[2]) && isnan(sum.factor[2]));
		CHECK(isnan(sum.chi2[2]) && sum.nused[2] == 0);
		CHECK_CLOSE(sum.rate[3], 0.0, 0.0);
		CHECK_CLOSE(sum.var_read[3], 0.0, 0.0);
		CHECK_CLOSE(sum.var_photon[3], 0.0, 0.0);
		CHECK_CLOSE(sum.factor[3], 0.0, 0.0);
		CHECK(isnan(sum.chi2[3]));
		CHECK(sum.dq[3] == a.dq[3]);
	}
}

/* Whatever is not a number with a positive variance has no rate. */
static void test_unusable_numbers_have_no_weight(void)
{
	store a, b, sum;
	iris_planes ramps[NRAMP] = {view(&a), view(&b)}, out = view(&sum);

	fill(&a, 10.0f, 4.0f, 0.1f);
	fill(&b, 20.0f, 4.0f, 0.1f);
	a.rate[0] = NAN;
	a.rate[1] = -INFINITY;
	a.var_read[2] = 0.0f;
	a.factor[3] = NAN;
	a.dq[0] = a.dq[1] = a.dq[2] = a.dq[3] = BIT(WARM);
	CHECK(mean_of(ramps, NRAMP, &out) == IRIS_OK);
	CHECK_CLOSE(sum.rate[0], 20.0, 0.0);
	CHECK_CLOSE(sum.rate[1], 20.0, 0.0);
	CHECK_CLOSE(sum.rate[2], 20.0, 0.0);
	CHECK_CLOSE(sum.rate[3], 20.0, 0.0);
	CHECK_CLOSE(sum.var_read[2], 4.0, 0.0);
	CHECK((sum.dq[0] | sum.dq[1] | sum.dq[2] | sum.dq[3]) == 0);
	b.var_read[0] = -1.0f;
	b.var_read[1] = INFINITY;
	b.var_read[2] = NAN;
	b.factor[3] = INFINITY;
	CHECK(mean_of(ramps, NRAMP, &out) == IRIS_OK);
	CHECK(isnan(sum.rate[0]) && isnan(sum.rate[1]));
	CHECK(isnan(sum.rate[2]) && isnan(sum.rate[3]));
	CHECK(sum.dq[3] == (BIT(WARM) | BIT(DO_NOT_USE)));
}

static void test_nused_does_not_overflow(void)
{
	store a, b;
	iris_planes ramps[NRAMP] = {view(&a), view(&b)}, out = view(&a);

	fill(&a, 10.0f, 4.0f, 0.1f);
	fill(&b, 10.0f, 4.0f, 0.1f);
	a.nused[0] = 40000;
	b.nused[0] = 40000;
	/* The result may take the place of an input. */
	CHECK(mean_of(ramps, NRAMP, &out) == IRIS_OK);
	CHECK(a.nused[0] == 65535 && a.nused[1] == 20);
	CHECK_CLOSE(a.var_read[1], 2.0, 1e-6);
}

static void test_missing_planes_are_refused(void)
{
	store a, sum;
	iris_planes ramp = view(&a), out = view(&sum);

	fill(&a, 10.0f, 4.0f, 0.1f);
	CHECK(mean_of(NULL, 1, &out) == IRIS_ERROR_NULL);
	CHECK(mean_of(&ramp, 1, NULL) == IRIS_ERROR_NULL);
	CHECK(mean_of(&ramp, 0, &out) == IRIS_ERROR_TOO_FEW);
	ramp.chi2 = NULL;
	CHECK(mean_of(&ramp, 1, &out) == IRIS_ERROR_NULL);
	out.chi2 = NULL;
	CHECK(mean_of(&ramp, 1, &out) == IRIS_OK);
	ramp.nused = NULL;
	CHECK(mean_of(&ramp, 1, &out) == IRIS_ERROR_NULL);
	out.nused = NULL;
	CHECK(mean_of(&ramp, 1, &out) == IRIS_OK);
	out.var_read = out.var_photon = out.photon_factor = NULL;
	out.dq = NULL;
	CHECK(mean_of(&ramp, 1, &out) == IRIS_OK);
	CHECK_CLOSE(sum.rate[NPIXEL - 1], 10.0, 0.0);
	ramp.dq = NULL;
	CHECK(mean_of(&ramp, 1, &out) == IRIS_ERROR_NULL);
}

static void test_bad_options_are_refused(void)
{
	store a, sum;
	iris_planes ramp = view(&a), out = view(&sum);
	const double bad[] = {-1.0, -INFINITY, NAN};
	size_t i;

	fill(&a, 10.0f, 4.0f, 0.1f);
	for (i = 0; i < 3; i++)
		CHECK(iris_combine_ramps(&ramp, 1, NPIXEL, IRIS_COMBINE_MEAN,
					 bad[i], &out) == IRIS_ERROR_OPTION);
	CHECK(iris_combine_ramps(&ramp, 1, NPIXEL, (iris_combination)2, 0.0,
				 &out) == IRIS_ERROR_OPTION);
	CHECK(iris_combine_ramps(&ramp, 1, NPIXEL, IRIS_COMBINE_SUM, INFINITY,
				 &out) == IRIS_OK);
	CHECK(iris_combine_ramps(&ramp, 1, 0, IRIS_COMBINE_SUM, 3.0, &out)
	      == IRIS_OK);
}

/*
 * A sum of three exposures of 1/f seconds each; with one missing, the mean of
 * two stands in for it.  Photon variance: counts N of each have variance N.
 */
static void test_sum_with_a_missing_ramp(void)
{
	store a, b, c, sum;
	iris_planes ramps[3] = {view(&a), view(&b), view(&c)};
	iris_planes out = view(&sum);

	fill(&a, 10.0f, 4.0f, 0.25f);
	fill(&b, 20.0f, 1.0f, 0.25f);
	fill(&c, 60.0f, 2.0f, 0.25f);
	c.rate[1] = NAN;
	c.dq[1] = BIT(DO_NOT_USE);
	CHECK(iris_combine_ramps(ramps, 3, NPIXEL, IRIS_COMBINE_SUM, 0.0,
				 &out) == IRIS_OK);
	CHECK_CLOSE(sum.rate[0], 90.0, 1e-5);
	CHECK_CLOSE(sum.var_read[0], 7.0, 1e-6);
	CHECK_CLOSE(sum.var_photon[0], 90.0 * 0.25, 1e-5);
	CHECK_CLOSE(sum.rate[1], 45.0, 1e-5);
	CHECK_CLOSE(sum.var_read[1], 5.0 * 9.0 / 4.0, 1e-5);
	CHECK_CLOSE(sum.var_photon[1], 30.0 * 0.25 * 9.0 / 4.0, 1e-5);
	CHECK_CLOSE(sum.factor[1] * sum.rate[1], sum.var_photon[1], 1e-5);
	CHECK(sum.nused[0] == 30 && sum.nused[1] == 20 && sum.dq[1] == 0);
}

typedef struct moments {
	double mean, variance, expected, naive;
} moments;

/*
 * Ramps of `time` seconds with Poisson photons and Gaussian read noise, and
 * the estimates of the variances that a ramp fit would give.
 */
static void draw_ramp(iris_planes *ramp, size_t npixel, double rate,
		      double time, double noise)
{
	size_t i;

	for (i = 0; i < npixel; i++) {
		const double charge = poisson(rate * time) + noise * normal();

		ramp->rate[i] = (float)(charge / time);
		ramp->var_read[i] = (float)(noise * noise / time / time);
		ramp->photon_factor[i] = (float)(1.0 / time);
		ramp->var_photon[i] = (float)(fmax(charge, 0) / time / time);
		ramp->nused[i] = 10;
	}
}

static moments combine_and_measure(const iris_planes *ramps, size_t nramps,
				   size_t npixel, iris_combination combination,
				   iris_planes *out)
{
	moments m = {0};
	size_t i, r;

	CHECK(iris_combine_ramps(ramps, nramps, npixel, combination, 0.0, out)
	      == IRIS_OK);
	for (i = 0; i < npixel; i++) {
		const double rate = (double)out->rate[i];
		double weights = 0.0, own = 0.0;

		for (r = 0; r < nramps; r++) {
			const double w = 1.0 / ((double)ramps[r].var_read[i]
				+ (double)ramps[r].var_photon[i]);

			weights += w;
			own += w * (double)ramps[r].rate[i];
		}
		m.naive += own / weights;
		m.mean += rate;
		m.variance += rate * rate;
		m.expected += (double)out->var_read[i]
			+ (double)out->var_photon[i];
	}
	m.naive /= (double)npixel;
	m.mean /= (double)npixel;
	m.variance = m.variance / (double)npixel - m.mean * m.mean;
	m.expected /= (double)npixel;
	return m;
}

/* Ten electrons in 100 s, unequal ramps: no bias, and the stated variance. */
static void test_faint_pixels_are_not_biased(void)
{
	enum { MANY = 100000 };
	const double rate = 0.1;
	iris_planes ramps[3], out = new_planes(MANY);
	moments mean, sum;
	double error;
	size_t r;

	for (r = 0; r < 3; r++)
		ramps[r] = new_planes(MANY);
	draw_ramp(&ramps[0], MANY, rate, 100.0, 2.0);
	draw_ramp(&ramps[1], MANY, rate, 100.0, 3.0);
	draw_ramp(&ramps[2], MANY, rate, 40.0, 3.0);
	mean = combine_and_measure(ramps, 3, MANY, IRIS_COMBINE_MEAN, &out);
	error = sqrt(mean.variance / MANY);
	CHECK_CLOSE(mean.mean, rate, 4.0 * error);
	/* The pull has a width of 1 within 1 %: its own error is 0.22 %. */
	CHECK_CLOSE(sqrt(mean.variance / mean.expected), 1.0, 0.01);
	/* A ramp's own photon variance as weight fails this by far. */
	CHECK(mean.naive < rate - 20.0 * error);
	/* Better than the plain mean of these ramps. */
	sum = combine_and_measure(ramps, 3, MANY, IRIS_COMBINE_SUM, &out);
	error = sqrt(sum.variance / MANY);
	CHECK_CLOSE(sum.mean, 3.0 * rate, 4.0 * error);
	CHECK_CLOSE(sqrt(sum.variance / sum.expected), 1.0, 0.01);
	CHECK(mean.variance < 0.9 * sum.variance / 9.0);
	printf("faint: mean %.5f (own weights %.5f) of %.5f, width %.4f; "
	       "sum %.5f, width %.4f\n", mean.mean, mean.naive, rate,
	       sqrt(mean.variance / mean.expected), sum.mean,
	       sqrt(sum.variance / sum.expected));
	for (r = 0; r < 3; r++)
		free_planes(&ramps[r]);
	free_planes(&out);
}

/* Mean of the used ramps but one, weighted by their read noise, not below 0. */
static double oracle_common(const iris_planes *ramps, size_t nramps, size_t i,
			    const bool *used, size_t but)
{
	double sum = 0.0, weights = 0.0;
	size_t r;

	for (r = 0; r < nramps; r++) {
		if (r == but || !used[r])
			continue;
		sum += (double)(ramps[r].rate[i] / ramps[r].var_read[i]);
		weights += (double)(1.0f / ramps[r].var_read[i]);
	}
	return fmax(sum / weights, 0.0);
}

/* Sigmas between a ramp and the combination of the other used ones. */
static double oracle_sigmas(const iris_planes *ramps, size_t nramps, size_t i,
			    const bool *used, size_t ramp)
{
	const double c = oracle_common(ramps, nramps, i, used, ramp);
	double mean = 0.0, weights = 0.0, own;
	size_t r;

	for (r = 0; r < nramps; r++) {
		double w;

		if (r == ramp || !used[r])
			continue;
		w = 1.0 / ((double)ramps[r].var_read[i]
			   + (double)ramps[r].photon_factor[i] * c);
		weights += w;
		mean += w * (double)ramps[r].rate[i];
	}
	own = (double)ramps[ramp].var_read[i]
		+ (double)ramps[ramp].photon_factor[i] * c;
	/* inverse variances: those of the others add up to that of the mean */
	return fabs((double)ramps[ramp].rate[i] - mean / weights)
		/ sqrt(own + 1.0 / weights);
}

static bool oracle_differ(const iris_planes *ramps, size_t nramps, size_t i,
			  const bool *used, double limit)
{
	const double c = oracle_common(ramps, nramps, i, used, nramps);
	double difference = 0.0, variance = 0.0, sign = 1.0;
	size_t r;

	for (r = 0; r < nramps; r++) {
		if (!used[r])
			continue;
		difference += sign * (double)ramps[r].rate[i];
		variance += (double)ramps[r].var_read[i]
			+ (double)ramps[r].photon_factor[i] * c;
		sign = -sign;
	}
	return fabs(difference) > limit * sqrt(variance);
}

/* The slow way, as the header says.  Returned: which ramps are used. */
static void oracle_pixel(const iris_planes *ramps, size_t nramps, size_t i,
			 double limit, bool *used, bool *differ)
{
	size_t r, left = 0;

	for (r = 0; r < nramps; r++)
		left += used[r];
	for (; left > 2; left--) {
		double most = 0.0;
		size_t worst = 0;

		for (r = 0; r < nramps; r++) {
			double sigmas;

			if (!used[r])
				continue;
			sigmas = oracle_sigmas(ramps, nramps, i, used, r);
			worst = sigmas > most ? r : worst;
			most = fmax(sigmas, most);
		}
		if (most <= limit)
			break;
		used[worst] = false;
	}
	*differ = left == 2 && oracle_differ(ramps, nramps, i, used, limit);
}

/* Random pixels with random outliers; bit r of dq tells that ramp r is used. */
static void draw_mess(iris_planes *ramps, size_t nramps, size_t npixel)
{
	size_t r, i;

	for (i = 0; i < npixel; i++) {
		const double rate = uniform() < 0.5 ? 0.0 : 30.0 * uniform();

		for (r = 0; r < nramps; r++) {
			const double v = 0.3 + 3.0 * uniform();
			const double f = 0.3 * uniform();
			double x = rate + sqrt(v + f * rate) * normal();

			if (uniform() < 0.2)
				x += 40.0 * (uniform() - 0.3);
			ramps[r].rate[i] = (float)x;
			ramps[r].var_read[i] = (float)v;
			ramps[r].photon_factor[i] = (float)f;
			ramps[r].dq[i] = 1u << (5 + r);
			if (uniform() < 0.1) {
				ramps[r].dq[i] |= BIT(DO_NOT_USE);
				ramps[r].rate[i] = NAN;
			}
		}
	}
}

static void test_rejection_agrees_with_the_slow_way(void)
{
	enum { MANY = 3000, MOST = 8 };
	iris_planes ramps[MOST], out = new_planes(MANY);
	size_t n, r, i, outliers = 0, different = 0;

	for (r = 0; r < MOST; r++)
		ramps[r] = new_planes(MANY);
	for (n = 1; n <= MOST; n++) {
		draw_mess(ramps, n, MANY);
		CHECK(iris_combine_ramps(ramps, n, MANY, n % 2
					 ? IRIS_COMBINE_MEAN
					 : IRIS_COMBINE_SUM, 4.0, &out)
		      == IRIS_OK);
		for (i = 0; i < MANY; i++) {
			bool used[MOST], differ;
			uint32_t expected = 0;
			size_t had = 0, left = 0;

			for (r = 0; r < n; r++) {
				used[r] = !(ramps[r].dq[i] & 1);
				had += used[r];
			}
			if (had == 0)
				continue;
			oracle_pixel(ramps, n, i, 4.0, used, &differ);
			for (r = 0; r < n; r++) {
				left += used[r];
				expected |= used[r] ? ramps[r].dq[i] : 0;
			}
			expected |= left < had ? BIT(OUTLIER) : 0;
			expected |= differ ? BIT(UNRELIABLE_SLOPE) : 0;
			CHECK(out.dq[i] == expected);
			outliers += left < had;
			different += differ;
		}
	}
	CHECK(outliers > 1000 && different > 500);
	for (r = 0; r < MOST; r++)
		free_planes(&ramps[r]);
	free_planes(&out);
}

/* Equal ramps with `shift` added to the last; fraction flagged OUTLIER. */
static double fraction_rejected(size_t nramps, size_t npixel, double limit,
				double shift)
{
	iris_planes *ramps = calloc(nramps, sizeof(*ramps));
	iris_planes out = new_planes(npixel);
	size_t r, i, flagged = 0;

	if (ramps == NULL)
		abort();
	for (r = 0; r < nramps; r++) {
		ramps[r] = new_planes(npixel);
		for (i = 0; i < npixel; i++) {
			ramps[r].rate[i] = (float)(50.0 + 2.0 * normal());
			ramps[r].var_read[i] = 4.0f;
		}
	}
	for (i = 0; i < npixel; i++)
		ramps[nramps - 1].rate[i] += (float)shift;
	CHECK(iris_combine_ramps(ramps, nramps, npixel, IRIS_COMBINE_MEAN,
				 limit, &out) == IRIS_OK);
	for (i = 0; i < npixel; i++)
		flagged += (out.dq[i] & BIT(OUTLIER)) != 0;
	for (r = 0; r < nramps; r++)
		free_planes(&ramps[r]);
	free(ramps);
	free_planes(&out);
	return (double)flagged / (double)npixel;
}

/*
 * A ramp differs from the mean of n - 1 others with a variance of n / (n - 1).
 * An outlier of 8 such sigmas passes a limit of 5 where noise brings it down
 * by more than 3.
 */
static void test_outliers_of_eight_sigmas_are_found(void)
{
	enum { MANY = 20000 };
	const double expected = tail(5.0 - 8.0);
	size_t n;

	for (n = 3; n <= 6; n++) {
		const double sigma = 2.0 * sqrt((double)n / ((double)n - 1.0));
		const double found = fraction_rejected(n, MANY, 5.0,
						       8.0 * sigma);

		CHECK_CLOSE(found, expected, 4.0 * sqrt((1.0 - expected)
							/ MANY));
		printf("%zu ramps: %.4f of the 8-sigma outliers found, "
		       "%.4f expected\n", n, found, expected);
	}
}

static void test_false_rejections_are_gaussian(void)
{
	enum { MANY = 1000000 };
	double expected = 3.0 * 2.0 * tail(4.0);
	double found = fraction_rejected(3, MANY, 4.0, 0.0);

	/* 190 pixels, of which two ramps are too far in about one of 100 */
	CHECK_CLOSE(found, expected, 4.0 * sqrt(expected / MANY));
	printf("false at 4 sigma: %.2e, Gaussian %.2e\n", found, expected);
	expected = 3.0 * 2.0 * tail(5.0);
	found = fraction_rejected(3, 3 * MANY, 5.0, 0.0);
	/* 5.2 pixels: 17 or more come once in 30000 tries */
	CHECK(found * 3.0 * MANY < 17.0);
	printf("false at 5 sigma: %.2e, Gaussian %.2e\n", found, expected);
}

/* The hit's own photon variance (1000 e-/s) would make 1000 one sigma. */
static void test_an_outlier_does_not_hide_in_its_photon_noise(void)
{
	store a, b, c, out;
	iris_planes ramps[3] = {view(&a), view(&b), view(&c)};
	iris_planes planes = view(&out);

	fill(&a, 10.0f, 1.0f, 1000.0f);
	fill(&b, 10.0f, 1.0f, 1000.0f);
	fill(&c, 1010.0f, 1.0f, 1000.0f);
	a.dq[0] = BIT(WARM);
	c.dq[0] = BIT(HOT);
	CHECK(iris_combine_ramps(ramps, 3, NPIXEL, IRIS_COMBINE_MEAN, 5.0,
				 &planes) == IRIS_OK);
	CHECK(out.dq[0] == (BIT(WARM) | BIT(OUTLIER)));
	CHECK_CLOSE(out.rate[0], 10.0, 1e-5);
	CHECK_CLOSE(out.var_read[0], 0.5, 1e-6);
	CHECK(out.nused[0] == 20);
	/* In a sum the others stand in for it. */
	CHECK(iris_combine_ramps(ramps, 3, NPIXEL, IRIS_COMBINE_SUM, 5.0,
				 &planes) == IRIS_OK);
	CHECK(out.dq[1] == BIT(OUTLIER));
	CHECK_CLOSE(out.rate[1], 30.0, 1e-5);
	CHECK_CLOSE(out.var_read[1], 4.5, 1e-5);
	/* Switched off, it is used. */
	CHECK(mean_of(ramps, 3, &planes) == IRIS_OK);
	CHECK(out.dq[0] == (BIT(WARM) | BIT(HOT)) && out.nused[0] == 30);
}

static void test_of_two_ramps_neither_is_left_out(void)
{
	store a, b, c, out;
	iris_planes ramps[3] = {view(&a), view(&b), view(&c)};
	iris_planes planes = view(&out);

	fill(&a, 10.0f, 2.0f, 0.0f);
	fill(&b, 19.5f, 2.0f, 0.0f); /* 4.75 sigma */
	fill(&c, 10.0f, 2.0f, 0.0f);
	b.rate[1] = 20.5f; /* 5.25 sigma */
	CHECK(iris_combine_ramps(ramps, 2, NPIXEL, IRIS_COMBINE_MEAN, 5.0,
				 &planes) == IRIS_OK);
	CHECK(out.dq[0] == 0 && out.dq[1] == BIT(UNRELIABLE_SLOPE));
	CHECK_CLOSE(out.rate[1], 15.25, 1e-5);
	CHECK(out.nused[1] == 20);
	/* Three ramps, one of them without a rate, are two. */
	c.rate[0] = c.rate[1] = NAN;
	CHECK(iris_combine_ramps(ramps, 3, NPIXEL, IRIS_COMBINE_MEAN, 5.0,
				 &planes) == IRIS_OK);
	CHECK(out.dq[0] == 0 && out.dq[1] == BIT(UNRELIABLE_SLOPE));
	CHECK_CLOSE(out.rate[1], 15.25, 1e-5);
	/* Three that all differ: one goes, the other two cannot be told. */
	c.rate[2] = 100.0f;
	b.rate[2] = 30.0f;
	CHECK(iris_combine_ramps(ramps, 3, NPIXEL, IRIS_COMBINE_MEAN, 5.0,
				 &planes) == IRIS_OK);
	CHECK(out.dq[2] == (BIT(OUTLIER) | BIT(UNRELIABLE_SLOPE)));
	CHECK_CLOSE(out.rate[2], 20.0, 1e-5);
	/* One ramp has nothing to be compared with. */
	CHECK(iris_combine_ramps(&ramps[1], 1, NPIXEL, IRIS_COMBINE_MEAN, 5.0,
				 &planes) == IRIS_OK);
	CHECK(out.dq[1] == 0);
}

/* Seventy hits in two hundred ramps: more than the bits of a word. */
static void test_many_ramps_may_be_left_out(void)
{
	enum { ALL = 200, HITS = 70 };
	static store ramp[ALL];
	static iris_planes ramps[ALL];
	store out;
	iris_planes planes = view(&out);
	size_t r;

	for (r = 0; r < ALL; r++) {
		const bool hit = r % 20 < 7;

		fill(&ramp[r], hit ? 10000.0f + 1000.0f * (float)r : 10.0f,
		     1.0f, 0.1f);
		ramps[r] = view(&ramp[r]);
	}
	CHECK(iris_combine_ramps(ramps, ALL, NPIXEL, IRIS_COMBINE_MEAN, 5.0,
				 &planes) == IRIS_OK);
	CHECK(out.dq[0] == BIT(OUTLIER));
	CHECK_CLOSE(out.rate[0], 10.0, 1e-4);
	CHECK_CLOSE(out.var_read[0], 1.0 / (ALL - HITS), 1e-7);
	CHECK(out.nused[0] == 10 * (ALL - HITS));
}

/* Any number of pixels, the result in the place of a ramp: the same bits. */
static void test_pixels_do_not_depend_on_each_other(void)
{
	enum { MANY = 200, RAMPS = 4 };
	const size_t lengths[] = {1, 2, 63, 64, 65, 127, 128, 129, MANY};
	iris_planes ramps[RAMPS], whole = new_planes(MANY);
	size_t i, r;

	for (r = 0; r < RAMPS; r++)
		ramps[r] = new_planes(MANY);
	draw_mess(ramps, RAMPS, MANY);
	CHECK(iris_combine_ramps(ramps, RAMPS, MANY, IRIS_COMBINE_MEAN, 3.0,
				 &whole) == IRIS_OK);
	for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		const size_t n = lengths[i];
		iris_planes part = new_planes(n);

		CHECK(iris_combine_ramps(ramps, RAMPS, n, IRIS_COMBINE_MEAN,
					 3.0, &part) == IRIS_OK);
		CHECK(memcmp(part.rate, whole.rate, n * 4) == 0);
		CHECK(memcmp(part.dq, whole.dq, n * 4) == 0);
		free_planes(&part);
	}
	CHECK(iris_combine_ramps(ramps, RAMPS, MANY, IRIS_COMBINE_MEAN, 3.0,
				 &ramps[1]) == IRIS_OK);
	CHECK(memcmp(ramps[1].rate, whole.rate, MANY * 4) == 0);
	CHECK(memcmp(ramps[1].var_read, whole.var_read, MANY * 4) == 0);
	CHECK(memcmp(ramps[1].photon_factor, whole.photon_factor, MANY * 4)
	      == 0);
	CHECK(memcmp(ramps[1].dq, whole.dq, MANY * 4) == 0);
	for (r = 0; r < RAMPS; r++)
		free_planes(&ramps[r]);
	free_planes(&whole);
}

int main(void)
{
	test_weights_have_one_common_rate();
	test_negative_rates_weigh_by_read_noise();
	test_flags_and_missing_pixels();
	test_unusable_numbers_have_no_weight();
	test_nused_does_not_overflow();
	test_missing_planes_are_refused();
	test_bad_options_are_refused();
	test_sum_with_a_missing_ramp();
	test_faint_pixels_are_not_biased();
	test_rejection_agrees_with_the_slow_way();
	test_outliers_of_eight_sigmas_are_found();
	test_false_rejections_are_gaussian();
	test_an_outlier_does_not_hide_in_its_photon_noise();
	test_of_two_ramps_neither_is_left_out();
	test_many_ramps_may_be_left_out();
	test_pixels_do_not_depend_on_each_other();
	return failures != 0;
}
