/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a ramp: create, push, finish, reset, destroy. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool iris_is_reference(const iris_options *options, size_t y, size_t x)
{
	const size_t border = options->ref_pixels;

	return y < border || y >= options->ny - border || x < border
		|| x >= options->nx - border;
}

static iris_status allocate(iris_ramp *ramp)
{
	const iris_options *o = &ramp->options;
	const size_t nborder = 2 * o->ref_pixels * o->nx;

	ramp->npixel = o->ny * o->nx;
	if (o->saturation_grow > 0) {
		ramp->saturated = malloc(ramp->npixel
					 * sizeof(*ramp->saturated));
		if (ramp->saturated == NULL)
			return IRIS_ERROR_MEMORY;
	}
	if (nborder == 0)
		return IRIS_OK;
	ramp->nlevel = 2 * o->noutputs;
	ramp->border_noise = iris_refpix_border_noise(o);
	ramp->border = malloc(2 * nborder * sizeof(*ramp->border));
	ramp->border_var = malloc(nborder * sizeof(*ramp->border_var));
	if (ramp->border == NULL || ramp->border_var == NULL)
		return IRIS_ERROR_MEMORY;
	return IRIS_OK;
}

iris_status iris_ramp_create(iris_ramp **ramp, const iris_options *options,
			     char *message, size_t size)
{
	iris_status status;
	iris_ramp *new_ramp;

	if (message != NULL && size > 0)
		message[0] = '\0';
	if (ramp == NULL || options == NULL)
		return iris_fail(message, size, IRIS_ERROR_NULL,
				 "ramp or options: got NULL");
	*ramp = NULL;
	status = iris_options_check(options, message, size);
	if (status != IRIS_OK)
		return status;
	new_ramp = calloc(1, sizeof(*new_ramp));
	if (new_ramp == NULL)
		return iris_fail(message, size, IRIS_ERROR_MEMORY,
				 "ramp: no memory");
	new_ramp->options = *options;
	status = allocate(new_ramp);
	if (status != IRIS_OK) {
		iris_ramp_destroy(new_ramp);
		return iris_fail(message, size, status,
				 "ramp: no memory for (%zu, %zu) pixels",
				 options->ny, options->nx);
	}
	*ramp = new_ramp;
	return IRIS_OK;
}

/* Make room for one more read; what there is stays valid on failure. */
static iris_status reserve(iris_ramp *ramp)
{
	const size_t capacity = ramp->capacity > 0 ? 2 * ramp->capacity : 16;
	uint16_t **reads;
	iris_level *levels;
	double *times;

	if (ramp->nread < ramp->capacity)
		return IRIS_OK;
	reads = realloc(ramp->reads, capacity * sizeof(*reads));
	if (reads == NULL)
		return IRIS_ERROR_MEMORY;
	memset(reads + ramp->capacity, 0,
	       (capacity - ramp->capacity) * sizeof(*reads));
	ramp->reads = reads;
	times = realloc(ramp->times, capacity * sizeof(*times));
	if (times == NULL)
		return IRIS_ERROR_MEMORY;
	ramp->times = times;
	if (ramp->nlevel > 0) {
		levels = realloc(ramp->levels,
				 capacity * ramp->nlevel * sizeof(*levels));
		if (levels == NULL)
			return IRIS_ERROR_MEMORY;
		ramp->levels = levels;
	}
	ramp->capacity = capacity;
	return IRIS_OK;
}

static void copy_counts(uint16_t *to, const uint16_t *from, size_t count,
			iris_byte_order order)
{
	size_t i;

	if (order == IRIS_NATIVE) {
		memcpy(to, from, count * sizeof(*to));
	} else if (order == IRIS_SWAPPED) {
		for (i = 0; i < count; i++)
			to[i] = (uint16_t)((from[i] << 8) | (from[i] >> 8));
	} else {
		const unsigned char *bytes = (const unsigned char *)from;

		for (i = 0; i < count; i++)
			to[i] = (uint16_t)(((bytes[2 * i] ^ 0x80u) << 8)
					   | bytes[2 * i + 1]);
	}
}

static iris_status check_push(iris_ramp *ramp, const uint16_t *read,
			      iris_byte_order order, double seconds)
{
	const size_t n = ramp->nread;

	if (read == NULL)
		return iris_fail(ramp->error, sizeof(ramp->error),
				 IRIS_ERROR_NULL, "read %zu: got NULL", n + 1);
	if (ramp->finished)
		return iris_fail(ramp->error, sizeof(ramp->error),
				 IRIS_ERROR_STATE,
				 "read pushed after finish; reset the ramp "
				 "first");
	if (order != IRIS_NATIVE && order != IRIS_SWAPPED
	    && order != IRIS_FITS)
		return iris_fail(ramp->error, sizeof(ramp->error),
				 IRIS_ERROR_OPTION,
				 "byte order: got %d, expected 0, 1 or 2",
				 (int)order);
	if (n == IRIS_MAX_READS)
		return iris_fail(ramp->error, sizeof(ramp->error),
				 IRIS_ERROR_SHAPE,
				 "reads: got more than %zu", IRIS_MAX_READS);
	if (!(isfinite(seconds) && seconds >= 0.0))
		return iris_fail(ramp->error, sizeof(ramp->error),
				 IRIS_ERROR_TIME,
				 "time of read %zu: got %g s, expected a "
				 "finite time since the reset, at least 0",
				 n + 1, seconds);
	if (n > 0 && !(seconds > ramp->times[n - 1]))
		return iris_fail(ramp->error, sizeof(ramp->error),
				 IRIS_ERROR_TIME,
				 "time of read %zu: got %.9g s, expected later "
				 "than %.9g s of the read before; sort the "
				 "reads", n + 1, seconds, ramp->times[n - 1]);
	return IRIS_OK;
}

iris_status iris_ramp_push(iris_ramp *ramp, const uint16_t *read,
			   iris_byte_order order, double seconds)
{
	iris_status status;
	uint16_t **slot;

	if (ramp == NULL)
		return IRIS_ERROR_NULL;
	status = check_push(ramp, read, order, seconds);
	if (status != IRIS_OK)
		return status;
	status = reserve(ramp);
	if (status == IRIS_OK) {
		slot = &ramp->reads[ramp->nread];
		if (*slot == NULL)
			*slot = malloc(ramp->npixel * sizeof(**slot));
		if (*slot == NULL)
			status = IRIS_ERROR_MEMORY;
	}
	if (status != IRIS_OK)
		return iris_fail(ramp->error, sizeof(ramp->error), status,
				 "read %zu: no memory for %zu pixels",
				 ramp->nread + 1, ramp->npixel);
	copy_counts(*slot, read, ramp->npixel, order);
	ramp->times[ramp->nread] = seconds;
	if (ramp->nlevel > 0)
		iris_refpix_measure(ramp, *slot,
				    ramp->levels
				    + ramp->nread * ramp->nlevel);
	ramp->nread++;
	return IRIS_OK;
}

size_t iris_ramp_nread(const iris_ramp *ramp)
{
	return ramp != NULL ? ramp->nread : 0;
}

iris_status iris_ramp_finish(iris_ramp *ramp, const iris_planes *planes)
{
	iris_status status;

	if (ramp == NULL)
		return IRIS_ERROR_NULL;
	if (planes == NULL || planes->rate == NULL)
		return iris_fail(ramp->error, sizeof(ramp->error),
				 IRIS_ERROR_NULL, "planes: got no rate plane");
	if (ramp->nread < 2)
		return iris_fail(ramp->error, sizeof(ramp->error),
				 IRIS_ERROR_TOO_FEW,
				 "reads: got %zu, expected at least 2",
				 ramp->nread);
	free(ramp->events);
	ramp->events = NULL;
	ramp->nevent = 0;
	status = iris_strips_run(ramp, planes);
	if (status != IRIS_OK)
		return iris_fail(ramp->error, sizeof(ramp->error), status,
				 "fit: no memory for %zu reads", ramp->nread);
	ramp->finished = true;
	ramp->error[0] = '\0';
	return IRIS_OK;
}

const iris_event *iris_ramp_events(const iris_ramp *ramp, size_t *count)
{
	if (count != NULL)
		*count = ramp != NULL ? ramp->nevent : 0;
	return ramp != NULL ? ramp->events : NULL;
}

iris_status iris_ramp_reset(iris_ramp *ramp)
{
	if (ramp == NULL)
		return IRIS_ERROR_NULL;
	free(ramp->events);
	ramp->events = NULL;
	ramp->nevent = 0;
	ramp->nread = 0;
	ramp->finished = false;
	ramp->error[0] = '\0';
	return IRIS_OK;
}

const char *iris_ramp_error(const iris_ramp *ramp)
{
	return ramp != NULL ? ramp->error : "";
}

void iris_ramp_destroy(iris_ramp *ramp)
{
	size_t k;

	if (ramp == NULL)
		return;
	for (k = 0; k < ramp->capacity; k++)
		free(ramp->reads[k]);
	free(ramp->reads);
	free(ramp->times);
	free(ramp->levels);
	free(ramp->border);
	free(ramp->border_var);
	free(ramp->saturated);
	free(ramp->events);
	free(ramp);
}
