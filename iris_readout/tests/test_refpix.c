/* SPDX-License-Identifier: BSD-3-Clause */
/* Reference levels: stripes, parities, outliers, flags and their noise. */
#include "check.h"
#include "internal.h"

enum { NY = 40, NX = 32, NPIXEL = NY * NX, BORDER = 4, NOUT = 4 };

static iris_ramp *new_ramp(const uint32_t *bad_pixels)
{
	iris_options o;
	iris_ramp *ramp = NULL;

	iris_options_init(&o, NY, NX);
	o.ref_pixels = BORDER;
	o.noutputs = NOUT;
	o.gain.value = 2.0f;
	o.read_noise.value = 10.0f;
	o.bad_pixels = bad_pixels;
	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	return ramp;
}

/* Reference rows hold 1000 + 100 stripe + 10 parity, the rest is light. */
static void fill(uint16_t *read)
{
	size_t y, x;

	for (y = 0; y < NY; y++)
		for (x = 0; x < NX; x++)
			read[y * NX + x] = y < BORDER || y >= NY - BORDER
				? (uint16_t)(1000 + 100 * (x / (NX / NOUT))
					     + 10 * (x % 2))
				: 40000;
}

static void check_levels(const iris_level *levels)
{
	size_t s, p;

	for (s = 0; s < NOUT; s++)
		for (p = 0; p < 2; p++)
			CHECK_CLOSE(levels[2 * s + p].mean,
				    1000.0 + 100.0 * (double)s
				    + 10.0 * (double)p, 1e-12);
}

static void test_level_per_stripe_and_parity(void)
{
	uint16_t read[NPIXEL];
	iris_level levels[2 * NOUT];
	iris_ramp *ramp = new_ramp(NULL);

	fill(read);
	iris_refpix_measure(ramp, read, levels);
	check_levels(levels);
	/* 8 rows by 4 columns of 5 DN noise */
	CHECK_CLOSE(levels[0].variance, 25.0 / 32.0, 1e-12);
	CHECK(iris_refpix_index(&ramp->options, 0) == 0);
	CHECK(iris_refpix_index(&ramp->options, 7) == 1);
	CHECK(iris_refpix_index(&ramp->options, 8) == 2);
	CHECK(iris_refpix_index(&ramp->options, 31) == 7);
	iris_ramp_destroy(ramp);
}

static void test_outliers_and_flagged_pixels_do_not_count(void)
{
	uint16_t read[NPIXEL];
	uint32_t dq[NPIXEL] = {0};
	iris_level levels[2 * NOUT];
	iris_ramp *ramp = new_ramp(dq);
	size_t y;

	fill(read);
	read[2 * NX + 3] = 60000; /* not flagged: clipped */
	read[(NY - 1) * NX + 3] = 5;
	read[1 * NX + 9] = 0; /* carries no level */
	for (y = 0; y < BORDER; y++) { /* most of stripe 3: flagged */
		size_t x;

		for (x = 24; x < NX; x++) {
			read[y * NX + x] = 9000;
			dq[y * NX + x] = y % 2
				? IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)
				: IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL)
				| IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
		}
	}
	iris_refpix_measure(ramp, read, levels);
	check_levels(levels);
	CHECK_CLOSE(levels[1].variance, 25.0 / 30.0, 1e-12);
	CHECK_CLOSE(levels[3].variance, 25.0 / 31.0, 1e-12);
	CHECK_CLOSE(levels[6].variance, 25.0 / 16.0, 1e-12);
	iris_ramp_destroy(ramp);
}

static void test_fallbacks(void)
{
	uint16_t read[NPIXEL];
	uint32_t dq[NPIXEL] = {0};
	iris_level levels[2 * NOUT];
	iris_ramp *ramp = new_ramp(dq);
	size_t y, x;

	fill(read);
	for (y = 0; y < NY; y++)
		for (x = 0; x < NX; x++)
			if ((x < 8 && x % 2) || (x >= 8 && x < 16))
				dq[y * NX + x] =
					IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL);
	iris_refpix_measure(ramp, read, levels);
	CHECK_CLOSE(levels[1].mean, 1000.0, 1e-12); /* the other parity */
	/* Stripe 1 gets all of the detector: stripes 0 (even), 2 and 3. */
	CHECK_CLOSE(levels[2].mean, (1000.0 + 2.0 * 1205.0 + 2.0 * 1305.0)
		    / 5.0, 1e-9);
	CHECK_CLOSE(levels[3].mean, levels[2].mean, 0.0);
	for (x = 0; x < NPIXEL; x++)
		read[x] = 65535;
	iris_refpix_measure(ramp, read, levels);
	CHECK_CLOSE(levels[5].mean, 0.0, 0.0);
	CHECK_CLOSE(levels[5].variance, 0.0, 0.0);
	iris_ramp_destroy(ramp);
}

static void test_whole_border_may_be_marked_do_not_use(void)
{
	CHECK(iris_refpix_usable(0));
	CHECK(iris_refpix_usable(IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)
				 | IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)));
	CHECK(!iris_refpix_usable(IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)));
	CHECK(!iris_refpix_usable(IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)
				  | IRIS_DQ_MASK(IRIS_DQ_HOT)));
}

int main(void)
{
	test_level_per_stripe_and_parity();
	test_outliers_and_flagged_pixels_do_not_count();
	test_fallbacks();
	test_whole_border_may_be_marked_do_not_use();
	return failures != 0;
}
