/* SPDX-License-Identifier: BSD-3-Clause */
/* What RECEIPT says of reads and fit: JSON with sorted keys. */
#include "plan.h"

#include <stdlib.h>

/* Which reads went in, and which were left out. */
void plan_note_ingest(plan *p, const settings *s, const exposure *e)
{
	stage *st = &p->stages[STAGE_INGEST];
	const char *comma = "";

	text_add(&st->parameters, "{\"ramps\": %zu, \"reads\": %zu, "
		 "\"skip_bad_reads\": %s, \"skipped\": [", e->nramp, e->nread,
		 s->skip_bad_reads ? "true" : "false");
	for (size_t i = 0; i < e->nfile; i++) {
		if (e->files[i].reason[0] == '\0')
			continue;
		text_add(&st->parameters, "%s", comma);
		text_add_json(&st->parameters, base_name(e->files[i].path));
		text_add(&st->reason, "%sleft out %s",
			 *comma != '\0' ? "; " : "", e->files[i].reason);
		comma = ", ";
	}
	text_add(&st->parameters, "]}");
}

/* Numbers of the reads that were dropped, in any ramp, each once. */
static void add_dropped(text_buffer *t, const exposure *e)
{
	const char *comma = "";
	int64_t last = 0, next;

	text_add(t, "\"dropped\": [");
	do {
		next = INT64_MAX;
		for (size_t i = 0; i < e->nread; i++)
			if (e->reads[i].dropped && e->reads[i].number > last &&
			    e->reads[i].number < next)
				next = e->reads[i].number;
		if (next == INT64_MAX)
			break;
		text_add(t, "%s%lld", comma, (long long)next);
		comma = ", ";
		last = next;
	} while (next != INT64_MAX);
	text_add(t, "], ");
}

/* Reads of each ramp. */
static void add_reads(text_buffer *t, const exposure *e)
{
	const char *comma = "";
	size_t end;

	text_add(t, "\"reads\": [");
	for (size_t first = 0; first < e->nread; first = end) {
		end = exposure_ramp_end(e, first);
		text_add(t, "%s%zu", comma, end - first);
		comma = ", ";
	}
	text_add(t, "], ");
}

static bool is_aborted(const exposure *e)
{
	const nominal *values = &exposure_lead(e)->values;
	size_t end;

	for (size_t first = 0; first < e->nread; first = end) {
		end = exposure_ramp_end(e, first);
		if ((int64_t)(end - first) < values->planned_reads)
			return true;
	}
	return (int64_t)e->nramp < values->planned_ramps;
}

static void add_guide(text_buffer *t, const settings *s)
{
	text_add(t, "\"guide_margin\": %zu, \"guide_windows\": [",
		 s->guide_margin);
	for (size_t i = 0; i < s->nguide; i++) {
		const guide_window *g = &s->guide[i];

		text_add(t, "%s[%zu, %zu, %zu, %zu]", i > 0 ? ", " : "", g->x,
			 g->y, g->nx, g->ny);
	}
	text_add(t, "], ");
}

static void add_weights(text_buffer *t, const settings *s)
{
	text_add(t, "\"weights\": ");
	if (s->weight_keyword[0] == '\0') {
		text_add(t, "null");
		return;
	}
	text_add(t, "{\"keyword\": \"%s\", \"rule\": \"",
		 s->weight_keyword);
	if (s->weight_rule.threshold > 0.0) {
		text_add(t, "threshold=");
		text_add_number(t, s->weight_rule.threshold);
	} else {
		text_add(t, "linear");
	}
	text_add(t, "\"}");
}

static void add_noise(text_buffer *t, const plan *p)
{
	text_add(t, "\"read_noise\": ");
	if (p->options.read_noise.map != NULL)
		text_add(t, "\"reference\"");
	else
		text_add_number(t, p->read_noise);
	text_add(t, ", ");
}

/* As Python rounds to three digits. */
static double round_to_3(double value)
{
	char digits[64];

	(void)snprintf(digits, sizeof digits, "%.3f", value);
	return strtod(digits, NULL);
}

static void note_ramp(plan *p, const settings *s, const exposure *e,
		      const fit_notes *notes)
{
	const iris_options *o = &p->options;
	text_buffer *t = &p->stages[STAGE_RAMP].parameters;

	text_add(t, "{\"aborted\": %s, \"combination\": \"%s\", ",
		 text_truth(is_aborted(e)), combination_name(s->combination));
	add_dropped(t, e);
	if (o->mode == IRIS_MODE_UTR)
		text_add(t, "\"estimator\": \"%s\", ",
			 estimator_name(o->estimator));
	else
		text_add(t, "\"estimator\": null, ");
	text_add(t, "\"folding\": ");
	text_add_number(t, round_to_3(notes->folding));
	text_add(t, ", ");
	add_guide(t, s);
	text_add(t, "\"isa\": \"%s\", \"keep_reads\": %s, "
		 "\"max_events\": %zu, \"memory_limit\": %zu, \"mode\": "
		 "\"%s\", \"nfowler\": %zu, ", notes->isa,
		 text_truth(o->keep_reads), s->max_events, s->memory_limit,
		 mode_name(o->mode), o->nfowler);
	add_noise(t, p);
	add_reads(t, e);
	text_add(t, "\"reject_sigma\": ");
	if (s->reject_sigma > 0.0)
		text_add_number(t, s->reject_sigma);
	else
		text_add(t, "null");
	text_add(t, ", ");
	add_weights(t, s);
	text_add(t, "}");
}

void plan_note_fit(plan *p, const settings *s, const exposure *e,
		   const fit_notes *notes, const report *r)
{
	const char *path = exposure_lead(e)->path;

	note_ramp(p, s, e, notes);
	if (notes->folding > 1.0)
		report_warn(r, path, "--memory-limit", "got more reads than "
			    "fit, expected room for all; they were folded "
			    "into resultants of %.3g reads on average",
			    notes->folding);
	if (notes->lost_events > 0)
		report_warn(r, path, "--max-events", "got %zu events more "
			    "than there was room for, expected room for all; "
			    "they are not in EVENTS", notes->lost_events);
}
