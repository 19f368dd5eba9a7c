/* SPDX-License-Identifier: BSD-3-Clause */
#include "values.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool value_choice(const char *option, const char *text,
		  const char *const *names, size_t count, int *index,
		  report *r)
{
	char words[80] = "";
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, names[i]) == 0) {
			*index = (int)i;
			return true;
		}
		used += (size_t)snprintf(words + used, sizeof words - used,
					 "%s%s", i == 0 ? ""
					 : i + 1 < count ? ", " : " or ",
					 names[i]);
	}
	return report_usage(r, option, "got '%s', expected %s; see --help",
			    text, words);
}

/* A whole number without sign or blank; false at none and when too large. */
static bool read_whole(const char **text, size_t *value)
{
	char *end;
	unsigned long long number;

	if (!isdigit((unsigned char)**text))
		return false;
	errno = 0;
	number = strtoull(*text, &end, 10);
	*text = end;
	*value = (size_t)number;
	return errno == 0 && number <= INT_MAX;
}

bool value_count(const char *option, const char *text, size_t least,
		 size_t *count, report *r)
{
	const char *at = text;

	if (read_whole(&at, count) && *at == '\0' && *count >= least)
		return true;
	return report_usage(r, option, "got '%s', expected an integer of at "
			    "least %zu; see --help", text, least);
}

bool value_odd(const char *option, const char *text, size_t *count,
	       report *r)
{
	const char *at = text;

	if (read_whole(&at, count) && *at == '\0' &&
	    (*count == 0 || *count % 2 == 1))
		return true;
	return report_usage(r, option, "got '%s', expected an odd integer, or "
			    "0 for none; see --help", text);
}

bool value_bytes(const char *option, const char *text, size_t *bytes,
		 report *r)
{
	static const char suffixes[] = "kMG";
	char *end;
	double value = strtod(text, &end);
	const char *suffix = *end != '\0' ? strchr(suffixes, *end) : NULL;

	if (suffix != NULL) {
		value *= pow(1000.0, (double)(suffix - suffixes) + 1.0);
		end++;
	}
	*bytes = 0;
	if (!isdigit((unsigned char)*text) || *end != '\0' ||
	    !(value < (double)(SIZE_MAX / 2)))
		return report_usage(r, option, "got '%s', expected bytes such "
				    "as 500000000, 500M or 2G; see --help",
				    text);
	*bytes = (size_t)value;
	return true;
}

bool value_sigma(const char *option, const char *text, double *sigma,
		 report *r)
{
	char *end;

	if (strcmp(text, "none") == 0) {
		*sigma = 0.0;
		return true;
	}
	*sigma = strtod(text, &end);
	if (*text != '\0' && *end == '\0' && isfinite(*sigma) && *sigma >= 0.0)
		return true;
	return report_usage(r, option, "got '%s', expected a number "
			    "above 0, or 0 or none for no test; see --help",
			    text);
}

bool value_quantity(const char *option, const char *text, quantity *q,
		    report *r)
{
	char *end;
	double value = strtod(text, &end);

	if (*text == '\0')
		return report_usage(r, option, "got nothing, expected a file "
				    "or a number; see --help");
	q->file = *end == '\0' ? NULL : text;
	q->value = *end == '\0' ? value : 0.0;
	if (q->file != NULL || (isfinite((float)value) && (float)value > 0.0f))
		return true;
	return report_usage(r, option, "got %s, expected a finite number above "
			    "0 or a file; see --help", text);
}

/* One more item at the end of a list; NULL without memory. */
static void *grow(void *list, size_t *count, size_t size)
{
	void *longer = realloc(list, (*count + 1) * size);

	*count += longer != NULL;
	return longer;
}

static bool fail_ranges(const char *option, const char *text, report *r)
{
	return report_usage(r, option, "got '%s', expected numbers of reads "
			    "from 1 on such as 3 or 1,5-8; see --help", text);
}

bool value_ranges(const char *option, const char *text,
		  number_range **ranges, size_t *count, report *r)
{
	const char *at = text;

	do {
		number_range *longer, range;

		if (!read_whole(&at, &range.first))
			return fail_ranges(option, text, r);
		range.last = range.first;
		if (*at == '-') {
			at++;
			if (!read_whole(&at, &range.last))
				return fail_ranges(option, text, r);
		}
		if (range.first == 0 || range.last < range.first)
			return fail_ranges(option, text, r);
		longer = grow(*ranges, count, sizeof **ranges);
		if (longer == NULL)
			return report_memory(r);
		*ranges = longer;
		longer[*count - 1] = range;
	} while (*at++ == ',');
	return at[-1] == '\0' || fail_ranges(option, text, r);
}

bool value_window(const char *option, const char *text,
		  guide_window **windows, size_t *count, report *r)
{
	const char *at = text;
	guide_window *longer;
	size_t v[4];

	for (int i = 0; i < 4; i++) {
		if (!read_whole(&at, &v[i]) || v[i] == 0 ||
		    *at != (i < 3 ? ',' : '\0'))
			return report_usage(r, option, "got '%s', expected "
					    "X,Y,NX,NY, integers of at least "
					    "1; see --help", text);
		at++;
	}
	longer = grow(*windows, count, sizeof **windows);
	if (longer == NULL)
		return report_memory(r);
	*windows = longer;
	longer[*count - 1] = (guide_window){ v[0], v[1], v[2], v[3] };
	return true;
}

bool value_keyword(const char *option, const char *text, char name[9],
		   report *r)
{
	size_t length = strlen(text);

	/* CFITSIO would take other characters as wildcards. */
	for (size_t i = 0; i < length && i < 8; i++) {
		unsigned char letter = (unsigned char)text[i];

		name[i] = (char)toupper(letter);
		if (!isalnum(letter) && letter != '_' && letter != '-')
			length = 0;
	}
	if (length < 1 || length > 8)
		return report_usage(r, option, "got '%s', expected the name "
				    "of a keyword, such as AOSTREHL; see "
				    "--help", text);
	name[length] = '\0';
	return true;
}

bool value_rule(const char *option, const char *text, weight_rule *rule,
		report *r)
{
	static const char name[] = "threshold=";
	const size_t length = sizeof name - 1;
	char *end;

	rule->text = text;
	rule->threshold = 0.0;
	if (strcmp(text, "linear") == 0)
		return true;
	if (strncmp(text, name, length) == 0 && text[length] != '\0') {
		rule->threshold = strtod(text + length, &end);
		if (*end == '\0' && rule->threshold > 0.0 &&
		    rule->threshold <= 1.0)
			return true;
	}
	return report_usage(r, option, "got '%s', expected linear or "
			    "threshold=F with F above 0 and at most 1; see "
			    "--help", text);
}
