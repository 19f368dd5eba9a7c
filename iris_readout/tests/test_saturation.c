/* SPDX-License-Identifier: BSD-3-Clause */
/* Saturation and zero counts cut a pixel's reads; neighbours by request. */
#include "check.h"
#include "internal.h"

#include <string.h>

enum { NY = 9, NX = 9, NPIXEL = NY * NX, NREAD = 5 };

typedef struct fixture {
	iris_ramp *ramp;
	uint16_t reads[NREAD][NPIXEL];
	uint16_t nused[NPIXEL];
	uint32_t dq[NPIXEL];
	float rate[NPIXEL];
} fixture;

static void start(fixture *f)
{
	size_t k, i;

	memset(f, 0, sizeof(*f));
	for (k = 0; k < NREAD; k++)
		for (i = 0; i < NPIXEL; i++)
			f->reads[k][i] = (uint16_t)(1000 + 100 * k);
}

static void set_from(fixture *f, size_t y, size_t x, size_t k, uint16_t dn)
{
	for (; k < NREAD; k++)
		f->reads[k][y * NX + x] = dn;
}

static iris_options options_of_test(void)
{
	iris_options o;

	iris_options_init(&o, NY, NX);
	o.ref_pixels = 0;
	o.gain.value = 1.0f;
	o.read_noise.value = 10.0f;
	return o;
}

static void fit(fixture *f, const iris_options *o)
{
	const iris_planes planes = {.rate = f->rate, .dq = f->dq,
				    .nused = f->nused};
	size_t k;

	CHECK(iris_ramp_create(&f->ramp, o, NULL, 0) == IRIS_OK);
	for (k = 0; k < NREAD; k++)
		CHECK(iris_ramp_push(f->ramp, f->reads[k], IRIS_NATIVE,
				     (double)k) == IRIS_OK);
	CHECK(iris_ramp_finish(f->ramp, &planes) == IRIS_OK);
}

static void test_first_saturated_read_ends_the_ramp(void)
{
	static fixture f;
	iris_options o = options_of_test();
	size_t count;
	const iris_event *events;

	start(&f);
	set_from(&f, 2, 3, 3, 50000);
	f.reads[4][2 * NX + 3] = 1000; /* later reads stay unused */
	set_from(&f, 5, 5, 0, 65535);
	set_from(&f, 6, 6, 1, 65535);
	set_from(&f, 7, 7, 2, 0);
	o.saturation.value = 49999.5f;
	fit(&f, &o);
	CHECK(f.nused[2 * NX + 3] == 3);
	CHECK(f.dq[2 * NX + 3] == IRIS_DQ_MASK(IRIS_DQ_SATURATED));
	CHECK_CLOSE(f.rate[2 * NX + 3], 100.0, 1e-4);
	CHECK(f.nused[5 * NX + 5] == 0 && isnan(f.rate[5 * NX + 5]));
	CHECK(f.dq[5 * NX + 5] == (IRIS_DQ_MASK(IRIS_DQ_SATURATED)
				   | IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)));
	CHECK(f.nused[6 * NX + 6] == 0); /* one read is no rate */
	CHECK(f.nused[7 * NX + 7] == 2);
	CHECK(f.dq[7 * NX + 7] == IRIS_DQ_MASK(IRIS_DQ_AD_FLOOR));
	CHECK(f.dq[0] == 0 && f.nused[0] == NREAD);
	events = iris_ramp_events(f.ramp, &count);
	CHECK(count == 3);
	CHECK(events[0].y == 2 && events[0].x == 3 && events[0].read == 4);
	CHECK(events[1].y == 5 && events[1].x == 5 && events[1].read == 1);
	CHECK(events[0].kind == IRIS_EVENT_SATURATION);
	CHECK(isnan(events[0].amplitude) && isnan(events[0].sigma));
	iris_ramp_destroy(f.ramp);
}

/* At the level, above it, at zero: one pixel alone among calm ones. */
static void test_each_cut_alone(void)
{
	static const uint16_t counts[] = {50000, 50001, 0, 49999};
	static const size_t left[] = {3, 3, 3, NREAD};
	static fixture f;
	iris_options o = options_of_test();
	size_t i;

	o.saturation.value = 50000.0f;
	o.jump_sigma = 0.0;
	for (i = 0; i < 4; i++) {
		start(&f);
		set_from(&f, 4, 4, 3, counts[i]);
		fit(&f, &o);
		CHECK(f.nused[4 * NX + 4] == left[i]);
		iris_ramp_destroy(f.ramp);
	}
}

static void test_levels_of_a_map(void)
{
	static fixture f;
	static float map[NPIXEL];
	iris_options o = options_of_test();
	size_t i;

	start(&f);
	for (i = 0; i < NPIXEL; i++)
		map[i] = 1200.0f;
	map[0] = NAN;
	map[1] = -5.0f;
	map[2] = 1e9f;
	map[3] = 1200.5f;
	set_from(&f, 0, 1, 4, 65535);
	set_from(&f, 0, 2, 4, 65535);
	o.saturation.map = map;
	fit(&f, &o);
	CHECK(f.dq[0] == IRIS_DQ_MASK(IRIS_DQ_NO_SAT_CHECK));
	CHECK(f.nused[0] == 5);
	CHECK(f.dq[1] == (IRIS_DQ_MASK(IRIS_DQ_NO_SAT_CHECK)
			  | IRIS_DQ_MASK(IRIS_DQ_SATURATED)));
	CHECK(f.nused[1] == 4);
	CHECK(f.dq[2] == IRIS_DQ_MASK(IRIS_DQ_SATURATED) && f.nused[2] == 4);
	CHECK(f.nused[3] == 3); /* 1200 is below 1200.5 */
	CHECK(f.nused[4] == 2); /* 1200 is at the level */
	iris_ramp_destroy(f.ramp);
}

static void test_growth(void)
{
	static fixture f;
	iris_options o = options_of_test();
	size_t y, x;

	start(&f);
	set_from(&f, 4, 4, 3, 65535);
	set_from(&f, 0, 8, 2, 65535); /* a corner */
	set_from(&f, 4, 5, 4, 65535); /* saturates after its neighbour */
	o.saturation_grow = 1;
	fit(&f, &o);
	for (y = 3; y <= 5; y++)
		for (x = 3; x <= 5; x++)
			CHECK(f.nused[y * NX + x] == 3);
	CHECK(f.dq[4 * NX + 4] == IRIS_DQ_MASK(IRIS_DQ_SATURATED));
	CHECK(f.dq[3 * NX + 3] == IRIS_DQ_MASK(IRIS_DQ_CHARGELOSS));
	CHECK(f.dq[4 * NX + 5] == (IRIS_DQ_MASK(IRIS_DQ_SATURATED)
				   | IRIS_DQ_MASK(IRIS_DQ_CHARGELOSS)));
	CHECK(f.nused[3 * NX + 6] == 4); /* grown from (4, 5) */
	CHECK(f.nused[1 * NX + 7] == 2);
	CHECK(f.nused[2 * NX + 2] == 5 && f.dq[2 * NX + 2] == 0);
	iris_ramp_destroy(f.ramp);
}

static void test_growth_wider_than_the_detector(void)
{
	static fixture f;
	iris_options o = options_of_test();
	size_t i;

	start(&f);
	set_from(&f, 8, 0, 2, 65535);
	o.saturation_grow = SIZE_MAX;
	fit(&f, &o);
	for (i = 0; i < NPIXEL; i++)
		CHECK(f.nused[i] == 2);
	iris_ramp_destroy(f.ramp);
}

static void test_reference_pixels_do_not_saturate(void)
{
	static fixture f;
	iris_options o = options_of_test();

	start(&f);
	set_from(&f, 0, 4, 2, 65535);
	o.ref_pixels = 1;
	o.noutputs = 1;
	o.saturation_grow = 1;
	fit(&f, &o);
	CHECK(f.dq[NX + 4] == 0 && f.nused[NX + 4] == NREAD);
	CHECK(f.dq[4] == (IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)
			  | IRIS_DQ_MASK(IRIS_DQ_NON_SCIENCE)
			  | IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)));
	iris_ramp_destroy(f.ramp);
}

int main(void)
{
	test_first_saturated_read_ends_the_ramp();
	test_each_cut_alone();
	test_levels_of_a_map();
	test_growth();
	test_growth_wider_than_the_detector();
	test_reference_pixels_do_not_saturate();
	return failures != 0;
}
