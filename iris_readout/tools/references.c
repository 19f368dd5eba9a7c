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

static bool has_size(const long axes[3], int64_t nx, int64_t ny)
{
	return axes[0] == nx && axes[1] == ny && axes[2] > 0;
}

/*
 * Check that a map covers the detector or else the window of the reads, as the
 * maps before it do.
 */
static bool find_plane(const reference *ref, const char *name, int naxis,
		       references *maps, long *depth)
{
	const geometry *shape = ref->shape;
	const bool window = maps->extent == MAPS_WINDOW;
	long axes[3];
	int got = 0;

	if (!find_image(ref, name, &got, axes))
		return false;
	*depth = axes[2];
	if (got == naxis && !window &&
	    has_size(axes, shape->full_nx, shape->full_ny)) {
		maps->extent = MAPS_FULL;
		return true;
	}
	if (got == naxis && maps->extent != MAPS_FULL &&
	    has_size(axes, shape->nx, shape->ny)) {
		maps->extent = MAPS_WINDOW;
		return check_window(ref);
	}
	return report_fail(ref->r, ref->path, name, "got %d axes of (%ld, "
			   "%ld), expected %d of (%lld, %lld), the %s; give "
			   "another reference", got, axes[1], axes[0], naxis,
			   (long long)(window ? shape->ny : shape->full_ny),
			   (long long)(window ? shape->nx : shape->full_nx),
			   window ? "window of the reads as in other references"
				  : "full detector");
}

/* Columns of the maps. */
static size_t map_width(const reference *ref, const references *maps)
{
	return (size_t)(maps->extent == MAPS_FULL ? ref->shape->full_nx
						  : ref->shape->nx);
}

/* Rows of the reads of plane k (0-based) of the current HDU, whole. */
static int read_rows(const reference *ref, const references *maps, int type,
		     long k, int64_t row, int64_t count, void *out)
{
	const bool full = maps->extent == MAPS_FULL;
	LONGLONG first[3] = { 1, row + (full ? ref->id->y_start : 1), k + 1 };
	int status = 0;

	fits_read_pixll(ref->file, type, first,
			count * (LONGLONG)map_width(ref, maps), NULL, out,
			NULL, &status);
	return status;
}

static bool read_floats(const reference *ref, const char *name, int naxis,
			references *maps, long *depth, float **map)
{
	const int64_t ny = ref->shape->ny;
	int status = 0;
	size_t npixel;

	if (!find_plane(ref, name, naxis, maps, depth))
		return false;
	npixel = map_width(ref, maps) * (size_t)ny;
	*map = malloc((size_t)*depth * npixel * sizeof **map);
	if (*map == NULL)
		return report_memory(ref->r);
	for (long k = 0; k < *depth && status == 0; k++)
		status = read_rows(ref, maps, TFLOAT, k, 0, ny,
				   *map + (size_t)k * npixel);
	return status == 0 || fitsfile_failed(ref->r, ref->path, name, status);
}

/* DQ of any integer type; signed files keep bit 31 in the sign. */
static bool read_flags(const reference *ref, references *maps)
{
	size_t width;
	long depth;
	int64_t *wide;
	int status = 0;

	if (!find_plane(ref, "DQ", 2, maps, &depth))
		return false;
	width = map_width(ref, maps);
	wide = malloc(width * sizeof *wide);
	maps->bad_pixels = malloc(width * (size_t)ref->shape->ny *
				  sizeof *maps->bad_pixels);
	if (wide == NULL || maps->bad_pixels == NULL) {
		free(wide);
		return report_memory(ref->r);
	}
	for (int64_t y = 0; y < ref->shape->ny && status == 0; y++) {
		status = read_rows(ref, maps, TLONGLONG, 0, y, 1, wide);
		for (size_t x = 0; x < width && status == 0; x++)
			maps->bad_pixels[(size_t)y * width + x] =
				(uint32_t)wide[x];
	}
	free(wide);
	return status == 0 || fitsfile_failed(ref->r, ref->path, "DQ", status);
}

static bool check_key(const reference *ref, const char *name,
		      const char *expected)
{
	keyword key = fitsfile_keyword(ref->file, name);

	if (key.found && strcasecmp(key.text, expected) == 0)
		return true;
	return report_fail(ref->r, ref->path, name, "got '%s', expected '%s'; "
			   "give another reference",
			   key.found ? key.text : "no value", expected);
}

/* Where the window of a reference begins: that of the reads if not said. */
static bool read_start(const reference *ref, const char *name, int64_t *start)
{
	keyword key = fitsfile_keyword(ref->file, name);

	return !key.found || keyword_integer(&key, 1, start, ref->path, ref->r);
}

static bool open_reference(reference *ref, calibration *row)
{
	content bytes;
	keyword version;
	bool good;

	row->file = base_name(ref->path);
	content_read(&bytes, ref->path);
	good = fitsfile_open(ref->path, &bytes, &ref->file, ref->r);
	memcpy(row->sha256, bytes.hex, sizeof row->sha256);
	content_free(&bytes);
	if (!good)
		return false;
	version = fitsfile_keyword(ref->file, "REFVER");
	memcpy(row->version, version.text, sizeof row->version);
	ref->x_start = ref->id->x_start;
	ref->y_start = ref->id->y_start;
	return check_key(ref, "REFTYPE", row->type) &&
	       check_key(ref, "DETECTOR", ref->id->detector) &&
	       read_start(ref, "SUBSTRT1", &ref->x_start) &&
	       read_start(ref, "SUBSTRT2", &ref->y_start);
}

static bool read_linearity(const reference *ref, references *maps)
{
	long depth = 0;
	long ignored;
	int status = 0;
	char pedestal[] = "PEDESTAL";

	if (!read_floats(ref, "COEFFS", 3, maps, &depth, &maps->coeffs) ||
	    !read_floats(ref, "LIMIT", 2, maps, &ignored, &maps->limit))
		return false;
	maps->ncoef = (size_t)depth;
	if (fits_movnam_hdu(ref->file, IMAGE_HDU, pedestal, 0, &status) != 0) {
		fits_clear_errmsg();
		return true; /* 0 where absent */
	}
	return read_floats(ref, pedestal, 2, maps, &ignored, &maps->pedestal);
}

/* One kernel of odd length for each output. */
static bool read_kernels(const reference *ref, const char *name, size_t *nlag,
			 float **kernels)
{
	const int64_t noutputs = ref->shape->noutputs;
	long axes[3];
	size_t count;
	int got = 0, status = 0;

	if (!find_image(ref, name, &got, axes))
		return false;
	if (got != 2 || axes[1] != noutputs || axes[0] % 2 != 1 ||
	    (*nlag > 0 && *nlag != (size_t)axes[0]))
		return report_fail(ref->r, ref->path, name, "got %d axes of "
				   "(%ld, %ld), expected (%lld, nlag) with "
				   "one odd nlag for LEFT and RIGHT; give "
				   "another reference", got, axes[1], axes[0],
				   (long long)noutputs);
	*nlag = (size_t)axes[0];
	count = *nlag * (size_t)noutputs;
	*kernels = malloc(count * sizeof **kernels);
	if (*kernels == NULL)
		return report_memory(ref->r);
	if (fits_read_img(ref->file, TFLOAT, 1, (LONGLONG)count, NULL,
			  *kernels, NULL, &status) != 0)
		return fitsfile_failed(ref->r, ref->path, name, status);
	for (size_t i = 0; i < count; i++)
		if (!isfinite((*kernels)[i]))
			return report_fail(ref->r, ref->path, name, "got "
					   "values that are not finite, "
					   "expected weights; give another "
					   "reference");
	return true;
}

static bool read_role(const reference *ref, int role, references *maps)
{
	long depth;

	switch (role) {
	case ROLE_GAIN:
		return read_floats(ref, "SCI", 2, maps, &depth, &maps->gain);
	case ROLE_READ_NOISE:
		return read_floats(ref, "SCI", 2, maps, &depth,
				   &maps->read_noise);
	case ROLE_SATURATION:
		return read_floats(ref, "SCI", 2, maps, &depth,
				   &maps->saturation);
	case ROLE_BAD_PIXELS:
		return read_flags(ref, maps);
	case ROLE_REFPIX:
		return read_kernels(ref, "LEFT", &maps->nlag, &maps->left) &&
		       read_kernels(ref, "RIGHT", &maps->nlag, &maps->right);
	default:
		return read_linearity(ref, maps);
	}
}

/* Weights are of no use to reads without reference pixels. */
static const char *weights_path(const settings *s, const raw_file *lead,
				const report *r)
{
	if (s->ref_weights == NULL || lead->shape.ref_pixels > 0)
		return s->ref_weights;
	report_warn(r, s->ref_weights, "--ref-weights", "got reads without "
		    "reference pixels (REFPIX 0), expected some; it is not "
		    "used");
	return NULL;
}

bool references_load(references *maps, const settings *s, const exposure *e,
		     report *r)
{
	static const struct {
		const char *role, *type;
	} names[NROLE] = {
		[ROLE_GAIN] = { "gain", "GAIN" },
		[ROLE_READ_NOISE] = { "readnoise", "READNOISE" },
		[ROLE_BAD_PIXELS] = { "dq", "DQ" },
		[ROLE_SATURATION] = { "saturation", "SATURATION" },
		[ROLE_LINEARITY] = { "linearity", "LINEARITY" },
		[ROLE_REFPIX] = { "refpix", "REFPIX" },
	};
	const raw_file *lead = exposure_lead(e);
	const char *paths[NROLE] = {
		[ROLE_GAIN] = s->gain.file,
		[ROLE_READ_NOISE] = s->read_noise.file,
		[ROLE_BAD_PIXELS] = s->bad_pixels,
		[ROLE_SATURATION] = s->saturation.file,
		[ROLE_LINEARITY] = s->linearity,
		[ROLE_REFPIX] = weights_path(s, lead, r),
	};
	bool good = true;

	memset(maps, 0, sizeof *maps);
	for (int role = 0; role < NROLE && good; role++) {
		reference ref = { .path = paths[role], .id = &lead->id,
				  .shape = &lead->shape, .r = r };

		if (paths[role] == NULL)
			continue;
		maps->rows[role].role = names[role].role;
		maps->rows[role].type = names[role].type;
		good = open_reference(&ref, &maps->rows[role]) &&
		       read_role(&ref, role, maps);
		fitsfile_close(ref.file);
	}
	return good;
}

void references_free(references *maps)
{
	free(maps->gain);
	free(maps->read_noise);
	free(maps->saturation);
	free(maps->bad_pixels);
	free(maps->coeffs);
	free(maps->limit);
	free(maps->pedestal);
	free(maps->left);
	free(maps->right);
	memset(maps, 0, sizeof *maps);
}
