/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snowballs among the events of a ramp.
 *
 * The pixels with an event are sorted by read, y and x (radix sort), and those
 * of one read that touch are joined to components (union-find).  A component
 * with a saturated core inside a ring of strong jumps is a snowball; so is one
 * of strong jumps at the edge of the array, beyond which the core may lie.
 * The work goes with the number of events, never with the size of the array.
 *
 * An ellipse is fitted by second moments, beginning at the core and taking in
 * what lies around it until nothing is added: a trail of jumps that leads away
 * from a snowball does not draw it out.
 */
#include "snowball.h"

#include <math.h>
#include <stdlib.h>

enum {
	/*
	 * Pixels of a component.  Muons hit 8 to 12 pixels of HgCdTe arrays
	 * with a cutoff of 10 um, one saturated hit with its eight neighbours
	 * (capacitive coupling) makes 9, and snowballs of WFC3 affect 11 to 34
	 * ("Snowballs in the WFC3-IR channel: characterization", 2009).
	 */
	MIN_AREA = 12,
	/*
	 * Saturated pixels.  Three full wells are 2e5 to 3e5 e-, the charge of
	 * the faintest snowballs of WFC3 (2e5 to 9e5 e-).
	 */
	MIN_CORE = 3,
	/*
	 * Pixels of a component with a smaller core or, at the edge, without
	 * one: clear of muons, and of one hit of 1e7 e- whose charge couples
	 * to pixels up to two away (21).
	 */
	MIN_WIDE_AREA = 25,
	/*
	 * Distance from the edge of the array at which a component touches it:
	 * reference pixels, up to four on each side, have no events.
	 */
	EDGE = 4,
	/*
	 * A star that saturates has no jumps around.  The ring has as many
	 * pixels as the core or more for a Gaussian or exponential profile
	 * between full well (1e5 e-) and threshold (5e1 e-); a ring one pixel
	 * wide around a core of 8 pixels radius still has a quarter.
	 */
	MIN_RING_SHARE = 4,  /* at least core / 4 jumps */
	MIN_STRONG_SHARE = 3, /* at least a third of the jumps is strong */
	/* Eighths of the full circle around the core that have jumps. */
	MIN_OCTANTS = 6,
	MAX_PASSES = 32,
	DIGIT = 11, /* bits sorted by in one pass */
	RADIX = 1 << DIGIT
};

/*
 * Strong jumps: twice the threshold and more.  Between full well and threshold
 * (4.5 sigma) an exponential profile of 1e5 e- passes 10 sigma at 90 % of its
 * radius, and false jumps are hardly ever so large.
 */
static const double STRONG_SIGMA = 10.0;

/*
 * Longest axis over shortest.  Two equal snowballs that touch have 2.24, a
 * segment of a third of the radius, mirrored at the edge, 2.4; a track three
 * pixels wide has more when it is longer than nine.
 */
static const double MAX_ELONGATION = 3.0;

/*
 * Pixels with an event over the area of the ellipse: crossed tracks have 0.3,
 * a small snowball with a gap around its core 0.7.
 */
static const double MIN_FILL = 0.5;

/*
 * The halo.  Affected is what has more than one sigma, and the jumps end at
 * 4.5: an exponential profile with peak A and threshold T reaches further by
 * ln 4.5 / ln(A / T) of its radius, 0.22 for A / T = 1000, a Gaussian one by
 * 0.10.  The rest of the 0.3 (an area times 1.7) is for snowballs that are no
 * ellipses.  The growth is the same along both axes.  At the edge without a
 * core, where only a segment is seen, it is half of the radius of that.
 */
static const double GROWTH = 0.3;
static const double EDGE_GROWTH = 0.5;
static const double MIN_GROWTH = 1.0; /* pixels */

/*
 * Semi-axis, pixels: snowballs affect hundreds of pixels (Regan 2023), and no
 * error shall mask more than 5000, 3e-4 of a 4096 x 4096 array.
 */
static const double MAX_RADIUS = 40.0;

/* A pixel with an event, in the order of its key. */
typedef struct node {
	uint64_t key;   /* ((read ny + y) nx + x) 2 + (1 for a jump) */
	uint32_t event;
	uint32_t link;  /* towards the first node of the component */
} node;

struct iris_snowball_finder {
	size_t ny, nx, max_events, max_snowballs;
	node *node, *spare; /* spare: scratch of the sort, then the chains */
	size_t nnode;
	const iris_event *events;
	iris_snowball *found;
};

/* What decides whether a component is a snowball. */
typedef struct component {
	size_t first;              /* node */
	size_t area, core, strong; /* pixels */
	uint32_t y0, y1, x0, x1;   /* first and last row and column */
	double core_y, core_x;     /* centre of the saturated pixels */
	bool low_y, high_y, low_x, high_x; /* touches these edges */
} component;

typedef struct ellipse {
	double y, x, major, minor, cosine, sine;
	size_t count; /* pixels it was fitted to */
} ellipse;

iris_status iris_snowball_create(iris_snowball_finder **finder, size_t ny,
				 size_t nx, size_t max_events,
				 size_t max_snowballs)
{
	const size_t least = max_events > 0 ? max_events : 1;
	iris_snowball_finder *f;

	if (finder == NULL)
		return IRIS_ERROR_NULL;
	*finder = NULL;
	/* Keys have 32 bits for the read and 31 for the pixel. */
	if (ny == 0 || nx == 0 || ny > (size_t)INT32_MAX / nx)
		return IRIS_ERROR_SHAPE;
	if (max_events >= UINT32_MAX)
		return IRIS_ERROR_OPTION;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return IRIS_ERROR_MEMORY;
	f->ny = ny;
	f->nx = nx;
	f->max_events = max_events;
	f->max_snowballs = max_snowballs;
	f->node = calloc(least, sizeof(*f->node));
	f->spare = calloc(least, sizeof(*f->spare));
	f->found = calloc(max_snowballs > 0 ? max_snowballs : 1,
			  sizeof(*f->found));
	if (f->node == NULL || f->spare == NULL || f->found == NULL) {
		iris_snowball_destroy(f);
		return IRIS_ERROR_MEMORY;
	}
	*finder = f;
	return IRIS_OK;
}

void iris_snowball_destroy(iris_snowball_finder *finder)
{
	if (finder == NULL)
		return;
	free(finder->node);
	free(finder->spare);
	free(finder->found);
	free(finder);
}

static const iris_event *event_of(const iris_snowball_finder *f, size_t n)
{
	return &f->events[f->node[n].event];
}

/* Row and column by the key: the events themselves lie scattered in memory. */
static uint32_t row_of(const iris_snowball_finder *f, size_t n)
{
	return (uint32_t)((f->node[n].key >> 1) / f->nx % f->ny);
}

static uint32_t column_of(const iris_snowball_finder *f, size_t n)
{
	return (uint32_t)((f->node[n].key >> 1) % f->nx);
}

static bool is_jump(const iris_snowball_finder *f, size_t n)
{
	return f->node[n].key & 1;
}

/* Falling jumps are no charge; what is not in the array has no place. */
static bool is_wanted(const iris_snowball_finder *f, const iris_event *e)
{
	if (e->y >= f->ny || e->x >= f->nx)
		return false;
	return e->kind == IRIS_EVENT_SATURATION
		|| (e->kind == IRIS_EVENT_JUMP && e->amplitude > 0.0f);
}

/* Keys of the wanted events; the bits to sort by: 0 where they are sorted. */
static uint64_t collect(iris_snowball_finder *f, size_t nevent)
{
	uint64_t any = 0, all = UINT64_MAX;
	bool sorted = true;
	size_t i, n = 0;

	for (i = 0; i < nevent && i < f->max_events; i++) {
		const iris_event *e = &f->events[i];
		const uint64_t row = (uint64_t)e->read * f->ny + e->y;

		if (!is_wanted(f, e))
			continue;
		f->node[n].key = (row * f->nx + e->x) * 2
			+ (e->kind == IRIS_EVENT_JUMP);
		f->node[n].event = (uint32_t)i;
		sorted &= n == 0 || f->node[n - 1].key <= f->node[n].key;
		any |= f->node[n].key;
		all &= f->node[n].key;
		n++;
	}
	f->nnode = n;
	return sorted ? 0 : any & ~all;
}

/* One stable pass of a radix sort, from node to spare, which change places. */
static void sort_digit(iris_snowball_finder *f, unsigned shift)
{
	node *from = f->node;
	size_t start[RADIX] = {0};
	size_t i, sum = 0;

	for (i = 0; i < f->nnode; i++)
		start[(from[i].key >> shift) % RADIX]++;
	for (i = 0; i < RADIX; i++) {
		const size_t count = start[i];

		start[i] = sum;
		sum += count;
	}
	for (i = 0; i < f->nnode; i++)
		f->spare[start[(from[i].key >> shift) % RADIX]++] = from[i];
	f->node = f->spare;
	f->spare = from;
}

/*
 * One node for each pixel and read.  Saturation, sorted before a jump, wins;
 * of two jumps the larger, so that the order of the events does not matter.
 */
static void drop_doubles(iris_snowball_finder *f)
{
	size_t i, n = 0;

	for (i = 0; i < f->nnode; i++) {
		node *kept = n > 0 ? &f->node[n - 1] : NULL;

		if (kept == NULL || kept->key >> 1 != f->node[i].key >> 1)
			f->node[n++] = f->node[i];
		else if (kept->key & 1
			 && f->events[f->node[i].event].sigma
			 > f->events[kept->event].sigma)
			kept->event = f->node[i].event;
	}
	f->nnode = n;
}

static void sort(iris_snowball_finder *f, uint64_t bits)
{
	unsigned shift;

	for (shift = 0; shift < 64; shift += DIGIT)
		if ((bits >> shift) % RADIX != 0)
			sort_digit(f, shift);
	drop_doubles(f);
}

static size_t root_of(iris_snowball_finder *f, size_t n)
{
	node *all = f->node;

	while (all[n].link != n) {
		all[n].link = all[all[n].link].link;
		n = all[n].link;
	}
	return n;
}

static void join(iris_snowball_finder *f, size_t a, size_t b)
{
	size_t ra, rb;

	if (f->node[a].link == f->node[b].link)
		return;
	ra = root_of(f, a);
	rb = root_of(f, b);
	if (ra < rb)
		f->node[rb].link = (uint32_t)ra;
	else
		f->node[ra].link = (uint32_t)rb;
}

/*
 * Join node n, in column x, with those `dy` rows above and up to two columns
 * off, from node m on.  Neighbours touch, also at a corner; between a core and
 * its ring one pixel may be missing: pixels next to a saturated one may be cut
 * without an event (saturation_grow).
 */
static void join_row(iris_snowball_finder *f, size_t n, uint32_t x, size_t m,
		     size_t dy)
{
	const uint64_t above = (f->node[n].key >> 1) - dy * f->nx;

	for (; m < n && f->node[m].key >> 1 <= above + 2; m++) {
		const int64_t dx = (int64_t)((f->node[m].key >> 1) - above);
		const int64_t column = (int64_t)x + dx;
		const int reach = is_jump(f, m) != is_jump(f, n) ? 2 : 1;

		if (column >= 0 && column < (int64_t)f->nx
		    && dx >= -reach && dx <= reach && dy <= (size_t)reach)
			join(f, m, n);
	}
}

/*
 * Join all that touch.  cursor[dy] runs along behind node n, `dy` rows above:
 * one pass over the nodes.
 */
static void connect(iris_snowball_finder *f)
{
	size_t cursor[3] = {0, 0, 0};
	size_t n, dy;

	for (n = 0; n < f->nnode; n++) {
		const uint64_t here = f->node[n].key >> 1;
		const uint32_t y = row_of(f, n), x = column_of(f, n);

		f->node[n].link = (uint32_t)n;
		/* further up lies the read before */
		for (dy = 0; dy < 3 && dy <= y; dy++) {
			while (cursor[dy] < n && (f->node[cursor[dy]].key >> 1)
			       + dy * f->nx + 2 < here)
				cursor[dy]++;
			join_row(f, n, x, cursor[dy], dy);
		}
	}
}

/*
 * Chain the nodes of each component, from its first one on: spare.event is the
 * next node, or 0, and spare.link of the first node is the last one.
 */
static void chain(iris_snowball_finder *f)
{
	size_t n;

	for (n = 0; n < f->nnode; n++) {
		const size_t root = root_of(f, n);

		f->spare[n].event = 0;
		if (root != n)
			f->spare[f->spare[root].link].event = (uint32_t)n;
		f->spare[root].link = (uint32_t)n;
	}
}

/* The next node of the component, or 0 after the last. */
static size_t next_of(const iris_snowball_finder *f, size_t n)
{
	return f->spare[n].event;
}

/* Pixels of a component; false where there are too few for a snowball. */
static bool is_large(const iris_snowball_finder *f, component *c)
{
	size_t n = c->first;

	do {
		c->area++;
		c->core += !is_jump(f, n);
		n = next_of(f, n);
	} while (n != 0);
	return c->area >= MIN_AREA
		&& (c->area - c->core) * MIN_RING_SHARE >= c->core;
}

static void extend(component *c, uint32_t y, uint32_t x)
{
	c->y0 = y < c->y0 ? y : c->y0;
	c->y1 = y > c->y1 ? y : c->y1;
	c->x0 = x < c->x0 ? x : c->x0;
	c->x1 = x > c->x1 ? x : c->x1;
}

static void describe(const iris_snowball_finder *f, component *c)
{
	size_t n = c->first;

	do {
		const iris_event *e = event_of(f, n);

		extend(c, e->y, e->x);
		if (is_jump(f, n)) {
			c->strong += (double)e->sigma >= STRONG_SIGMA;
		} else {
			c->core_y += (double)e->y / (double)c->core;
			c->core_x += (double)e->x / (double)c->core;
		}
		n = next_of(f, n);
	} while (n != 0);
	c->low_y = c->y0 <= EDGE;
	c->low_x = c->x0 <= EDGE;
	c->high_y = c->y1 + EDGE + 1 >= f->ny;
	c->high_x = c->x1 + EDGE + 1 >= f->nx;
}

/* Which eighth of the circle a direction lies in: 0 and 7 are next to +x. */
static unsigned octant_of(double dy, double dx)
{
	const bool steep = fabs(dy) > fabs(dx);
	const unsigned quarter = dx >= 0.0 ? steep : 3 - steep;

	return dy >= 0.0 ? quarter : 7 - quarter;
}

/* Octants around the core with jumps; beyond an edge there may be any. */
static unsigned count_octants(const iris_snowball_finder *f,
			      const component *c)
{
	unsigned seen = 0, count = 0;
	size_t n = c->first;

	do {
		const iris_event *e = event_of(f, n);

		if (is_jump(f, n))
			seen |= 1u << octant_of((double)e->y - c->core_y,
						(double)e->x - c->core_x);
		n = next_of(f, n);
	} while (n != 0);
	seen |= c->high_x ? 1u << 0 | 1u << 7 : 0;
	seen |= c->high_y ? 1u << 1 | 1u << 2 : 0;
	seen |= c->low_x ? 1u << 3 | 1u << 4 : 0;
	seen |= c->low_y ? 1u << 5 | 1u << 6 : 0;
	for (; seen != 0; seen &= seen - 1)
		count++;
	return count;
}

static bool has_core(const component *c)
{
	return c->core >= MIN_CORE || (c->core > 0
				       && c->area >= MIN_WIDE_AREA);
}

static bool touches(const component *c)
{
	return c->low_y || c->high_y || c->low_x || c->high_x;
}

/*
 * A core in a ring of jumps; or, at the edge, jumps that are large for the
 * most part.  Without a core, a lower demand masks the edges of every ramp.
 */
static bool is_candidate(const iris_snowball_finder *f, const component *c)
{
	if (c->strong * MIN_STRONG_SHARE < c->area - c->core)
		return false;
	if (has_core(c))
		return count_octants(f, c) >= MIN_OCTANTS;
	return touches(c) && c->area >= MIN_WIDE_AREA;
}

/* Sums over pixels, relative to the first pixel of the component. */
typedef struct sums {
	double n, y, x, yy, yx, xx;
} sums;

static void add(sums *s, double y, double x)
{
	s->n += 1.0;
	s->y += y;
	s->x += x;
	s->yy += y * y;
	s->yx += y * x;
	s->xx += x * x;
}

static bool is_inside(const ellipse *e, double y, double x)
{
	const double dy = y - e->y, dx = x - e->x;
	const double u = (e->cosine * dx + e->sine * dy) / e->major;
	const double v = (e->cosine * dy - e->sine * dx) / e->minor;

	return u * u + v * v <= 1.0;
}

/* Lines about which what is seen is mirrored. */
typedef struct mirror {
	bool y, x;
	double at_y, at_x;
} mirror;

/*
 * Where a snowball is cut by the edge near its middle, or its core lies
 * beyond, the rest of it is taken for the mirror image of what is seen.
 */
static mirror mirror_of(const component *c)
{
	const double height = (double)c->y1 - (double)c->y0 + 1.0;
	const double width = (double)c->x1 - (double)c->x0 + 1.0;
	const bool core = has_core(c);
	mirror m = {.at_y = c->low_y ? (double)c->y0 - 0.5
			    : (double)c->y1 + 0.5,
		    .at_x = c->low_x ? (double)c->x0 - 0.5
			    : (double)c->x1 + 0.5};

	m.y = (c->low_y || c->high_y)
		&& (!core || 3.0 * fabs(c->core_y - m.at_y) < height);
	m.x = (c->low_x || c->high_x)
		&& (!core || 3.0 * fabs(c->core_x - m.at_x) < width);
	return m;
}

/*
 * The ellipse of even density with these moments: semi-axes are twice the
 * dispersions along them.  A pixel adds its own width, 1/12 of variance.
 */
static ellipse fit(const sums *s, const mirror *m, double y0, double x0)
{
	double y = s->y / s->n, x = s->x / s->n;
	double yy = s->yy / s->n - y * y + 1.0 / 12.0;
	double xx = s->xx / s->n - x * x + 1.0 / 12.0;
	double yx = s->yx / s->n - y * x;
	double mean, half, angle;

	if (m->y) {
		yy += (y + y0 - m->at_y) * (y + y0 - m->at_y);
		y = m->at_y - y0;
		yx = 0.0;
	}
	if (m->x) {
		xx += (x + x0 - m->at_x) * (x + x0 - m->at_x);
		x = m->at_x - x0;
		yx = 0.0;
	}
	mean = 0.5 * (yy + xx);
	half = sqrt(0.25 * (xx - yy) * (xx - yy) + yx * yx);
	angle = 0.5 * atan2(2.0 * yx, xx - yy);
	return (ellipse){
		.y = y + y0,
		.x = x + x0,
		.major = 2.0 * sqrt(mean + half),
		.minor = 2.0 * sqrt(fmax(mean - half, 1.0 / 12.0)),
		.cosine = cos(angle),
		.sine = sin(angle),
		.count = (size_t)s->n,
	};
}

/*
 * Fit to the core, or to all pixels where there is none; then, again and
 * again, to all pixels not much further out than the ellipse before.
 */
static ellipse fit_component(const iris_snowball_finder *f,
			     const component *c)
{
	const iris_event *first = event_of(f, c->first);
	const double y0 = (double)first->y, x0 = (double)first->x;
	const mirror m = mirror_of(c);
	ellipse e = {0};
	int pass;

	for (pass = 0; pass < MAX_PASSES; pass++) {
		ellipse reach = e;
		sums s = {0};
		size_t n = c->first;

		/* two pixels further: across the gap around a core */
		reach.major = 1.25 * e.major + 2.0;
		reach.minor = 1.25 * e.minor + 2.0;
		do {
			const iris_event *p = event_of(f, n);
			const double y = (double)p->y, x = (double)p->x;
			const bool start = !is_jump(f, n) || !has_core(c);

			if (pass == 0 ? start : is_inside(&reach, y, x))
				add(&s, y - y0, x - x0);
			n = next_of(f, n);
		} while (n != 0);
		if (s.n < 1.0 || (size_t)s.n == e.count)
			break;
		e = fit(&s, &m, y0, x0);
	}
	return e;
}

/* The ellipse to mask, or false where it is none of a snowball. */
static bool measure(const iris_snowball_finder *f, const component *c,
		    iris_snowball *found)
{
	const mirror m = mirror_of(c);
	const ellipse e = fit_component(f, c);
	const double size = sqrt(e.major * e.minor);
	const double area = 3.14159265358979 * e.major * e.minor
		/ (m.y ? 2.0 : 1.0) / (m.x ? 2.0 : 1.0);
	const double growth = has_core(c) ? GROWTH : EDGE_GROWTH;
	const double more = fmax(growth * size, MIN_GROWTH);

	if (e.count < MIN_AREA || e.major > MAX_ELONGATION * e.minor
	    || (double)e.count < MIN_FILL * area)
		return false;
	*found = (iris_snowball){
		.read = event_of(f, c->first)->read,
		.y = (float)e.y,
		.x = (float)e.x,
		.major = (float)fmin(e.major + more, MAX_RADIUS),
		.minor = (float)fmin(e.minor + more, MAX_RADIUS),
		.angle = (float)atan2(e.sine, e.cosine),
	};
	return true;
}

size_t iris_snowball_find(iris_snowball_finder *finder,
			  const iris_event *events, size_t nevent,
			  const iris_snowball **found)
{
	size_t n, count = 0;

	*found = finder->found;
	finder->events = events;
	sort(finder, collect(finder, nevent));
	connect(finder);
	chain(finder);
	for (n = 0; n < finder->nnode && count < finder->max_snowballs; n++) {
		component c = {.first = n, .y0 = UINT32_MAX,
			       .x0 = UINT32_MAX};

		if (finder->node[n].link != n || !is_large(finder, &c))
			continue;
		describe(finder, &c);
		if (is_candidate(finder, &c)
		    && measure(finder, &c, &finder->found[count]))
			count++;
	}
	return count;
}

bool iris_snowball_row(const iris_snowball *snowball, size_t ny, size_t nx,
		       size_t y, size_t *x0, size_t *x1)
{
	const double c = cos((double)snowball->angle);
	const double s = sin((double)snowball->angle);
	const double a = 1.0 / ((double)snowball->major
				* (double)snowball->major);
	const double b = 1.0 / ((double)snowball->minor
				* (double)snowball->minor);
	const double dy = (double)y - (double)snowball->y;
	/* xx dx^2 + 2 xy dx dy + yy dy^2 <= 1 inside */
	const double xx = a * c * c + b * s * s;
	const double xy = (a - b) * s * c;
	const double yy = a * s * s + b * c * c;
	const double square = xy * xy * dy * dy - xx * (yy * dy * dy - 1.0);
	double middle, half, first, last;

	*x0 = *x1 = 0;
	if (y >= ny || !(square >= 0.0))
		return false;
	middle = (double)snowball->x - xy * dy / xx;
	half = sqrt(square) / xx;
	first = fmax(ceil(middle - half), 0.0);
	last = fmin(floor(middle + half), (double)nx - 1.0);
	if (!(first <= last))
		return false;
	*x0 = (size_t)first;
	*x1 = (size_t)last + 1;
	return true;
}
