/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line, understood. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "iris_readout.h"
#include "report.h"
#include "values.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct settings {
	const char *output;
	char **reads;
	size_t nread;
	bool mode_given;
	iris_mode mode;
	iris_estimator estimator;
	size_t nfowler; /* 0: NFOWLER of the header */
	double jump_sigma;
	bool snowballs;
	size_t saturation_grow, side_rows;
	unsigned nthreads;
	iris_isa isa;
	size_t memory_limit, max_events; /* 0: the library's own */
	bool keep_reads;
	quantity gain, read_noise, saturation;
	const char *linearity, *bad_pixels, *ref_weights;
	number_range *drop;
	size_t ndrop;
	char weight_keyword[9]; /* "": reads have equal weights */
	weight_rule weight_rule;
	guide_window *guide;
	size_t nguide, guide_margin;
	iris_combination combination;
	double reject_sigma;
	bool overwrite, skip_bad_reads, chi2, events, quiet, debug;
	bool help, version; /* print that and do nothing else */
} settings;

bool settings_parse(settings *s, int argc, char **argv, report *r);
void settings_free(settings *s);

extern const char settings_help[];

const char *mode_name(iris_mode mode);
const char *estimator_name(iris_estimator estimator);
const char *combination_name(iris_combination combination);

#endif
