/* SPDX-License-Identifier: BSD-3-Clause */
#include "references.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* An open reference file and what is wanted of it. */
typedef struct reference {
	fitsfile *file;
	const char *path;
	const identity *id;
	const geometry *shape;
	int64_t x_start, y_start; /* of its window, if it says one */
	report *r;
} reference;

/* Make an image HDU current; depth is 1 where it has no third axis. */
static bool find_image(const reference *ref, const char *name, int *naxis,
		       long axes[3])
{
	int status = 0, bitpix = 0;
	char writable[FLEN_VALUE];

	axes[0] = axes[1] = 0;
	axes[2] = 1;
	(void)snprintf(writable, sizeof writable, "%s", name);
	if (fits_movnam_hdu(ref->file, IMAGE_HDU, writable, 0, &status) != 0) {
		fits_clear_errmsg();
		return report_fail(ref->r, ref->path, name, "got no such "
				   "extension, expected one; give another "
				   "reference");
	}
	return fits_get_img_param(ref->file, 3, &bitpix, naxis, axes,
				  &status) == 0 ||
	       fitsfile_failed(ref->r, ref->path, name, status);
}

/* A map as large as the reads must not be that of another window. */
static bool check_window(const reference *ref)
{
	const identity *id = ref->id;

	if (ref->x_start == id->x_start && ref->y_start == id->y_start)
		return true;
	return report_fail(ref->r, ref->path, "SUBSTRT1", "got a map of the "
			   "window at (%lld, %lld), expected (%lld, %lld) as "
			   "in the reads; give another reference",
			   (long long)ref->x_start, (long long)ref->y_start,
			   (long long)id->x_start, (long long)id->y_start);
}

/* Check that a map covers the detector, or the window of the reads. */
static bool find_plane(const reference *ref, const char *name, int naxis,
		       references *maps, long *depth)
{
	const geometry *shape = ref->shape;
	const bool cut = maps->map_nx == (size_t)shape->nx;
	const int64_t nx = cut ? shape->nx : shape->full_nx;
	const int64_t ny = cut ? shape->ny : shape->full_ny;
	long axes[3];
	int got = 0;

	if (!find_image(ref, name, &got, axes))
		return false;
	*depth = axes[2];
	if (got == naxis && axes[2] > 0 && axes[0] == nx && axes[1] == ny) {
		maps->map_nx = (size_t)nx;
		maps->map_x = cut ? 0 : (size_t)(ref->id->x_start - 1);
		return !cut || nx == shape->full_nx || check_window(ref);
	}
	if (got == naxis && axes[2] > 0 && maps->map_nx == 0 &&
	    axes[0] == shape->nx && axes[1] == shape->ny) {
		maps->map_nx = (size_t)shape->nx;
		return check_window(ref);
	}
	return report_fail(ref->r, ref->path, name, "got %d axes of (%ld, "
			   "%ld), expected %d of (%lld, %lld), the full "
			   "detector; give another reference", got, axes[1],
			   axes[0], naxis, (long long)ny, (long long)nx);
}
