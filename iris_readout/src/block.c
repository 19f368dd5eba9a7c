/* SPDX-License-Identifier: BSD-3-Clause */
/* One block of pixels: its references before the fit, its planes after it. */
#include "internal.h"

#include <math.h>
#include <string.h>

static const float *staged(const iris_workspace *work, int which)
{
	return work->maps + (size_t)which * IRIS_STAGED
		+ work->block.x % IRIS_STRETCH;
}

/* A map for the lanes of the block, or one value; beyond the row, `fill`. */
static void load_map(const iris_workspace *work, int which,
		     const iris_map *map, float fill, float *lanes)
{
	const size_t count = work->block.count;
	size_t l;

	if (map->map == NULL) {
		for (l = 0; l < IRIS_LANES; l++)
			lanes[l] = map->value;
		return;
	}
	memcpy(lanes, staged(work, which), count * sizeof(*lanes));
	for (l = count; l < IRIS_LANES; l++)
		lanes[l] = fill;
}

static void load_plane(const iris_workspace *work, int which,
		       const float *plane, float fill, float *lanes)
{
	load_map(work, which, &(iris_map){plane, fill}, fill, lanes);
}

static void load_linearity(const iris_ramp *ramp, iris_workspace *work)
{
	const iris_linearity *linearity = &ramp->options.linearity;
	iris_block *block = &work->block;
	size_t c;

	if (linearity->ncoef == 0)
		return;
	for (c = 0; c < linearity->ncoef; c++)
		load_plane(work, IRIS_MAP_COEFF + (int)c, linearity->coeffs,
			   0.0f, block->coeff[c]);
	load_plane(work, IRIS_MAP_LIMIT, linearity->limit, HUGE_VALF,
		   block->limit);
	load_plane(work, IRIS_MAP_PEDESTAL, linearity->pedestal, 0.0f,
		   block->pedestal);
	if (linearity->ncoef == 1)
		memset(block->coeff[1], 0, sizeof(block->coeff[1]));
	ramp->kernels->check_linearity(block, ramp->calibration.ncoef);
}

static void flag_border(const iris_options *o, iris_block *block)
{
	const uint32_t border = IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)
		| IRIS_DQ_MASK(IRIS_DQ_NON_SCIENCE)
		| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	size_t l;

	if (!iris_is_reference(o, block->y, block->x)
	    && !iris_is_reference(o, block->y, block->x + block->count - 1))
		return; /* no block reaches from border to border */
	for (l = 0; l < block->count; l++)
		if (iris_is_reference(o, block->y, block->x + l))
			block->dq[l] |= border;
}

/* Guide windows and their margins. */
static void flag_guides(const iris_options *o, iris_block *block)
{
	const size_t margin = o->guide_margin;
	size_t l, g;

	for (g = 0; g < o->nguide; g++) {
		const iris_window *w = &o->guide[g];

		if (block->y + margin < w->y
		    || block->y >= w->y + w->ny + margin)
			continue;
		for (l = 0; l < block->count; l++)
			if (block->x + l + margin >= w->x
			    && block->x + l < w->x + w->nx + margin)
				block->dq[l] |= IRIS_DQ_MASK(IRIS_DQ_SUBARRAY)
					| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	}
}

/* Variance of the reference correction [DN^2]. */
static void load_extra(const iris_ramp *ramp, const iris_block *block,
		       float *extra)
{
	const iris_calibration *c = &ramp->calibration;
	const float *column, *row;
	size_t l;

	memset(extra, 0, IRIS_LANES * sizeof(*extra));
	if (c->column == NULL)
		return;
	column = iris_refpix_column_variance(ramp->refpix) + block->x;
	memcpy(extra, column, block->count * sizeof(*extra));
	if (c->nrow == 0)
		return;
	row = iris_refpix_row_variance(ramp->refpix) + block->y;
	for (l = 0; l < block->count; l++)
		extra[l] += row[c->nrow > c->ny
				? (block->x + l) / c->width * c->ny : 0];
}

/* Lay the block on pixels (y, x ...) of a row, whose counts are staged. */
void iris_block_place(const iris_ramp *ramp, iris_workspace *work, size_t y,
		      size_t x)
{
	iris_block *block = &work->block;

	block->y = y;
	block->x = x;
	block->count = ramp->options.nx - x < IRIS_LANES
		? ramp->options.nx - x : IRIS_LANES;
	block->origin = work->staged + x % IRIS_STRETCH;
	block->reads = block->origin + IRIS_STAGED;
}

/* References and first flags of the block, which has its place. */
void iris_block_load(const iris_ramp *ramp, iris_workspace *work)
{
	const iris_options *o = &ramp->options;
	iris_block *block = &work->block;
	_Alignas(64) float extra[IRIS_LANES];
	size_t l;

	memset(block->dq, 0, sizeof(block->dq));
	if (o->bad_pixels != NULL)
		memcpy(block->dq, staged(work, IRIS_MAP_DQ),
		       block->count * sizeof(*block->dq));
	for (l = 0; l < IRIS_LANES; l++) {
		block->nusable[l] = IRIS_NEVER;
		block->saturated[l] = IRIS_NEVER;
		block->near_by[l] = IRIS_NEVER;
		block->chi2[l] = NAN;
	}
	memset(block->sum, 0, sizeof(block->sum));
	memset(block->moment, 0, sizeof(block->moment));
	if (o->ref_pixels > 0)
		flag_border(o, block);
	flag_guides(o, block);
	load_map(work, IRIS_MAP_GAIN, &o->gain, 1.0f, block->gain);
	load_map(work, IRIS_MAP_NOISE, &o->read_noise, 1.0f, block->variance);
	load_map(work, IRIS_MAP_LEVEL, &o->saturation, 65535.0f, block->level);
	load_extra(ramp, block, extra);
	ramp->kernels->check_references(block, extra,
					o->saturation.map != NULL);
	load_linearity(ramp, work);
}

/* The result of a single pixel in its lane. */
void iris_block_put(iris_block *block, size_t l, const iris_result *r)
{
	block->rate[l] = (float)r->rate;
	block->var_read[l] = (float)r->var_read;
	block->var_photon[l] = (float)r->var_photon;
	block->photon_factor[l] = (float)r->photon_factor;
	block->chi2[l] = (float)r->chi2;
	block->nused[l] = (int32_t)r->nused;
}

void iris_block_store(const iris_ramp *ramp, iris_block *block,
		      const iris_planes *planes)
{
	const size_t i = block->y * ramp->options.nx + block->x;
	const size_t n = block->count;
	size_t l;

	ramp->kernels->blank(block);
	memcpy(planes->rate + i, block->rate, n * sizeof(float));
	if (planes->var_read != NULL)
		memcpy(planes->var_read + i, block->var_read,
		       n * sizeof(float));
	if (planes->var_photon != NULL)
		memcpy(planes->var_photon + i, block->var_photon,
		       n * sizeof(float));
	if (planes->photon_factor != NULL)
		memcpy(planes->photon_factor + i, block->photon_factor,
		       n * sizeof(float));
	if (planes->chi2 != NULL)
		memcpy(planes->chi2 + i, block->chi2, n * sizeof(float));
	if (planes->dq != NULL)
		memcpy(planes->dq + i, block->dq, n * sizeof(uint32_t));
	if (planes->nused != NULL)
		for (l = 0; l < n; l++)
			planes->nused[i + l] = (uint16_t)block->nused[l];
}
