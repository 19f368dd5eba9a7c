/* SPDX-License-Identifier: BSD-3-Clause */
/* Options: defaults and the gate that every ramp passes. */
#include "internal.h"

#include <math.h>
#include <string.h>

void iris_options_init(iris_options *options, size_t ny, size_t nx)
{
	if (options == NULL)
		return;
	memset(options, 0, sizeof(*options));
	options->ny = ny;
	options->nx = nx;
	options->mode = IRIS_MODE_UTR;
	options->nfowler = 1;
	options->estimator = IRIS_ESTIMATOR_LIKELIHOOD;
	options->jump_sigma = 4.5;
	options->snowballs = 1;
	options->ref_pixels = 4;
	options->noutputs = 64;
	options->side_rows = 11;
	options->saturation.value = 65535.0f;
}

bool iris_is_reference(const iris_options *options, size_t y, size_t x)
{
	const size_t border = options->ref_pixels;

	return y < border || y >= options->ny - border || x < border
		|| x >= options->nx - border;
}

static bool has_window(const iris_options *o)
{
	return o->map_ny > 0 || o->map_nx > 0;
}

/* Where pixel (y, x) of a read lies in the maps. */
size_t iris_map_index(const iris_options *o, size_t y, size_t x)
{
	if (!has_window(o))
		return y * o->nx + x;
	return (o->map_y + y) * o->map_nx + o->map_x + x;
}

/* Pixels of one plane of the maps. */
size_t iris_map_size(const iris_options *o)
{
	return has_window(o) ? o->map_ny * o->map_nx : o->ny * o->nx;
}

static iris_status check_shape(const iris_options *o, char *message,
			       size_t size)
{
	if (o->ny == 0 || o->nx == 0)
		return iris_fail(message, size, IRIS_ERROR_SHAPE,
				 "shape: got (%zu, %zu), expected both "
				 "at least 1", o->ny, o->nx);
	if (o->ny > UINT32_MAX || o->nx > UINT32_MAX
	    || o->ny > SIZE_MAX / 16 / o->nx)
		return iris_fail(message, size, IRIS_ERROR_SHAPE,
				 "shape: got (%zu, %zu), which is more than "
				 "this machine can address", o->ny, o->nx);
	if (has_window(o)
	    && (o->map_ny < o->ny || o->map_y > o->map_ny - o->ny
		|| o->map_nx < o->nx || o->map_x > o->map_nx - o->nx))
		return iris_fail(message, size, IRIS_ERROR_SHAPE,
				 "window: got (%zu, %zu) pixels from (%zu, "
				 "%zu) on, expected a window inside maps of "
				 "(%zu, %zu)", o->ny, o->nx, o->map_y,
				 o->map_x, o->map_ny, o->map_nx);
	if (o->ref_pixels == 0)
		return IRIS_OK;
	if (o->ref_pixels > (o->ny - 1) / 2 || o->ref_pixels > (o->nx - 1) / 2)
		return iris_fail(message, size, IRIS_ERROR_SHAPE,
				 "ref_pixels: got a border of %zu on an array "
				 "of (%zu, %zu), expected one that leaves "
				 "pixels inside; windows have 0",
				 o->ref_pixels, o->ny, o->nx);
	if (o->noutputs == 0 || o->nx % o->noutputs != 0)
		return iris_fail(message, size, IRIS_ERROR_SHAPE,
				 "noutputs: got %zu, expected a divisor of "
				 "the %zu columns", o->noutputs, o->nx);
	return IRIS_OK;
}

static iris_status check_numbers(const iris_options *o, char *message,
				 size_t size)
{
	if (o->mode != IRIS_MODE_UTR && o->mode != IRIS_MODE_CDS
	    && o->mode != IRIS_MODE_MCDS)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "mode: got %d, expected 0, 1 or 2",
				 (int)o->mode);
	if (o->estimator != IRIS_ESTIMATOR_LIKELIHOOD
	    && o->estimator != IRIS_ESTIMATOR_OLS)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "estimator: got %d, expected 0 or 1",
				 (int)o->estimator);
	if (o->nfowler == 0)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "nfowler: got 0, expected at least 1");
	if (!(isfinite(o->jump_sigma) && o->jump_sigma >= 0.0))
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "jump_sigma: got %g, expected a number above "
				 "0, or 0 for no test", o->jump_sigma);
	if (o->side_rows > 0 && o->side_rows % 2 == 0)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "side_rows: got %zu, expected an odd number, "
				 "or 0 for no correction by the side columns",
				 o->side_rows);
	if (o->ref_weights.nlag > 0 && o->ref_weights.nlag % 2 == 0)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "ref_weights: got %zu lags, expected an odd "
				 "number", o->ref_weights.nlag);
	return IRIS_OK;
}

/* Sums of such numbers do not wrap. */
static iris_status check_guide(const iris_options *o, char *message,
			       size_t size)
{
	size_t g;

	for (g = 0; g < o->nguide; g++) {
		const iris_window *w = &o->guide[g];

		if (w->y > UINT32_MAX || w->x > UINT32_MAX
		    || w->ny > UINT32_MAX || w->nx > UINT32_MAX)
			return iris_fail(message, size, IRIS_ERROR_OPTION,
					 "guide window %zu: got (%zu, %zu) "
					 "pixels from (%zu, %zu) on, expected "
					 "numbers of at most %lu", g + 1,
					 w->ny, w->nx, w->y, w->x,
					 (unsigned long)UINT32_MAX);
	}
	return IRIS_OK;
}

static iris_status check_views(const iris_options *o, char *message,
			       size_t size)
{
	if (o->linearity.ncoef > 0 && o->linearity.coeffs == NULL)
		return iris_fail(message, size, IRIS_ERROR_NULL,
				 "linearity: got no coefficients, expected "
				 "(%zu, ny, nx)", o->linearity.ncoef);
	if (o->linearity.ncoef > IRIS_MAX_COEF)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "linearity: got %zu coefficients, expected "
				 "at most %d", o->linearity.ncoef,
				 (int)IRIS_MAX_COEF);
	if (o->ref_weights.nlag > 0 && (o->ref_weights.left == NULL
					|| o->ref_weights.right == NULL))
		return iris_fail(message, size, IRIS_ERROR_NULL,
				 "ref_weights: got NULL, expected left and "
				 "right of (%zu, %zu)", o->noutputs,
				 o->ref_weights.nlag);
	if (o->guide_margin > UINT32_MAX)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "guide_margin: got %zu, expected at most %lu",
				 o->guide_margin, (unsigned long)UINT32_MAX);
	if (o->nguide > 0 && o->guide == NULL)
		return iris_fail(message, size, IRIS_ERROR_NULL,
				 "guide: got NULL, expected %zu windows",
				 o->nguide);
	return check_guide(o, message, size);
}

/* At least one pixel inside the border must have a good value. */
static iris_status check_map(const iris_options *o, const iris_map *map,
			     const char *name, char *message, size_t size)
{
	size_t y, x;

	if (map->map == NULL) {
		if (iris_is_good(map->value))
			return IRIS_OK;
		return iris_fail(message, size, IRIS_ERROR_REFERENCE,
				 "%s: got %g, expected a finite number above 0",
				 name, (double)map->value);
	}
	for (y = o->ref_pixels; y < o->ny - o->ref_pixels; y++)
		for (x = o->ref_pixels; x < o->nx - o->ref_pixels; x++)
			if (iris_is_good(map->map[iris_map_index(o, y, x)]))
				return IRIS_OK;
	return iris_fail(message, size, IRIS_ERROR_REFERENCE,
			 "%s: got a map without one finite value above 0, "
			 "expected at least one", name);
}

/* Some reference pixel of the top or bottom rows must be usable. */
static iris_status check_border(const iris_options *o, char *message,
				size_t size)
{
	size_t y, x;

	if (o->ref_pixels == 0 || o->bad_pixels == NULL)
		return IRIS_OK;
	for (y = 0; y < o->ny; y++) {
		if (y >= o->ref_pixels && y < o->ny - o->ref_pixels)
			continue;
		for (x = 0; x < o->nx; x++)
			if (iris_refpix_usable(
				    o->bad_pixels[iris_map_index(o, y, x)]))
				return IRIS_OK;
	}
	return iris_fail(message, size, IRIS_ERROR_REFERENCE,
			 "bad_pixels: got no usable reference pixel, expected "
			 "at least one; use ref_pixels 0");
}

iris_status iris_options_check(const iris_options *o, char *message,
			       size_t size)
{
	iris_status status = check_shape(o, message, size);

	if (status == IRIS_OK)
		status = check_numbers(o, message, size);
	if (status == IRIS_OK)
		status = check_map(o, &o->gain, "gain", message, size);
	if (status == IRIS_OK)
		status = check_map(o, &o->read_noise, "read_noise", message,
				   size);
	if (status == IRIS_OK && o->saturation.map == NULL)
		status = check_map(o, &o->saturation, "saturation", message,
				   size);
	if (status == IRIS_OK)
		status = check_views(o, message, size);
	if (status == IRIS_OK)
		status = check_border(o, message, size);
	return status;
}
