/* SPDX-License-Identifier: BSD-3-Clause */
/* Not one bit and no event depends on the number of threads. */
#include "check.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { NY = 70, NX = 130, NPIXEL = NY * NX, NREAD = 7 };

typedef struct result {
	float rate[NPIXEL], chi2[NPIXEL];
	uint32_t dq[NPIXEL];
	iris_event *events;
	size_t nevent;
} result;

/* A fixed sequence of numbers: 64-bit LCG of Knuth (MMIX), upper bits. */
static uint32_t next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 40);
}

static void fit(result *r, unsigned nthreads)
{
	static uint16_t read[NPIXEL];
	const iris_planes planes = {.rate = r->rate, .chi2 = r->chi2,
				    .dq = r->dq};
	uint64_t state = 1;
	iris_options o;
	iris_ramp *ramp = NULL;
	const iris_event *events;
	size_t k, i;

	iris_options_init(&o, NY, NX);
	o.noutputs = 2;
	o.gain.value = 2.0f;
	o.read_noise.value = 10.0f;
	o.saturation.value = 1600.0f; /* some pixels */
	o.saturation_grow = 2;
	o.jump_sigma = 3.0;
	o.nthreads = nthreads;
	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	for (k = 0; k < NREAD; k++) {
		for (i = 0; i < NPIXEL; i++)
			read[i] = (uint16_t)(1000 + 50 * k + next(&state) % 20
					     + (next(&state) % 2000 == 0
						? 400 : 0));
		CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, (double)k)
		      == IRIS_OK);
	}
	CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
	events = iris_ramp_events(ramp, &r->nevent);
	CHECK(r->nevent > 5);
	r->events = malloc(r->nevent * sizeof(*events));
	if (r->events == NULL)
		abort();
	memcpy(r->events, events, r->nevent * sizeof(*events));
	iris_ramp_destroy(ramp);
}

static void check_order(const result *r)
{
	size_t i;

	for (i = 1; i < r->nevent; i++) {
		const iris_event *a = &r->events[i - 1], *b = &r->events[i];

		CHECK(a->y < b->y || (a->y == b->y && a->x < b->x)
		      || (a->y == b->y && a->x == b->x && a->read < b->read));
	}
}

int main(void)
{
	static result one, other;
	const unsigned counts[] = {2, 3, 8, 100, 0};
	size_t i;

	fit(&one, 1);
	check_order(&one);
	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		fit(&other, counts[i]);
		CHECK(memcmp(one.rate, other.rate, sizeof(one.rate)) == 0);
		CHECK(memcmp(one.chi2, other.chi2, sizeof(one.chi2)) == 0);
		CHECK(memcmp(one.dq, other.dq, sizeof(one.dq)) == 0);
		CHECK(one.nevent == other.nevent
		      && memcmp(one.events, other.events,
				one.nevent * sizeof(*one.events)) == 0);
		free(other.events);
	}
	free(one.events);
	return failures != 0;
}
