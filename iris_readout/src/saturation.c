/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saturation and the bottom of the digital range, tested on raw counts before
 * any correction.  A read that is saturated or 0 ends the usable reads of its
 * pixel; a saturated one may end those of its neighbours too.
 */
#include "internal.h"

#include <math.h>

/* Smallest count that is saturated; 65535 always is. */
static uint16_t level_of(float saturation)
{
	if (!iris_is_good(saturation) || saturation >= (float)UINT16_MAX)
		return UINT16_MAX;
	return (uint16_t)ceilf(saturation);
}

/*
 * First saturated read of each of `count` pixels from pixel `first` on,
 * IRIS_NEVER where there is none or the pixel is a reference pixel.
 */
void iris_saturation_scan(const iris_ramp *ramp, size_t first, size_t count,
			  uint16_t *saturated)
{
	const iris_options *o = &ramp->options;
	size_t p, k;

	for (p = 0; p < count; p++) {
		const size_t i = first + p;
		const uint16_t level = level_of(iris_map_at(&o->saturation, i));

		saturated[p] = IRIS_NEVER;
		if (iris_is_reference(o, i / o->nx, i % o->nx))
			continue;
		for (k = 0; k < ramp->nread; k++) {
			if (ramp->reads[k][i] >= level) {
				saturated[p] = (uint16_t)k;
				break;
			}
		}
	}
}

/* First read in which a pixel within `grow` of (y, x) is saturated. */
static uint16_t neighbour_saturated(const iris_ramp *ramp, size_t y, size_t x)
{
	const iris_options *o = &ramp->options;
	const size_t grow = o->saturation_grow;
	const size_t y0 = y > grow ? y - grow : 0;
	const size_t x0 = x > grow ? x - grow : 0;
	const size_t y1 = grow < o->ny - 1 - y ? y + grow : o->ny - 1;
	const size_t x1 = grow < o->nx - 1 - x ? x + grow : o->nx - 1;
	uint16_t first = IRIS_NEVER;
	size_t j, i;

	for (j = y0; j <= y1; j++) {
		const uint16_t *row = ramp->saturated + j * o->nx;

		for (i = x0; i <= x1; i++)
			first = row[i] < first ? row[i] : first;
	}
	return first;
}

static uint16_t first_zero(const iris_ramp *ramp, size_t pixel)
{
	size_t k;

	for (k = 0; k < ramp->nread; k++)
		if (ramp->reads[k][pixel] == 0)
			return (uint16_t)k;
	return IRIS_NEVER;
}

static void cut_pixel(const iris_ramp *ramp, iris_block *block, size_t p)
{
	const iris_options *o = &ramp->options;
	const size_t pixel = block->y * o->nx + block->x + p;
	const uint16_t zero = first_zero(ramp, pixel);
	uint16_t cut = (uint16_t)ramp->nread;

	if (o->saturation.map != NULL
	    && !iris_is_good(o->saturation.map[pixel]))
		block->dq[p] |= IRIS_DQ_MASK(IRIS_DQ_NO_SAT_CHECK);
	if (block->saturated[p] != IRIS_NEVER) {
		block->dq[p] |= IRIS_DQ_MASK(IRIS_DQ_SATURATED);
		cut = block->saturated[p];
	}
	if (zero != IRIS_NEVER) {
		block->dq[p] |= IRIS_DQ_MASK(IRIS_DQ_AD_FLOOR);
		cut = zero < cut ? zero : cut;
	}
	if (o->saturation_grow > 0) {
		const uint16_t near_by = neighbour_saturated(ramp, block->y,
							     block->x + p);

		if (near_by < cut) {
			block->dq[p] |= IRIS_DQ_MASK(IRIS_DQ_CHARGELOSS);
			cut = near_by;
		}
	}
	block->nusable[p] = cut;
}

/* Set nusable, saturated and the flags that go with them. */
void iris_saturation_cut(const iris_ramp *ramp, iris_block *block)
{
	const iris_options *o = &ramp->options;
	const size_t first = block->y * o->nx + block->x;
	size_t p;

	if (o->saturation_grow == 0)
		iris_saturation_scan(ramp, first, block->count,
				     block->saturated);
	for (p = 0; p < block->count; p++) {
		if (o->saturation_grow > 0)
			block->saturated[p] = ramp->saturated[first + p];
		if (iris_is_reference(o, block->y, block->x + p))
			block->nusable[p] = 0;
		else
			cut_pixel(ramp, block, p);
	}
}
