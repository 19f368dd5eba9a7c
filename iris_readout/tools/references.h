/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Maps from reference files.  Of a map of the full detector the rows of the
 * reads are kept, whole; where the reads lie in them is for the library.
 */
#ifndef REFERENCES_H
#define REFERENCES_H

#include "exposure.h"

/* A row of the CALIBRATIONS table. */
typedef struct calibration {
	const char *role; /* NULL: no reference in that role */
	const char *type;
	const char *file;
	char sha256[SHA256_HEX];
	char version[FLEN_VALUE];
} calibration;

enum { ROLE_GAIN, ROLE_READ_NOISE, ROLE_BAD_PIXELS, ROLE_SATURATION,
       ROLE_LINEARITY, ROLE_REFPIX, NROLE };

typedef enum map_extent { MAPS_NONE, MAPS_FULL, MAPS_WINDOW } map_extent;

typedef struct references {
	/* (ny, columns of the detector or of the reads), or NULL */
	float *gain, *read_noise, *saturation;
	uint32_t *bad_pixels;
	float *coeffs, *limit, *pedestal;
	size_t ncoef;
	map_extent extent; /* of all maps */
	float *left, *right; /* (noutputs, nlag) or NULL */
	size_t nlag;
	calibration rows[NROLE];
} references;

bool references_load(references *maps, const settings *s, const exposure *e,
		     report *r);
void references_free(references *maps);

#endif
