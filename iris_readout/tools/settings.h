/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line, understood. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "iris_readout.h"
#include "report.h"

#include <stdbool.h>
#include <stddef.h>

/* FILE or VALUE of an option; file NULL and value 0: not given. */
typedef struct quantity {
	const char *file;
	double value;
} quantity;

typedef struct settings {
	const char *output;
	char **reads;
	size_t nread;
	bool mode_given;
	iris_mode mode;
	size_t nfowler; /* 0: NFOWLER of the header */
	double jump_sigma;
	size_t saturation_grow;
	unsigned nthreads;
	quantity gain, read_noise, saturation;
	const char *linearity, *bad_pixels;
	bool overwrite, skip_bad_reads, chi2, events, quiet, debug;
	bool help, version; /* print that and do nothing else */
} settings;

bool settings_parse(settings *s, int argc, char **argv, report *r);

extern const char settings_help[];

const char *mode_name(iris_mode mode);

#endif
