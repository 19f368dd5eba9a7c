/* SPDX-License-Identifier: BSD-3-Clause */
/* One block of pixels: its references before the fit, its planes after it. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* Value of a map for the lanes of a block; beyond the row, `fill`. */
static void load_map(const iris_map *map, size_t index, size_t count,
		     float fill, float *lanes)
{
	size_t l;

	if (map->map == NULL) {
		for (l = 0; l < IRIS_LANES; l++)
			lanes[l] = map->value;
		return;
	}
	memcpy(lanes, map->map + index, count * sizeof(*lanes));
	for (l = count; l < IRIS_LANES; l++)
		lanes[l] = fill;
}

static void load_plane(const float *plane, size_t index, size_t count,
		       float fill, float *lanes)
{
	load_map(&(iris_map){plane, fill}, index, count, fill, lanes);
}

/* Smallest count that is saturated; 65535 always is. */
static void set_levels(const iris_ramp *ramp, iris_block *block, size_t index)
{
	const bool mapped = ramp->options.saturation.map != NULL;
	size_t l;

	load_map(&ramp->options.saturation, index, block->count, 65535.0f,
		 block->level);
	for (l = 0; l < IRIS_LANES; l++) {
		const float level = block->level[l];
		const bool good = iris_is_good(level);

		if (mapped && !good)
			block->dq[l] |= IRIS_DQ_MASK(IRIS_DQ_NO_SAT_CHECK);
		block->level[l] = good && level < 65535.0f ? level : 65535.0f;
	}
}

/* A pixel without a polynomial keeps its counts. */
static void check_coefficients(iris_block *block, size_t ncoef)
{
	size_t l, c;

	for (l = 0; l < IRIS_LANES; l++) {
		float sum = block->pedestal[l];

		for (c = 0; c < ncoef; c++)
			sum += block->coeff[c][l];
		block->coeff[1][l] -= 1.0f; /* what is added to x */
		if (isfinite(sum))
			continue;
		block->dq[l] |= IRIS_DQ_MASK(IRIS_DQ_NO_LIN_CORR);
		for (c = 0; c < ncoef; c++)
			block->coeff[c][l] = 0.0f;
		block->pedestal[l] = 0.0f;
		block->limit[l] = HUGE_VALF;
	}
}

static void load_linearity(const iris_ramp *ramp, iris_block *block,
			   size_t index)
{
	const iris_linearity *linearity = &ramp->options.linearity;
	const size_t plane = iris_map_size(&ramp->options);
	size_t c;

	if (linearity->ncoef == 0)
		return;
	for (c = 0; c < linearity->ncoef; c++)
		load_plane(linearity->coeffs + c * plane, index, block->count,
			   0.0f, block->coeff[c]);
	load_plane(linearity->limit, index, block->count, HUGE_VALF,
		   block->limit);
	load_plane(linearity->pedestal, index, block->count, 0.0f,
		   block->pedestal);
	if (linearity->ncoef == 1)
		memset(block->coeff[1], 0, sizeof(block->coeff[1]));
	check_coefficients(block, ramp->calibration.ncoef);
}

/* Rows of the border and of guide windows, and columns of them. */
static void flag_regions(const iris_ramp *ramp, iris_block *block)
{
	const iris_options *o = &ramp->options;
	const uint32_t border = IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)
		| IRIS_DQ_MASK(IRIS_DQ_NON_SCIENCE)
		| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	const size_t margin = o->guide_margin;
	size_t l, g;

	if (o->ref_pixels > 0)
		for (l = 0; l < block->count; l++)
			if (iris_is_reference(o, block->y, block->x + l))
				block->dq[l] |= border;
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

/* Electrons per DN and variance of one read, that of the reference levels in. */
static void load_noise(const iris_ramp *ramp, iris_block *block, size_t index)
{
	const iris_options *o = &ramp->options;
	const iris_calibration *c = &ramp->calibration;
	_Alignas(64) float noise[IRIS_LANES], levels[IRIS_LANES] = {0};
	size_t l;

	load_map(&o->gain, index, block->count, 1.0f, block->gain);
	load_map(&o->read_noise, index, block->count, 1.0f, noise);
	if (c->column != NULL) {
		const float *column = iris_refpix_column_variance(ramp->refpix);
		const float *row = iris_refpix_row_variance(ramp->refpix);

		for (l = 0; l < block->count; l++) {
			const size_t output = c->nrow > c->ny
				? (block->x + l) / c->width : 0;

			levels[l] = column[block->x + l]
				+ (c->nrow > 0 ? row[output * c->ny + block->y]
				   : 0.0f);
		}
	}
	for (l = 0; l < IRIS_LANES; l++) {
		const float g = block->gain[l];
		const bool good_gain = iris_is_good(g);
		const bool good_noise = iris_is_good(noise[l]);

		block->dq[l] |= good_gain ? 0
			: IRIS_DQ_MASK(IRIS_DQ_NO_GAIN_VALUE)
			| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
		block->dq[l] |= good_noise ? 0
			: IRIS_DQ_MASK(IRIS_DQ_OTHER_BAD_PIXEL)
			| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
		block->gain[l] = good_gain ? g : 1.0f;
		block->variance[l] = good_noise && good_gain
			? noise[l] * noise[l] + g * g * levels[l] : 1.0f;
	}
}

/* Lay a block on pixels (y, x ...) of a row. */
void iris_block_place(const iris_ramp *ramp, iris_block *block, size_t y,
		      size_t x)
{
	block->y = y;
	block->x = x;
	block->count = ramp->options.nx - x < IRIS_LANES
		? ramp->options.nx - x : IRIS_LANES;
}

/* References and first flags of a block that has its place. */
void iris_block_load(const iris_ramp *ramp, iris_block *block)
{
	const iris_options *o = &ramp->options;
	const size_t index = iris_map_index(o, block->y, block->x);
	size_t l;

	memset(block->dq, 0, sizeof(block->dq));
	if (o->bad_pixels != NULL)
		memcpy(block->dq, o->bad_pixels + index,
		       block->count * sizeof(*block->dq));
	for (l = 0; l < IRIS_LANES; l++) {
		block->nusable[l] = IRIS_NEVER;
		block->saturated[l] = IRIS_NEVER;
		block->near_by[l] = IRIS_NEVER;
		block->sum[l] = block->moment[l] = 0.0;
		block->chi2[l] = NAN;
	}
	flag_regions(ramp, block);
	load_noise(ramp, block, index);
	set_levels(ramp, block, index);
	load_linearity(ramp, block, index);
}

/* Rate of the linear estimator that fits the usable samples of each lane. */
void iris_block_slope(iris_block *block, const iris_slope *slopes)
{
	size_t l;

	for (l = 0; l < IRIS_LANES; l++) {
		const iris_slope *s = &slopes[block->nusable[l]];
		const float factor = (float)s->photon_factor;
		const float rate = (float)((block->moment[l]
					    - s->offset * block->sum[l])
					   * s->scale);

		block->rate[l] = rate;
		block->var_read[l] = block->variance[l]
			* (float)s->read_factor;
		block->photon_factor[l] = factor;
		block->var_photon[l] = (rate > 0.0f ? rate : 0.0f) * factor;
		block->nused[l] = s->nused;
	}
}

/* The result of a single pixel in its lane. */
void iris_block_put(iris_block *block, size_t l, const iris_result *r)
{
	block->rate[l] = (float)r->rate;
	block->var_read[l] = (float)r->var_read;
	block->var_photon[l] = (float)r->var_photon;
	block->photon_factor[l] = (float)r->photon_factor;
	block->chi2[l] = (float)r->chi2;
	block->nused[l] = (uint16_t)r->nused;
}

/* Pixels without a rate are NaN, reference pixels 0. */
static void blank(iris_block *block)
{
	size_t l;

	for (l = 0; l < IRIS_LANES; l++) {
		const uint32_t dq = block->dq[l];
		const bool border = dq & IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
		const bool none = (dq & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE))
			|| block->nused[l] == 0 || !isfinite(block->rate[l])
			|| !isfinite(block->var_read[l]);
		const float value = border ? 0.0f : NAN;

		if (!none)
			continue;
		block->rate[l] = block->var_read[l] = block->var_photon[l]
			= block->photon_factor[l] = value;
		block->chi2[l] = NAN;
		block->nused[l] = 0;
		block->dq[l] |= IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	}
}

void iris_block_store(const iris_ramp *ramp, iris_block *block,
		      const iris_planes *planes)
{
	const size_t i = block->y * ramp->options.nx + block->x;
	const size_t n = block->count;

	blank(block);
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
		memcpy(planes->nused + i, block->nused, n * sizeof(uint16_t));
}
