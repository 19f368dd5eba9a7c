/* SPDX-License-Identifier: BSD-3-Clause */
#include "references.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* An open reference file and the window wanted of it. */
typedef struct reference {
	fitsfile *file;
	const char *path;
	const identity *id;
	const geometry *shape;
	report *r;
} reference;

/* Make an image HDU current and check that it covers the detector. */
static bool find_plane(const reference *ref, const char *name, int naxis,
		       long *depth)
{
	int status = 0, got = 0, bitpix = 0;
	long axes[3] = { 0, 0, 1 };
	char writable[FLEN_VALUE];

	(void)snprintf(writable, sizeof writable, "%s", name);
	if (fits_movnam_hdu(ref->file, IMAGE_HDU, writable, 0, &status) != 0) {
		fits_clear_errmsg();
		return report_fail(ref->r, ref->path, name, "got no such "
				   "extension, expected one; give another "
				   "reference");
	}
	if (fits_get_img_param(ref->file, 3, &bitpix, &got, axes, &status))
		return fitsfile_failed(ref->r, ref->path, name, status);
	*depth = axes[2];
	if (got == naxis && axes[0] == ref->shape->full_nx &&
	    axes[1] == ref->shape->full_ny && axes[2] > 0)
		return true;
	return report_fail(ref->r, ref->path, name, "got %d axes of (%ld, "
			   "%ld), expected %d of (%lld, %lld), the full "
			   "detector; give another reference", got, axes[1],
			   axes[0], naxis, (long long)ref->shape->full_ny,
			   (long long)ref->shape->full_nx);
}

/* Read the window of plane k (0-based) of the current HDU row by row. */
static int read_window(const reference *ref, int type, size_t width, long k,
		       void *out)
{
	char *to = out;
	int status = 0;

	for (int64_t y = 0; y < ref->shape->ny; y++) {
		LONGLONG first[3] = { ref->id->x_start, ref->id->y_start + y,
				      k + 1 };

		if (fits_read_pixll(ref->file, type, first, ref->shape->nx,
				    NULL, to, NULL, &status) != 0)
			break;
		to += (size_t)ref->shape->nx * width;
	}
	return status;
}

static bool read_floats(const reference *ref, const char *name, int naxis,
			long *depth, float **map)
{
	size_t npixel = (size_t)ref->shape->nx * (size_t)ref->shape->ny;
	int status = 0;

	if (!find_plane(ref, name, naxis, depth))
		return false;
	*map = malloc((size_t)*depth * npixel * sizeof **map);
	if (*map == NULL)
		return report_memory(ref->r);
	for (long k = 0; k < *depth && status == 0; k++)
		status = read_window(ref, TFLOAT, sizeof **map, k,
				     *map + (size_t)k * npixel);
	return status == 0 || fitsfile_failed(ref->r, ref->path, name, status);
}

/* DQ of any integer type; signed files keep bit 31 in the sign. */
static bool read_flags(const reference *ref, uint32_t **map)
{
	size_t npixel = (size_t)ref->shape->nx * (size_t)ref->shape->ny;
	long depth;
	int64_t *wide;
	int status;

	if (!find_plane(ref, "DQ", 2, &depth))
		return false;
	wide = malloc(npixel * sizeof *wide);
	*map = malloc(npixel * sizeof **map);
	if (wide == NULL || *map == NULL) {
		free(wide);
		return report_memory(ref->r);
	}
	status = read_window(ref, TLONGLONG, sizeof *wide, 0, wide);
	for (size_t i = 0; i < npixel && status == 0; i++)
		(*map)[i] = (uint32_t)wide[i];
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

static bool open_reference(reference *ref, calibration *row)
{
	keyword version;

	row->file = base_name(ref->path);
	if (!fitsfile_open(ref->path, &ref->file, row->sha256, ref->r))
		return false;
	version = fitsfile_keyword(ref->file, "REFVER");
	memcpy(row->version, version.text, sizeof row->version);
	return check_key(ref, "REFTYPE", row->type) &&
	       check_key(ref, "DETECTOR", ref->id->detector);
}

static bool read_linearity(const reference *ref, references *maps)
{
	long depth = 0;
	long ignored;
	int status = 0;
	char pedestal[] = "PEDESTAL";

	if (!read_floats(ref, "COEFFS", 3, &depth, &maps->coeffs) ||
	    !read_floats(ref, "LIMIT", 2, &ignored, &maps->limit))
		return false;
	maps->ncoef = (size_t)depth;
	if (fits_movnam_hdu(ref->file, IMAGE_HDU, pedestal, 0, &status) != 0) {
		fits_clear_errmsg();
		return true; /* 0 where absent */
	}
	return read_floats(ref, pedestal, 2, &ignored, &maps->pedestal);
}

static bool read_role(const reference *ref, int role, references *maps)
{
	long depth;

	switch (role) {
	case ROLE_GAIN:
		return read_floats(ref, "SCI", 2, &depth, &maps->gain);
	case ROLE_READ_NOISE:
		return read_floats(ref, "SCI", 2, &depth, &maps->read_noise);
	case ROLE_SATURATION:
		return read_floats(ref, "SCI", 2, &depth, &maps->saturation);
	case ROLE_BAD_PIXELS:
		return read_flags(ref, &maps->bad_pixels);
	default:
		return read_linearity(ref, maps);
	}
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
	};
	const char *paths[NROLE] = {
		[ROLE_GAIN] = s->gain.file,
		[ROLE_READ_NOISE] = s->read_noise.file,
		[ROLE_BAD_PIXELS] = s->bad_pixels,
		[ROLE_SATURATION] = s->saturation.file,
		[ROLE_LINEARITY] = s->linearity,
	};
	const raw_file *lead = exposure_lead(e);
	bool good = true;

	memset(maps, 0, sizeof *maps);
	for (int role = 0; role < NROLE && good; role++) {
		reference ref = { NULL, paths[role], &lead->id, &lead->shape,
				  r };

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
	memset(maps, 0, sizeof *maps);
}
