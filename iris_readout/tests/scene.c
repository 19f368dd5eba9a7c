/* SPDX-License-Identifier: BSD-3-Clause */
#include "scene.h"

#include "guard.h"
#include "numbers.h"

enum { BASE = 1000, SATURATED = 60000, BEYOND = 35000, NKIND = 16 };

/* What happens to a pixel, by its number. */
enum kind { SATURATES, IS_ZERO, LEAVES, IS_HIT, SATURATES_FIRST, IS_DARK };

static float *map_of(size_t size, double low, double high, numbers *n)
{
	float *map = guarded(size * sizeof(*map));
	size_t i;

	for (i = 0; i < size; i++)
		map[i] = (float)(low + (high - low) * uniform(n));
	return map;
}

static void set_maps(scene *s, size_t size, numbers *n)
{
	iris_options *o = &s->options;
	float *gain, *noise, *level;

	if (!(s->features & SCENE_MAPS))
		return;
	o->gain.map = gain = map_of(size, 1.5, 3.0, n);
	o->read_noise.map = noise = map_of(size, 7.0, 12.0, n);
	o->saturation.map = level = map_of(size, 4e4, 5e4, n);
	if (!(s->features & SCENE_BAD))
		return;
	for (size_t i = 0; i < size / 8; i++) {
		gain[below(n, (uint32_t)size)] = i % 2 ? NAN : -1.0f;
		noise[below(n, (uint32_t)size)] = i % 2 ? 0.0f : INFINITY;
		level[below(n, (uint32_t)size)] = i % 2 ? NAN : 1e9f;
	}
	if (size < 8) /* one good pixel is needed */
		gain[0] = noise[0] = 9.0f;
}

static void set_bad_pixels(scene *s, size_t size, numbers *n)
{
	uint32_t *dq = guarded(size * sizeof(*dq));

	for (size_t i = 0; i < size / 8; i++)
		dq[below(n, (uint32_t)size)] = i % 2
			? IRIS_DQ_MASK(IRIS_DQ_DEAD)
			| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)
			: IRIS_DQ_MASK(IRIS_DQ_WARM);
	s->options.bad_pixels = s->features & SCENE_BAD ? dq : NULL;
}

static void set_linearity(scene *s, size_t size, numbers *n)
{
	static const float plain[] = {3.0f, 1.0f, 1e-6f, 2e-11f};
	float *coeffs, *limit = NULL;

	if (!(s->features & SCENE_LINEARITY))
		return;
	coeffs = guarded(4 * size * sizeof(*coeffs));
	for (size_t i = 0; i < 4 * size; i++)
		coeffs[i] = plain[i / size] * (float)(0.99 + 0.02 * uniform(n));
	if (s->features & SCENE_BAD)
		for (size_t i = 0; i < size / 8; i++)
			coeffs[below(n, 4 * (uint32_t)size)] = NAN;
	if (s->features & SCENE_LIMIT)
		limit = map_of(size, 25000.0, 30000.0, n);
	s->options.linearity = (iris_linearity){4, coeffs, limit,
		map_of(size, 400.0, 600.0, n)};
}

static void set_regions(scene *s)
{
	static const iris_window guides[] = {{1, 2, 2, 3}, {100, 0, 4, 4},
					     {0, 40, 1, 30}};
	iris_options *o = &s->options;

	if (s->features & SCENE_WINDOW) {
		o->map_y = 3;
		o->map_x = 1;
		o->map_ny = o->ny + 5;
		o->map_nx = o->nx + 4;
	}
	if (s->features & SCENE_GUIDES) {
		o->nguide = 3;
		o->guide = guides;
		o->guide_margin = 1;
	}
	if (s->features & SCENE_GROW)
		o->saturation_grow = 1;
}

static bool happens(const scene *s, size_t pixel, enum kind kind)
{
	static const unsigned needs[] = {
		[SATURATES] = SCENE_SATURATED, [IS_ZERO] = SCENE_SATURATED,
		[LEAVES] = SCENE_LIMIT, [IS_HIT] = SCENE_HITS,
		[SATURATES_FIRST] = SCENE_SATURATED,
	};

	return pixel * 7 % NKIND == kind
		&& (kind == IS_DARK || (s->features & needs[kind]));
}

/* Reads of one pixel. */
static void set_pixel(scene *s, size_t i, numbers *n)
{
	const double light = happens(s, i, IS_DARK) ? 0.0
		: pow(10.0, 2.5 * uniform(n));
	const size_t from = 1 + below(n, (uint32_t)s->nread - 1);
	double hit = 0.0;

	if (happens(s, i, IS_HIT)) {
		s->hit[i] = (uint16_t)from;
		hit = (double)s->amplitude;
	}
	for (size_t k = 0; k < s->nread; k++) {
		double dn = BASE + light * s->reads[k].seconds
			+ 4.0 * (uniform(n) - 0.5) + (k >= from ? hit : 0.0);

		if (k >= from && happens(s, i, SATURATES))
			dn = SATURATED;
		if (k >= from && happens(s, i, LEAVES))
			dn = BEYOND;
		if (k == from && happens(s, i, IS_ZERO))
			dn = 0.0;
		if (happens(s, i, SATURATES_FIRST) && i % 2 == 0)
			dn = k > 0 ? BASE : 65535.0;
		s->native[k][i] = (uint16_t)(dn + 0.5);
	}
}

static void store(const scene *s, size_t k)
{
	for (size_t i = 0; i < s->npixel; i++) {
		const uint16_t v = s->native[k][i];
		unsigned char *b = (unsigned char *)&s->stored[k][i];

		s->stored[k][i] = v;
		if (s->reads[k].order == IRIS_SWAPPED)
			s->stored[k][i] = (uint16_t)(v << 8 | v >> 8);
		if (s->reads[k].order == IRIS_FITS) {
			const uint16_t offset = (uint16_t)(v - 32768u);

			b[0] = (unsigned char)(offset >> 8);
			b[1] = (unsigned char)(offset & 255);
		}
	}
}

static void set_reads(scene *s, numbers *n)
{
	for (size_t k = 0; k < s->nread; k++) {
		iris_read *r = &s->reads[k];

		s->native[k] = guarded(s->npixel * sizeof(uint16_t));
		s->stored[k] = guarded(s->npixel * sizeof(uint16_t));
		*r = (iris_read){
			.counts = s->stored[k],
			.order = (iris_byte_order)(k % 3),
			.seconds = 1.4 + 1.4 * (double)k
				+ 0.2 * (double)(k % 3),
			.weight = s->features & SCENE_WEIGHTS
				? 0.25 * (double)(1 + k % 4) : 1.0,
			.dropped = s->features & SCENE_DROPPED
				&& (k == 0 || k == 3),
		};
	}
	for (size_t i = 0; i < s->npixel; i++)
		set_pixel(s, i, n);
	for (size_t k = 0; k < s->nread; k++)
		store(s, k);
}

void scene_make(scene *s, size_t ny, size_t nx, size_t nread,
		unsigned features, uint64_t seed)
{
	numbers n = {seed};
	size_t size;

	*s = (scene){.npixel = ny * nx, .nread = nread, .features = features,
		     .amplitude = 1500.0f};
	iris_options_init(&s->options, ny, nx);
	s->options.ref_pixels = 0;
	s->options.snowballs = 0;
	s->options.jump_sigma = features & SCENE_HITS ? 4.5 : 0.0;
	s->options.gain.value = 2.0f;
	s->options.read_noise.value = 9.0f;
	s->options.saturation.value = 45000.0f;
	s->hit = guarded(s->npixel * sizeof(*s->hit));
	set_regions(s);
	size = s->options.map_ny > 0
		? s->options.map_ny * s->options.map_nx : s->npixel;
	set_maps(s, size, &n);
	set_bad_pixels(s, size, &n);
	set_linearity(s, size, &n);
	set_reads(s, &n);
}

iris_status scene_push(const scene *s, iris_ramp *ramp, bool swap)
{
	iris_status status = IRIS_OK;

	for (size_t k = 0; k < s->nread && status == IRIS_OK; k++) {
		iris_read r = s->reads[k];

		r.borrowed = (k % 2 == 0) != swap;
		status = iris_ramp_push_read(ramp, &r);
	}
	return status;
}

iris_planes scene_planes(size_t npixel)
{
	return (iris_planes){
		.rate = guarded(npixel * sizeof(float)),
		.var_read = guarded(npixel * sizeof(float)),
		.var_photon = guarded(npixel * sizeof(float)),
		.photon_factor = guarded(npixel * sizeof(float)),
		.chi2 = guarded(npixel * sizeof(float)),
		.dq = guarded(npixel * sizeof(uint32_t)),
		.nused = guarded(npixel * sizeof(uint16_t)),
	};
}
