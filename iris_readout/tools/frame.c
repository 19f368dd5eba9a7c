/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame.h"

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

static bool planes_allocate(iris_planes *planes, size_t npixel, bool chi2)
{
	planes->rate = calloc(npixel, sizeof(float));
	planes->var_read = calloc(npixel, sizeof(float));
	planes->var_photon = calloc(npixel, sizeof(float));
	planes->photon_factor = calloc(npixel, sizeof(float));
	planes->chi2 = chi2 ? calloc(npixel, sizeof(float)) : NULL;
	planes->dq = calloc(npixel, sizeof(uint32_t));
	planes->nused = calloc(npixel, sizeof(uint16_t));
	return planes->rate != NULL && planes->var_read != NULL &&
	       planes->var_photon != NULL && planes->photon_factor != NULL &&
	       (planes->chi2 != NULL || !chi2) && planes->dq != NULL &&
	       planes->nused != NULL;
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
			   "expected reads that can be fitted; look at them",
			   *detail != '\0' ? detail : iris_status_text(status));
}

static bool push_reads(iris_ramp *ramp, const exposure *e, size_t first,
		       size_t end, uint16_t *counts, report *r)
{
	pixel_reader reader = { NULL, 0 };
	bool good = true;

	for (size_t i = first; i < end && good; i++) {
		iris_status status = IRIS_OK;

		good = pixels_read(&reader, e, &e->reads[i], counts, r);
		if (good)
			status = iris_ramp_push(ramp, counts, IRIS_NATIVE,
						e->reads[i].seconds);
		good = good && (status == IRIS_OK ||
				fail_library(e, ramp, status, r));
	}
	pixels_close(&reader);
	return good;
}

/* Fit ramp after ramp with one workspace into ramps[0 .. nramp - 1]. */
static bool fit_ramps(frame *f, iris_ramp *ramp, const exposure *e,
		      bool events, iris_planes *ramps, report *r)
{
	uint16_t *counts = malloc(f->ny * f->nx * sizeof *counts);
	bool good = counts != NULL || report_memory(r);
	size_t first = 0;

	for (size_t k = 0; k < e->nramp && good; k++) {
		size_t end = exposure_ramp_end(e, first);
		iris_status status = IRIS_OK;

		good = push_reads(ramp, e, first, end, counts, r);
		if (good)
			status = iris_ramp_finish(ramp, &ramps[k]);
		good = good && (status == IRIS_OK ||
				fail_library(e, ramp, status, r));
		if (good && events && !keep_events(f, ramp, k + 1))
			good = report_memory(r);
		(void)iris_ramp_reset(ramp);
		first = end;
	}
	free(counts);
	return good;
}

static bool combine(frame *f, const exposure *e, iris_planes *ramps, bool chi2,
		    report *r)
{
	iris_status status;

	if (e->nramp == 1) {
		f->planes = ramps[0];
		memset(&ramps[0], 0, sizeof ramps[0]);
		return true;
	}
	if (!planes_allocate(&f->planes, f->ny * f->nx, chi2))
		return report_memory(r);
	status = iris_combine_ramps(ramps, e->nramp, f->ny * f->nx,
				    &f->planes);
	return status == IRIS_OK || fail_library(e, NULL, status, r);
}

bool frame_fit(frame *f, const exposure *e, const plan *p, bool events,
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
		good = planes_allocate(&ramps[k], f->ny * f->nx, p->chi2);
	if (!good)
		(void)report_memory(r);
	if (good &&
	    iris_ramp_create(&ramp, &p->options, message, sizeof message))
		good = report_fail(r, exposure_lead(e)->path, "options",
				   "%s", message);
	good = good && fit_ramps(f, ramp, e, events, ramps, r) &&
	       combine(f, e, ramps, p->chi2, r);
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
