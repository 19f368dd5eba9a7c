/* SPDX-License-Identifier: BSD-3-Clause */
/* The reads of one exposure of one detector, checked and in order. */
#ifndef EXPOSURE_H
#define EXPOSURE_H

#include "fitsfile.h"
#include "report.h"
#include "settings.h"

#include <stdint.h>

/* What one -o file must have in common. */
typedef struct identity {
	char obs_id[FLEN_VALUE];
	char detector[FLEN_VALUE];
	char subarray[FLEN_VALUE]; /* SUBARRID, else SUBARRAY */
	int64_t exposure;
	int64_t x_start, y_start; /* of the window, 1-based */
} identity;

typedef struct geometry {
	int64_t nx, ny;
	int64_t full_nx, full_ny; /* of the detector */
	int64_t ref_pixels, noutputs;
} geometry;

/* Header values that configure the fit. */
typedef struct nominal {
	keyword gain, read_noise, saturate, sampmode, nfowler;
	int64_t planned_reads, planned_ramps; /* 0: not said */
} nominal;

/* One input file. */
typedef struct raw_file {
	const char *path;
	char sha256[SHA256_HEX];
	file_state state;
	int64_t data_at; /* of the first pixel; 0: read through CFITSIO */
	identity id;
	geometry shape;
	nominal values;
	bool used;
	char reason[256]; /* why it was left out, "" if it was not */
} raw_file;

/* One read: a file, or a plane of a cube. */
typedef struct raw_read {
	size_t file; /* index into files */
	long plane;  /* 0-based, of a cube */
	int64_t ramp, number;
	bool has_clock;
	int64_t read_time, reset_time; /* us, where there is a clock */
	double seconds;                /* since the reset */
	bool dropped;                  /* --drop */
	double quality;                /* value of --weight-keyword */
	double weight;                 /* 0 to 1 */
	char *cards;
	size_t ncards;
} raw_read;

typedef struct exposure {
	raw_file *files;
	size_t nfile;
	raw_read *reads; /* by ramp, then by number */
	size_t nread, capacity;
	size_t nramp;
	size_t nskipped;
	unsigned oddities; /* kinds of odd cards warned of already */
} exposure;

/* Read all headers: ingest.c. */
bool exposure_ingest(exposure *e, const settings *s, report *r);

/* Check the reads against each other and sort them. */
bool exposure_arrange(exposure *e, const settings *s, report *r);

/* Drop and weigh the reads in order: selection.c. */
bool exposure_select(exposure *e, const settings *s, report *r);
bool is_dropped(const settings *s, int64_t number);

/* Index of the first read of the next ramp. */
size_t exposure_ramp_end(const exposure *e, size_t first);

/* The first file that is used. */
const raw_file *exposure_lead(const exposure *e);

void exposure_free(exposure *e);

#endif
