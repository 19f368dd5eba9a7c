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
	options->jump_sigma = 4.5;
	options->ref_pixels = 4;
	options->noutputs = 64;
	options->saturation.value = 65535.0f;
}

float iris_map_at(const iris_map *map, size_t pixel)
{
	return map->map != NULL ? map->map[pixel] : map->value;
}

/* A gain, a noise or a level is good when it is finite and positive. */
bool iris_is_good(float value)
{
	return isfinite(value) && value > 0.0f;
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
	if (o->nfowler == 0)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "nfowler: got 0, expected at least 1");
	if (!(isfinite(o->jump_sigma) && o->jump_sigma >= 0.0))
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "jump_sigma: got %g, expected a number above "
				 "0, or 0 for no test", o->jump_sigma);
	return IRIS_OK;
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
			if (iris_is_good(map->map[y * o->nx + x]))
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
			if (iris_refpix_usable(o->bad_pixels[y * o->nx + x]))
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
	if (status == IRIS_OK && o->linearity.ncoef > 0
	    && o->linearity.coeffs == NULL)
		status = iris_fail(message, size, IRIS_ERROR_NULL,
				   "linearity: got no coefficients, expected "
				   "(%zu, ny, nx)", o->linearity.ncoef);
	if (status == IRIS_OK)
		status = check_border(o, message, size);
	return status;
}
