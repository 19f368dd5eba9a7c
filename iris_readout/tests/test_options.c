/* SPDX-License-Identifier: BSD-3-Clause */
/* Defaults, and every way in which options can be refused. */
#include "check.h"
#include "internal.h"

#include <string.h>

enum { NY = 6, NX = 8, NPIXEL = NY * NX };

static iris_options good_options(void)
{
	iris_options o;

	iris_options_init(&o, NY, NX);
	o.ref_pixels = 1;
	o.noutputs = 2;
	o.gain.value = 2.0f;
	o.read_noise.value = 10.0f;
	return o;
}

/* The status of a check, which must name `word` if it is a failure. */
static iris_status status_of(const iris_options *o, const char *word)
{
	char message[IRIS_MESSAGE] = "";
	iris_ramp *ramp = NULL;
	const iris_status status = iris_ramp_create(&ramp, o, message,
						    sizeof(message));

	if (status == IRIS_OK)
		CHECK(ramp != NULL && message[0] == '\0');
	else
		CHECK(ramp == NULL && strstr(message, word) != NULL);
	iris_ramp_destroy(ramp);
	return status;
}

static void test_defaults(void)
{
	iris_options o;

	iris_options_init(&o, 3, 5);
	CHECK(o.ny == 3 && o.nx == 5 && o.mode == IRIS_MODE_UTR);
	CHECK(o.nfowler == 1 && o.ref_pixels == 4 && o.noutputs == 64);
	CHECK(o.saturation_grow == 0 && o.nthreads == 0);
	CHECK_CLOSE(o.jump_sigma, 4.5, 0.0);
	CHECK_CLOSE(o.saturation.value, 65535.0, 0.0);
	CHECK(o.gain.map == NULL && o.bad_pixels == NULL);
	CHECK(o.linearity.ncoef == 0);
	iris_options_init(NULL, 1, 1);
}

static void test_shapes_that_do_not_fit(void)
{
	iris_options o = good_options();

	CHECK(status_of(&o, "") == IRIS_OK);
	o.ny = 0;
	CHECK(status_of(&o, "shape") == IRIS_ERROR_SHAPE);
	o = good_options();
	o.nx = SIZE_MAX / 2;
	CHECK(status_of(&o, "shape") == IRIS_ERROR_SHAPE);
	o = good_options();
	o.ref_pixels = 3; /* nothing left of six rows */
	CHECK(status_of(&o, "ref_pixels") == IRIS_ERROR_SHAPE);
	o = good_options();
	o.noutputs = 3;
	CHECK(status_of(&o, "noutputs") == IRIS_ERROR_SHAPE);
	o.ref_pixels = 0; /* outputs do not matter without a border */
	CHECK(status_of(&o, "") == IRIS_OK);
}

static void test_numbers_out_of_range(void)
{
	iris_options o = good_options();

	o.mode = (iris_mode)3;
	CHECK(status_of(&o, "mode") == IRIS_ERROR_OPTION);
	o = good_options();
	o.nfowler = 0;
	CHECK(status_of(&o, "nfowler") == IRIS_ERROR_OPTION);
	o = good_options();
	o.jump_sigma = -1.0;
	CHECK(status_of(&o, "jump_sigma") == IRIS_ERROR_OPTION);
	o.jump_sigma = NAN;
	CHECK(status_of(&o, "jump_sigma") == IRIS_ERROR_OPTION);
}

static void test_guide_windows_that_would_wrap(void)
{
	iris_window window = {2, 2, 1, 1};
	iris_options o = good_options();

	o.nguide = 1;
	CHECK(status_of(&o, "guide") == IRIS_ERROR_NULL);
	o.guide = &window;
	CHECK(status_of(&o, "") == IRIS_OK);
	o.guide_margin = SIZE_MAX;
	CHECK(status_of(&o, "guide_margin") == IRIS_ERROR_OPTION);
	o.guide_margin = 0;
	window.nx = SIZE_MAX - 1;
	CHECK(status_of(&o, "guide window 1") == IRIS_ERROR_OPTION);
}

static void test_scalars_that_are_not_positive(void)
{
	const float bad[] = {0.0f, -1.0f, NAN, INFINITY};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		iris_options o = good_options();

		o.gain.value = bad[i];
		CHECK(status_of(&o, "gain") == IRIS_ERROR_REFERENCE);
		o = good_options();
		o.read_noise.value = bad[i];
		CHECK(status_of(&o, "read_noise") == IRIS_ERROR_REFERENCE);
		o = good_options();
		o.saturation.value = bad[i];
		CHECK(status_of(&o, "saturation") == IRIS_ERROR_REFERENCE);
	}
}

static void test_map_needs_one_good_pixel_inside_the_border(void)
{
	iris_options o = good_options();
	float map[NPIXEL] = {0.0f};

	o.gain.map = map;
	map[0] = 2.0f; /* a reference pixel */
	CHECK(status_of(&o, "gain") == IRIS_ERROR_REFERENCE);
	map[2 * NX + 3] = 2.0f;
	CHECK(status_of(&o, "") == IRIS_OK);
}

static void test_border_needs_one_usable_pixel(void)
{
	iris_options o = good_options();
	uint32_t dq[NPIXEL];
	size_t i;

	for (i = 0; i < NPIXEL; i++)
		dq[i] = IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	o.bad_pixels = dq;
	CHECK(status_of(&o, "bad_pixels") == IRIS_ERROR_REFERENCE);
	dq[1] |= IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
	CHECK(status_of(&o, "") == IRIS_OK);
}

static void test_null_pointers(void)
{
	iris_options o = good_options();
	iris_ramp *ramp = NULL;

	CHECK(iris_ramp_create(NULL, &o, NULL, 0) == IRIS_ERROR_NULL);
	CHECK(iris_ramp_create(&ramp, NULL, NULL, 0) == IRIS_ERROR_NULL);
	o.linearity.ncoef = 2;
	CHECK(status_of(&o, "linearity") == IRIS_ERROR_NULL);
}

int main(void)
{
	test_defaults();
	test_shapes_that_do_not_fit();
	test_numbers_out_of_range();
	test_guide_windows_that_would_wrap();
	test_scalars_that_are_not_positive();
	test_map_needs_one_good_pixel_inside_the_border();
	test_border_needs_one_usable_pixel();
	test_null_pointers();
	return failures != 0;
}
