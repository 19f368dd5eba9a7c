/* SPDX-License-Identifier: BSD-3-Clause */
/* Snowballs through the public API: their event lies in the array. */
#include "check.h"
#include "internal.h"

enum { SIZE = 80, NPIXEL = SIZE * SIZE, READS = 8, HIT = 5 };

static uint16_t reads[READS][NPIXEL];

/* Light, and a ball of charge around (y0, x0): a saturated core and a ring. */
static void fill(double y0, double x0)
{
	size_t k, i;

	for (k = 0; k < READS; k++) {
		for (i = 0; i < NPIXEL; i++) {
			const double y = (double)(i / SIZE) - y0;
			const double x = (double)(i % SIZE) - x0;
			const double r = sqrt(y * y + x * x);
			double dn = 1000.0 + 20.0 * (double)k;

			if (k >= HIT && r < 12.0)
				dn += r < 7.0 ? 60000.0 : 3000.0;
			reads[k][i] = (uint16_t)dn;
		}
	}
}

/* Number of snowballs told, all of them inside. */
static size_t count_snowballs(const iris_ramp *ramp)
{
	size_t count, i, found = 0;
	const iris_event *e = iris_ramp_events(ramp, &count);

	for (i = 0; i < count; i++) {
		CHECK(e[i].y < SIZE && e[i].x < SIZE);
		CHECK(e[i].read == HIT + 1);
		found += e[i].kind == IRIS_EVENT_SNOWBALL;
	}
	return found;
}

static void try_centre(double y0, double x0)
{
	static float rate[NPIXEL];
	static uint32_t dq[NPIXEL];
	const iris_planes planes = {.rate = rate, .dq = dq};
	iris_ramp *ramp = NULL;
	iris_options o;
	size_t k;

	iris_options_init(&o, SIZE, SIZE);
	o.ref_pixels = 0;
	o.gain.value = 2.0f;
	o.read_noise.value = 10.0f;
	o.saturation.value = 60000.0f;
	fill(y0, x0);
	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	for (k = 0; k < READS; k++)
		CHECK(iris_ramp_push(ramp, reads[k], IRIS_NATIVE, (double)k)
		      == IRIS_OK);
	CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
	CHECK(count_snowballs(ramp) == 1);
	CHECK(dq[20 * SIZE + 20] == 0); /* far from all of them */
	iris_ramp_destroy(ramp);
}

int main(void)
{
	static const double far[] = {-3.0, -0.4, 40.0, SIZE - 0.6, SIZE + 2.0};
	size_t i, j;

	for (i = 0; i < 5; i++)
		for (j = 0; j < 5; j++)
			if (i == 2 || j == 2) /* an edge, or the middle */
				try_centre(far[i], far[j]);
	return failures != 0;
}
