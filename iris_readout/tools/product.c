/* SPDX-License-Identifier: BSD-3-Clause */
#include "product.h"

#include "output.h"
#include "telemetry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Headers of all reads merged; *cards is freed with iris_free. */
static bool merge(const exposure *e, char **cards, size_t *count, report *r)
{
	const char **headers = malloc(e->nread * sizeof *headers);
	size_t *ncards = malloc(e->nread * sizeof *ncards);
	iris_status status = IRIS_ERROR_MEMORY;

	if (headers != NULL && ncards != NULL) {
		for (size_t i = 0; i < e->nread; i++) {
			headers[i] = e->reads[i].cards;
			ncards[i] = e->reads[i].ncards;
		}
		status = iris_merge_headers(headers, ncards, e->nread, cards,
					    count);
	}
	free(headers);
	free(ncards);
	return status == IRIS_OK || report_memory(r);
}

static void set_string(fitsfile *file, const char *name, const char *value,
		       const char *comment, int *status)
{
	fits_update_key_longstr(file, name, value, comment, status);
}

/* Keywords of the frame; they replace those of the reads. */
static void write_keywords(fitsfile *file, const product *p, int *status)
{
	const raw_file *lead = exposure_lead(p->exposure);
	bool ifs = strcmp(lead->id.detector, "IFS") == 0;
	int level = 1, missing = 0;
	char unit[FLEN_VALUE];

	set_string(file, "FILENAME", base_name(p->settings->output),
		   "name of this file", status);
	set_string(file, "DATAMODL",
		   ifs ? "IFSFrameModel" : "ImagerFrameModel", "kind of data",
		   status);
	fits_update_key(file, TINT, "DATALVL", &level,
			"data level: raw science frame", status);
	set_string(file, "DRSVER", IRIS_READOUT_VERSION,
		   "version of the data reduction system", status);
	for (int i = 0; i < NSTAGE; i++) {
		const stage *st = &p->plan->stages[i];

		if (st->keyword != NULL)
			set_string(file, st->keyword,
				   st->skipped ? "SKIPPED" : "COMPLETE",
				   st->comment, status);
	}
	/* A unit of the reads would be wrong here. */
	fits_write_errmark();
	if (fits_read_key(file, TSTRING, "BUNIT", unit, NULL, &missing) == 0)
		set_string(file, "BUNIT", "electron/s", "unit of SCI", status);
	fits_clear_errmark();
	telemetry_write_times(file, p->exposure, status);
	fits_write_date(file, status);
}

static int write_primary(fitsfile *file, const product *p, const char *cards,
			 size_t count, int *status)
{
	char card[CARD + 1];

	fits_create_img(file, BYTE_IMG, 0, NULL, status);
	card[CARD] = '\0';
	for (size_t i = 0; i < count; i++) {
		memcpy(card, cards + i * CARD, CARD);
		fits_write_record(file, card, status);
	}
	write_keywords(file, p, status);
	return fits_write_chksum(file, status);
}

static int write_plane(fitsfile *file, const frame *f, const char *name,
		       const char *unit, int type, const void *plane,
		       int *status)
{
	long axes[2] = { (long)f->nx, (long)f->ny };
	LONGLONG count = (LONGLONG)f->nx * (LONGLONG)f->ny;

	fits_create_img(file, type == TFLOAT ? FLOAT_IMG : ULONG_IMG, 2, axes,
			status);
	set_string(file, "EXTNAME", name, "name of this extension", status);
	if (unit != NULL)
		set_string(file, "BUNIT", unit, "unit of the pixels", status);
	/* CFITSIO takes the pixels as not const and does not change them. */
	fits_write_img(file, type, 1, count, (void *)(uintptr_t)plane, status);
	return fits_write_chksum(file, status);
}

/* sqrt(var_photon + var_read), all in float32. */
static float *total_error(const frame *f)
{
	size_t count = f->nx * f->ny;
	float *error = malloc(count * sizeof *error);

	for (size_t i = 0; i < count && error != NULL; i++) {
		float sum = f->planes.var_read[i] + f->planes.var_photon[i];

		error[i] = sqrtf(sum);
	}
	return error;
}

static int write_planes(fitsfile *file, const product *p, int *status)
{
	const frame *f = p->frame;
	const iris_planes *planes = &f->planes;
	float *error = total_error(f);

	if (error == NULL)
		*status = MEMORY_ALLOCATION;
	write_plane(file, f, "SCI", "electron/s", TFLOAT, planes->rate,
		    status);
	write_plane(file, f, "ERR", "electron/s", TFLOAT, error, status);
	write_plane(file, f, "DQ", NULL, TUINT, planes->dq, status);
	write_plane(file, f, "VAR_POISSON", "electron2/s2", TFLOAT,
		    planes->var_photon, status);
	write_plane(file, f, "VAR_RNOISE", "electron2/s2", TFLOAT,
		    planes->var_read, status);
	if (p->plan->chi2)
		write_plane(file, f, "CHI2", NULL, TFLOAT, planes->chi2,
			    status);
	free(error);
	return *status;
}

static bool write_file(const char *path, const product *p, report *r)
{
	fitsfile *file = NULL;
	char *cards = NULL;
	size_t count = 0;
	int status = 0, closing = 0;

	if (!merge(p->exposure, &cards, &count, r))
		return false;
	if (fits_create_diskfile(&file, path, &status) == 0) {
		write_primary(file, p, cards, count, &status);
		write_planes(file, p, &status);
		tables_write(file, p, &status);
		fits_close_file(file, &closing);
		status = status != 0 ? status : closing;
	}
	iris_free(cards);
	if (status != 0) {
		char text[FLEN_STATUS];

		fits_get_errstatus(status, text);
		return report_fail(r, p->settings->output, "-o", "got '%s' "
				   "(CFITSIO %d), expected room to write; free "
				   "some or choose another place", text,
				   status);
	}
	return true;
}

bool product_write(const product *p, report *r)
{
	const char *path = output_begin(p->settings->output, r);
	bool good = path != NULL && write_file(path, p, r) &&
		    output_commit(p->settings->output, p->settings->overwrite,
				  r);

	if (!good)
		output_abandon();
	return good;
}
