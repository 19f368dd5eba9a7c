/* SPDX-License-Identifier: BSD-3-Clause */
/* Maps from reference files, cut to the window of the reads. */
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
       ROLE_LINEARITY, NROLE };

typedef struct references {
	float *gain, *read_noise, *saturation; /* (ny, nx) or NULL */
	uint32_t *bad_pixels;
	float *coeffs, *limit, *pedestal;
	size_t ncoef;
	calibration rows[NROLE];
} references;

bool references_load(references *maps, const settings *s, const exposure *e,
		     report *r);
void references_free(references *maps);

#endif
