/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snowballs: large roundish deposits of charge in HgCdTe detectors, a saturated
 * core and a ring of jumps that all appear in one read.  They come from nuclear
 * decays in the detector material (McCullough 2009, "Radioactivity in HgCdTe
 * devices: potential source of snowballs", WFC3 instrument science report) and
 * from cosmic rays (Regan 2023, "Detection and flagging of showers and
 * snowballs in JWST", STScI).  The charge goes on below the jump threshold: the
 * finder gives ellipses that cover that too.
 */
#ifndef IRIS_READOUT_SNOWBALL_H
#define IRIS_READOUT_SNOWBALL_H

#include "iris_readout.h"

#include <stdbool.h>

typedef struct iris_snowball {
	uint32_t read;       /* 1-based: the first read that contains it */
	float y, x;          /* centre, 0-based; may lie outside the array */
	float major, minor;  /* semi-axes of the ellipse to mask [pixels] */
	float angle;         /* of the major axis, from +x to +y [radians] */
} iris_snowball;

typedef struct iris_snowball_finder iris_snowball_finder;

/*
 * All scratch is allocated here, 32 bytes for each of max_events; pages that
 * no event needs are not touched.  A finder serves one thread at a time.
 */
iris_status iris_snowball_create(iris_snowball_finder **finder, size_t ny,
				 size_t nx, size_t max_events,
				 size_t max_snowballs);

void iris_snowball_destroy(iris_snowball_finder *finder);

/*
 * Given:    events  of JUMP and SATURATION, any order; others, and any outside
 *                   the array, are skipped, and so is what exceeds max_events
 * Returned: *found  the snowballs, in the order of read, y and x of their first
 *                   pixel; valid until the next call.  The result is their
 *                   number; with max_snowballs of them there may be more.
 *
 * The list is the same, to the last bit, whatever the order of the events.
 */
size_t iris_snowball_find(iris_snowball_finder *finder,
			  const iris_event *events, size_t nevent,
			  const iris_snowball **found);

/*
 * Columns [*x0, *x1) of row y whose centres lie inside the ellipse, clipped to
 * the array; false, and *x0 == *x1 == 0, where the row misses it.
 */
bool iris_snowball_row(const iris_snowball *snowball, size_t ny, size_t nx,
		       size_t y, size_t *x0, size_t *x1);

#endif
