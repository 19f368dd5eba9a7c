/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame.h"
#include "pixels.h"

#include <stdlib.h>
#include <string.h>

static void planes_free(iris_planes *planes)
{
	free(planes->rate);
	free(planes->var_read);
	free(planes->var_photon);
	free(planes->photon_factor);
	free(planes->chi2);
	free(planes->dq);
	free(planes->nused);
	memset(planes, 0, sizeof *planes);
}

/* Those of one of several ramps are needed to combine them. */
static bool planes_allocate(iris_planes *planes, size_t npixel, bool chi2,
			    bool several)
{
	planes->rate = calloc(npixel, sizeof(float));
	planes->var_read = calloc(npixel, sizeof(float));
	planes->var_photon = calloc(npixel, sizeof(float));
	planes->chi2 = chi2 ? calloc(npixel, sizeof(float)) : NULL;
	planes->dq = calloc(npixel, sizeof(uint32_t));
	planes->photon_factor = several ? calloc(npixel, sizeof(float)) : NULL;
	planes->nused = several ? calloc(npixel, sizeof(uint16_t)) : NULL;
	return planes->rate != NULL && planes->var_read != NULL &&
	       planes->var_photon != NULL && planes->dq != NULL &&
	       (planes->chi2 != NULL || !chi2) &&
	       ((planes->photon_factor != NULL && planes->nused != NULL) ||
		!several);
}

static bool keep_events(frame *f, const iris_ramp *ramp, size_t number)
{
	size_t count = 0;
	const iris_event *events = iris_ramp_events(ramp, &count);
	ramp_event *kept;

	if (count == 0)
		return true;
	kept = realloc(f->events, (f->nevent + count) * sizeof *kept);
	if (kept == NULL)
		return false;
	f->events = kept;
	for (size_t i = 0; i < count; i++) {
		kept[f->nevent].ramp = (uint32_t)number;
		kept[f->nevent++].event = events[i];
	}
	return true;
}

static bool fail_library(const exposure *e, const iris_ramp *ramp,
			 iris_status status, report *r)
{
	const char *detail = iris_ramp_error(ramp);

	return report_fail(r, exposure_lead(e)->path, "ramp fit", "got '%s', "
			   "expected reads that can be fitted; %s",
			   *detail != '\0' ? detail : iris_status_text(status),
			   status == IRIS_ERROR_MEMORY
			   ? "give a higher --memory-limit" : "look at them");
}

static bool push_read(iris_ramp *ramp, pixel_source *source,
		      const raw_read *read, report *r)
{
	iris_read one = { .order = IRIS_NATIVE, .seconds = read->seconds,
			  .weight = read->weight, .dropped = read->dropped };
	iris_status status;

	if (!read->dropped && !pixels_fetch(source, read, &one, r))
		return false;
	status = iris_ramp_push_read(ramp, &one);
	return status == IRIS_OK ||
	       fail_library(source->exposure, ramp, status, r);
}

static bool push_reads(iris_ramp *ramp, pixel_source *source, size_t first,
		       size_t end, report *r)
{
	enum { BATCHES = 16 }; /* reads the library may still look at */
	const raw_read *reads = source->exposure->reads;
	size_t forgotten = first;

	for (size_t i = first; i < end; i++) {
		if (!push_read(ramp, source, &reads[i], r))
			return false;
		while (iris_ramp_folding(ramp) > 1.0 &&
		       forgotten + BATCHES < i)
			pixels_forget(source, &reads[forgotten++]);
	}
	return true;
}

static void take_notes(fit_notes *notes, const iris_ramp *ramp)
{
	const double folding = iris_ramp_folding(ramp);

	notes->isa = iris_ramp_isa(ramp);
	notes->folding = folding > notes->folding ? folding : notes->folding;
	notes->lost_events += iris_ramp_lost_events(ramp);
}

/* Fit ramp after ramp with one workspace into ramps[0 .. nramp - 1]. */
static bool fit_ramps(frame *f, iris_ramp *ramp, const exposure *e,
		      bool events, iris_planes *ramps, report *r)
{
	pixel_source source;
	bool good = pixels_open(&source, e, r);
	size_t first = 0;

	for (size_t k = 0; k < e->nramp && good; k++) {
		size_t end = exposure_ramp_end(e, first);
		iris_status status = IRIS_OK;

		good = push_reads(ramp, &source, first, end, r);
		if (good)
			status = iris_ramp_finish(ramp, &ramps[k]);
		good = good && (status == IRIS_OK ||
				fail_library(e, ramp, status, r));
		if (good && events && !keep_events(f, ramp, k + 1))
			good = report_memory(r);
		take_notes(&f->notes, ramp);
		(void)iris_ramp_reset(ramp);
		pixels_release(&source);
		first = end;
	}
	pixels_close(&source);
	return good;
}

static bool combine(frame *f, const exposure *e, iris_planes *ramps,
		    const settings *s, report *r)
{
	const bool chi2 = ramps[0].chi2 != NULL;
	iris_status status;

	if (e->nramp == 1) {
		f->planes = ramps[0];
		memset(&ramps[0], 0, sizeof ramps[0]);
		return true;
	}
	if (!planes_allocate(&f->planes, f->ny * f->nx, chi2, true))
		return report_memory(r);
	status = iris_combine_ramps(ramps, e->nramp, f->ny * f->nx,
				    s->combination, s->reject_sigma,
				    &f->planes);
	return status == IRIS_OK || fail_library(e, NULL, status, r);
}

bool frame_fit(frame *f, const exposure *e, const plan *p, const settings *s,
	       report *r)
{
	iris_planes *ramps = calloc(e->nramp, sizeof *ramps);
	iris_ramp *ramp = NULL;
	char message[256] = "";
	bool good = ramps != NULL;

	memset(f, 0, sizeof *f);
	f->ny = p->options.ny;
	f->nx = p->options.nx;
	for (size_t k = 0; k < e->nramp && good; k++)
		good = planes_allocate(&ramps[k], f->ny * f->nx, p->chi2,
				       e->nramp > 1);
	if (!good)
		(void)report_memory(r);
	if (good &&
	    iris_ramp_create(&ramp, &p->options, message, sizeof message))
		good = report_fail(r, exposure_lead(e)->path, "options",
				   "%s", message);
	good = good && fit_ramps(f, ramp, e, s->events, ramps, r) &&
	       combine(f, e, ramps, s, r);
	iris_ramp_destroy(ramp);
	for (size_t k = 0; k < e->nramp && ramps != NULL; k++)
		planes_free(&ramps[k]);
	free(ramps);
	return good;
}

void frame_free(frame *f)
{
	planes_free(&f->planes);
	free(f->events);
	memset(f, 0, sizeof *f);
}
