/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stacks of frames: the vector code of every instruction set against a plain
 * loop over the values of one pixel, and the edges of the public call.
 */
#include "check.h"
#include "guard.h"
#include "internal.h"
#include "numbers.h"

#include <stdlib.h>
#include <string.h>

/* Vectors of 64 bytes without the instructions: see CMakeLists.txt. */
extern const iris_kernels iris_kernels_wide;

enum { MOST = 70, NPIXEL = 3 * IRIS_LANES + 13 };

/* Input planes end, as those of the result do, right before forbidden pages. */
typedef struct fixture {
	size_t n;
	iris_stack_frame frames[MOST];
	iris_stack_options options;
	double excess[MOST + 1];
} fixture;

typedef struct outcome {
	iris_stack_planes planes;
	uint8_t *used[MOST];
} outcome;

/* --- a plain loop over one pixel ----------------------------------------- */

typedef struct answer {
	double value, variance;
	uint32_t dq;
	size_t nused;
	bool used[MOST];
} answer;

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_of(const double *values, size_t n)
{
	double sorted[MOST];

	memcpy(sorted, values, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), ascending);
	return 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]);
}

static size_t keep(const bool *used, const double *from, size_t n, double *to)
{
	size_t f, count = 0;

	for (f = 0; f < n; f++)
		if (used[f])
			to[count++] = from[f];
	return count;
}

/* Half the width that values may have about their median. */
static double half_width(const fixture *t, const double *x, const double *v,
			 size_t n, double centre)
{
	static const double factors[] = {0, 0, 1.196, 1.495, 1.363,
					 1.206, 1.2, 1.14, 1.129, 1.107};
	double distance[MOST], mean = 0.0, square = 0.0, robust, sigma;
	size_t i;

	if (t->options.rule == IRIS_CLIP_SIGMA) {
		for (i = 0; i < n; i++)
			mean += x[i] / (double)n;
		for (i = 0; i < n; i++)
			square += (x[i] - mean) * (x[i] - mean);
		return t->options.clip * sqrt(square / (double)n);
	}
	if (n < 3)
		return HUGE_VAL;
	for (i = 0; i < n; i++)
		distance[i] = fabs(x[i] - centre);
	robust = 1.4826 * median_of(distance, n)
		* (n < 10 ? factors[n] : (double)n / ((double)n - 0.8));
	sigma = t->frames[0].var_read != NULL ? sqrt(fmax(median_of(v, n), 0.0))
		: 0.0;
	if (n < 6 && sigma > 0.0)
		robust = fmin(robust, 2.0 * sigma);
	return t->options.clip * fmax(robust, sigma);
}

static void clip_pixel(const fixture *t, const double *value,
		       const double *variance, const bool *valid, bool *used)
{
	double x[MOST], v[MOST], low = -HUGE_VAL, high = HUGE_VAL;
	bool in[MOST] = {false};
	size_t pass, f, n;

	memcpy(in, valid, t->n * sizeof(*in));
	for (pass = 0; pass < t->options.iterations; pass++) {
		double centre, half;

		n = keep(in, value, t->n, x);
		(void)keep(in, variance, t->n, v);
		if (n == 0)
			break;
		centre = median_of(x, n);
		half = half_width(t, x, v, n, centre);
		low = centre - half;
		high = centre + half;
		for (f = 0; f < t->n; f++)
			in[f] = in[f] && value[f] >= low && value[f] <= high;
		if (keep(in, value, t->n, x) == n)
			break;
	}
	for (f = 0; f < t->n; f++)
		used[f] = t->options.rule == IRIS_CLIP_ROBUST ? in[f]
			: valid[f] && value[f] >= low && value[f] <= high;
}

static void average_pixel(const fixture *t, const double *value,
			  const double *read, const double *variance, answer *a)
{
	const bool known = t->frames[0].var_read != NULL;
	double x[MOST], sum = 0.0, weight = 0.0, propagated = 0.0, whole = 0.0;
	double square = 0.0, mean;
	bool plain = !known;
	size_t f;

	for (f = 0; f < t->n; f++)
		plain = plain || (a->used[f] && !(read[f] > 0.0));
	for (f = 0; f < t->n; f++) {
		const double w = plain ? 1.0 : 1.0 / read[f];

		if (!a->used[f])
			continue;
		a->nused++;
		sum += w * value[f];
		weight += w;
		propagated += w * w * variance[f];
		whole += variance[f];
	}
	mean = sum / weight;
	for (f = 0; f < t->n; f++)
		square += a->used[f] ? (value[f] - mean) * (value[f] - mean) : 0;
	if (known)
		a->variance = propagated / (weight * weight);
	else
		a->variance = square / (double)a->nused
			/ (double)(a->nused - 1);
	if (known && a->nused > 1 && whole > 0.0 && t->options.excess != NULL) {
		const double ratio = square / (double)(a->nused - 1)
			/ (whole / (double)a->nused);

		a->variance *= ratio > t->excess[a->nused] ? ratio : 1.0;
	}
	a->value = mean;
	if (t->options.centre == IRIS_CENTRE_MEDIAN) {
		a->value = median_of(x, keep(a->used, value, t->n, x));
		a->variance *= a->nused > 2 ? 1.5707963267948966 : 1.0;
	}
}

static answer expected_pixel(const fixture *t, size_t i)
{
	double value[MOST], read[MOST], variance[MOST];
	bool valid[MOST];
	uint32_t all = IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	answer a = {.value = NAN, .variance = NAN};
	size_t f;

	for (f = 0; f < t->n; f++) {
		const iris_stack_frame *frame = &t->frames[f];
		const float scale = frame->scale, square = scale * scale;
		const float r = frame->var_read ? frame->var_read[i] / square
			: 0.0f;
		const float p = frame->var_photon
			? frame->var_photon[i] / square : 0.0f;

		value[f] = (double)((frame->value[i] - frame->offset) / scale);
		read[f] = (double)r;
		variance[f] = (double)(r + p);
		valid[f] = fabs(value[f]) <= (double)FLT_MAX
			&& fabsf(r) <= FLT_MAX && fabsf(p) <= FLT_MAX
			&& !(frame->dq != NULL && frame->dq[i] & 1);
		all |= frame->dq != NULL ? frame->dq[i] : 0;
	}
	clip_pixel(t, value, variance, valid, a.used);
	for (f = 0; f < t->n; f++)
		if (a.used[f] && t->frames[f].dq != NULL)
			a.dq |= t->frames[f].dq[i];
	for (f = 0; f < t->n && !a.used[f]; f++)
		;
	if (f < t->n)
		average_pixel(t, value, read, variance, &a);
	else
		a.dq = all;
	return a;
}

/* --- stacks -------------------------------------------------------------- */

static float *floats(size_t npixel)
{
	return guarded(npixel * sizeof(float));
}

/* Values with hits, holes, infinities and flags; variances where asked for. */
static void fill(fixture *t, numbers *r, size_t n, size_t npixel, bool known,
		 bool flags)
{
	size_t f, i;

	memset(t, 0, sizeof(*t));
	t->n = n;
	iris_stack_options_init(&t->options);
	for (f = 0; f < n; f++) {
		float *value = floats(npixel), *read = floats(npixel);
		float *photon = floats(npixel);
		uint32_t *dq = guarded(npixel * sizeof(*dq));

		for (i = 0; i < npixel; i++) {
			const uint32_t kind = below(r, 40);

			value[i] = (float)(20.0 + gaussian(r));
			read[i] = (float)(0.2 + uniform(r));
			photon[i] = (float)(0.2 + uniform(r));
			dq[i] = below(r, 4) == 0 ? 4u << below(r, 3) : 0;
			if (kind < 3)
				value[i] += (float)(100.0 * uniform(r));
			else if (kind == 3)
				value[i] = below(r, 2) ? NAN : HUGE_VALF;
			else if (kind == 4)
				dq[i] |= 1;
			else if (kind == 5)
				photon[i] = NAN;
			if (i % 50 == 7) /* never used */
				dq[i] |= 1;
			if (i % 50 == 8)
				read[i] = 0.0f;
		}
		t->frames[f] = (iris_stack_frame){
			.value = value, .scale = 1.0f,
			.var_read = known ? read : NULL,
			.var_photon = known ? photon : NULL,
			.dq = flags ? dq : NULL,
		};
	}
	for (i = 0; i <= n; i++)
		t->excess[i] = 1.5;
}

static outcome make_outcome(size_t n, size_t npixel)
{
	outcome o = {
		.planes = {
			.value = floats(npixel), .variance = floats(npixel),
			.dq = guarded(npixel * sizeof(uint32_t)),
			.nused = guarded(npixel * sizeof(uint16_t)),
		},
	};
	size_t f;

	for (f = 0; f < n; f++)
		o.used[f] = guarded(npixel);
	return o;
}

static void set_used(fixture *t, const outcome *o)
{
	size_t f;

	for (f = 0; f < t->n; f++)
		t->frames[f].used = o->used[f];
}

static void check_pixels(const fixture *t, const outcome *o, size_t npixel)
{
	size_t i, f;

	for (i = 0; i < npixel; i++) {
		const answer a = expected_pixel(t, i);

		CHECK(o->planes.nused[i] == a.nused);
		CHECK(o->planes.dq[i] == a.dq);
		for (f = 0; f < t->n; f++)
			CHECK(o->used[f][i] == a.used[f]);
		if (a.nused == 0) {
			CHECK(isnan(o->planes.value[i]));
			CHECK(isnan(o->planes.variance[i]));
			continue;
		}
		/* Sums of doubles in two orders, then one rounding to float. */
		CHECK_CLOSE(o->planes.value[i], a.value,
			    fabs(a.value) * 6.1e-8 + 1e-12);
		if (isnan(a.variance))
			CHECK(isnan(o->planes.variance[i]));
		else
			CHECK_CLOSE(o->planes.variance[i], a.variance,
				    a.variance * 6.1e-8 + 1e-12);
	}
}

static bool same(const outcome *a, const outcome *b, size_t n, size_t npixel)
{
	size_t f;

	for (f = 0; f < n; f++)
		if (memcmp(a->used[f], b->used[f], npixel) != 0)
			return false;
	return memcmp(a->planes.value, b->planes.value, npixel * 4) == 0
		&& memcmp(a->planes.variance, b->planes.variance, npixel * 4)
		== 0
		&& memcmp(a->planes.dq, b->planes.dq, npixel * 4) == 0
		&& memcmp(a->planes.nused, b->planes.nused, npixel * 2) == 0;
}

static iris_status stack(fixture *t, const outcome *o, size_t npixel,
			 iris_isa isa, unsigned nthreads)
{
	set_used(t, o);
	t->options.isa = isa;
	t->options.nthreads = nthreads;
	return iris_stack(&t->options, t->frames, t->n, npixel, &o->planes,
			  NULL, 0);
}

/* Every set this machine has, two threads, and bands give the same bits. */
static void check_sets(fixture *t, const outcome *expected, size_t npixel)
{
	static const iris_isa sets[] = {IRIS_ISA_AUTO, IRIS_ISA_AVX2,
					IRIS_ISA_AVX512};
	const outcome o = make_outcome(t->n, npixel);
	size_t i;

	for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		const iris_kernels *kernels;

		if (iris_kernels_choose(&kernels, sets[i], NULL, 0) != IRIS_OK)
			continue;
		CHECK(stack(t, &o, npixel, sets[i], 2) == IRIS_OK);
		CHECK(same(&o, expected, t->n, npixel));
	}
#ifdef IRIS_HAVE_WIDE
	{
		float *scratch = iris_reserve(10 * t->n * IRIS_LANES, 4);
		double factor[MOST + 1];
		const iris_stack_job job = {
			.options = &t->options, .frames = t->frames,
			.nframe = t->n, .npixel = npixel, .out = &o.planes,
			.factor = factor, .kernels = &iris_kernels_wide,
		};

		iris_stack_factors(factor, t->n);
		memset(o.planes.value, 0, npixel * 4);
		iris_kernels_wide.combine_stack(&job, 0, npixel, scratch);
		CHECK(same(&o, expected, t->n, npixel));
		iris_unreserve(scratch, 10 * t->n * IRIS_LANES, 4);
	}
#endif
}

static void test_against_a_plain_loop(void)
{
	static const size_t counts[] = {1, 2, 3, 4, 5, 6, 9, 10, 16, 17, MOST};
	static fixture t;
	numbers r = {20261};
	size_t c;
	int kind;

	for (c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		for (kind = 0; kind < 16; kind++) {
			const outcome o = make_outcome(counts[c], NPIXEL);

			fill(&t, &r, counts[c], NPIXEL, kind & 1, kind & 2);
			t.options.rule = kind & 4 ? IRIS_CLIP_ROBUST
				: IRIS_CLIP_SIGMA;
			t.options.centre = kind & 8 ? IRIS_CENTRE_MEDIAN
				: IRIS_CENTRE_MEAN;
			t.options.clip = kind & 2 ? 2.0 : 3.0;
			t.options.excess = kind & 2 ? t.excess : NULL;
			CHECK(stack(&t, &o, NPIXEL, IRIS_ISA_BASELINE, 1)
			      == IRIS_OK);
			check_pixels(&t, &o, NPIXEL);
			check_sets(&t, &o, NPIXEL);
		}
	}
}

static void test_passes(void)
{
	static const double clips[] = {0.3, 1.0, 1.5, HUGE_VAL};
	static fixture t;
	numbers r = {20262};
	size_t pass, c;

	for (c = 0; c < sizeof(clips) / sizeof(clips[0]); c++)
		for (pass = 0; pass < 4; pass++) {
			const outcome o = make_outcome(11, NPIXEL);

			fill(&t, &r, 11, NPIXEL, pass & 1, true);
			t.options.clip = clips[c];
			t.options.iterations = isinf(clips[c]) ? 0 : pass;
			CHECK(stack(&t, &o, NPIXEL, IRIS_ISA_BASELINE, 1)
			      == IRIS_OK);
			check_pixels(&t, &o, NPIXEL);
			check_sets(&t, &o, NPIXEL);
			t.options.iterations = 5;
			if (isinf(clips[c])) {
				CHECK(stack(&t, &o, NPIXEL, IRIS_ISA_AUTO, 1)
				      == IRIS_OK);
				t.options.iterations = 0;
				check_pixels(&t, &o, NPIXEL);
			}
		}
}

static void test_offset_and_scale(void)
{
	static fixture t;
	const outcome o = make_outcome(7, NPIXEL);
	numbers r = {20263};
	size_t f;

	fill(&t, &r, 7, NPIXEL, true, true);
	t.options.rule = IRIS_CLIP_ROBUST;
	for (f = 0; f < t.n; f++) {
		t.frames[f].offset = 0.1f * (float)f;
		t.frames[f].scale = 0.9f + 0.05f * (float)f;
	}
	CHECK(stack(&t, &o, NPIXEL, IRIS_ISA_BASELINE, 1) == IRIS_OK);
	check_pixels(&t, &o, NPIXEL);
	check_sets(&t, &o, NPIXEL);
}

/* More pieces than threads, and a pixel count that no vector divides. */
static void test_threads_and_bands(void)
{
	enum { MANY = 5 * 4096 + 77 };
	static fixture t;
	const outcome one = make_outcome(3, MANY), two = make_outcome(3, MANY);
	numbers r = {20264};
	size_t f, begin;

	fill(&t, &r, 3, MANY, true, true);
	CHECK(stack(&t, &one, MANY, IRIS_ISA_AUTO, 1) == IRIS_OK);
	CHECK(stack(&t, &two, MANY, IRIS_ISA_AUTO, 4) == IRIS_OK);
	CHECK(same(&one, &two, 3, MANY));
	memset(two.planes.value, 0, MANY * sizeof(float));
	for (begin = 0; begin < MANY; begin += 1001) {
		const size_t left = MANY - begin;
		const iris_stack_planes out = {
			.value = two.planes.value + begin,
			.variance = two.planes.variance + begin,
			.dq = two.planes.dq + begin,
			.nused = two.planes.nused + begin,
		};
		iris_stack_frame frames[3];

		for (f = 0; f < 3; f++) {
			frames[f] = t.frames[f];
			frames[f].value += begin;
			frames[f].var_read += begin;
			frames[f].var_photon += begin;
			frames[f].dq += begin;
			frames[f].used = two.used[f] + begin;
		}
		CHECK(iris_stack(&t.options, frames, 3,
				 left < 1001 ? left : 1001, &out, NULL, 0)
		      == IRIS_OK);
	}
	CHECK(same(&one, &two, 3, MANY));
}

/* Only the value is wanted: nothing else is touched, the value is the same. */
static void test_value_alone(void)
{
	static fixture t;
	const outcome o = make_outcome(9, NPIXEL);
	const iris_stack_planes alone = {.value = floats(NPIXEL)};
	numbers r = {20265};
	size_t f;

	fill(&t, &r, 9, NPIXEL, false, true);
	CHECK(stack(&t, &o, NPIXEL, IRIS_ISA_AUTO, 1) == IRIS_OK);
	for (f = 0; f < t.n; f++)
		t.frames[f].used = NULL;
	CHECK(iris_stack(&t.options, t.frames, 9, NPIXEL, &alone, NULL, 0)
	      == IRIS_OK);
	CHECK(memcmp(alone.value, o.planes.value, NPIXEL * 4) == 0);
	CHECK(iris_stack(&t.options, t.frames, 9, 0, &alone, NULL, 0)
	      == IRIS_OK);
}

/* --- what is refused ----------------------------------------------------- */

static void refuse(const fixture *t, iris_status expected, const char *word)
{
	const iris_stack_planes out = {.value = floats(4)};
	char message[IRIS_MESSAGE] = "";

	CHECK(iris_stack(&t->options, t->frames, t->n, 4, &out, message,
			 sizeof(message)) == expected);
	CHECK(strstr(message, word) != NULL);
	CHECK(iris_stack(&t->options, t->frames, t->n, 4, &out, NULL, 0)
	      == expected);
}

static void test_what_is_refused(void)
{
	static fixture good, t;
	const iris_stack_planes nothing = {0};
	numbers r = {20266};

	fill(&good, &r, 3, 4, true, true);
	CHECK(iris_stack(NULL, good.frames, 3, 4, &nothing, NULL, 0)
	      == IRIS_ERROR_NULL);
	CHECK(iris_stack(&good.options, good.frames, 3, 4, &nothing, NULL, 0)
	      == IRIS_ERROR_NULL);
	t = good;
	t.n = 0;
	refuse(&t, IRIS_ERROR_SHAPE, "none");
	t.n = 65536;
	refuse(&t, IRIS_ERROR_SHAPE, "65536");
	t = good;
	t.frames[1].value = NULL;
	refuse(&t, IRIS_ERROR_NULL, "frame 1");
	t = good;
	t.frames[2].var_read = NULL;
	refuse(&t, IRIS_ERROR_NULL, "var_read");
	t = good;
	t.frames[0].scale = 0.0f;
	refuse(&t, IRIS_ERROR_OPTION, "scale");
	t = good;
	t.frames[0].offset = NAN;
	refuse(&t, IRIS_ERROR_OPTION, "offset");
	t = good;
	t.options.clip = NAN;
	refuse(&t, IRIS_ERROR_OPTION, "clip");
	t = good;
	t.options.rule = (iris_clipping)7;
	refuse(&t, IRIS_ERROR_OPTION, "rule");
	t = good;
	t.options.centre = (iris_centre)-1;
	refuse(&t, IRIS_ERROR_OPTION, "centre");
	t = good;
	t.options.isa = (iris_isa)9;
	refuse(&t, IRIS_ERROR_OPTION, "isa");
	iris_stack_options_init(NULL);
}

int main(void)
{
	test_against_a_plain_loop();
	test_passes();
	test_offset_and_scale();
	test_threads_and_bands();
	test_value_alone();
	test_what_is_refused();
	return failures != 0;
}
