/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dark and flat: every instruction set against a rule for one pixel, written
 * out case by case, in place and not, and the edges of the public calls.
 */
#include "check.h"
#include "guard.h"
#include "numbers.h"

#include <iris_readout.h>

#include <float.h>
#include <stdbool.h>
#include <string.h>

enum { NPIXEL = 5000 };

static const uint32_t border = IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);

/* Input planes end, as those of the result do, right before forbidden pages. */
static iris_frame new_frame(void)
{
	return (iris_frame){
		.rate = guarded(NPIXEL * sizeof(float)),
		.var_read = guarded(NPIXEL * sizeof(float)),
		.var_photon = guarded(NPIXEL * sizeof(float)),
		.var_flat = guarded(NPIXEL * sizeof(float)),
		.dq = guarded(NPIXEL * sizeof(uint32_t)),
	};
}

/* Mostly usual values, and all that can be wrong. */
static float odd(numbers *n, double usual)
{
	static const float wrong[] = {NAN, INFINITY, -INFINITY, 0.0f, -1.0f,
				      FLT_MAX, -FLT_MAX, 1e-30f, FLT_MIN};
	const size_t count = sizeof(wrong) / sizeof(wrong[0]);

	return below(n, 10) == 0 ? wrong[below(n, (uint32_t)count)]
		: (float)usual;
}

static iris_frame fill_frame(numbers *n)
{
	const iris_frame f = new_frame();
	size_t i;

	for (i = 0; i < NPIXEL; i++) {
		f.rate[i] = odd(n, 10.0 + gaussian(n));
		f.var_read[i] = odd(n, 0.1 + uniform(n));
		f.var_photon[i] = odd(n, 0.2 + uniform(n));
		f.var_flat[i] = odd(n, 0.01 * uniform(n));
		f.dq[i] = below(n, 8) == 0 ? border : below(n, 256);
	}
	return f;
}

static iris_reference fill_reference(numbers *n, double level)
{
	float *value = guarded(NPIXEL * sizeof(*value));
	float *error = guarded(NPIXEL * sizeof(*error));
	uint32_t *dq = guarded(NPIXEL * sizeof(*dq));
	size_t i;

	for (i = 0; i < NPIXEL; i++) {
		value[i] = odd(n, level + 0.1 * gaussian(n));
		error[i] = odd(n, 0.01 + 0.01 * uniform(n));
		dq[i] = below(n, 4) == 0 ? 1U << below(n, 31) : 0;
	}
	return (iris_reference){value, error, dq};
}

static bool same(float got, double expected)
{
	return isnan(expected) ? isnan(got) : got == (float)expected;
}

static void check_dark(const iris_frame *in, const iris_reference *dark,
		       const iris_frame *got, bool with_flat)
{
	const uint32_t bits = IRIS_DQ_MASK(IRIS_DQ_UNRELIABLE_DARK)
		| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	size_t i;

	for (i = 0; i < NPIXEL; i++) {
		const double value = dark->value[i], error = dark->error[i];
		double rate = in->rate[i], read = in->var_read[i];
		double photon = in->var_photon[i], flat = in->var_flat[i];
		uint32_t dq = in->dq[i] | dark->dq[i];

		if (!(in->dq[i] & border)) {
			if (isfinite(value) && isfinite(error)
			    && error * error < (double)FLT_MAX) {
				rate -= value;
				read += error * error;
			} else {
				rate = read = photon = flat = NAN;
				dq |= bits;
			}
		}
		CHECK(same(got->rate[i], rate));
		CHECK(same(got->var_read[i], read));
		CHECK(same(got->var_photon[i], photon));
		CHECK(!with_flat || same(got->var_flat[i], flat));
		CHECK(got->dq[i] == dq);
	}
}

/* As a float, which has to be below the largest one. */
static bool fits(double value)
{
	return fabsf((float)value) < FLT_MAX;
}

static double or_nan(double value)
{
	return fits(value) ? value : (double)NAN;
}

static void check_flat(const iris_frame *in, const iris_reference *flat,
		       const iris_frame *got, bool had_flat)
{
	const uint32_t bits = IRIS_DQ_MASK(IRIS_DQ_NO_FLAT_FIELD)
		| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	size_t i;

	for (i = 0; i < NPIXEL; i++) {
		double f = flat->value[i], s = flat->error[i];
		double rate, read, photon, own;
		uint32_t dq = in->dq[i] | flat->dq[i];
		bool lost = false;

		if (in->dq[i] & border) {
			f = 1.0;
			s = 0.0;
		} else if (!(isfinite(f) && f > 0.0 && isfinite(s))) {
			lost = true;
		}
		rate = in->rate[i] / f;
		read = in->var_read[i] / (f * f);
		photon = in->var_photon[i] / (f * f);
		own = rate * (s / f);
		own = own * own + (had_flat ? in->var_flat[i] / (f * f) : 0.0);
		if (!(in->dq[i] & border) && isfinite(in->rate[i])
		    && !(fits(rate) && (float)read < FLT_MAX
			 && (float)photon < FLT_MAX))
			lost = true;
		if (lost) {
			rate = read = photon = own = NAN;
			dq |= bits;
		}
		CHECK(same(got->rate[i], or_nan(rate)));
		CHECK(same(got->var_read[i], or_nan(read)));
		CHECK(same(got->var_photon[i], or_nan(photon)));
		CHECK(same(got->var_flat[i], or_nan(own)));
		CHECK(got->dq[i] == dq);
	}
}

static iris_frame copied(const iris_frame *frame)
{
	const iris_frame f = new_frame();

	memcpy(f.rate, frame->rate, NPIXEL * sizeof(*f.rate));
	memcpy(f.var_read, frame->var_read, NPIXEL * sizeof(*f.rate));
	memcpy(f.var_photon, frame->var_photon, NPIXEL * sizeof(*f.rate));
	memcpy(f.var_flat, frame->var_flat, NPIXEL * sizeof(*f.rate));
	memcpy(f.dq, frame->dq, NPIXEL * sizeof(*f.dq));
	return f;
}

static void test_every_instruction_set(void)
{
	numbers n = {7};
	const iris_frame in = fill_frame(&n);
	const iris_reference dark = fill_reference(&n, 0.1);
	const iris_reference flat = fill_reference(&n, 1.0);
	int isa;

	for (isa = IRIS_ISA_AUTO; isa <= IRIS_ISA_AVX512; isa++) {
		iris_frame bare = in, out = new_frame(), place = copied(&in);
		const iris_status status = iris_subtract_dark(
			&in, &dark, NPIXEL, (iris_isa)isa, &out, NULL, 0);

		if (status == IRIS_ERROR_OPTION)
			continue; /* this machine does not have it */
		CHECK(status == IRIS_OK);
		check_dark(&in, &dark, &out, true);
		CHECK(iris_subtract_dark(&place, &dark, NPIXEL, (iris_isa)isa,
					 &place, NULL, 0) == IRIS_OK);
		check_dark(&in, &dark, &place, true);
		CHECK(iris_divide_flat(&in, &flat, NPIXEL, (iris_isa)isa, &out,
				       NULL, 0) == IRIS_OK);
		check_flat(&in, &flat, &out, true);
		place = copied(&in);
		CHECK(iris_divide_flat(&place, &flat, NPIXEL, (iris_isa)isa,
				       &place, NULL, 0) == IRIS_OK);
		check_flat(&in, &flat, &place, true);
		bare.var_flat = NULL;
		CHECK(iris_divide_flat(&bare, &flat, NPIXEL, (iris_isa)isa,
				       &out, NULL, 0) == IRIS_OK);
		check_flat(&in, &flat, &out, false);
		out.var_flat = NULL;
		CHECK(iris_subtract_dark(&bare, &dark, NPIXEL, (iris_isa)isa,
					 &out, NULL, 0) == IRIS_OK);
		check_dark(&in, &dark, &out, false);
	}
}

static void test_what_is_refused(void)
{
	numbers n = {8};
	const iris_frame in = fill_frame(&n);
	const iris_reference r = fill_reference(&n, 1.0);
	iris_frame out = new_frame(), none = {0};
	char message[200];

	CHECK(iris_subtract_dark(NULL, &r, 1, IRIS_ISA_AUTO, &out, NULL, 0)
	      == IRIS_ERROR_NULL);
	CHECK(iris_subtract_dark(&in, NULL, 1, IRIS_ISA_AUTO, &out, NULL, 0)
	      == IRIS_ERROR_NULL);
	CHECK(iris_divide_flat(&in, &r, 1, IRIS_ISA_AUTO, &none, NULL, 0)
	      == IRIS_ERROR_NULL);
	CHECK(iris_divide_flat(&in, &r, 1, (iris_isa)9, &out, message,
			       sizeof(message)) == IRIS_ERROR_OPTION);
	CHECK(strstr(message, "isa: got 9") != NULL);
	out.var_flat = NULL;
	CHECK(iris_divide_flat(&in, &r, 1, IRIS_ISA_AUTO, &out, message,
			       sizeof(message)) == IRIS_ERROR_NULL);
	CHECK(strstr(message, "var_flat: got none") != NULL);
	CHECK(iris_subtract_dark(&in, &r, 1, IRIS_ISA_AUTO, &out, message,
				 sizeof(message)) == IRIS_ERROR_NULL);
	CHECK(strstr(message, "var_flat: expected it in both") != NULL);
	CHECK(iris_subtract_dark(&in, &r, 0, IRIS_ISA_AUTO, &in, NULL, 0)
	      == IRIS_OK);
}

int main(void)
{
	test_every_instruction_set();
	test_what_is_refused();
	return failures != 0;
}
