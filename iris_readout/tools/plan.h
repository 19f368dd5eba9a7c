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
	iris_window *guide; /* those of options */
	double read_noise;  /* that of options, if it is not a map */
	bool chi2; /* there is one, and it is wanted */
	stage stages[NSTAGE];
} plan;

/* What only the fit itself can tell. */
typedef struct fit_notes {
	const char *isa;
	double folding; /* of the ramp with the most */
	size_t lost_events;
} fit_notes;

bool plan_make(plan *p, const settings *s, const exposure *e,
	       const references *maps, report *r);

/* Rows of RECEIPT: notes.c. */
void plan_note_ingest(plan *p, const settings *s, const exposure *e);

/* Complete the row of the ramp, and warn of what was not as it should be. */
void plan_note_fit(plan *p, const settings *s, const exposure *e,
		   const fit_notes *notes, const report *r);
void plan_free(plan *p);

#endif
