/* SPDX-License-Identifier: BSD-3-Clause */
/* Options, header and references become the options of the fit. */
#ifndef PLAN_H
#define PLAN_H

#include "exposure.h"
#include "iris_readout.h"
#include "references.h"
#include "text.h"

enum { STAGE_INGEST, STAGE_GAIN, STAGE_DQ_INIT, STAGE_SATURATION,
       STAGE_LINEARITY, STAGE_REFPIX, STAGE_JUMP, STAGE_RAMP, NSTAGE };

/* What is done, or not and why: one status keyword, one RECEIPT row. */
typedef struct stage {
	const char *step;
	const char *keyword; /* NULL: none */
	const char *comment;
	bool skipped;
	text_buffer parameters; /* JSON */
	text_buffer reason;
} stage;

typedef struct plan {
	iris_options options;
	bool chi2; /* there is one, and it is wanted */
	stage stages[NSTAGE];
} plan;

bool plan_make(plan *p, const settings *s, const exposure *e,
	       const references *maps, report *r);
void plan_free(plan *p);

#endif
