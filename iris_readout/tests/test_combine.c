/* SPDX-License-Identifier: BSD-3-Clause */
/* Ramps combined: weights, flags, and pixels that no ramp has. */
#include "check.h"
#include "internal.h"

enum { NPIXEL = 4, NRAMP = 2 };

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

static void test_weights_have_one_common_rate(void)
{
	store a, b, sum;
	iris_planes ramps[NRAMP] = {view(&a), view(&b)}, out = view(&sum);
	double wa, wb, common;

	fill(&a, 10.0f, 4.0f, 0.1f);
	fill(&b, 20.0f, 1.0f, 0.2f);
	a.chi2[0] = 2.0f;
	b.nused[0] = 4;
	CHECK(iris_combine_ramps(ramps, NRAMP, NPIXEL, &out) == IRIS_OK);
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

static void test_flags_and_missing_pixels(void)
{
	store a, b, sum;
	iris_planes ramps[NRAMP] = {view(&a), view(&b)}, out = view(&sum);

	fill(&a, 10.0f, 4.0f, 0.1f);
	fill(&b, 20.0f, 4.0f, 0.1f);
	a.dq[0] = IRIS_DQ_MASK(IRIS_DQ_HOT);
	b.dq[0] = IRIS_DQ_MASK(IRIS_DQ_JUMP_DET);
	a.dq[1] = IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)
		| IRIS_DQ_MASK(IRIS_DQ_SATURATED);
	a.rate[1] = a.var_read[1] = a.factor[1] = NAN;
	a.dq[2] = b.dq[2] = IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	a.dq[2] |= IRIS_DQ_MASK(IRIS_DQ_DEAD);
	a.dq[3] = b.dq[3] = IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)
		| IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
	CHECK(iris_combine_ramps(ramps, NRAMP, NPIXEL, &out) == IRIS_OK);
	CHECK(sum.dq[0] == (a.dq[0] | b.dq[0]));
	CHECK_CLOSE(sum.rate[0], 15.0, 1e-6);
	CHECK(sum.dq[1] == 0 && sum.nused[1] == 10);
	CHECK_CLOSE(sum.rate[1], 20.0, 0.0);
	CHECK(sum.dq[2] == a.dq[2]);
	CHECK(isnan(sum.rate[2]) && isnan(sum.var_photon[2]));
	CHECK(isnan(sum.chi2[2]) && sum.nused[2] == 0);
	CHECK_CLOSE(sum.rate[3], 0.0, 0.0);
	CHECK_CLOSE(sum.var_read[3], 0.0, 0.0);
	CHECK(sum.dq[3] == a.dq[3]);
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
	CHECK(iris_combine_ramps(ramps, NRAMP, NPIXEL, &out) == IRIS_OK);
	CHECK(a.nused[0] == 65535 && a.nused[1] == 20);
	CHECK_CLOSE(a.var_read[1], 2.0, 1e-6);
}

static void test_missing_planes_are_refused(void)
{
	store a, sum;
	iris_planes ramp = view(&a), out = view(&sum);

	fill(&a, 10.0f, 4.0f, 0.1f);
	CHECK(iris_combine_ramps(NULL, 1, NPIXEL, &out) == IRIS_ERROR_NULL);
	CHECK(iris_combine_ramps(&ramp, 0, NPIXEL, &out)
	      == IRIS_ERROR_TOO_FEW);
	ramp.chi2 = NULL;
	CHECK(iris_combine_ramps(&ramp, 1, NPIXEL, &out) == IRIS_ERROR_NULL);
	out.chi2 = NULL;
	CHECK(iris_combine_ramps(&ramp, 1, NPIXEL, &out) == IRIS_OK);
	ramp.dq = NULL;
	CHECK(iris_combine_ramps(&ramp, 1, NPIXEL, &out) == IRIS_ERROR_NULL);
}

int main(void)
{
	test_weights_have_one_common_rate();
	test_flags_and_missing_pixels();
	test_nused_does_not_overflow();
	test_missing_planes_are_refused();
	return failures != 0;
}
