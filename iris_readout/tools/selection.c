/* SPDX-License-Identifier: BSD-3-Clause */
/* Which reads are used, and how much each counts. */
#include "exposure.h"

bool is_dropped(const settings *s, int64_t number)
{
	for (size_t i = 0; i < s->ndrop; i++)
		if (number >= (int64_t)s->drop[i].first &&
		    number <= (int64_t)s->drop[i].last)
			return true;
	return false;
}

/* A range of --drop that names no read is a mistake, or an aborted ramp. */
static void warn_of_absent(const exposure *e, const number_range *range,
			   const report *r)
{
	for (size_t i = 0; i < e->nread; i++)
		if (e->reads[i].number >= (int64_t)range->first &&
		    e->reads[i].number <= (int64_t)range->last)
			return;
	report_warn(r, exposure_lead(e)->path, "--drop", "got read %zu to "
		    "%zu, expected numbers of reads that are there; nothing "
		    "is left out for it", range->first, range->last);
}

static bool drop_reads(exposure *e, const settings *s, report *r)
{
	size_t used = 0;

	for (size_t i = 0; i < s->ndrop; i++)
		warn_of_absent(e, &s->drop[i], r);
	for (size_t i = 0; i < e->nread; i++) {
		raw_read *read = &e->reads[i];

		if (i == 0 || read->ramp != read[-1].ramp)
			used = 0;
		read->dropped = is_dropped(s, read->number);
		used += !read->dropped;
		if (used < 2 &&
		    (i + 1 == e->nread || read[1].ramp != read->ramp))
			return report_fail(r, e->files[read->file].path,
					   "--drop", "got %zu reads of ramp "
					   "%lld left, expected at least two; "
					   "drop fewer", used,
					   (long long)read->ramp);
	}
	return true;
}

/*
 * The first read of a ramp has no charge before it, and so no weight: its
 * value does not count.
 */
static bool has_weight(const exposure *e, size_t index)
{
	const raw_read *read = &e->reads[index];

	if (read->dropped)
		return false;
	for (size_t i = index; i > 0 && e->reads[i - 1].ramp == read->ramp; i--)
		if (!e->reads[i - 1].dropped)
			return true;
	return false;
}

static double largest_quality(const exposure *e)
{
	double largest = 0.0;

	for (size_t i = 0; i < e->nread; i++)
		if (has_weight(e, i) && e->reads[i].quality > largest)
			largest = e->reads[i].quality;
	return largest;
}

static bool weigh_reads(exposure *e, const settings *s, report *r)
{
	const double threshold = s->weight_rule.threshold;
	const double largest = largest_quality(e);

	if (!(largest > 0.0))
		return report_fail(r, exposure_lead(e)->path,
				   s->weight_keyword, "got 0 for all reads, "
				   "expected some above 0 to weigh by; give "
				   "another --weight-keyword");
	for (size_t i = 0; i < e->nread; i++) {
		raw_read *read = &e->reads[i];

		if (!has_weight(e, i))
			read->weight = 1.0;
		else if (threshold > 0.0)
			read->weight = read->quality >= threshold * largest;
		else
			read->weight = read->quality / largest;
	}
	return true;
}

bool exposure_select(exposure *e, const settings *s, report *r)
{
	for (size_t i = 0; i < e->nread; i++)
		e->reads[i].weight = 1.0;
	return drop_reads(e, s, r) && (s->weight_keyword[0] == '\0' ||
				       weigh_reads(e, s, r));
}
