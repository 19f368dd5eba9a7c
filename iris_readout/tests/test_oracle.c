/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole ramps through the public API against the pixel-by-pixel oracle, on
 * ragged sizes, with guard pages after every buffer; every instruction set, any
 * number of threads and borrowed or copied reads give the same bits.
 */
#include "check.h"
#include "guard.h"
#include "internal.h"
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

typedef struct mode {
	const char *name;
	iris_mode mode;
	iris_estimator estimator;
	int keep_reads;
	size_t nfowler, memory_limit, nread;
	unsigned features;
} mode;

#define OLS IRIS_ESTIMATOR_OLS
#define LIKELY IRIS_ESTIMATOR_LIKELIHOOD

static const mode modes[] = {
	{"ols, sums", IRIS_MODE_UTR, OLS, 0, 1, 0, 10,
	 SCENE_MAPS | SCENE_BAD | SCENE_SATURATED},
	{"ols, sums, long", IRIS_MODE_UTR, OLS, 0, 1, 0, 37,
	 SCENE_LINEARITY | SCENE_LIMIT | SCENE_SATURATED | SCENE_DROPPED},
	{"ols, sums, grow", IRIS_MODE_UTR, OLS, 0, 1, 0, 20,
	 SCENE_SATURATED | SCENE_GROW},
	{"ols, sums, two reads", IRIS_MODE_UTR, OLS, 0, 1, 0, 2,
	 SCENE_SATURATED},
	{"ols, kept", IRIS_MODE_UTR, OLS, 1, 1, 0, 9,
	 SCENE_MAPS | SCENE_SATURATED | SCENE_GROW | SCENE_WINDOW},
	{"ols, hits", IRIS_MODE_UTR, OLS, 0, 1, 0, 10,
	 SCENE_MAPS | SCENE_SATURATED | SCENE_HITS | SCENE_LINEARITY
	 | SCENE_LIMIT},
	{"ols, weights", IRIS_MODE_UTR, OLS, 1, 1, 0, 10,
	 SCENE_WEIGHTS | SCENE_SATURATED | SCENE_DROPPED},
	{"ols, folded", IRIS_MODE_UTR, OLS, 1, 1, 1, 45,
	 SCENE_MAPS | SCENE_SATURATED},
	{"cds, sums", IRIS_MODE_CDS, OLS, 0, 1, 0, 19,
	 SCENE_MAPS | SCENE_SATURATED | SCENE_LINEARITY | SCENE_GUIDES},
	{"cds, kept", IRIS_MODE_CDS, LIKELY, 1, 1, 0, 7,
	 SCENE_MAPS | SCENE_SATURATED | SCENE_WEIGHTS},
	{"mcds", IRIS_MODE_MCDS, LIKELY, 0, 3, 0, 11,
	 SCENE_MAPS | SCENE_BAD | SCENE_SATURATED | SCENE_LINEARITY
	 | SCENE_LIMIT},
	{"mcds, halves", IRIS_MODE_MCDS, LIKELY, 0, SIZE_MAX, 0, 9,
	 SCENE_SATURATED},
	{"mcds, weights", IRIS_MODE_MCDS, OLS, 0, 2, 0, 8,
	 SCENE_WEIGHTS | SCENE_SATURATED},
	{"likelihood", IRIS_MODE_UTR, LIKELY, 0, 1, 0, 10,
	 SCENE_MAPS | SCENE_BAD | SCENE_SATURATED | SCENE_LINEARITY
	 | SCENE_LIMIT | SCENE_WINDOW | SCENE_GUIDES},
	{"likelihood, grow", IRIS_MODE_UTR, LIKELY, 0, 1, 0, 8,
	 SCENE_SATURATED | SCENE_GROW | SCENE_DROPPED},
	{"likelihood, hits", IRIS_MODE_UTR, LIKELY, 0, 1, 0, 12,
	 SCENE_MAPS | SCENE_SATURATED | SCENE_HITS | SCENE_DROPPED},
	{"likelihood, two reads", IRIS_MODE_UTR, LIKELY, 0, 1, 0, 2,
	 SCENE_SATURATED},
	{"likelihood, three reads", IRIS_MODE_UTR, LIKELY, 0, 1, 0, 3,
	 SCENE_SATURATED | SCENE_HITS},
	{"likelihood, weights", IRIS_MODE_UTR, LIKELY, 0, 1, 0, 10,
	 SCENE_WEIGHTS | SCENE_SATURATED},
	{"likelihood, folded", IRIS_MODE_UTR, LIKELY, 0, 1, 1, 45,
	 SCENE_MAPS | SCENE_SATURATED | SCENE_LINEARITY | SCENE_LIMIT},
	{"likelihood, folded, dropped", IRIS_MODE_UTR, LIKELY, 0, 1, 1, 30,
	 SCENE_SATURATED | SCENE_DROPPED | SCENE_GROW},
	{"likelihood, folded, hits", IRIS_MODE_UTR, LIKELY, 0, 1, 1, 40,
	 SCENE_HITS | SCENE_MAPS},
};

enum { NMODE = sizeof(modes) / sizeof(*modes) };

/* Widths around the blocks of 64, heights around the strips of 16. */
static const size_t widths[] = {1, 63, 64, 65, 130};
static const size_t heights[] = {1, 2, 5, 16, 17, 20};

/* --- against the oracle -------------------------------------------------- */

static double tolerance(const oracle_result *r)
{
	const double sigma = sqrt(r->var_read
				  + fmax(r->rate, 0.0) * r->photon_factor);

	return 2e-4 * sigma + 3e-6 * fabs(r->rate);
}

static void check_numbers(const scene *s, const iris_planes *q, size_t i,
			  const oracle_result *r)
{
	const bool likely = s->options.mode == IRIS_MODE_UTR
		&& s->options.estimator == IRIS_ESTIMATOR_LIKELIHOOD;
	const double near = likely ? 1e-4 : 2e-6;
	const double light = fmax((double)q->rate[i], 0.0);
	const double f = r->photon_factor;

	CHECK_CLOSE(q->rate[i], r->rate, tolerance(r));
	CHECK_CLOSE(q->var_read[i], r->var_read, near * r->var_read);
	CHECK_CLOSE(q->photon_factor[i], f, near * f);
	if (!likely)
		CHECK_CLOSE(q->var_photon[i], light * f,
			    1e-5 * (light * f + 1e-6));
	else /* never more than two counts beside the plain estimate */
		CHECK(q->var_photon[i] >= 0.0f && (double)q->var_photon[i]
		      <= 1.02 * f * (light + 3.0 * f));
}

/* Sums know no chi-square. */
static void check_chi_square(const iris_planes *q, size_t i,
			     const oracle_result *r, iris_engine engine)
{
	if (engine == IRIS_ENGINE_SUM || isnan(r->chi2))
		CHECK(isnan(q->chi2[i]));
	else
		CHECK_CLOSE(q->chi2[i], r->chi2, 1e-4 + 1e-3 * r->chi2);
}

/* Append what the oracle expects to the list of events. */
static void expect_events(const oracle_result *r, size_t y, size_t x,
			  iris_event *events, size_t *n)
{
	if (r->jump > 0)
		events[(*n)++] = (iris_event){r->jump, (uint32_t)y,
			(uint32_t)x, IRIS_EVENT_JUMP, 0.0f, 0.0f};
	if (r->saturated > 0)
		events[(*n)++] = (iris_event){r->saturated, (uint32_t)y,
			(uint32_t)x, IRIS_EVENT_SATURATION, NAN, NAN};
}

static void check_events(const scene *s, const iris_ramp *ramp,
			 const iris_event *expected, size_t n)
{
	size_t count, i;
	const iris_event *events = iris_ramp_events(ramp, &count);
	double gain;

	CHECK(count == n && iris_ramp_lost_events(ramp) == 0);
	for (i = 0; i < n && i < count; i++) {
		const iris_event *e = &events[i];

		CHECK(e->read == expected[i].read && e->y == expected[i].y
		      && e->x == expected[i].x
		      && e->kind == expected[i].kind);
		if (e->kind == IRIS_EVENT_SATURATION) {
			CHECK(isnan(e->amplitude) && isnan(e->sigma));
			continue;
		}
		gain = s->options.gain.map == NULL ? 2.0
			: (double)s->options.gain.map[e->y * s->options.nx
						      + e->x];
		CHECK_CLOSE(e->amplitude, gain * (double)s->amplitude,
			    0.05 * gain * (double)s->amplitude);
		CHECK(e->sigma > 4.5f);
	}
}

/* What reads the ramp folded together; it must have taken each once. */
static void take_folding(const iris_ramp *ramp, oracle_folding *f)
{
	const iris_pattern *p = &ramp->pattern;
	size_t k, next = 0;

	f->nsample = 0;
	if (ramp->engine != IRIS_ENGINE_FOLD)
		return;
	f->nsample = p->nsample;
	CHECK(p->nsample <= IRIS_MAX_RESULTANTS);
	for (k = 0; k < p->nsample; k++) {
		f->first[k] = next;
		f->count[k] = (size_t)p->count[k];
		next += f->count[k];
	}
	CHECK(next == ramp->nread);
}

static void compare(const scene *s, const iris_ramp *ramp,
		    const iris_planes *q)
{
	static iris_event expected[8 * 130 * 20];
	const size_t nx = s->options.nx;
	oracle_folding folding;
	size_t i, n = 0;

	take_folding(ramp, &folding);
	for (i = 0; i < s->npixel; i++) {
		const oracle_result r = oracle_pixel(s, &folding, i / nx,
						     i % nx);

		expect_events(&r, i / nx, i % nx, expected, &n);
		CHECK(q->dq[i] == r.dq);
		CHECK(q->nused[i] == r.nused);
		if (r.nused == 0) {
			CHECK(isnan(q->rate[i]) && isnan(q->var_read[i])
			      && isnan(q->var_photon[i])
			      && isnan(q->photon_factor[i])
			      && isnan(q->chi2[i]));
			continue;
		}
		check_numbers(s, q, i, &r);
		check_chi_square(q, i, &r, ramp->engine);
	}
	check_events(s, ramp, expected, n);
}

/* --- runs ---------------------------------------------------------------- */

typedef struct run {
	iris_ramp *ramp;
	iris_planes planes;
} run;

static run start(const scene *s, iris_isa isa, unsigned nthreads, bool swap)
{
	iris_options o = s->options;
	run r = {NULL, scene_planes(s->npixel)};

	o.isa = isa;
	o.nthreads = nthreads;
	CHECK(iris_ramp_create(&r.ramp, &o, NULL, 0) == IRIS_OK);
	CHECK(scene_push(s, r.ramp, swap) == IRIS_OK);
	CHECK(iris_ramp_nread(r.ramp) == s->nread);
	CHECK(iris_ramp_finish(r.ramp, &r.planes) == IRIS_OK);
	return r;
}

static void check_same_planes(const iris_planes *a, const iris_planes *b,
			      size_t n)
{
	CHECK(memcmp(a->rate, b->rate, n * sizeof(float)) == 0);
	CHECK(memcmp(a->var_read, b->var_read, n * sizeof(float)) == 0);
	CHECK(memcmp(a->var_photon, b->var_photon, n * sizeof(float)) == 0);
	CHECK(memcmp(a->photon_factor, b->photon_factor, n * sizeof(float))
	      == 0);
	CHECK(memcmp(a->chi2, b->chi2, n * sizeof(float)) == 0);
	CHECK(memcmp(a->dq, b->dq, n * sizeof(uint32_t)) == 0);
	CHECK(memcmp(a->nused, b->nused, n * sizeof(uint16_t)) == 0);
}

static void check_same(const run *a, const run *b, size_t n)
{
	size_t na, nb;
	const iris_event *ea = iris_ramp_events(a->ramp, &na);
	const iris_event *eb = iris_ramp_events(b->ramp, &nb);

	check_same_planes(&a->planes, &b->planes, n);
	CHECK(na == nb);
	CHECK(na == 0 || memcmp(ea, eb, na * sizeof(*ea)) == 0);
}

/* Once more: other sets, threads, borrowing; finished twice; after a reset. */
static void repeat(const scene *s, run *first)
{
	static const iris_isa sets[] = {IRIS_ISA_AVX2, IRIS_ISA_AVX512};
	const iris_kernels *ignored;
	run other = {first->ramp, scene_planes(s->npixel)};
	unsigned threads;
	size_t i;

	CHECK(iris_ramp_finish(first->ramp, &other.planes) == IRIS_OK);
	check_same_planes(&first->planes, &other.planes, s->npixel);
	CHECK(iris_ramp_push(first->ramp, s->stored[0], IRIS_NATIVE, 1e6)
	      == IRIS_ERROR_STATE);
	for (threads = 1; threads <= 3; threads++) {
		other = start(s, IRIS_ISA_BASELINE, threads, threads % 2);
		check_same(first, &other, s->npixel);
		iris_ramp_destroy(other.ramp);
	}
	for (i = 0; i < 2; i++) {
		if (iris_kernels_choose(&ignored, sets[i], NULL, 0) != IRIS_OK)
			continue;
		other = start(s, sets[i], 2, false);
		check_same(first, &other, s->npixel);
		iris_ramp_destroy(other.ramp);
	}
	CHECK(iris_ramp_reset(first->ramp) == IRIS_OK);
	CHECK(scene_push(s, first->ramp, true) == IRIS_OK);
	other = (run){first->ramp, scene_planes(s->npixel)};
	CHECK(iris_ramp_finish(first->ramp, &other.planes) == IRIS_OK);
	check_same_planes(&first->planes, &other.planes, s->npixel);
}

static void set_mode(scene *s, const mode *m)
{
	s->options.mode = m->mode;
	s->options.estimator = m->estimator;
	s->options.keep_reads = m->keep_reads;
	s->options.nfowler = m->nfowler;
	s->options.memory_limit = m->memory_limit;
}

static void try_mode(const mode *m, size_t ny, size_t nx, uint64_t seed)
{
	static scene s;
	const int before = failures;
	run r;

	scene_make(&s, ny, nx, m->nread, m->features, seed);
	set_mode(&s, m);
	r = start(&s, IRIS_ISA_BASELINE, 1, false);
	CHECK((iris_ramp_folding(r.ramp) > 1.0) == (m->memory_limit > 0));
	compare(&s, r.ramp, &r.planes);
	repeat(&s, &r);
	iris_ramp_destroy(r.ramp);
	if (failures > before)
		(void)fprintf(stderr, "in '%s' of %zu x %zu pixels, seed %llu\n",
			      m->name, ny, nx, (unsigned long long)seed);
}

/* Every mode at one size, every size with some modes. */
static void test_modes_and_sizes(void)
{
	size_t i, y, x, which = 0;

	for (i = 0; i < NMODE; i++)
		try_mode(&modes[i], 17, 65, 1 + i);
	for (y = 0; y < sizeof(heights) / sizeof(*heights); y++)
		for (x = 0; x < sizeof(widths) / sizeof(*widths); x++, which++)
			try_mode(&modes[which * 5 % NMODE], heights[y],
				 widths[x], 100 + which);
}

/* --- a growing saturation beside other cuts ------------------------------ */

enum { FEW = 3, LONG = 20 };

static iris_options grown_options(void)
{
	iris_options o;

	iris_options_init(&o, 1, FEW);
	o.estimator = IRIS_ESTIMATOR_OLS;
	o.jump_sigma = 0.0;
	o.ref_pixels = 0;
	o.saturation_grow = 1;
	o.gain.value = o.read_noise.value = 2.0f;
	return o;
}

/* Pixel x has 1000 DN, and counts `after[x]` from read `from[x]` on. */
static iris_ramp *push_grown(const iris_options *o, const size_t from[FEW],
			     const uint16_t after[FEW], int borrowed,
			     uint16_t reads[LONG][FEW])
{
	iris_ramp *ramp = NULL;
	size_t k, x;

	CHECK(iris_ramp_create(&ramp, o, NULL, 0) == IRIS_OK);
	for (k = 0; k < LONG; k++) {
		const iris_read read = {reads[k], IRIS_NATIVE, (double)k, 1.0,
					0, borrowed};

		for (x = 0; x < FEW; x++)
			reads[k][x] = k < from[x] ? 1000 : after[x];
		CHECK(iris_ramp_push_read(ramp, &read) == IRIS_OK);
	}
	return ramp;
}

/*
 * Flags say why a pixel was cut, not how the reads came: a pixel that leaves
 * its linear range in read 4, or saturates itself in read 10, beside one that
 * saturates in read 12.
 */
static void test_flags_do_not_depend_on_borrowing(void)
{
	static const float coeffs[2 * FEW] = {0, 0, 0, 1, 1, 1};
	static const float limit[FEW] = {5000.0f, 1e6f, 1e6f};
	static const size_t from[FEW] = {3, 11, 9};
	static const uint16_t after[FEW] = {6000, 65535, 65535};
	static uint16_t reads[LONG][FEW];
	uint32_t dq[2][FEW];
	float rate[FEW];
	iris_options o = grown_options();
	size_t k;
	int borrowed;

	o.linearity = (iris_linearity){2, coeffs, limit, NULL};
	for (borrowed = 0; borrowed < 2; borrowed++) {
		const iris_planes planes = {.rate = rate, .dq = dq[borrowed]};
		iris_ramp *ramp = push_grown(&o, from, after, borrowed,
					     reads);

		CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
		iris_ramp_destroy(ramp);
	}
	for (k = 0; k < FEW; k++)
		CHECK(dq[0][k] == dq[1][k]);
	CHECK(dq[1][2] == IRIS_DQ_MASK(IRIS_DQ_SATURATED));
}

/*
 * A map of bad pixels may call a pixel REFERENCE_PIXEL in reads without a
 * border (a window at the edge of the detector): its saturation is told once,
 * in the first read that has it, however many batches the reads are.
 */
static void test_reference_flag_without_a_border(void)
{
	static const uint32_t bad[FEW] = {
		IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL), 0, 0
	};
	static const size_t from[FEW] = {0, SIZE_MAX, SIZE_MAX};
	static const uint16_t after[FEW] = {65535, 0, 0};
	static uint16_t reads[LONG][FEW];
	const iris_event *events;
	iris_options o = grown_options();
	float rate[FEW];
	const iris_planes planes = {.rate = rate};
	iris_ramp *ramp;
	size_t count;

	o.bad_pixels = bad;
	ramp = push_grown(&o, from, after, 0, reads);
	CHECK(iris_ramp_finish(ramp, &planes) == IRIS_OK);
	events = iris_ramp_events(ramp, &count);
	CHECK(count == 1 && events[0].read == 1);
	iris_ramp_destroy(ramp);
}

int main(void)
{
	test_modes_and_sizes();
	test_flags_do_not_depend_on_borrowing();
	test_reference_flag_without_a_border();
	return failures != 0;
}
