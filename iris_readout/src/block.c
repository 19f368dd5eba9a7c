/* SPDX-License-Identifier: BSD-3-Clause */
/* One block of pixels: its references before the fit, its planes after it. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* --- references of a stretch --------------------------------------------- */

/* Bad pixels are as long as floats, and copied as such. */
_Static_assert(sizeof(float) == sizeof(uint32_t), "maps of 4 bytes a pixel");

static void fill(float *row, float value)
{
	size_t i;

	for (i = 0; i < IRIS_STAGED; i++)
		row[i] = value;
}

static bool is_mapped(const iris_ramp *ramp)
{
	const iris_options *o = &ramp->options;

	return o->gain.map != NULL || o->read_noise.map != NULL
		|| o->saturation.map != NULL || ramp->calibration.column != NULL;
}

/* What is no map stays as it is here; bad values have been refused. */
void iris_references_start(const iris_ramp *ramp, iris_workspace *work)
{
	const iris_options *o = &ramp->options;
	iris_references *r = &work->references;
	float *row = work->maps;

	r->gain = row;
	r->noise = row += IRIS_STAGED;
	r->extra = row += IRIS_STAGED;
	r->variance = row += IRIS_STAGED;
	r->level = row += IRIS_STAGED;
	r->pedestal = row += IRIS_STAGED;
	r->limit = row += IRIS_STAGED;
	r->dq = (uint32_t *)(void *)(row += IRIS_STAGED);
	r->coeff = row + IRIS_STAGED;
	fill(r->gain, o->gain.map == NULL ? o->gain.value : 1.0f);
	fill(r->noise, o->read_noise.map == NULL ? o->read_noise.value : 1.0f);
	fill(r->level, o->saturation.map == NULL ? o->saturation.value
	     : 65535.0f);
	fill(r->limit, HUGE_VALF);
	ramp->kernels->check_references(r, IRIS_STRETCH, false);
}

/* A stretch of a map, and `after` up to whole blocks. */
static void stage(void *row, const void *map, size_t index, size_t count,
		  float after)
{
	float *to = row;
	size_t i;

	if (map == NULL)
		return;
	memcpy(to, (const char *)map + index * sizeof(float),
	       count * sizeof(float));
	for (i = count; i % IRIS_LANES != 0; i++)
		to[i] = after;
}

/* Variance of the reference correction [DN^2]. */
static void stage_extra(const iris_ramp *ramp, size_t y, size_t x,
			size_t count, float *extra)
{
	const iris_calibration *c = &ramp->calibration;
	const float *row;
	size_t i;

	if (c->column == NULL)
		return;
	stage(extra, iris_refpix_column_variance(ramp->refpix), x, count, 0.0f);
	if (c->nrow == 0)
		return;
	row = iris_refpix_row_variance(ramp->refpix) + y;
	for (i = 0; i < count; i++)
		extra[i] += row[c->nrow > c->ny
				? (x + i) / c->width * c->ny : 0];
}

static void stage_linearity(const iris_ramp *ramp, const iris_references *r,
			    size_t index, size_t count)
{
	const iris_linearity *linearity = &ramp->options.linearity;
	const size_t plane = iris_map_size(&ramp->options);
	size_t c;

	if (linearity->ncoef == 0)
		return;
	stage(r->limit, linearity->limit, index, count, HUGE_VALF);
	stage(r->pedestal, linearity->pedestal, index, count, 0.0f);
	for (c = 0; c < linearity->ncoef; c++)
		stage(r->coeff + c * IRIS_STAGED, linearity->coeffs,
		      c * plane + index, count, 0.0f);
	if (linearity->ncoef == 1)
		memset(r->coeff + IRIS_STAGED, 0,
		       IRIS_STAGED * sizeof(*r->coeff));
	ramp->kernels->check_linearity(r, count, ramp->calibration.ncoef);
}

/* References of `count` pixels from (y, x) on, and their flags. */
void iris_references_stage(const iris_ramp *ramp, iris_workspace *work,
			   size_t y, size_t x, size_t count)
{
	const iris_options *o = &ramp->options;
	const iris_references *r = &work->references;
	const size_t index = iris_map_index(o, y, x);

	if (o->bad_pixels != NULL)
		stage(r->dq, o->bad_pixels, index, count, 0.0f);
	else
		memset(r->dq, 0, IRIS_STRETCH * sizeof(*r->dq));
	if (is_mapped(ramp)) {
		stage(r->gain, o->gain.map, index, count, 1.0f);
		stage(r->noise, o->read_noise.map, index, count, 1.0f);
		stage(r->level, o->saturation.map, index, count, 65535.0f);
		stage_extra(ramp, y, x, count, r->extra);
		ramp->kernels->check_references(r, count,
						o->saturation.map != NULL);
	}
	stage_linearity(ramp, r, index, count);
}

/* --- blocks -------------------------------------------------------------- */

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

/* Lay the block on pixels (y, x ...) of a row, whose counts are staged. */
void iris_block_place(const iris_ramp *ramp, iris_workspace *work, size_t y,
		      size_t x)
{
	const iris_references *r = &work->references;
	const size_t at = x % IRIS_STRETCH;
	iris_block *block = &work->block;

	block->y = y;
	block->x = x;
	block->count = ramp->options.nx - x < IRIS_LANES
		? ramp->options.nx - x : IRIS_LANES;
	block->origin = work->staged + at;
	block->reads = block->origin + IRIS_STAGED;
	block->gain = r->gain + at;
	block->variance = r->variance + at;
	block->level = r->level + at;
	block->pedestal = r->pedestal + at;
	block->limit = r->limit + at;
	block->coeff = r->coeff + at;
}

/* First flags and state of the block, which has its place. */
void iris_block_load(const iris_ramp *ramp, iris_workspace *work)
{
	const iris_options *o = &ramp->options;
	iris_block *block = &work->block;

	ramp->kernels->start(block,
			     work->references.dq + block->x % IRIS_STRETCH);
	if (o->ref_pixels > 0)
		flag_border(o, block);
	flag_guides(o, block);
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
