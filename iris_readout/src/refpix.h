/* SPDX-License-Identifier: BSD-3-Clause */
/* Reference pixels: what is taken off every read before anything else. */
#ifndef IRIS_READOUT_REFPIX_H
#define IRIS_READOUT_REFPIX_H

#include "iris_readout.h"

#include <stdbool.h>

typedef struct iris_refpix iris_refpix; /* opaque; scratch included */

/* Whether a reference pixel with these bad_pixels bits may be used. */
bool iris_refpix_usable(uint32_t dq);

/*
 * NULL in *refpix with IRIS_OK when options->ref_pixels == 0.  The options must
 * have passed iris_options_check; of their maps only the kernels of ref_weights
 * are looked at again after create.
 */
iris_status iris_refpix_create(iris_refpix **refpix,
			       const iris_options *options);
void iris_refpix_destroy(iris_refpix *refpix);

/*
 * Number of floats in `row` below: ny, or noutputs * ny with weights, or 0 with
 * side_rows == 0 and no weights.
 */
size_t iris_refpix_nrow(const iris_refpix *refpix);

/*
 * Correction of one read [DN]: pixel (y, x) is corrected by taking off
 *   column[x] + row[y]                     smoothed side columns
 *   column[x] + row[(x / width) * ny + y]  with weights, width = nx / noutputs
 *
 * Given:    counts  one read, (ny, nx), any alignment; only its border is read
 *           order   how its counts are stored
 * Returned: column  (nx) DN
 *           row     (iris_refpix_nrow) DN; may be NULL where that is 0
 *
 * One refpix must not be used by two threads at a time.
 */
void iris_refpix_measure(iris_refpix *refpix, const void *counts,
			 iris_byte_order order, float *column, float *row);

/*
 * Variance of the correction [DN^2]: (nx), and as row (NULL where there is
 * none).  Constant for all reads, computed at create from the noise and gain
 * maps of the usable reference pixels.
 */
const float *iris_refpix_column_variance(const iris_refpix *refpix);
const float *iris_refpix_row_variance(const iris_refpix *refpix);

#endif
