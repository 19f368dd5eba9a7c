/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes become options, maps, reads, times, weights and an order of calls.
 * Every run is made twice: with the baseline instruction set on one thread, and
 * with the best set on several, borrowed reads copied and copied ones borrowed;
 * both must agree to the last bit, and both must keep the promises of the
 * header.  All buffers end at a page that may not be touched.
 */
#include "fuzz.h"
#include "guard.h"
#include "iris_readout.h"

#include <math.h>
#include <string.h>

enum {
	MOST_Y = 33, MOST_X = 130, MOST = 1400,
	MOST_READS = 40, MOST_COEF = 5, MOST_GUIDES = 3, MOST_LAGS = 5,
	MOST_EVENTS = 8 * MOST, MOST_MAP = (MOST_Y + 5) * (MOST_X + 5)
};

/* How one read is pushed. */
typedef struct pushing {
	uint16_t *counts;
	iris_byte_order order;
	double seconds, weight;
	int dropped, borrowed;
} pushing;

typedef struct plan {
	iris_options options;
	size_t nread, npixel;
	pushing reads[MOST_READS];
	uint32_t again; /* what else is called, bit by bit */
} plan;

/* Planes and events of one run. */
typedef struct outcome {
	iris_planes planes;
	iris_status created, pushed, finished;
	iris_event events[MOST_EVENTS];
	size_t nevent, lost, nused;
	double folding;
} outcome;

/* --- buffers ------------------------------------------------------------- */

/* Memory before a guard page; a buffer of it ends at the page. */
typedef struct arena {
	unsigned char *memory;
	size_t size;
} arena;

static void *buffer(arena *a, size_t most, size_t size)
{
	if (a->memory == NULL) {
		a->memory = guarded(most);
		a->size = most;
	}
	CLAIM(size <= a->size);
	return a->memory + a->size - size;
}

/* --- options ------------------------------------------------------------- */

static const float odd_values[] = {
	0.0f, -1.0f, NAN, INFINITY, -INFINITY, 1e-30f, 1e30f, 65535.0f
};

/* One of the odd values, or mostly a plain one. */
static float odd_or(source *s, float plain)
{
	const uint32_t kind = take(s);

	return kind < 64 ? odd_values[kind % 8]
		: plain * (0.5f + (float)kind / 256.0f);
}

/* A map whose pixels are mostly alike; NULL for a plain number. */
static const float *map_of(source *s, arena *a, size_t size, float plain)
{
	float *map;
	size_t i, odd;

	if (take_below(s, 3) != 0)
		return NULL;
	map = buffer(a, MOST_MAP * sizeof(float), size * sizeof(float));
	for (i = 0; i < size; i++)
		map[i] = plain * (1.0f + (float)(i % 7) / 32.0f);
	for (odd = take_below(s, 8); odd > 0; odd--)
		map[take_16(s) % size] = odd_or(s, plain);
	return map;
}

static const uint32_t *flags_of(source *s, size_t size)
{
	static arena a;
	uint32_t *map;
	size_t odd;

	if (take_below(s, 3) != 0)
		return NULL;
	map = buffer(&a, MOST_MAP * sizeof(*map), size * sizeof(*map));
	memset(map, 0, size * sizeof(*map));
	for (odd = take_below(s, 16); odd > 0; odd--)
		map[take_16(s) % size] = take_16(s) << 16 | take_16(s);
	return map;
}

static void set_linearity(source *s, iris_options *o, size_t size)
{
	static arena coeffs, limit, pedestal;
	static const float plain[MOST_COEF] = {1.0f, 1.0f, 1e-7f, 1e-12f,
					       -1e-17f};
	iris_linearity *l = &o->linearity;
	float *c;
	size_t i, odd;

	l->ncoef = take_below(s, 3) == 0 ? take_below(s, MOST_COEF + 1) : 0;
	if (l->ncoef == 0)
		return;
	c = buffer(&coeffs, MOST_MAP * MOST_COEF * sizeof(float),
		   l->ncoef * size * sizeof(float));
	for (i = 0; i < l->ncoef * size; i++)
		c[i] = plain[i / size];
	for (odd = take_below(s, 8); odd > 0; odd--)
		c[take_16(s) % (l->ncoef * size)] = odd_or(s, 1e-4f);
	l->coeffs = c;
	l->limit = map_of(s, &limit, size, 30000.0f);
	l->pedestal = map_of(s, &pedestal, size, 500.0f);
}

static void set_window(source *s, iris_options *o)
{
	if (take_below(s, 4) != 0)
		return;
	o->map_y = take_below(s, 4);
	o->map_x = take_below(s, 4);
	o->map_ny = o->ny + take_below(s, 6);
	o->map_nx = o->nx + take_below(s, 6);
}

static void set_guides(source *s, iris_options *o)
{
	static const size_t sizes[] = {0, 1, 3, 200, SIZE_MAX};
	static iris_window guides[MOST_GUIDES];
	size_t i;

	o->nguide = take_below(s, 3) == 0 ? take_below(s, MOST_GUIDES + 1) : 0;
	o->guide = guides;
	o->guide_margin = sizes[take(s) % 5];
	for (i = 0; i < o->nguide; i++)
		guides[i] = (iris_window){take(s), take(s), sizes[take(s) % 5],
					  sizes[take(s) % 5]};
}

static void set_border(source *s, iris_options *o)
{
	static const size_t rows[] = {0, 1, 3, 11, 101, 2, SIZE_MAX};
	static float kernels[2][MOST_X * MOST_LAGS];
	size_t i;

	o->ref_pixels = take_below(s, 2) == 0 ? take_below(s, 5) : 0;
	o->noutputs = 1 + take_below(s, 5);
	o->side_rows = rows[take(s) % 7];
	if (take_below(s, 4) != 0)
		return;
	o->ref_weights.nlag = 1 + take_below(s, MOST_LAGS);
	for (i = 0; i < MOST_X * MOST_LAGS; i++)
		kernels[0][i] = kernels[1][i] = 0.25f;
	o->ref_weights.left = kernels[0];
	o->ref_weights.right = kernels[1];
}

static void set_numbers(source *s, iris_options *o)
{
	static const double sigmas[] = {4.5, 0.0, 1.0, 2.5, 30.0, 1e200, -1.0};
	static const size_t limits[] = {0, 1, 4096, 100000};
	static const size_t grows[] = {0, 0, 0, 1, 2, SIZE_MAX};
	static const size_t means[] = {1, 2, 3, 100, SIZE_MAX, 0};

	o->mode = (iris_mode)take_below(s, 3);
	o->estimator = (iris_estimator)take_below(s, 2);
	o->jump_sigma = sigmas[take(s) % 7];
	o->snowballs = take_below(s, 2) == 0;
	o->memory_limit = limits[take(s) % 4];
	o->keep_reads = take_below(s, 2) == 0;
	o->saturation_grow = grows[take(s) % 6];
	o->nfowler = means[take(s) % 6];
	o->max_events = take_below(s, 4) == 0 ? 1 + take(s) : 0;
}

static void set_options(source *s, iris_options *o)
{
	/* Blocks of 64, strips of 16; small enough for many runs a second. */
	static const size_t shapes[][2] = {
		{1, 1}, {1, 64}, {2, 65}, {1, 130}, {3, 63}, {17, 8}, {20, 5},
		{5, 12}, {8, 16}, {33, 3}, {12, 12}, {2, 2}, {17, 20}, {20, 70},
	};
	static arena gain, noise, saturation;
	const size_t *shape = shapes[take(s) % 14];
	size_t size;

	iris_options_init(o, shape[0], shape[1]);
	set_numbers(s, o);
	set_border(s, o);
	set_window(s, o);
	set_guides(s, o);
	size = o->map_ny > 0 ? o->map_ny * o->map_nx : o->ny * o->nx;
	o->gain = (iris_map){map_of(s, &gain, size, 2.0f), odd_or(s, 2.0f)};
	o->read_noise = (iris_map){map_of(s, &noise, size, 9.0f),
				   odd_or(s, 9.0f)};
	o->saturation = (iris_map){map_of(s, &saturation, size, 30000.0f),
				   odd_or(s, 40000.0f)};
	o->bad_pixels = flags_of(s, size);
	set_linearity(s, o, size);
}

/* --- reads --------------------------------------------------------------- */

static uint32_t next_number(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 40);
}

static void store_count(uint16_t *to, uint32_t value, iris_byte_order order)
{
	const uint16_t v = (uint16_t)(value > 65535 ? 65535 : value);
	unsigned char *b = (unsigned char *)to;

	*to = v;
	if (order == IRIS_SWAPPED)
		*to = (uint16_t)(v << 8 | v >> 8);
	if (order == IRIS_FITS) {
		b[0] = (unsigned char)((v ^ 0x8000u) >> 8);
		b[1] = (unsigned char)(v & 255u);
	}
}

/* Light, noise, hits that stay, and some wild counts. */
static void fill_reads(source *s, plan *p)
{
	static uint32_t hits[MOST];
	uint64_t state = take_16(s);
	const uint32_t base = take_16(s), light = take(s), noise = 1 + take(s);
	size_t i, k, n;

	memset(hits, 0, sizeof(hits));
	for (k = 0; k < p->nread; k++) {
		pushing *r = &p->reads[k];

		for (n = take_below(s, 6); n > 0; n--) {
			const size_t at = take_16(s) % p->npixel;
			const size_t span = 1 + take_below(s, 4);

			for (i = at; i < at + span && i < p->npixel; i++)
				hits[i] += take_16(s);
		}
		for (i = 0; i < p->npixel; i++)
			store_count(&r->counts[i], base + light * (uint32_t)k
				    + next_number(&state) % noise + hits[i],
				    r->order);
		for (n = take_below(s, 4); n > 0; n--)
			store_count(&r->counts[take_16(s) % p->npixel],
				    take_below(s, 2) ? 65535 : 0, r->order);
	}
}

static void set_reads(source *s, plan *p)
{
	static arena arenas[MOST_READS];
	static const double steps[] = {1.4, 0.72, 1.0, 100.0, 1e-6, 1e6, 1e-300,
				       1e300};
	const uint32_t style = take(s);
	double seconds = style & 1 ? 0.0 : 1.4;
	size_t k;

	p->nread = take_below(s, MOST_READS + 1);
	for (k = 0; k < p->nread; k++) {
		pushing *r = &p->reads[k];
		const uint32_t how = take(s);

		r->counts = buffer(&arenas[k], MOST * sizeof(uint16_t),
				   p->npixel * sizeof(uint16_t));
		r->order = (iris_byte_order)(how % 3);
		r->seconds = seconds;
		r->weight = style & 2 && how & 8 ? (double)take(s) / 255.0
			: 1.0;
		r->dropped = style & 4 && (how & 0x30) == 0;
		r->borrowed = (how & 64) != 0;
		seconds += steps[style & 8 ? take(s) % 8 : 0];
	}
	fill_reads(s, p);
}

/* --- promises ------------------------------------------------------------ */

static int is_variance(float value)
{
	return isfinite(value) && value >= 0.0f;
}

static int is_right(const iris_planes *q, size_t i, size_t nread)
{
	const uint32_t dq = q->dq[i];
	const float rate = q->rate[i];

	if (q->nused[i] > nread || q->chi2[i] < 0.0f)
		return 0;
	if (dq & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE))
		return q->nused[i] == 0
			&& (dq & IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)
			    ? fabsf(rate) <= 0.0f : isnan(rate));
	return q->nused[i] >= 2 && isfinite(rate) && is_variance(q->var_read[i])
		&& is_variance(q->var_photon[i])
		&& is_variance(q->photon_factor[i]);
}

static void check_pixel(const plan *p, const outcome *out, size_t i)
{
	const iris_planes *q = &out->planes;
	const iris_options *o = &p->options;

	if (is_right(q, i, out->nused))
		return;
	(void)fprintf(stderr, "pixel %zu of (%zu, %zu), %zu reads, mode %d, "
		      "estimator %d, jump_sigma %g: rate %g, variances %g %g, "
		      "factor %g, chi2 %g, dq %x, nused %u\n", i, o->ny, o->nx,
		      p->nread, (int)o->mode, (int)o->estimator, o->jump_sigma,
		      (double)q->rate[i], (double)q->var_read[i],
		      (double)q->var_photon[i], (double)q->photon_factor[i],
		      (double)q->chi2[i], q->dq[i], q->nused[i]);
	abort();
}

static int comes_before(const iris_event *a, const iris_event *b)
{
	if (a->y != b->y)
		return a->y < b->y;
	if (a->x != b->x)
		return a->x < b->x;
	if (a->read != b->read)
		return a->read < b->read;
	return a->kind < b->kind;
}

static int is_right_event(const plan *p, const iris_event *e)
{
	if (e->read < 1 || e->read > p->nread || e->y >= p->options.ny
	    || e->x >= p->options.nx || e->kind > IRIS_EVENT_SNOWBALL)
		return 0;
	if (e->kind == IRIS_EVENT_SATURATION)
		return isnan(e->amplitude) && isnan(e->sigma);
	return !isnan(e->amplitude)
		&& (e->kind == IRIS_EVENT_SNOWBALL || !isnan(e->sigma));
}

static void check_events(const plan *p, const outcome *out)
{
	size_t i;

	for (i = 0; i < out->nevent; i++) {
		const iris_event *e = &out->events[i];

		CLAIM(i == 0 || !comes_before(e, e - 1));
		if (is_right_event(p, e))
			continue;
		(void)fprintf(stderr, "event of kind %u in read %u at (%u, %u) "
			      "of (%zu, %zu), %zu reads, mode %d, estimator %d"
			      ", jump_sigma %g: amplitude %g, sigma %g\n",
			      e->kind, e->read, e->y, e->x, p->options.ny,
			      p->options.nx, p->nread, (int)p->options.mode,
			      (int)p->options.estimator, p->options.jump_sigma,
			      (double)e->amplitude, (double)e->sigma);
		abort();
	}
}

static void check_outcome(const plan *p, const outcome *out)
{
	size_t i;

	if (out->finished != IRIS_OK)
		return;
	for (i = 0; i < p->npixel; i++)
		check_pixel(p, out, i);
	check_events(p, out);
	CLAIM(out->folding >= 1.0);
}

/* --- runs ---------------------------------------------------------------- */

static void set_planes(outcome *out, arena arenas[7], size_t n)
{
	out->planes = (iris_planes){
		.rate = buffer(&arenas[0], MOST * 4, n * 4),
		.var_read = buffer(&arenas[1], MOST * 4, n * 4),
		.var_photon = buffer(&arenas[2], MOST * 4, n * 4),
		.photon_factor = buffer(&arenas[3], MOST * 4, n * 4),
		.chi2 = buffer(&arenas[4], MOST * 4, n * 4),
		.dq = buffer(&arenas[5], MOST * 4, n * 4),
		.nused = buffer(&arenas[6], MOST * 2, n * 2),
	};
}

static void push_all(const plan *p, iris_ramp *ramp, int swap, outcome *out)
{
	size_t k;

	out->pushed = IRIS_OK;
	out->nused = 0;
	for (k = 0; k < p->nread && out->pushed == IRIS_OK; k++) {
		const pushing *from = &p->reads[k];
		const iris_read read = {
			from->counts, from->order, from->seconds, from->weight,
			from->dropped, swap ? !from->borrowed : from->borrowed,
		};

		out->pushed = iris_ramp_push_read(ramp, &read);
		if (out->pushed == IRIS_OK)
			out->nused += !from->dropped;
		else
			CLAIM(iris_ramp_error(ramp)[0] != '\0');
	}
}

static void finish(iris_ramp *ramp, outcome *out)
{
	const iris_event *events;

	out->finished = iris_ramp_finish(ramp, &out->planes);
	events = iris_ramp_events(ramp, &out->nevent);
	CLAIM(out->nevent <= MOST_EVENTS);
	if (out->nevent > 0)
		memcpy(out->events, events, out->nevent * sizeof(*events));
	out->lost = iris_ramp_lost_events(ramp);
	out->folding = iris_ramp_folding(ramp);
	CLAIM(iris_readout_abi() == IRIS_READOUT_ABI);
	CLAIM((out->finished == IRIS_OK) == (iris_ramp_error(ramp)[0] == '\0'));
}

static void check_same(const outcome *a, const outcome *b, size_t n)
{
	CLAIM(a->created == b->created && a->pushed == b->pushed
	      && a->finished == b->finished);
	if (a->created != IRIS_OK || a->finished != IRIS_OK)
		return;
	CLAIM(memcmp(a->planes.rate, b->planes.rate, 4 * n) == 0);
	CLAIM(memcmp(a->planes.var_read, b->planes.var_read, 4 * n) == 0);
	CLAIM(memcmp(a->planes.var_photon, b->planes.var_photon, 4 * n) == 0);
	CLAIM(memcmp(a->planes.photon_factor, b->planes.photon_factor, 4 * n)
	      == 0);
	CLAIM(memcmp(a->planes.chi2, b->planes.chi2, 4 * n) == 0);
	CLAIM(memcmp(a->planes.dq, b->planes.dq, 4 * n) == 0);
	CLAIM(memcmp(a->planes.nused, b->planes.nused, 2 * n) == 0);
	CLAIM(a->nevent == b->nevent && a->lost == b->lost);
	CLAIM(a->nevent == 0
	      || memcmp(a->events, b->events,
			a->nevent * sizeof(*a->events)) == 0);
}

/* Calls after a finish: the same again, a push too many, a new ramp. */
static void go_on(const plan *p, iris_ramp *ramp, const outcome *out)
{
	static outcome other;
	static arena arenas[7];
	const iris_status late = iris_ramp_push(ramp, p->reads[0].counts,
						IRIS_NATIVE, 1e300);

	CLAIM(out->finished != IRIS_OK || late == IRIS_ERROR_STATE);
	other = *out;
	set_planes(&other, arenas, p->npixel);
	if (p->again & 1 && out->finished == IRIS_OK) {
		finish(ramp, &other);
		check_same(out, &other, p->npixel);
	}
	if (p->again & 2) {
		CLAIM(iris_ramp_reset(ramp) == IRIS_OK);
		CLAIM(iris_ramp_nread(ramp) == 0);
		push_all(p, ramp, 1, &other);
		finish(ramp, &other);
		check_same(out, &other, p->npixel);
	}
}

static void run(const plan *p, iris_isa isa, unsigned nthreads, int swap,
		outcome *out)
{
	iris_options o = p->options;
	char message[256] = "";
	iris_ramp *ramp = NULL;

	o.isa = isa;
	o.nthreads = nthreads;
	out->created = iris_ramp_create(&ramp, &o, message, sizeof(message));
	CLAIM((out->created == IRIS_OK) == (message[0] == '\0'));
	CLAIM((out->created == IRIS_OK) == (ramp != NULL));
	if (ramp == NULL)
		return;
	push_all(p, ramp, swap, out);
	finish(ramp, out);
	check_outcome(p, out);
	if (p->again != 0 && p->nread > 0)
		go_on(p, ramp, out);
	iris_ramp_destroy(ramp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static plan p;
	static outcome plain, best;
	static arena arenas[2][7];
	source s = {data, size};

	memset(&p, 0, sizeof(p));
	p.again = take(&s);
	set_options(&s, &p.options);
	p.npixel = p.options.ny * p.options.nx;
	set_planes(&plain, arenas[0], p.npixel);
	set_planes(&best, arenas[1], p.npixel);
	set_reads(&s, &p);
	run(&p, IRIS_ISA_BASELINE, 1, 0, &plain);
	run(&p, IRIS_ISA_AUTO, 1 + (p.again >> 2 & 1), 1, &best);
	check_same(&plain, &best, p.npixel);
	return 0;
}
