/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order of the stages, for one block of pixels at a time: saturation on
 * raw counts, reference pixels, linearity, electrons, jumps, fit.
 */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

/* What one pixel ends as. */
typedef struct result {
	double rate, var_read, var_photon, photon_factor, chi2;
	size_t nused;
} result;

static const result no_rate = {NAN, NAN, NAN, NAN, NAN, 0};
static const result reference = {0.0, 0.0, 0.0, 0.0, NAN, 0};

static bool is_usable(uint32_t dq)
{
	return !(dq & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE));
}

/* Flags that are known before any read is looked at. */
static uint32_t initial_flags(const iris_options *o, size_t y, size_t x)
{
	const size_t pixel = y * o->nx + x;
	uint32_t dq = o->bad_pixels != NULL ? o->bad_pixels[pixel] : 0;

	if (iris_is_reference(o, y, x))
		return dq | IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)
			| IRIS_DQ_MASK(IRIS_DQ_NON_SCIENCE)
			| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	if (!iris_is_good(iris_map_at(&o->gain, pixel)))
		dq |= IRIS_DQ_MASK(IRIS_DQ_NO_GAIN_VALUE)
			| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	if (!iris_is_good(iris_map_at(&o->read_noise, pixel)))
		dq |= IRIS_DQ_MASK(IRIS_DQ_OTHER_BAD_PIXEL)
			| IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	return dq;
}

static void load(const iris_ramp *ramp, iris_block *block)
{
	const size_t first = block->y * ramp->options.nx + block->x;
	size_t p, k;

	for (k = 0; k < ramp->nread; k++)
		for (p = 0; p < block->count; p++)
			block->counts[p * ramp->nread + k] =
				ramp->reads[k][first + p];
}

/* Charge relative to the first read, and the variance of each read. */
static void set_pixel(const iris_ramp *ramp, const iris_block *block, size_t p,
		      iris_pixel *pixel)
{
	const iris_options *o = &ramp->options;
	const size_t i = block->y * o->nx + block->x + p;
	const double gain = (double)iris_map_at(&o->gain, i);
	const double noise = (double)iris_map_at(&o->read_noise, i);
	const double *counts = block->counts + p * ramp->nread;
	const iris_level *level = ramp->nlevel > 0
		? ramp->levels + iris_refpix_index(o, block->x + p) : NULL;
	size_t k;

	pixel->nread = block->nusable[p];
	for (k = 0; k < pixel->nread; k++) {
		pixel->charge[k] = gain * (counts[k] - counts[0]);
		pixel->noise[k] = noise * noise;
		if (level != NULL)
			pixel->noise[k] += gain * gain
				* level[k * ramp->nlevel].variance;
		pixel->broken[k] = k == 0;
	}
}

static bool add_event(iris_event_list *list, const iris_event *event)
{
	if (list->count == list->capacity) {
		const size_t capacity = list->capacity > 0
			? 2 * list->capacity : 64;
		iris_event *item = realloc(list->item,
					   capacity * sizeof(*item));

		if (item == NULL)
			return false;
		list->item = item;
		list->capacity = capacity;
	}
	list->item[list->count++] = *event;
	return true;
}

static bool add_jumps(iris_event_list *list, const iris_block *block, size_t p,
		      const iris_jump *jumps, size_t njump)
{
	size_t j;

	for (j = 0; j < njump; j++) {
		const iris_event event = {
			.read = (uint32_t)jumps[j].read + 1,
			.y = (uint32_t)block->y,
			.x = (uint32_t)(block->x + p),
			.kind = IRIS_EVENT_JUMP,
			.amplitude = (float)jumps[j].amplitude,
			.sigma = (float)jumps[j].sigma,
		};

		if (!add_event(list, &event))
			return false;
	}
	return true;
}

static bool add_saturation(iris_event_list *list, const iris_block *block,
			   size_t p)
{
	const iris_event event = {
		.read = (uint32_t)block->saturated[p] + 1,
		.y = (uint32_t)block->y,
		.x = (uint32_t)(block->x + p),
		.kind = IRIS_EVENT_SATURATION,
		.amplitude = NAN,
		.sigma = NAN,
	};

	if (block->saturated[p] == IRIS_NEVER)
		return true;
	return add_event(list, &event);
}

/* Apply an estimator to a pixel. */
static result estimate(const iris_pixel *pixel,
		       const iris_estimator *estimator, bool want_chi2)
{
	result r = {0.0, 0.0, 0.0, 0.0, NAN, 0};
	size_t k;

	if (estimator->nused == 0)
		return no_rate;
	for (k = 0; k < pixel->nread; k++) {
		const double weight = estimator->weight[k];

		r.rate += weight * pixel->charge[k];
		r.var_read += weight * weight * pixel->noise[k];
	}
	/* A rate beyond float32 is none. */
	if (!isfinite((float)r.rate) || !isfinite((float)r.var_read))
		return no_rate;
	r.photon_factor = estimator->photon_factor;
	r.var_photon = fmax(r.rate, 0.0) * r.photon_factor;
	if (want_chi2)
		r.chi2 = iris_chi_square(pixel, r.rate);
	r.nused = estimator->nused;
	return r;
}

static result fit(const iris_ramp *ramp, iris_workspace *work, size_t njump,
		  bool want_chi2)
{
	const iris_pixel *pixel = &work->pixel;

	if (pixel->nread == ramp->nread && njump == 0)
		return estimate(pixel, &work->full, want_chi2);
	iris_estimator_set(&work->other, &ramp->options, pixel);
	return estimate(pixel, &work->other, want_chi2);
}

static void store(const iris_planes *planes, size_t i, const result *r,
		  uint32_t dq)
{
	planes->rate[i] = (float)r->rate;
	if (planes->var_read != NULL)
		planes->var_read[i] = (float)r->var_read;
	if (planes->var_photon != NULL)
		planes->var_photon[i] = (float)r->var_photon;
	if (planes->photon_factor != NULL)
		planes->photon_factor[i] = (float)r->photon_factor;
	if (planes->chi2 != NULL)
		planes->chi2[i] = (float)r->chi2;
	if (planes->dq != NULL)
		planes->dq[i] = dq;
	if (planes->nused != NULL)
		planes->nused[i] = (uint16_t)r->nused;
}

/* Finish pixel p of a block; false where there is no memory for its events. */
static bool finish_pixel(const iris_ramp *ramp, const iris_planes *planes,
			 iris_workspace *work, size_t p)
{
	const iris_options *o = &ramp->options;
	iris_block *block = &work->block;
	const size_t i = block->y * o->nx + block->x + p;
	const bool want_chi2 = planes->chi2 != NULL && o->mode == IRIS_MODE_UTR;
	const bool test = o->mode == IRIS_MODE_UTR && o->jump_sigma > 0.0;
	result r = no_rate;
	size_t njump = 0;

	if (iris_is_reference(o, block->y, block->x + p)) {
		store(planes, i, &reference, block->dq[p]);
		return true;
	}
	if (is_usable(block->dq[p])) {
		set_pixel(ramp, block, p, &work->pixel);
		if (test)
			njump = iris_jump_find(&work->pixel, o->jump_sigma,
					       work->jumps);
		r = fit(ramp, work, njump, want_chi2);
	}
	if (njump > 0)
		block->dq[p] |= IRIS_DQ_MASK(IRIS_DQ_JUMP_DET);
	if (r.nused == 0)
		block->dq[p] |= IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	store(planes, i, &r, block->dq[p]);
	return add_jumps(work->events, block, p, work->jumps, njump)
		&& add_saturation(work->events, block, p);
}

static bool process_block(const iris_ramp *ramp, const iris_planes *planes,
			  iris_workspace *work)
{
	iris_block *block = &work->block;
	size_t p;

	for (p = 0; p < block->count; p++)
		block->dq[p] = initial_flags(&ramp->options, block->y,
					     block->x + p);
	iris_saturation_cut(ramp, block);
	load(ramp, block);
	iris_refpix_subtract(ramp, block);
	iris_linearity_apply(ramp, block);
	for (p = 0; p < block->count; p++)
		if (!finish_pixel(ramp, planes, work, p))
			return false;
	return true;
}

/* Take IRIS_STRIP rows from raw counts to planes; adds to work->events. */
iris_status iris_process_strip(const iris_ramp *ramp, size_t strip,
			       const iris_planes *planes,
			       iris_workspace *work)
{
	const iris_options *o = &ramp->options;
	const size_t y0 = strip * IRIS_STRIP;
	const size_t y1 = o->ny - y0 > IRIS_STRIP ? y0 + IRIS_STRIP : o->ny;
	iris_block *block = &work->block;

	for (block->y = y0; block->y < y1; block->y++) {
		for (block->x = 0; block->x < o->nx; block->x += IRIS_BLOCK) {
			block->count = o->nx - block->x < IRIS_BLOCK
				? o->nx - block->x : IRIS_BLOCK;
			if (!process_block(ramp, planes, work))
				return IRIS_ERROR_MEMORY;
		}
	}
	return IRIS_OK;
}
