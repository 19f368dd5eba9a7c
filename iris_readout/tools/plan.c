/* SPDX-License-Identifier: BSD-3-Clause */
#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double all_ones = 65535.0; /* DN: what the converter stops at */

static void done(plan *p, int which, const char *parameters)
{
	text_add(&p->stages[which].parameters, "%s", parameters);
}

static void skipped(plan *p, int which, const char *reason)
{
	p->stages[which].skipped = true;
	text_add(&p->stages[which].parameters, "{}");
	text_add(&p->stages[which].reason, "%s", reason);
}

static void warn_skipped(const plan *p, int which, const exposure *e,
			 const report *r)
{
	const stage *st = &p->stages[which];

	report_warn(r, exposure_lead(e)->path, st->step, "got %s, expected "
		    "one; the step is SKIPPED",
		    st->reason.start != NULL ? st->reason.start : "nothing");
}

static const keyword *gain_of(const nominal *values)
{
	return &values->gain;
}

static const keyword *noise_of(const nominal *values)
{
	return &values->read_noise;
}

/* A positive header value that all files agree on. */
static bool header_value(const exposure *e,
			 const keyword *(*pick)(const nominal *),
			 const char *option, double *value, report *r)
{
	const raw_file *lead = exposure_lead(e);
	double other;

	(void)keyword_number(pick(&lead->values), value);
	for (size_t i = 0; i < e->nread; i++) {
		const raw_file *file = &e->files[e->reads[i].file];
		const keyword *key = pick(&file->values);

		if (!keyword_number(key, &other) || !(other > 0.0))
			return report_fail(r, file->path, key->name, "got %s, "
					   "expected a finite number above 0; "
					   "mend the header or give %s",
					   key->found ? key->text : "no value",
					   option);
		if (other < *value || other > *value)
			return report_fail(r, file->path, key->name, "got %s, "
					   "expected %s as in %s; give %s",
					   key->text,
					   pick(&lead->values)->text,
					   base_name(lead->path), option);
	}
	return true;
}

static bool choose_gain(plan *p, const settings *s, const exposure *e,
			const references *maps, report *r)
{
	double value = s->gain.value;
	text_buffer *parameters = &p->stages[STAGE_GAIN].parameters;

	p->options.gain.map = maps->gain;
	if (maps->gain != NULL) {
		done(p, STAGE_GAIN, "{\"source\": \"reference\"}");
		return true;
	}
	if (!(value > 0.0) && !header_value(e, gain_of, "--gain", &value, r))
		return false;
	p->options.gain.value = (float)value;
	text_add(parameters, "{\"gain\": ");
	text_add_number(parameters, value);
	text_add(parameters, ", \"source\": \"%s\"}",
		 s->gain.value > 0.0 ? "option" : "header");
	return true;
}

static bool choose_noise(plan *p, const settings *s, const exposure *e,
			 const references *maps, report *r)
{
	double value = s->read_noise.value;

	p->options.read_noise.map = maps->read_noise;
	if (maps->read_noise != NULL)
		return true;
	if (!(value > 0.0) &&
	    !header_value(e, noise_of, "--read-noise", &value, r))
		return false;
	p->options.read_noise.value = (float)value;
	p->read_noise = value;
	return true;
}

static void choose_saturation(plan *p, const settings *s, const exposure *e,
			      const references *maps, const report *r)
{
	const keyword *key = &exposure_lead(e)->values.saturate;
	stage *st = &p->stages[STAGE_SATURATION];
	double level = s->saturation.value;
	bool given = maps->saturation != NULL || level > 0.0;

	p->options.saturation.map = maps->saturation;
	p->options.saturation_grow = s->saturation_grow;
	if (!(level > 0.0) && (!keyword_number(key, &level) || !(level > 0.0)))
		level = all_ones;
	p->options.saturation.value = (float)level;
	if (maps->saturation != NULL) {
		text_add(&st->parameters, "{\"saturation_grow\": %zu, "
			 "\"source\": \"reference\"}", s->saturation_grow);
	} else {
		text_add(&st->parameters, "{\"level\": ");
		text_add_number(&st->parameters, level);
		text_add(&st->parameters, ", \"saturation_grow\": %zu, "
			 "\"source\": \"%s\"}", s->saturation_grow,
			 given ? "option" : "header");
	}
	if (given)
		return;
	st->skipped = true;
	text_add(&st->reason, "no saturation reference; the level is %g DN "
		 "for all pixels", level);
	warn_skipped(p, STAGE_SATURATION, e, r);
}

static void choose_maps(plan *p, const exposure *e, const references *maps,
			const report *r)
{
	const size_t ncoef = maps->ncoef;

	p->options.bad_pixels = maps->bad_pixels;
	p->options.linearity = (iris_linearity){ ncoef, maps->coeffs,
						 maps->limit, maps->pedestal };
	if (maps->bad_pixels != NULL) {
		done(p, STAGE_DQ_INIT, "{}");
	} else {
		skipped(p, STAGE_DQ_INIT, "no dq reference");
		warn_skipped(p, STAGE_DQ_INIT, e, r);
	}
	if (ncoef > 0) {
		text_add(&p->stages[STAGE_LINEARITY].parameters,
			 "{\"ncoef\": %zu}", ncoef);
	} else {
		skipped(p, STAGE_LINEARITY, "no linearity reference");
		warn_skipped(p, STAGE_LINEARITY, e, r);
	}
}

static void choose_border(plan *p, const settings *s,
			  const references *maps, const geometry *shape)
{
	iris_options *o = &p->options;

	o->ref_pixels = (size_t)shape->ref_pixels;
	o->noutputs = (size_t)shape->noutputs;
	o->side_rows = s->side_rows;
	o->ref_weights = (iris_refweights){ maps->nlag, maps->left,
					    maps->right };
	if (shape->ref_pixels > 0)
		text_add(&p->stages[STAGE_REFPIX].parameters,
			 "{\"noutputs\": %zu, \"ref_pixels\": %zu, "
			 "\"side_rows\": %zu, \"weights\": %s}", o->noutputs,
			 o->ref_pixels, o->side_rows,
			 maps->nlag > 0 ? "\"reference\"" : "null");
	else
		skipped(p, STAGE_REFPIX, "the reads have no reference pixels "
			"(REFPIX 0)");
}

/* Where the reads lie in maps of the full detector, whose rows they have. */
static void choose_window(plan *p, const references *maps,
			  const raw_file *lead)
{
	if (maps->extent != MAPS_FULL)
		return;
	p->options.map_ny = (size_t)lead->shape.ny;
	p->options.map_nx = (size_t)lead->shape.full_nx;
	p->options.map_x = (size_t)(lead->id.x_start - 1);
}

/* The part of [from, from + count) within [0, size); false where none is. */
static bool clip(int64_t from, int64_t count, int64_t size, size_t *start,
		 size_t *length)
{
	const int64_t end = from + count < size ? from + count : size;

	from = from > 0 ? from : 0;
	*start = (size_t)from;
	*length = end > from ? (size_t)(end - from) : 0;
	return *length > 0;
}

/*
 * Guide windows, given on the detector, on the reads.  The margin is added
 * here: a window beside that of the reads may reach into it.
 */
static bool choose_guide(plan *p, const settings *s, const raw_file *lead,
			 report *r)
{
	const geometry *shape = &lead->shape;
	const int64_t margin = (int64_t)s->guide_margin;

	p->guide = calloc(s->nguide + 1, sizeof *p->guide);
	if (p->guide == NULL)
		return report_memory(r);
	p->options.guide = p->guide;
	for (size_t i = 0; i < s->nguide; i++) {
		const guide_window *g = &s->guide[i];
		const int64_t x = (int64_t)g->x - lead->id.x_start - margin;
		const int64_t y = (int64_t)g->y - lead->id.y_start - margin;
		iris_window *w = &p->guide[p->options.nguide];

		if (g->x + g->nx - 1 > (size_t)shape->full_nx ||
		    g->y + g->ny - 1 > (size_t)shape->full_ny)
			return report_usage(r, "--guide-window", "got %zu,%zu,"
					    "%zu,%zu, expected one inside the "
					    "%lld x %lld pixels of the "
					    "detector; see --help", g->x, g->y,
					    g->nx, g->ny,
					    (long long)shape->full_nx,
					    (long long)shape->full_ny);
		if (clip(x, (int64_t)g->nx + 2 * margin, shape->nx, &w->x,
			 &w->nx) &&
		    clip(y, (int64_t)g->ny + 2 * margin, shape->ny, &w->y,
			 &w->ny))
			p->options.nguide++;
	}
	return true;
}

static bool choose_mode(plan *p, const settings *s, const raw_file *lead,
			report *r)
{
	static const char *const names[] = { "UTR", "CDS", "MDS" };
	const keyword *key = &lead->values.sampmode;

	p->options.mode = s->mode;
	if (s->mode_given)
		return true;
	for (int i = 0; i < 3; i++) {
		if (strcmp(key->text, names[i]) == 0) {
			p->options.mode = (iris_mode)i;
			return true;
		}
	}
	return report_fail(r, lead->path, "SAMPMODE", "got '%s', expected UTR, "
			   "CDS or MDS; give --mode",
			   key->found ? key->text : "no value");
}

static bool choose_fowler(plan *p, const settings *s, const raw_file *lead,
			  report *r)
{
	const keyword *key = &lead->values.nfowler;
	int64_t count = (int64_t)s->nfowler;

	if (p->options.mode != IRIS_MODE_MCDS)
		return true;
	if (count == 0 && key->found &&
	    !keyword_integer(key, 1, &count, lead->path, r))
		return false;
	if (count == 0) {
		report_warn(r, lead->path, "NFOWLER", "got no value, expected "
			    "the reads in each mean; 1 is used");
		count = 1;
	}
	p->options.nfowler = (size_t)count;
	return true;
}

static void choose_jump(plan *p, const settings *s)
{
	const iris_mode mode = p->options.mode;
	text_buffer *parameters = &p->stages[STAGE_JUMP].parameters;
	text_buffer *reason = &p->stages[STAGE_JUMP].reason;

	p->options.jump_sigma = mode == IRIS_MODE_UTR ? s->jump_sigma : 0.0;
	p->options.snowballs = s->snowballs;
	if (p->options.jump_sigma > 0.0) {
		text_add(parameters, "{\"jump_sigma\": ");
		text_add_number(parameters, s->jump_sigma);
		text_add(parameters, ", \"snowballs\": %s}",
			 text_truth(s->snowballs));
	} else if (mode == IRIS_MODE_UTR) {
		skipped(p, STAGE_JUMP, "switched off");
	} else {
		skipped(p, STAGE_JUMP, mode_name(mode));
		text_add(reason, " has no test for jumps");
	}
}

/* Bytes of the reads of the longest ramp. */
static size_t ramp_bytes(const exposure *e)
{
	const geometry *shape = &exposure_lead(e)->shape;
	size_t longest = 0, end;

	for (size_t first = 0; first < e->nread; first = end) {
		end = exposure_ramp_end(e, first);
		longest = end - first > longest ? end - first : longest;
	}
	/* The library keeps reads in batches: some room more. */
	return (longest + 16) * (size_t)shape->nx * (size_t)shape->ny *
	       sizeof(uint16_t);
}

static bool is_borrowed(const exposure *e)
{
	for (size_t i = 0; i < e->nread; i++)
		if (e->files[e->reads[i].file].data_at <= 0)
			return false;
	return true;
}

/*
 * Means of the last reads and weights need the reads themselves.  Mapped files
 * cost no memory, so that a long ramp of them need not be refused.
 */
static void choose_memory(plan *p, const settings *s, const exposure *e)
{
	iris_options *o = &p->options;
	const bool weighted = s->weight_keyword[0] != '\0';

	o->memory_limit = s->memory_limit;
	o->max_events = s->max_events;
	o->keep_reads = s->keep_reads || weighted;
	if (s->memory_limit == 0 && is_borrowed(e) &&
	    (weighted || o->mode == IRIS_MODE_MCDS))
		o->memory_limit = ramp_bytes(e);
}

/* Sums of reads know none. */
static bool has_chi2(const iris_options *o)
{
	return o->mode == IRIS_MODE_UTR &&
	       (o->estimator == IRIS_ESTIMATOR_LIKELIHOOD ||
		o->jump_sigma > 0.0 || o->keep_reads);
}

static void name_stages(plan *p)
{
	static const char *const names[NSTAGE][3] = {
		[STAGE_INGEST] = { "ingest", NULL, NULL },
		[STAGE_GAIN] = { "gain", "S_GAIN", "counts to electrons" },
		[STAGE_DQ_INIT] = { "dq_init", "S_DQINIT", "bad-pixel map" },
		[STAGE_SATURATION] = { "saturation", "S_SATUR",
				       "saturation map" },
		[STAGE_LINEARITY] = { "linearity", "S_LINEAR",
				      "linearity correction" },
		[STAGE_REFPIX] = { "refpix", "S_REFPIX",
				   "reference-pixel correction" },
		[STAGE_JUMP] = { "jump", "S_JUMP", "jump detection" },
		[STAGE_RAMP] = { "ramp", "S_RAMP", "ramp fit" },
	};

	for (int i = 0; i < NSTAGE; i++) {
		p->stages[i].step = names[i][0];
		p->stages[i].keyword = names[i][1];
		p->stages[i].comment = names[i][2];
	}
}

bool plan_make(plan *p, const settings *s, const exposure *e,
	       const references *maps, report *r)
{
	const raw_file *lead = exposure_lead(e);

	memset(p, 0, sizeof *p);
	name_stages(p);
	iris_options_init(&p->options, (size_t)lead->shape.ny,
			  (size_t)lead->shape.nx);
	p->options.nthreads = s->nthreads;
	p->options.isa = s->isa;
	p->options.estimator = s->estimator;
	if (!choose_mode(p, s, lead, r) || !choose_fowler(p, s, lead, r) ||
	    !choose_gain(p, s, e, maps, r) ||
	    !choose_noise(p, s, e, maps, r) || !choose_guide(p, s, lead, r))
		return false;
	choose_saturation(p, s, e, maps, r);
	choose_maps(p, e, maps, r);
	choose_window(p, maps, lead);
	choose_border(p, s, maps, &lead->shape);
	choose_jump(p, s);
	choose_memory(p, s, e);
	plan_note_ingest(p, s, e);
	p->chi2 = s->chi2 && has_chi2(&p->options);
	return true;
}

void plan_free(plan *p)
{
	free(p->guide);
	for (int i = 0; i < NSTAGE; i++) {
		text_free(&p->stages[i].parameters);
		text_free(&p->stages[i].reason);
	}
}
