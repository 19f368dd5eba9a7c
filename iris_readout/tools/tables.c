/* SPDX-License-Identifier: BSD-3-Clause */
/* EVENTS, TELEMETRY, RECEIPT, CALIBRATIONS and INPUTS. */
#include "product.h"

#include "telemetry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 8, STAMP = 32 };

typedef struct column {
	const char *name;
	const char *unit; /* NULL: none */
	int type;         /* TSTRING, TINT, TFLOAT or TDOUBLE */
	void *values;
	size_t width; /* TSTRING: at least so many characters */
} column;

/* A column of strings is as wide as its longest. */
static size_t width_of(const column *c, size_t nrow)
{
	char *const *strings = c->values;
	size_t width = c->width > 0 ? c->width : 1;

	for (size_t i = 0; i < nrow; i++)
		if (strlen(strings[i]) > width)
			width = strlen(strings[i]);
	return width;
}

static void set_form(const column *c, size_t nrow, char *form, size_t size)
{
	switch (c->type) {
	case TSTRING:
		(void)snprintf(form, size, "%zuA", width_of(c, nrow));
		break;
	case TINT:
		(void)snprintf(form, size, "1J");
		break;
	case TFLOAT:
		(void)snprintf(form, size, "1E");
		break;
	default:
		(void)snprintf(form, size, "1D");
		break;
	}
}

static int write_table(fitsfile *file, const char *name, size_t nrow,
		       const column *columns, int ncolumn, int *status)
{
	char text[3][MAX_COLUMNS][FLEN_VALUE];
	char *names[MAX_COLUMNS], *forms[MAX_COLUMNS], *units[MAX_COLUMNS];

	for (int i = 0; i < ncolumn; i++) {
		const column *c = &columns[i];

		names[i] = text[0][i];
		forms[i] = text[1][i];
		units[i] = text[2][i];
		(void)snprintf(names[i], FLEN_VALUE, "%s", c->name);
		set_form(c, nrow, forms[i], FLEN_VALUE);
		(void)snprintf(units[i], FLEN_VALUE, "%s",
			       c->unit != NULL ? c->unit : "");
	}
	fits_create_tbl(file, BINARY_TBL, (LONGLONG)nrow, ncolumn, names,
			forms, units, name, status);
	for (int i = 0; i < ncolumn && nrow > 0; i++)
		fits_write_col(file, columns[i].type, i + 1, 1, 1,
			       (LONGLONG)nrow, columns[i].values, status);
	return fits_write_chksum(file, status);
}

static char *event_kind(uint32_t kind)
{
	static char jump[] = "JUMP", saturation[] = "SATURATION";
	static char snowball[] = "SNOWBALL";

	return kind == IRIS_EVENT_JUMP ? jump
	     : kind == IRIS_EVENT_SNOWBALL ? snowball : saturation;
}

/* Columns of the events, filled from the list. */
typedef struct event_columns {
	int *ramp, *read, *y, *x;
	char **kind;
	float *amplitude, *sigma;
} event_columns;

static void fill_events(const frame *f, const event_columns *c)
{
	for (size_t i = 0; i < f->nevent; i++) {
		const iris_event *event = &f->events[i].event;

		c->ramp[i] = (int)f->events[i].ramp;
		c->read[i] = (int)event->read;
		c->y[i] = (int)event->y;
		c->x[i] = (int)event->x;
		c->kind[i] = event_kind(event->kind);
		c->amplitude[i] = event->amplitude;
		c->sigma[i] = event->sigma;
	}
}

static int write_events(fitsfile *file, const frame *f, int *status)
{
	size_t n = f->nevent > 0 ? f->nevent : 1;
	int *integers = malloc(4 * n * sizeof *integers);
	float *floats = malloc(2 * n * sizeof *floats);
	char **kind = malloc(n * sizeof *kind);

	if (integers != NULL && floats != NULL && kind != NULL) {
		event_columns c = { integers, integers + n, integers + 2 * n,
				    integers + 3 * n, kind, floats,
				    floats + n };
		column columns[] = {
			{ "ramp", NULL, TINT, c.ramp, 0 },
			{ "read", NULL, TINT, c.read, 0 },
			{ "y", "pixel", TINT, c.y, 0 },
			{ "x", "pixel", TINT, c.x, 0 },
			{ "kind", NULL, TSTRING, c.kind, 10 },
			{ "amplitude", "electron", TFLOAT, c.amplitude, 0 },
			{ "sigma", NULL, TFLOAT, c.sigma, 0 },
		};

		fill_events(f, &c);
		write_table(file, "EVENTS", f->nevent, columns, 7, status);
	} else {
		*status = MEMORY_ALLOCATION;
	}
	free(integers);
	free(floats);
	free(kind);
	return *status;
}

/* ISO time, UTC, with milliseconds. */
static void stamp(const struct timespec *when, char text[STAMP])
{
	struct tm utc;
	size_t n = 0;

	if (gmtime_r(&when->tv_sec, &utc) != NULL)
		n = strftime(text, STAMP, "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(text + n, STAMP - n, ".%03ld",
		       when->tv_nsec / 1000000);
}

static char *or_empty(char *string)
{
	static char empty[] = "";

	return string != NULL ? string : empty;
}

/* The library fits in one pass: the time of all stages stands with the ramp. */
static int write_receipt(fitsfile *file, const product *p, int *status)
{
	static char version[] = IRIS_READOUT_VERSION;
	static char complete[] = "COMPLETE", left_out[] = "SKIPPED";
	char start[STAMP], end[STAMP], names[NSTAGE][16];
	char *text[7][NSTAGE];
	double seconds[NSTAGE] = { 0.0 };
	column columns[] = {
		{ "step", NULL, TSTRING, text[0], 0 },
		{ "version", NULL, TSTRING, text[1], 0 },
		{ "parameters", NULL, TSTRING, text[2], 0 },
		{ "start", NULL, TSTRING, text[3], 0 },
		{ "end", NULL, TSTRING, text[4], 0 },
		{ "seconds", "s", TDOUBLE, seconds, 0 },
		{ "status", NULL, TSTRING, text[5], 0 },
		{ "reason", NULL, TSTRING, text[6], 0 },
	};

	stamp(&p->start, start);
	stamp(&p->end, end);
	seconds[STAGE_RAMP] =
		(double)(p->end.tv_sec - p->start.tv_sec) +
		1e-9 * (double)(p->end.tv_nsec - p->start.tv_nsec);
	for (int i = 0; i < NSTAGE; i++) {
		const stage *st = &p->plan->stages[i];

		(void)snprintf(names[i], sizeof names[i], "%s", st->step);
		text[0][i] = names[i];
		text[1][i] = version;
		text[2][i] = or_empty(st->parameters.start);
		text[3][i] = start;
		text[4][i] = end;
		text[5][i] = st->skipped ? left_out : complete;
		text[6][i] = or_empty(st->reason.start);
	}
	return write_table(file, "RECEIPT", NSTAGE, columns, 8, status);
}

/* A file name as FITS can hold it. */
static void set_name(char name[256], const char *path)
{
	(void)snprintf(name, 256, "%s", base_name(path));
	for (char *at = name; *at != '\0'; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
}

static int write_calibrations(fitsfile *file, const product *p, int *status)
{
	static char context[] = "command line";
	char text[5][NROLE][256];
	char *strings[6][NROLE];
	static const char *const names[] = { "role",   "type",    "file",
					     "sha256", "version", "context" };
	column columns[6];
	size_t n = 0;

	for (int role = 0; role < NROLE; role++) {
		const calibration *row = &p->references->rows[role];

		if (row->role == NULL)
			continue;
		set_name(text[0][n], row->role);
		set_name(text[1][n], row->type);
		set_name(text[2][n], row->file);
		set_name(text[3][n], row->sha256);
		set_name(text[4][n], row->version);
		for (int i = 0; i < 5; i++)
			strings[i][n] = text[i][n];
		strings[5][n++] = context;
	}
	for (int i = 0; i < 6; i++)
		columns[i] = (column){ names[i], NULL, TSTRING, strings[i],
				       0 };
	return write_table(file, "CALIBRATIONS", n, columns, 6, status);
}

/* Files in the order of their first read; each once. */
static size_t list_inputs(const exposure *e, char (*names)[256], char **name,
			  char **hash)
{
	size_t n = 0;

	for (size_t i = 0; i < e->nread; i++) {
		raw_file *file = &e->files[e->reads[i].file];
		bool listed = false;

		for (size_t k = n; k > 0 && !listed; k--)
			listed = hash[k - 1] == file->sha256;
		if (listed)
			continue;
		set_name(names[n], file->path);
		name[n] = names[n];
		hash[n++] = file->sha256;
	}
	return n;
}

static int write_inputs(fitsfile *file, const exposure *e, int *status)
{
	char (*names)[256] = malloc(e->nfile * sizeof *names);
	char **strings = malloc(2 * e->nfile * sizeof *strings);

	if (names != NULL && strings != NULL) {
		column columns[] = {
			{ "file", NULL, TSTRING, strings, 0 },
			{ "sha256", NULL, TSTRING, strings + e->nfile, 0 },
		};
		size_t n = list_inputs(e, names, strings, strings + e->nfile);

		write_table(file, "INPUTS", n, columns, 2, status);
	} else {
		*status = MEMORY_ALLOCATION;
	}
	free(names);
	free(strings);
	return *status;
}

int tables_write(fitsfile *file, const product *p, int *status)
{
	if (p->settings->events)
		write_events(file, p->frame, status);
	telemetry_write(file, p->exposure, status);
	write_receipt(file, p, status);
	write_calibrations(file, p, status);
	return write_inputs(file, p->exposure, status);
}
