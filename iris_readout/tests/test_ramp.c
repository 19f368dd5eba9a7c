/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a ramp: byte orders, times, order of calls.  Every buffer the
 * library sees here ends at a page that may not be touched.
 */
#include "check.h"
#include "guard.h"
#include "internal.h"

#include <string.h>

enum { NY = 5, NX = 67, NPIXEL = NY * NX, NREAD = 4 };

static iris_options options_of_test(void)
{
	iris_options o;
	float *gain = guarded(NPIXEL * sizeof(*gain));
	float *noise = guarded(NPIXEL * sizeof(*noise));
	float *saturation = guarded(NPIXEL * sizeof(*saturation));
	float *coeffs = guarded(2 * NPIXEL * sizeof(*coeffs));
	uint32_t *dq = guarded(NPIXEL * sizeof(*dq));
	size_t i;

	for (i = 0; i < NPIXEL; i++) {
		gain[i] = 2.0f;
		noise[i] = 10.0f;
		saturation[i] = 60000.0f;
		coeffs[i] = 0.0f;
		coeffs[NPIXEL + i] = 1.0f;
		dq[i] = 0;
	}
	iris_options_init(&o, NY, NX);
	o.ref_pixels = 1;
	o.noutputs = 1;
	o.saturation_grow = 1;
	o.gain.map = gain;
	o.read_noise.map = noise;
	o.saturation.map = saturation;
	o.bad_pixels = dq;
	o.linearity = (iris_linearity){2, coeffs, saturation, NULL};
	return o;
}

/* Light of 10 DN/s inside the border, one hit, in the wanted byte order. */
static void fill(uint16_t *read, size_t k, iris_byte_order order)
{
	size_t i;

	for (i = 0; i < NPIXEL; i++) {
		const size_t y = i / NX, x = i % NX;
		const bool lit = y > 0 && y < NY - 1 && x > 0 && x < NX - 1;
		uint16_t value = (uint16_t)(30000 + (lit ? 10 * k : 0));

		if (i == 2 * NX + 65 && k >= 2)
			value = (uint16_t)(value + 1000);
		if (order == IRIS_FITS) {
			unsigned char *b = (unsigned char *)&read[i];

			value = (uint16_t)(value - 32768);
			b[0] = (unsigned char)(value >> 8);
			b[1] = (unsigned char)(value & 255);
		} else {
			if (order == IRIS_SWAPPED)
				value = (uint16_t)((value << 8) | (value >> 8));
			read[i] = value;
		}
	}
}

static iris_planes new_planes(void)
{
	return (iris_planes){
		.rate = guarded(NPIXEL * sizeof(float)),
		.var_read = guarded(NPIXEL * sizeof(float)),
		.var_photon = guarded(NPIXEL * sizeof(float)),
		.photon_factor = guarded(NPIXEL * sizeof(float)),
		.chi2 = guarded(NPIXEL * sizeof(float)),
		.dq = guarded(NPIXEL * sizeof(uint32_t)),
		.nused = guarded(NPIXEL * sizeof(uint16_t)),
	};
}

static void check_result(const iris_ramp *ramp, const iris_planes *planes)
{
	const size_t lit = 2 * NX + 3, hit = 2 * NX + 65;
	const iris_event *events;
	size_t count;

	CHECK_CLOSE(planes->rate[lit], 20.0, 1e-4);
	CHECK_CLOSE(planes->rate[hit], 20.0, 1e-4);
	CHECK_CLOSE(planes->rate[0], 0.0, 0.0);
	CHECK_CLOSE(planes->var_photon[lit],
		    20.0 * planes->photon_factor[lit], 0.1);
	CHECK_CLOSE(planes->chi2[lit], 0.0, 1e-6);
	CHECK(planes->dq[lit] == 0 && planes->nused[lit] == NREAD);
	CHECK(planes->dq[hit] == IRIS_DQ_MASK(IRIS_DQ_JUMP_DET));
	events = iris_ramp_events(ramp, &count);
	CHECK(count == 1 && events[0].x == 65 && events[0].read == 3);
	CHECK_CLOSE(events[0].amplitude, 2000.0, 1e-2);
}

static void test_byte_orders(void)
{
	const iris_byte_order orders[] = {IRIS_NATIVE, IRIS_SWAPPED,
					  IRIS_FITS};
	const iris_options o = options_of_test();
	const iris_planes planes = new_planes();
	uint16_t *read = guarded(NPIXEL * sizeof(*read));
	iris_ramp *ramp = NULL;
	size_t i, k;

	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	for (i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		for (k = 0; k < NREAD; k++) {
			fill(read, k, orders[i]);
			CHECK(iris_ramp_push(ramp, read, orders[i],
					     (double)k) == IRIS_OK);
		}
		memset(read, 0, NPIXEL * sizeof(*read)); /* was copied */
		CHECK(iris_ramp_nread(ramp) == NREAD);
		CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
		check_result(ramp, &planes);
		CHECK(iris_ramp_reset(ramp) == IRIS_OK);
		CHECK(iris_ramp_nread(ramp) == 0);
	}
	iris_ramp_destroy(ramp);
}

static void test_only_the_planes_asked_for(void)
{
	const iris_options o = options_of_test();
	iris_planes all = new_planes();
	const iris_planes planes = {.rate = all.rate};
	uint16_t *read = guarded(NPIXEL * sizeof(*read));
	iris_ramp *ramp = NULL;
	size_t k;

	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	for (k = 0; k < NREAD; k++) {
		fill(read, k, IRIS_NATIVE);
		CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, (double)k)
		      == IRIS_OK);
	}
	CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
	CHECK_CLOSE(all.rate[NX + 1], 20.0, 1e-4);
	CHECK(iris_ramp_finish(ramp, &all) == IRIS_OK); /* and again */
	check_result(ramp, &all);
	iris_ramp_destroy(ramp);
}

static void test_times(iris_ramp *ramp, const uint16_t *read)
{
	CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, -1.0)
	      == IRIS_ERROR_TIME);
	CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, NAN)
	      == IRIS_ERROR_TIME);
	CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, 0.0) == IRIS_OK);
	CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, 0.0)
	      == IRIS_ERROR_TIME);
	CHECK(strstr(iris_ramp_error(ramp), "time of read 2") != NULL);
	CHECK(iris_ramp_nread(ramp) == 1);
}

static void test_calls_out_of_order(void)
{
	const iris_options o = options_of_test();
	const iris_planes planes = new_planes(), none = {0};
	uint16_t *read = guarded(NPIXEL * sizeof(*read));
	iris_ramp *ramp = NULL;

	fill(read, 0, IRIS_NATIVE);
	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	CHECK(iris_ramp_finish(ramp, &planes) == IRIS_ERROR_TOO_FEW);
	test_times(ramp, read);
	CHECK(iris_ramp_finish(ramp, &planes) == IRIS_ERROR_TOO_FEW);
	CHECK(strstr(iris_ramp_error(ramp), "got 1") != NULL);
	CHECK(iris_ramp_push(ramp, NULL, IRIS_NATIVE, 1.0)
	      == IRIS_ERROR_NULL);
	CHECK(iris_ramp_push(ramp, read, (iris_byte_order)9, 1.0)
	      == IRIS_ERROR_OPTION);
	CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, 1.0) == IRIS_OK);
	CHECK(iris_ramp_finish(ramp, &none) == IRIS_ERROR_NULL);
	CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
	CHECK(strcmp(iris_ramp_error(ramp), "") == 0);
	CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, 2.0)
	      == IRIS_ERROR_STATE);
	CHECK(iris_ramp_reset(ramp) == IRIS_OK);
	CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, 0.0) == IRIS_OK);
	iris_ramp_destroy(ramp);
}

static void test_null_ramps(void)
{
	size_t count = 5;

	CHECK(iris_ramp_push(NULL, NULL, IRIS_NATIVE, 0.0)
	      == IRIS_ERROR_NULL);
	CHECK(iris_ramp_finish(NULL, NULL) == IRIS_ERROR_NULL);
	CHECK(iris_ramp_reset(NULL) == IRIS_ERROR_NULL);
	CHECK(iris_ramp_nread(NULL) == 0);
	CHECK(iris_ramp_events(NULL, &count) == NULL && count == 0);
	CHECK(strcmp(iris_ramp_error(NULL), "") == 0);
	iris_ramp_destroy(NULL);
}

int main(void)
{
	test_byte_orders();
	test_only_the_planes_asked_for();
	test_calls_out_of_order();
	test_null_ramps();
	return failures != 0;
}
