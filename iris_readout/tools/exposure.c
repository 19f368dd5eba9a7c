/* SPDX-License-Identifier: BSD-3-Clause */
/* The reads of an exposure checked against each other, in time order. */
#include "exposure.h"
#include "pixels.h"

#include <stdlib.h>
#include <string.h>

static const char *path_of(const exposure *e, const raw_read *read)
{
	return e->files[read->file].path;
}

const raw_file *exposure_lead(const exposure *e)
{
	return &e->files[e->reads[0].file];
}

size_t exposure_ramp_end(const exposure *e, size_t first)
{
	size_t end = first;

	while (end < e->nread && e->reads[end].ramp == e->reads[first].ramp)
		end++;
	return end;
}

void exposure_free(exposure *e)
{
	for (size_t i = 0; i < e->nread; i++)
		free(e->reads[i].cards);
	free(e->reads);
	free(e->files);
	memset(e, 0, sizeof *e);
}

static bool fail_mixed(const raw_file *file, const raw_file *lead,
		       const char *part, const char *got, const char *expected,
		       report *r)
{
	return report_fail(r, file->path, part, "got '%s', expected '%s' as "
			   "in %s: one output file holds one exposure of one "
			   "detector; run once for each", got, expected,
			   base_name(lead->path));
}

static bool check_identity(const raw_file *file, const raw_file *lead,
			   report *r)
{
	const identity *a = &file->id, *b = &lead->id;
	char got[32], expected[32];

	if (strcmp(a->obs_id, b->obs_id) != 0)
		return fail_mixed(file, lead, "OBS_ID", a->obs_id, b->obs_id,
				  r);
	if (strcmp(a->detector, b->detector) != 0)
		return fail_mixed(file, lead, "DETECTOR", a->detector,
				  b->detector, r);
	if (strcmp(a->subarray, b->subarray) != 0)
		return fail_mixed(file, lead, "SUBARRID", a->subarray,
				  b->subarray, r);
	if (a->exposure != b->exposure) {
		(void)snprintf(got, sizeof got, "%lld",
			       (long long)a->exposure);
		(void)snprintf(expected, sizeof expected, "%lld",
			       (long long)b->exposure);
		return fail_mixed(file, lead, "EXP_NO", got, expected, r);
	}
	if (a->x_start == b->x_start && a->y_start == b->y_start)
		return true;
	return fail_mixed(file, lead, "SUBSTRT1", "another window",
			  "the same window", r);
}

static bool same_shape(const geometry *a, const geometry *b)
{
	return a->nx == b->nx && a->ny == b->ny && a->full_nx == b->full_nx &&
	       a->full_ny == b->full_ny && a->ref_pixels == b->ref_pixels &&
	       a->noutputs == b->noutputs;
}

/*
 * The geometry that most files have (Boyer and Moore's majority vote), so that
 * one odd file is the odd one wherever it stands.
 */
static const raw_file *typical_file(const exposure *e)
{
	const raw_file *typical = NULL;
	size_t votes = 0;

	for (size_t i = 0; i < e->nfile; i++) {
		const raw_file *file = &e->files[i];

		if (!file->used)
			continue;
		if (votes == 0)
			typical = file;
		votes = same_shape(&typical->shape, &file->shape) ? votes + 1
								  : votes - 1;
	}
	return typical;
}

static bool check_shape(const raw_file *file, const raw_file *typical,
			report *r)
{
	const geometry *a = &file->shape, *b = &typical->shape;

	if (same_shape(a, b))
		return true;
	if (a->nx != b->nx || a->ny != b->ny)
		return report_fail(r, file->path, "NAXIS", "got a shape of "
				   "(%lld, %lld), expected (%lld, %lld) as in "
				   "%s; leave the file out", (long long)a->ny,
				   (long long)a->nx, (long long)b->ny,
				   (long long)b->nx, base_name(typical->path));
	return report_fail(r, file->path, "DETSIZE1 REFPIX NOUTPUTS",
			   "got values of another readout than in %s, "
			   "expected the same; leave the file out",
			   base_name(typical->path));
}

static void leave_out(exposure *e, size_t index, report *r)
{
	raw_file *file = &e->files[index];
	size_t kept = 0;

	report_demote(r, "left out as --skip-bad-reads says");
	(void)snprintf(file->reason, sizeof file->reason, "%.255s",
		       r->message);
	file->used = false;
	e->nskipped++;
	for (size_t i = 0; i < e->nread; i++) {
		if (e->reads[i].file == index)
			free(e->reads[i].cards);
		else
			e->reads[kept++] = e->reads[i];
	}
	e->nread = kept;
}

static bool check_files(exposure *e, const settings *s, report *r)
{
	const raw_file *typical = typical_file(e);

	for (size_t i = 0; i < e->nfile && typical != NULL; i++)
		if (e->files[i].used &&
		    !check_identity(&e->files[i], typical, r))
			return false;
	for (size_t i = 0; i < e->nfile && typical != NULL; i++) {
		if (!e->files[i].used ||
		    check_shape(&e->files[i], typical, r))
			continue;
		if (!s->skip_bad_reads)
			return false;
		leave_out(e, i, r);
	}
	return e->nread > 0 ||
	       report_fail(r, e->files[0].path, "reads", "got no read that "
			   "can be used, expected at least two; look at the "
			   "warnings");
}

static int compare_reads(const void *first, const void *second)
{
	const raw_read *a = first, *b = second;

	if (a->ramp != b->ramp)
		return a->ramp < b->ramp ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	return a->plane < b->plane ? -1 : a->plane > b->plane;
}

/* The same pixels taken at the same time, e.g. packed and unpacked. */
static bool is_copy(const exposure *e, const raw_read *a, const raw_read *b,
		    bool *copy, report *r)
{
	*copy = a->plane == b->plane && strcmp(e->files[a->file].sha256,
					       e->files[b->file].sha256) == 0;
	if (*copy || a->has_clock != b->has_clock ||
	    a->read_time != b->read_time || a->reset_time != b->reset_time)
		return true;
	return pixels_compare(e, a, b, copy, r);
}

/* Copies are used once; different reads of one identity end the command. */
static bool drop_copies(exposure *e, report *r)
{
	size_t kept = 1;
	bool copy = false;

	for (size_t i = 1; i < e->nread; i++) {
		raw_read *last = &e->reads[kept - 1], *read = &e->reads[i];
		const char *other = base_name(path_of(e, last));

		if (last->ramp != read->ramp || last->number != read->number) {
			if (kept != i) { /* cards have one owner */
				e->reads[kept] = *read;
				read->cards = NULL;
			}
			kept++;
			continue;
		}
		if (!is_copy(e, last, read, &copy, r))
			return false;
		if (!copy)
			return report_fail(r, path_of(e, read), "READ_NO",
					   "got another read %lld of ramp "
					   "%lld than in %s, expected one; "
					   "leave one of them out",
					   (long long)read->number,
					   (long long)read->ramp, other);
		report_warn(r, path_of(e, read), "READ_NO", "got the same "
			    "read as in %s, expected each once; it is used "
			    "once", other);
		free(read->cards);
		read->cards = NULL;
	}
	e->nread = kept;
	return true;
}

static bool check_times(const exposure *e, size_t first, size_t end, report *r)
{
	for (size_t i = first + 1; i < end; i++) {
		const raw_read *read = &e->reads[i], *last = read - 1;

		if (read->has_clock && last->has_clock &&
		    read->reset_time != last->reset_time)
			return report_fail(r, path_of(e, read), "RST_TIME",
					   "got %lld, expected %lld as in the "
					   "other reads of ramp %lld; mend "
					   "RAMP_NO or RST_TIME",
					   (long long)read->reset_time,
					   (long long)last->reset_time,
					   (long long)read->ramp);
		if (!(read->seconds > last->seconds))
			return report_fail(r, path_of(e, read), "READTIME",
					   "got %.6f s after the reset, "
					   "expected more than the %.6f s of "
					   "read %lld; mend the header",
					   read->seconds, last->seconds,
					   (long long)last->number);
	}
	return true;
}

static bool fail_single(const exposure *e, const raw_read *read, report *r)
{
	return report_fail(r, path_of(e, read), "READ_NO", "got one read in "
			   "ramp %lld, expected at least two; add the others "
			   "or leave it out", (long long)read->ramp);
}

static bool check_ramps(exposure *e, report *r)
{
	const nominal *values = &exposure_lead(e)->values;
	size_t end;

	for (size_t first = 0; first < e->nread; first = end) {
		const raw_read *read = &e->reads[first];
		int64_t count;

		end = exposure_ramp_end(e, first);
		count = (int64_t)(end - first);
		if (count < 2)
			return fail_single(e, read, r);
		if (!check_times(e, first, end, r))
			return false;
		if (count < values->planned_reads)
			report_warn(r, path_of(e, read), "NUMREADS",
				    "got %lld reads in ramp %lld, expected "
				    "%lld; the ramp is used as it is",
				    (long long)count, (long long)read->ramp,
				    (long long)values->planned_reads);
		e->nramp++;
	}
	if ((int64_t)e->nramp < values->planned_ramps)
		report_warn(r, path_of(e, e->reads), "NUMRAMPS", "got %zu "
			    "ramps, expected %lld; those that are there are "
			    "used", e->nramp, (long long)values->planned_ramps);
	return true;
}

bool exposure_arrange(exposure *e, const settings *s, report *r)
{
	if (!check_files(e, s, r))
		return false;
	qsort(e->reads, e->nread, sizeof *e->reads, compare_reads);
	return drop_copies(e, r) && check_ramps(e, r) &&
	       exposure_select(e, s, r);
}
