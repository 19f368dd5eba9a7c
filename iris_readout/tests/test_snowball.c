/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snowballs: charge of known shape is dropped on an array, read out with noise,
 * turned into events, and the ellipses found are compared with where the charge
 * was: with each pixel that got more than one sigma.
 */
#include "check.h"
#include "snowball.h"

#include <stdlib.h>
#include <string.h>

#define NOISE 12.0  /* e-, of the height of a jump */
#define WELL 8.0e4  /* e- */
#define LIMIT 4.5   /* sigma */

enum {
	SIZE = 4096,
	BORDER = 4,     /* reference pixels: no events */
	MOST = 3000000, /* events */
	FOUND = 256,
	FIELD = 60      /* pixels on each side of a deposit */
};

typedef enum profile { GAUSSIAN, EXPONENTIAL, PLATEAU } profile;

typedef struct deposit {
	uint32_t read;
	double y, x;
	profile profile;
	double peak;      /* e- */
	double scale;     /* pixels */
	double ratio;     /* short axis over long axis */
	double angle;
	double skew;      /* the scale is that much longer on one side */
	double trail;     /* length of a thin trail, pixels */
	size_t affected, flagged; /* pixels */
} deposit;

typedef struct scene {
	size_t size;
	iris_event *event;
	size_t nevent;
	unsigned char *affected; /* (size, size) */
	unsigned char *flagged;
	iris_snowball_finder *finder;
	const iris_snowball *found;
	size_t nfound;
} scene;

static uint64_t random_state = 7;

static double uniform(void) /* splitmix64, (0, 1) */
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return ((double)(z >> 11) + 0.5) / 9007199254740992.0;
}

static double between(double low, double high)
{
	return low + (high - low) * uniform();
}

static double normal(void)
{
	return sqrt(-2.0 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static void open_scene(scene *s, size_t size)
{
	*s = (scene){.size = size};
	s->event = calloc(MOST, sizeof(*s->event));
	s->affected = calloc(size * size, 1);
	s->flagged = calloc(size * size, 1);
	if (s->event == NULL || s->affected == NULL || s->flagged == NULL
	    || iris_snowball_create(&s->finder, size, size, MOST, FOUND)
	    != IRIS_OK)
		abort();
}

static void close_scene(scene *s)
{
	free(s->event);
	free(s->affected);
	free(s->flagged);
	iris_snowball_destroy(s->finder);
}

static void put(scene *s, uint32_t read, size_t y, size_t x, double charge)
{
	const bool full = charge >= WELL;

	if (s->nevent >= MOST || y < BORDER || x < BORDER
	    || y >= s->size - BORDER || x >= s->size - BORDER)
		return;
	s->event[s->nevent++] = (iris_event){
		.read = read,
		.y = (uint32_t)y,
		.x = (uint32_t)x,
		.kind = full ? IRIS_EVENT_SATURATION : IRIS_EVENT_JUMP,
		.amplitude = full ? NAN : (float)charge,
		.sigma = full ? NAN : (float)(charge / NOISE),
	};
}

static double charge_at(const deposit *d, double y, double x)
{
	const double dy = y - d->y, dx = x - d->x;
	const double u = cos(d->angle) * dx + sin(d->angle) * dy;
	const double v = (cos(d->angle) * dy - sin(d->angle) * dx) / d->ratio;
	const double r = sqrt(u * u + v * v);
	const double scale = d->scale * (1.0 + (r > 0.0 ? d->skew * u / r
						: 0.0));

	switch (d->profile) {
	case GAUSSIAN:
		return d->peak * exp(-0.5 * r * r / scale / scale);
	case EXPONENTIAL:
		return d->peak * exp(-r / scale);
	default: /* full to 4 scales, then a steep edge */
		return d->peak * exp(-fmax(r - 4.0 * scale, 0.0)
				     / (0.3 * scale));
	}
}

typedef void visit(scene *s, deposit *d, size_t y, size_t x, double charge);

static void for_each_pixel(scene *s, deposit *d, visit *what)
{
	const long last = (long)s->size - 1 - BORDER;
	const long cy = lround(d->y), cx = lround(d->x);
	long y, x;

	for (y = cy - FIELD; y <= cy + FIELD; y++)
		for (x = cx - FIELD; x <= cx + FIELD; x++)
			if (y >= BORDER && x >= BORDER && y <= last
			    && x <= last)
				what(s, d, (size_t)y, (size_t)x,
				     charge_at(d, (double)y, (double)x));
}

/* Jumps of their own, which need no ellipse. */
static bool is_trail(const deposit *d, double y, double x)
{
	const double dy = y - d->y, dx = x - d->x;
	const double along = cos(d->angle) * dx + sin(d->angle) * dy;

	return along > 0.0 && along < d->trail
		&& fabs(cos(d->angle) * dy - sin(d->angle) * dx) < 0.8;
}

static void expose(scene *s, deposit *d, size_t y, size_t x, double charge)
{
	const bool trail = is_trail(d, (double)y, (double)x);
	const double seen = charge + NOISE * normal() + (trail ? 3e3 : 0.0);

	if (charge < 0.01 * NOISE && !trail)
		return;
	if (charge >= WELL || seen >= LIMIT * NOISE)
		put(s, d->read, y, x, charge >= WELL ? charge
		    : fmin(seen, 0.99 * WELL));
	if (charge >= NOISE)
		s->affected[y * s->size + x] = 1;
}

static void count(scene *s, deposit *d, size_t y, size_t x, double charge)
{
	if (charge < NOISE)
		return;
	d->affected++;
	d->flagged += s->flagged[y * s->size + x];
}

static void find(scene *s)
{
	size_t i, y, x, x0, x1;

	s->nfound = iris_snowball_find(s->finder, s->event, s->nevent,
				       &s->found);
	for (i = 0; i < s->nfound; i++)
		for (y = 0; y < s->size; y++) {
			if (!iris_snowball_row(&s->found[i], s->size, s->size,
					       y, &x0, &x1))
				continue;
			for (x = x0; x < x1; x++)
				s->flagged[y * s->size + x] = 1;
		}
}

static size_t false_area(const scene *s)
{
	size_t i, sum = 0;

	for (i = 0; i < s->size * s->size; i++)
		sum += s->flagged[i] && !s->affected[i];
	return sum;
}

typedef struct figures {
	size_t missed;    /* deposits without an ellipse */
	double complete;  /* fraction of the affected area that is flagged */
	double worst;     /* the same for the worst deposit */
	double wrong;     /* false area over the area of the array */
} figures;

static figures measure(scene *s, deposit *d, size_t ndeposit, const char *name)
{
	size_t i, affected = 0, flagged = 0;
	figures f = {.worst = 1.0};

	for (i = 0; i < ndeposit; i++)
		for_each_pixel(s, &d[i], expose);
	find(s);
	for (i = 0; i < ndeposit; i++) {
		double part;

		for_each_pixel(s, &d[i], count);
		affected += d[i].affected;
		flagged += d[i].flagged;
		part = (double)d[i].flagged / (double)d[i].affected;
		f.worst = part < f.worst ? part : f.worst;
		f.missed += part < 0.5;
	}
	f.complete = (double)flagged / (double)affected;
	f.wrong = (double)false_area(s) / (double)(s->size * s->size);
	printf("%-12s %3zu deposits of %5.0f pixels: %.4f of the area (worst "
	       "%.3f), missed %zu, false %.2e\n", name, ndeposit,
	       (double)affected / (double)ndeposit, f.complete, f.worst,
	       f.missed, f.wrong);
	return f;
}

/* Round to slightly elliptical, small and large, in reads 2 to 20. */
static deposit draw_deposit(void)
{
	const profile p = (profile)(3.0 * uniform());
	const double energy = between(log(4.0e5), log(3.0e6)); /* e-, in all */
	const double scale = p == GAUSSIAN ? between(0.9, 3.0)
		: p == EXPONENTIAL ? between(0.55, 1.2) : between(0.6, 2.0);
	const double area = p == PLATEAU ? 50.0 * scale * scale
		: 6.3 * scale * scale;

	return (deposit){
		.read = 2 + (uint32_t)(19.0 * uniform()),
		.profile = p,
		.scale = scale,
		/* the centre of a pixel is always within the core */
		.peak = fmax(exp(energy) / area, 4.0 * WELL),
		.ratio = between(0.7, 1.0),
		.angle = between(0.0, 3.14159),
	};
}

/* On a grid far from the edges and from each other. */
static void spread(deposit *d, size_t n)
{
	const size_t side = (size_t)ceil(sqrt((double)n));
	size_t i;

	for (i = 0; i < n; i++) {
		d[i].y = 300.0 + 160.0 * (double)(i / side) + uniform();
		d[i].x = 300.0 + 160.0 * (double)(i % side) + uniform();
	}
}

/* Ten in one exposure of minutes is what a quiet site never has. */
static void test_snowballs_are_covered(void)
{
	enum { N = 200 };
	static deposit d[N];
	scene s;
	figures f;
	size_t i;

	open_scene(&s, SIZE);
	for (i = 0; i < N; i++)
		d[i] = draw_deposit();
	spread(d, N);
	f = measure(&s, d, N, "round");
	CHECK(f.missed == 0 && s.nfound == N);
	CHECK(f.complete >= 0.99 && f.worst >= 0.95);
	CHECK(f.wrong * 10.0 / N <= 1.0e-4);
	close_scene(&s);
}

static void test_each_profile_and_size(void)
{
	static const struct {
		const char *name;
		deposit d;
	} sort[] = {
		{"smallest", {.profile = GAUSSIAN, .peak = 1.6e5, .scale = 0.9,
			      .ratio = 1.0}},
		{"gaussian 2", {.profile = GAUSSIAN, .peak = 5e5, .scale = 2.0,
				.ratio = 1.0}},
		{"gaussian 5", {.profile = GAUSSIAN, .peak = 1e6, .scale = 5.0,
				.ratio = 1.0}},
		{"expon. 1", {.profile = EXPONENTIAL, .peak = 5e5,
			      .scale = 1.0, .ratio = 1.0}},
		{"expon. 2", {.profile = EXPONENTIAL, .peak = 2e6,
			      .scale = 2.0, .ratio = 1.0}},
		{"plateau 1", {.profile = PLATEAU, .peak = 1e5, .scale = 1.0,
			       .ratio = 1.0}},
		{"plateau 3", {.profile = PLATEAU, .peak = 3e5, .scale = 3.0,
			       .ratio = 1.0}},
		{"ellipse", {.profile = GAUSSIAN, .peak = 1e6, .scale = 3.0,
			     .ratio = 0.5, .angle = 0.6}},
		{"skewed", {.profile = GAUSSIAN, .peak = 1e6, .scale = 2.0,
			    .ratio = 1.0, .angle = 2.0, .skew = 0.35}},
		{"skewed exp.", {.profile = EXPONENTIAL, .peak = 1e6,
				 .scale = 1.2, .ratio = 0.8, .angle = 1.0,
				 .skew = 0.35}},
		{"with a trail", {.profile = GAUSSIAN, .peak = 1e6,
				  .scale = 2.0, .ratio = 1.0, .angle = 0.4,
				  .trail = 40.0}},
	};
	enum { N = 16 };
	deposit d[N];
	size_t k, i;

	for (k = 0; k < sizeof(sort) / sizeof(*sort); k++) {
		scene s;
		figures f;

		open_scene(&s, 1024);
		for (i = 0; i < N; i++) {
			d[i] = sort[k].d;
			d[i].read = 5;
		}
		spread(d, N);
		f = measure(&s, d, N, sort[k].name);
		CHECK(f.missed == 0 && s.nfound == N);
		CHECK(f.complete >= 0.99 && f.worst >= 0.95);
		/* one of them, even the largest, in an exposure */
		CHECK(f.wrong * 1024.0 * 1024.0 / N <= 1e-4 * SIZE * SIZE);
		/* jwst #8516: a trail neither hides nor stretches it */
		for (i = 0; sort[k].d.trail > 0.0 && i < N; i++)
			CHECK(s.found[i].major < 15.0f
			      && s.found[i].major < 1.2f * s.found[i].minor);
		close_scene(&s);
	}
}

/*
 * The centre inside or up to 6 pixels, half of the radius, outside the
 * pixels that see light.  One snowball in fifty is cut by an edge.
 */
static void test_edges_and_corners(void)
{
	enum { N = 80 };
	static deposit d[N];
	const double first = BORDER, last = SIZE - 1 - BORDER;
	scene s;
	figures f;
	size_t i;

	open_scene(&s, SIZE);
	for (i = 0; i < N; i++) {
		const double along = 200.0 + 180.0 * (double)(i / 4);
		double in;

		d[i] = draw_deposit();
		d[i].profile = i % 8 < 4 ? GAUSSIAN : EXPONENTIAL;
		d[i].peak = 8e5;
		d[i].scale = d[i].profile == GAUSSIAN ? 2.5 : 1.2;
		in = between(-6.0, 10.0);
		d[i].y = i % 4 == 0 ? first + in : i % 4 == 1 ? last - in
			: along;
		d[i].x = i % 4 == 2 ? first + in : i % 4 == 3 ? last - in
			: along;
	}
	for (i = 0; i < 4; i++) {
		const double y = between(-1.0, 6.0), x = between(-1.0, 6.0);

		d[i].y = i < 2 ? first + y : last - y;
		d[i].x = i % 2 ? first + x : last - x;
	}
	f = measure(&s, d, N, "edges");
	CHECK(f.missed == 0 && s.nfound == N);
	CHECK(f.complete >= 0.97 && f.worst >= 0.85);
	CHECK(f.wrong * 5.0 / N <= 1.0e-4);
	close_scene(&s);
}

/* #9446 of jwst: jumps near the edge that are neither large nor many. */
static void test_weak_jumps_at_the_edge_are_none(void)
{
	scene s;
	size_t i, y, x;

	open_scene(&s, 512);
	for (i = 0; i < 20; i++) /* a warm patch: mostly weak jumps */
		for (y = 0; y < 6; y++)
			for (x = 0; x < 6; x++)
				put(&s, 3, BORDER + y, 20 + 20 * i + x,
				    (y + x) % 6 ? between(4.5, 9.0) * NOISE
				    : 20.0 * NOISE);
	for (i = 0; i < 20; i++) /* a strong hit with its neighbours */
		for (y = 0; y < 3; y++)
			for (x = 0; x < 3; x++)
				put(&s, 4, 20 + 20 * i + x, BORDER + y,
				    y == 1 && x == 1 ? 5e4 : 700.0);
	for (i = 0; i < 20; i++) /* a track along the edge */
		for (x = 0; x < 14; x++)
			for (y = 0; y < 2; y++)
				put(&s, 5, 500 + y, 20 + 20 * i + x, 2000.0);
	find(&s);
	CHECK(s.nfound == 0);
	/* The same patch, but large jumps: a snowball in the border. */
	s.nevent = 0;
	for (y = 0; y < 6; y++)
		for (x = 0; x < 6; x++)
			put(&s, 3, BORDER + y, 20 + x, 100.0 * NOISE);
	find(&s);
	CHECK(s.nfound == 1);
	s.nevent = 0;
	for (y = 0; y < 6; y++)
		for (x = 0; x < 6; x++)
			put(&s, 3, 2 * BORDER + 2 + y, 20 + x, 100.0 * NOISE);
	find(&s);
	CHECK(s.nfound == 0);
	close_scene(&s);
}

/* Ring after ring of a star passes the full well, without jumps around. */
static void draw_star(scene *s, double y0, double x0, double flux, double fwhm)
{
	long y, x;

	for (y = -25; y <= 25; y++)
		for (x = -25; x <= 25; x++) {
			const double r2 = (double)(y * y + x * x);
			const double rate = flux * pow(1.0 + r2 / fwhm / fwhm,
						       -2.5);
			const double read = ceil(WELL / rate);

			const double at_y = y0 + (double)y, at_x = x0 + (double)x;

			if (read > 1.0 && read <= 20.0 && at_y >= 0.0
			    && at_x >= 0.0)
				put(s, (uint32_t)read, (size_t)at_y,
				    (size_t)at_x, 2.0 * WELL);
		}
}

static void test_saturating_stars_are_none(void)
{
	const double inner = SIZE - 2.0 * BORDER - 1.0;
	scene s;
	size_t i;

	open_scene(&s, SIZE);
	for (i = 0; i < 400; i++)
		draw_star(&s, between(40.0, SIZE - 40.0),
			  between(40.0, SIZE - 40.0),
			  exp(between(log(5e3), log(5e6))),
			  between(1.5, 6.0));
	for (i = 0; i < 40; i++) /* cut by the edge */
		draw_star(&s, BORDER + 1.0 + (double)(i % 8),
			  60.0 + 90.0 * (double)i, 3e5, 3.0);
	/* Two thousand false jumps and hits per read, also among the stars. */
	for (i = 0; i < 40000; i++)
		put(&s, 2 + (uint32_t)(19.0 * uniform()),
		    BORDER + (size_t)(inner * uniform()),
		    BORDER + (size_t)(inner * uniform()),
		    NOISE * 4.5 / uniform());
	find(&s);
	printf("stars: %zu events, %zu found\n", s.nevent, s.nfound);
	CHECK(s.nfound == 0);
	close_scene(&s);
}

/* A track with full pixels on it and leaked charge beside it. */
static void draw_track(scene *s, uint32_t read, double y, double x,
		       double length, double angle)
{
	static double charge[101][101];
	const long cy = lround(y), cx = lround(x);
	long i, j, k;

	memset(charge, 0, sizeof(charge));
	for (k = 0; k <= (long)(10.0 * length); k++) {
		const double along = 0.1 * (double)k - 0.5 * length;
		const long py = lround(50.0 + along * sin(angle));
		const long px = lround(50.0 + along * cos(angle));
		const double step = k % 40 < 12 ? 1.5e4 : 500.0;

		for (i = -1; i <= 1; i++)
			for (j = -1; j <= 1; j++)
				charge[py + i][px + j] += i == 0 && j == 0
					? step : 0.014 * step;
	}
	for (i = 0; i < 101; i++)
		for (j = 0; j < 101; j++)
			if (charge[i][j] >= LIMIT * NOISE)
				put(s, read, (size_t)(cy + i - 50),
				    (size_t)(cx + j - 50), charge[i][j]);
}

static void test_tracks_become_no_discs(void)
{
	scene s;
	size_t i, largest = 0, y, x0, x1;

	open_scene(&s, SIZE);
	for (i = 0; i < 400; i++) {
		const double y0 = 100.0 + 150.0 * (double)(i / 20);
		const double x0_ = 100.0 + 150.0 * (double)(i % 20);

		draw_track(&s, 2 + (uint32_t)(i % 7), y0, x0_,
			   between(10.0, 60.0), between(0.0, 3.14));
		if (i % 10 == 0) /* two that cross */
			draw_track(&s, 2 + (uint32_t)(i % 7), y0, x0_, 60.0,
				   between(0.0, 3.14));
	}
	find(&s);
	for (i = 0; i < s.nfound; i++) {
		size_t area = 0;

		for (y = 0; y < SIZE; y++) {
			(void)iris_snowball_row(&s.found[i], SIZE, SIZE, y,
						&x0, &x1);
			area += x1 - x0;
		}
		largest = area > largest ? area : largest;
	}
	printf("tracks: %zu events, %zu of 440 taken, largest %zu pixels\n",
	       s.nevent, s.nfound, largest);
	CHECK(s.nfound <= 8);
	CHECK(largest < 200);
	close_scene(&s);
}

static deposit plain(uint32_t read, double y, double x)
{
	return (deposit){.read = read, .y = y, .x = x, .profile = GAUSSIAN,
			 .peak = 1e6, .scale = 2.0, .ratio = 1.0};
}

static void test_two_snowballs(void)
{
	deposit apart[] = {plain(4, 100.0, 100.0), plain(4, 110.0, 140.0)};
	deposit later[] = {plain(4, 100.0, 100.0), plain(9, 104.0, 103.0)};
	deposit touching[] = {plain(4, 100.0, 100.0), plain(4, 108.0, 112.0)};
	scene s;
	figures f;

	open_scene(&s, 256);
	f = measure(&s, apart, 2, "apart");
	CHECK(s.nfound == 2 && f.worst >= 0.95);
	CHECK_CLOSE(s.found[0].x, 100.0, 0.5);
	CHECK_CLOSE(s.found[1].x, 140.0, 0.5);
	CHECK(s.found[0].read == 4 && s.found[1].read == 4);
	close_scene(&s);

	open_scene(&s, 256);
	f = measure(&s, later, 2, "one later");
	CHECK(s.nfound == 2 && f.worst >= 0.95);
	CHECK(s.found[0].read == 4 && s.found[1].read == 9);
	CHECK_CLOSE(s.found[1].y, 104.0, 0.5);
	close_scene(&s);

	open_scene(&s, 256);
	f = measure(&s, touching, 2, "touching");
	CHECK(s.nfound >= 1 && f.worst >= 0.95);
	close_scene(&s);
}

/* saturation_grow 1: the pixels next to the core have no events. */
static void test_gap_around_the_core(void)
{
	deposit d = plain(4, 100.3, 99.6);
	scene s;
	size_t i, j, kept = 0;

	open_scene(&s, 256);
	for_each_pixel(&s, &d, expose);
	for (i = 0; i < s.nevent; i++) {
		bool beside = false;

		for (j = 0; j < s.nevent; j++)
			beside |= s.event[j].kind == IRIS_EVENT_SATURATION
				&& labs((long)s.event[j].y
					- (long)s.event[i].y) <= 1
				&& labs((long)s.event[j].x
					- (long)s.event[i].x) <= 1;
		if (s.event[i].kind == IRIS_EVENT_SATURATION || !beside)
			s.event[kept++] = s.event[i];
	}
	CHECK(kept + 8 < s.nevent);
	s.nevent = kept;
	find(&s);
	for_each_pixel(&s, &d, count);
	CHECK(s.nfound == 1);
	CHECK((double)d.flagged >= 0.99 * (double)d.affected);
	close_scene(&s);
}

static void shuffle(scene *s)
{
	size_t i;

	for (i = s->nevent; i > 1; i--) {
		const size_t j = (size_t)((double)i * uniform());
		const iris_event kept = s->event[i - 1];

		s->event[i - 1] = s->event[j];
		s->event[j] = kept;
	}
}

static void test_order_of_events_does_not_matter(void)
{
	iris_snowball first[16];
	deposit d;
	scene s;
	size_t i, n;

	open_scene(&s, 1024);
	for (i = 0; i < 16; i++) {
		d = draw_deposit();
		d.y = 100.0 + 200.0 * (double)(i / 4);
		d.x = 100.0 + 200.0 * (double)(i % 4);
		for_each_pixel(&s, &d, expose);
	}
	find(&s);
	CHECK(s.nfound == 16);
	memcpy(first, s.found, sizeof(first));
	n = s.nevent;
	for (i = 0; i < n; i++) { /* falling jumps all around are no charge */
		s.event[s.nevent] = s.event[i];
		s.event[s.nevent].kind = IRIS_EVENT_JUMP;
		s.event[s.nevent].sigma = -20.0f;
		s.event[s.nevent].x += 6;
		s.event[s.nevent++].amplitude = -20.0f * (float)NOISE;
	}
	for (i = 0; i < n; i += 7) { /* the same pixel and read again */
		s.event[s.nevent] = s.event[i];
		s.event[s.nevent++].sigma += 1.0f;
	}
	find(&s);
	CHECK(s.nfound == 16);
	CHECK(memcmp(first, s.found, sizeof(first)) == 0);
	for (i = 1; i < s.nfound; i++)
		CHECK(first[i].read >= first[i - 1].read);
	for (i = 0; i < 5; i++) {
		shuffle(&s);
		find(&s);
		CHECK(s.nfound == 16);
		CHECK(memcmp(first, s.found, sizeof(first)) == 0);
	}
	close_scene(&s);
}

/* A square core with a square ring. */
static void put_square(scene *s, uint32_t read, size_t y0, size_t core,
		       size_t ring, double sigma)
{
	const size_t side = core + 2 * ring;
	size_t y, x;

	for (y = 0; y < side; y++)
		for (x = 0; x < side; x++)
			put(s, read, y0 + y, 100 + x,
			    y >= ring && y < ring + core && x >= ring
			    && x < ring + core ? WELL : sigma * NOISE);
}

/* Of two jumps of one pixel in one read the larger counts, first or last. */
static void test_doubles(void)
{
	scene s;

	open_scene(&s, 256);
	put_square(&s, 3, 50, 3, 1, 5.0);
	find(&s);
	CHECK(s.nfound == 0);
	put_square(&s, 3, 50, 3, 1, 20.0);
	find(&s);
	CHECK(s.nfound == 1);
	s.nevent = 0;
	put_square(&s, 3, 50, 3, 1, 20.0);
	put_square(&s, 3, 50, 3, 1, 5.0);
	find(&s);
	CHECK(s.nfound == 1);
	close_scene(&s);
}

static void test_small_parts_are_none(void)
{
	scene s;
	size_t y, x, k;

	open_scene(&s, 256);
	/* A saturated hit with eight neighbours; two beside each other. */
	for (y = 0; y < 3; y++)
		for (x = 0; x < 4; x++)
			put(&s, 3, 50 + y, 50 + x,
			    y == 1 && (x == 1 || x == 2) ? WELL : 1500.0);
	/* Three saturated pixels, but eleven in all. */
	for (y = 0; y < 3; y++)
		for (x = 0; x < 4; x++)
			if (y != 2 || x != 3)
				put(&s, 4, 50 + y, 80 + x,
				    (y == 1 && (x == 1 || x == 2))
				    || (y == 0 && x == 1) ? WELL : 1500.0);
	/* A large core with one jump in each direction: a star. */
	put_square(&s, 10, 60, 15, 0, 0.0);
	for (k = 0; k < 8; k++)
		put(&s, 10, (size_t)lround(67.0 + 9.0 * sin(0.4 + 0.785
							     * (double)k)),
		    (size_t)lround(107.0 + 9.0 * cos(0.4 + 0.785
						     * (double)k)), 3000.0);
	/* The same core and ring, but one read later. */
	for (y = 0; y < 7; y++)
		for (x = 0; x < 7; x++) {
			const bool core = y > 1 && y < 5 && x > 1 && x < 5;

			put(&s, core ? 6 : 5, 100 + y, 100 + x,
			    core ? WELL : 3000.0);
		}
	/* A core with a ring that falls instead of rising. */
	k = s.nevent;
	for (y = 0; y < 7; y++)
		for (x = 0; x < 7; x++) {
			const bool core = y > 1 && y < 5 && x > 1 && x < 5;

			put(&s, 7, 150 + y, 150 + x, core ? WELL : 3000.0);
		}
	for (; k < s.nevent; k++) {
		s.event[k].amplitude = -s.event[k].amplitude;
		s.event[k].sigma = -s.event[k].sigma;
	}
	/* A core with jumps on one side only. */
	for (y = 0; y < 7; y++)
		for (x = 0; x < 7; x++)
			put(&s, 8, 200 + y, 200 + x, x < 4 ? WELL : 3000.0);
	find(&s);
	CHECK(s.nfound == 0);
	close_scene(&s);
}

static void test_limits(void)
{
	iris_snowball_finder *finder = NULL;
	const iris_snowball *found = NULL;
	deposit d[3] = {plain(9, 60.0, 60.0), plain(3, 60.0, 150.0),
			plain(5, 150.0, 60.0)};
	scene s;
	size_t i;

	CHECK(iris_snowball_create(NULL, 8, 8, 1, 1) == IRIS_ERROR_NULL);
	CHECK(iris_snowball_create(&finder, 0, 8, 1, 1) == IRIS_ERROR_SHAPE);
	CHECK(iris_snowball_create(&finder, 8, 0, 1, 1) == IRIS_ERROR_SHAPE);
	CHECK(iris_snowball_create(&finder, 1u << 16, 1u << 16, 1, 1)
	      == IRIS_ERROR_SHAPE);
	CHECK(finder == NULL);
	iris_snowball_destroy(NULL);
	open_scene(&s, 256);
	for (i = 0; i < 3; i++)
		for_each_pixel(&s, &d[i], expose);
	CHECK(iris_snowball_find(s.finder, NULL, 0, &found) == 0);
	CHECK(iris_snowball_find(s.finder, s.event, s.nevent, &found) == 3);
	CHECK(found[0].read == 3 && found[1].read == 5 && found[2].read == 9);
	/* What is outside the array or of another kind is no pixel. */
	s.event[s.nevent] = (iris_event){.read = 3, .y = 256, .x = 3};
	s.event[s.nevent + 1] = (iris_event){.read = 3, .y = 3,
					     .x = UINT32_MAX, .kind = 1};
	s.event[s.nevent + 2] = (iris_event){.read = 3, .y = 60, .x = 150,
					     .kind = IRIS_EVENT_SNOWBALL};
	s.event[s.nevent + 3] = (iris_event){.read = UINT32_MAX, .y = 255,
					     .x = 255, .kind = 1};
	CHECK(iris_snowball_find(s.finder, s.event, s.nevent + 4, &found)
	      == 3);
	/* Room for two: the first ones. */
	CHECK(iris_snowball_create(&finder, 256, 256, MOST, 2) == IRIS_OK);
	CHECK(iris_snowball_find(finder, s.event, s.nevent, &found) == 2);
	CHECK(found[0].read == 3 && found[1].read == 5);
	iris_snowball_destroy(finder);
	/* Room for the events of the first deposit, or for nothing. */
	CHECK(iris_snowball_create(&finder, 256, 256, s.nevent / 3, 9)
	      == IRIS_OK);
	CHECK(iris_snowball_find(finder, s.event, s.nevent, &found) == 1);
	CHECK(found[0].read == 9);
	iris_snowball_destroy(finder);
	CHECK(iris_snowball_create(&finder, 256, 256, 0, 0) == IRIS_OK);
	CHECK(iris_snowball_find(finder, s.event, s.nevent, &found) == 0);
	iris_snowball_destroy(finder);
	close_scene(&s);
}

/* Everything saturates: one component of the whole array, and no snowball. */
static void test_overexposed(void)
{
	scene s;
	size_t y, x;

	open_scene(&s, 512);
	for (y = 0; y < 512; y++)
		for (x = 0; x < 512; x++)
			put(&s, 2, y, x, WELL);
	find(&s);
	CHECK(s.nfound == 0);
	/* The same with jumps: no ellipse larger than the cap. */
	s.nevent = 0;
	for (y = 0; y < 512; y++)
		for (x = 0; x < 512; x++)
			put(&s, 2, y, x, (y - 256) * (y - 256) < 2500
			    ? WELL : 3000.0);
	find(&s);
	for (y = 0; y < s.nfound; y++)
		CHECK(s.found[y].major <= 40.0f);
	close_scene(&s);
}

/* Inside: the distances from the two foci add up to less than 2 major. */
static bool is_inside(const iris_snowball *b, double y, double x)
{
	const double major = (double)b->major, minor = (double)b->minor;
	const double focus = sqrt(major * major - minor * minor);
	const double fy = focus * sin((double)b->angle);
	const double fx = focus * cos((double)b->angle);
	const double dy = y - (double)b->y, dx = x - (double)b->x;

	return hypot(dy - fy, dx - fx) + hypot(dy + fy, dx + fx)
		<= 2.0 * major;
}

static void test_rows_of_an_ellipse(void)
{
	enum { NY = 40, NX = 50 };
	size_t k, y, x, x0, x1;

	for (k = 0; k < 2000; k++) {
		const double major = between(0.3, 25.0);
		const iris_snowball b = {
			.y = (float)between(-20.0, NY + 20.0),
			.x = (float)between(-20.0, NX + 20.0),
			.major = (float)major,
			.minor = (float)(major * between(0.2, 1.0)),
			.angle = (float)between(-4.0, 4.0),
		};

		for (y = 0; y < NY; y++) {
			const bool some = iris_snowball_row(&b, NY, NX, y, &x0,
							    &x1);
			CHECK(some == (x0 < x1) && x1 <= NX);
			CHECK(some || (x0 == 0 && x1 == 0));
			for (x = 0; x < NX; x++)
				CHECK((x >= x0 && x < x1)
				      == is_inside(&b, (double)y, (double)x));
		}
		CHECK(!iris_snowball_row(&b, NY, NX, NY, &x0, &x1));
	}
}

int main(void)
{
	test_snowballs_are_covered();
	test_each_profile_and_size();
	test_edges_and_corners();
	test_weak_jumps_at_the_edge_are_none();
	test_saturating_stars_are_none();
	test_tracks_become_no_discs();
	test_two_snowballs();
	test_gap_around_the_core();
	test_order_of_events_does_not_matter();
	test_doubles();
	test_small_parts_are_none();
	test_limits();
	test_overexposed();
	test_rows_of_an_ellipse();
	return failures != 0;
}
