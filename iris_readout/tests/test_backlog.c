/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads that do not fit any more are folded a batch at a time, while others
 * come: no push folds more than one, memory stays bounded, and not one bit
 * depends on how much of the backlog was left when something happened.
 */
#define _DEFAULT_SOURCE /* mincore, sysconf */
#include "check.h"
#include "internal.h"
#include "scene.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { KEPT = 40 };

/* A ramp that keeps `kept` reads before it folds them. */
static iris_ramp *make(const scene *s, size_t kept, unsigned nthreads)
{
	iris_options o = s->options;
	iris_ramp *ramp = NULL;

	o.memory_limit = kept * 2 * s->npixel;
	o.nthreads = nthreads;
	CHECK(iris_ramp_create(&ramp, &o, NULL, 0) == IRIS_OK);
	return ramp;
}

static bool same_planes(const iris_planes *a, const iris_planes *b, size_t n)
{
	return memcmp(a->rate, b->rate, n * sizeof(float)) == 0
		&& memcmp(a->var_read, b->var_read, n * sizeof(float)) == 0
		&& memcmp(a->var_photon, b->var_photon, n * sizeof(float)) == 0
		&& memcmp(a->photon_factor, b->photon_factor,
			  n * sizeof(float)) == 0
		&& memcmp(a->chi2, b->chi2, n * sizeof(float)) == 0
		&& memcmp(a->dq, b->dq, n * sizeof(uint32_t)) == 0
		&& memcmp(a->nused, b->nused, n * sizeof(uint16_t)) == 0;
}

static bool same_events(const iris_ramp *a, const iris_ramp *b)
{
	size_t na, nb;
	const iris_event *ea = iris_ramp_events(a, &na);
	const iris_event *eb = iris_ramp_events(b, &nb);

	return na > 0 && na == nb && memcmp(ea, eb, na * sizeof(*ea)) == 0;
}

/* --- results ------------------------------------------------------------- */

/*
 * With 8 reads kept there is never a backlog.  Copied and borrowed reads swap
 * roles, so that slots are given back in other orders.  Returns how many ramps
 * were compared.
 */
static size_t check_scene(const scene *s, iris_planes *expected,
			  iris_planes *found)
{
	static const size_t kept[] = {16, 24, KEPT};
	iris_ramp *plain = make(s, 8, 1);
	size_t i, folded = 0;

	CHECK(scene_push(s, plain, false) == IRIS_OK);
	CHECK(iris_ramp_finish(plain, expected) == IRIS_OK);
	for (i = 0; i < 6; i++) {
		iris_ramp *ramp = make(s, kept[i / 2], 1 + (unsigned)i % 3);

		CHECK(scene_push(s, ramp, i % 2 == 0) == IRIS_OK);
		if (ramp->engine != IRIS_ENGINE_FOLD) { /* they all fit */
			iris_ramp_destroy(ramp);
			continue;
		}
		CHECK(iris_ramp_finish(ramp, found) == IRIS_OK);
		CHECK(iris_ramp_folding(ramp) == iris_ramp_folding(plain));
		CHECK(same_planes(expected, found, s->npixel));
		CHECK(same_events(plain, ramp));
		CHECK(iris_ramp_finish(ramp, found) == IRIS_OK);
		CHECK(same_planes(expected, found, s->npixel));
		folded++;
		iris_ramp_destroy(ramp);
	}
	iris_ramp_destroy(plain);
	return folded;
}

/* Ramps that end anywhere in the backlog, and after it. */
static void test_where_a_ramp_ends(void)
{
	static const size_t lengths[] = {17, 25, 27, 31, 41, 42, 43, 44, 45,
					 47, 48, 50, 51, 56, 57, 60};
	static const unsigned features[] = {
		SCENE_HITS | SCENE_SATURATED | SCENE_LINEARITY | SCENE_MAPS,
		SCENE_HITS | SCENE_SATURATED | SCENE_GROW | SCENE_DROPPED,
	};
	const size_t ny = 37, nx = 70;
	iris_planes expected = scene_planes(ny * nx);
	iris_planes found = scene_planes(ny * nx);
	size_t i, folded = 0;

	for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		scene s;

		scene_make(&s, ny, nx, lengths[i], features[i % 2], 100 + i);
		folded += check_scene(&s, &expected, &found);
	}
	CHECK(folded >= 4 * sizeof(lengths) / sizeof(*lengths));
}

/* A ramp that is forgotten in its backlog leaves nothing to the next one. */
static void test_reset(void)
{
	const size_t ny = 20, nx = 70;
	iris_planes expected = scene_planes(ny * nx);
	iris_planes found = scene_planes(ny * nx);
	iris_ramp *fresh, *used;
	scene before, s;

	scene_make(&before, ny, nx, 45, SCENE_HITS, 7);
	scene_make(&s, ny, nx, 60, SCENE_HITS | SCENE_SATURATED, 8);
	before.options = s.options;
	fresh = make(&s, KEPT, 2);
	used = make(&s, KEPT, 2);
	CHECK(scene_push(&before, used, false) == IRIS_OK);
	CHECK(used->nread - used->nsummed > IRIS_BATCH);
	CHECK(iris_ramp_reset(used) == IRIS_OK);
	CHECK(used->nvacant == used->nslot);
	CHECK(scene_push(&s, used, true) == IRIS_OK);
	CHECK(scene_push(&s, fresh, false) == IRIS_OK);
	CHECK(iris_ramp_finish(used, &found) == IRIS_OK);
	CHECK(iris_ramp_finish(fresh, &expected) == IRIS_OK);
	CHECK(same_planes(&expected, &found, s.npixel));
	CHECK(same_events(fresh, used));
	iris_ramp_destroy(used);
	iris_ramp_destroy(fresh);
}

/* --- pushes -------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
	const unsigned char *const *x = a, *const *y = b;

	return (*x > *y) - (*x < *y);
}

/* No slot is vacant twice, nor holds a read that is still needed. */
static void check_slots(const iris_ramp *ramp)
{
	unsigned char *slots[2 * IRIS_MAX_KEPT];
	size_t n = ramp->nvacant, k;

	memcpy(slots, ramp->vacant, n * sizeof(*slots));
	slots[n++] = ramp->reads[0].slot;
	for (k = ramp->nsummed > 0 ? ramp->nsummed : 1; k < ramp->nread; k++)
		slots[n++] = ramp->reads[iris_entry(k)].slot;
	CHECK(n <= ramp->nslot);
	qsort(slots, n, sizeof(*slots), by_address);
	for (k = 1; k < n; k++)
		CHECK(slots[k] != slots[k - 1]);
}

static size_t resident(const iris_ramp *ramp)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t n = ramp->nslot * ramp->npixel * 2 / page;
	unsigned char *pages = malloc(n);
	size_t i, count = 0;

	if (pages == NULL || mincore(ramp->arena, n * page, pages) != 0)
		abort();
	for (i = 0; i < n; i++)
		count += pages[i] & 1;
	free(pages);
	return count * page;
}

/*
 * 416 reads, 40 of which fit.  Slots in use at most: 26 reads and the first one
 * with the sums of 16 after the second batch, and 2 more reads before the third.
 */
static void test_pushes(void)
{
	enum { NY = 16, NX = 512, NREAD = 416, MOST = 61 };
	static uint16_t read[NY * NX];
	static float rate[NY * NX];
	const iris_planes planes = {.rate = rate};
	scene s = {.npixel = NY * NX};
	size_t k, i, used = 0, waiting = 0;
	iris_ramp *ramp;

	iris_options_init(&s.options, NY, NX);
	s.options.ref_pixels = 0;
	s.options.gain.value = s.options.read_noise.value = 10.0f;
	ramp = make(&s, KEPT, 1);
	for (k = 0; k < NREAD; k++) {
		const size_t summed = ramp->nsummed;

		for (i = 0; i < NY * NX; i++)
			read[i] = (uint16_t)(1000 + k * (i % 7));
		CHECK(iris_ramp_push(ramp, read, IRIS_NATIVE, (double)k)
		      == IRIS_OK);
		CHECK(ramp->nsummed - summed <= IRIS_BATCH);
		CHECK(k < KEPT || ramp->nread - ramp->nsummed < KEPT);
		CHECK(k < 2 * KEPT || ramp->nread - ramp->nsummed < IRIS_BATCH);
		waiting += ramp->nsummed == summed;
		used = ramp->nslot - ramp->nvacant > used
			? ramp->nslot - ramp->nvacant : used;
		check_slots(ramp);
	}
	CHECK(waiting == NREAD - NREAD / IRIS_BATCH);
	CHECK(used < MOST && used > MOST - 4);
	CHECK(resident(ramp) <= MOST * 2 * ramp->npixel);
	CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
	used = 1 + 2 * ramp->pattern.nsample;
	CHECK(ramp->nslot - ramp->nvacant == used);
	CHECK(resident(ramp) <= used * 2 * ramp->npixel);
	for (i = 0; i < NY * NX; i++)
		CHECK_CLOSE(rate[i], 10.0 * (double)(i % 7), 1e-3);
	iris_ramp_destroy(ramp);
}

int main(void)
{
	test_where_a_ramp_ends();
	test_reset();
	test_pushes();
	return failures != 0;
}
