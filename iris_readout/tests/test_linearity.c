/* SPDX-License-Identifier: BSD-3-Clause */
/* The polynomial, its limit, the pedestal, and pixels without a correction. */
#include "check.h"
#include "internal.h"

enum { NPIXEL = 6, NREAD = 4, NCOEF = 3 };

/* y = 3 + x + 2^-17 x^2 */
static const float polynomial[NCOEF] = {3.0f, 1.0f, 0x1p-17f};

typedef struct fixture {
	float coeffs[NCOEF * NPIXEL];
	float limit[NPIXEL];
	float pedestal[NPIXEL];
	double counts[IRIS_BLOCK * NREAD];
	iris_block block;
	iris_ramp *ramp;
} fixture;

static void start(fixture *f)
{
	size_t c, p, k;

	for (c = 0; c < NCOEF; c++)
		for (p = 0; p < NPIXEL; p++)
			f->coeffs[c * NPIXEL + p] = polynomial[c];
	f->block = (iris_block){.count = NPIXEL, .counts = f->counts};
	for (p = 0; p < NPIXEL; p++) {
		f->limit[p] = 1e6f;
		f->pedestal[p] = 100.0f;
		f->block.nusable[p] = NREAD;
		for (k = 0; k < NREAD; k++)
			f->counts[p * NREAD + k] = 100.0 + 1000.0 * (double)k;
	}
}

static void apply(fixture *f)
{
	iris_options o;
	static const uint16_t read[NPIXEL];
	size_t k;

	iris_options_init(&o, 1, NPIXEL);
	o.ref_pixels = 0;
	o.gain.value = 1.0f;
	o.read_noise.value = 1.0f;
	o.linearity = (iris_linearity){NCOEF, f->coeffs, f->limit,
				       f->pedestal};
	CHECK(iris_ramp_create(&f->ramp, &o, NULL, 0) == IRIS_OK);
	for (k = 0; k < NREAD; k++)
		CHECK(iris_ramp_push(f->ramp, read, IRIS_NATIVE, (double)k)
		      == IRIS_OK);
	iris_linearity_apply(f->ramp, &f->block);
	iris_ramp_destroy(f->ramp);
}

static void test_polynomial(void)
{
	static fixture f;

	start(&f);
	apply(&f);
	CHECK_CLOSE(f.counts[0], 3.0, 1e-9);
	CHECK_CLOSE(f.counts[1], 1003.0 + 1e6 / 131072.0, 1e-9);
	CHECK_CLOSE(f.counts[3], 3003.0 + 9e6 / 131072.0, 1e-9);
	CHECK(f.block.dq[0] == 0 && f.block.nusable[0] == NREAD);
}

static void test_read_beyond_the_limit_and_later_ones(void)
{
	static fixture f;

	start(&f);
	f.limit[2] = 1999.0f;
	f.limit[3] = 2000.0f; /* x at the limit is good */
	f.counts[2 * NREAD + 3] = 100.0; /* below the limit, but too late */
	apply(&f);
	CHECK(f.block.nusable[2] == 2 && f.block.nusable[3] == 3);
	CHECK(f.block.dq[2] == IRIS_DQ_MASK(IRIS_DQ_NONLINEAR));
	CHECK(f.block.nusable[1] == NREAD);
}

static void test_pixel_without_correction_keeps_its_counts(void)
{
	static fixture f;
	size_t p;

	start(&f);
	f.coeffs[1 * NPIXEL + 1] = NAN;
	f.coeffs[2 * NPIXEL + 2] = INFINITY;
	f.pedestal[3] = NAN;
	apply(&f);
	for (p = 1; p <= 3; p++) {
		CHECK(f.block.dq[p] == IRIS_DQ_MASK(IRIS_DQ_NO_LIN_CORR));
		CHECK_CLOSE(f.counts[p * NREAD + 2], 2100.0, 0.0);
		CHECK(f.block.nusable[p] == NREAD);
	}
	CHECK(f.block.dq[0] == 0 && f.block.dq[4] == 0);
}

static void test_result_beyond_all_numbers_is_not_used(void)
{
	static fixture f;
	size_t k;

	start(&f);
	f.counts[2] = 1e200;
	f.limit[0] = NAN; /* no limit */
	for (k = 0; k < NCOEF; k++)
		f.coeffs[k * NPIXEL] = 1e30f;
	apply(&f);
	CHECK(f.block.nusable[0] == 2);
	CHECK(f.block.dq[0] == IRIS_DQ_MASK(IRIS_DQ_NONLINEAR));
}

int main(void)
{
	test_polynomial();
	test_read_beyond_the_limit_and_later_ones();
	test_pixel_without_correction_keeps_its_counts();
	test_result_beyond_all_numbers_is_not_used();
	return failures != 0;
}
