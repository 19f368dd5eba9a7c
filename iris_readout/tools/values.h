/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of options: text to number, wrong ones named in one line. */
#ifndef VALUES_H
#define VALUES_H

#include "report.h"

#include <stddef.h>

/* FILE or VALUE of an option; file NULL and value 0: not given. */
typedef struct quantity {
	const char *file;
	double value;
} quantity;

/* Numbers of reads, both ends in it. */
typedef struct number_range {
	size_t first, last;
} number_range;

/* Pixels of the detector, 1-based, as SUBSTRT1 and so on have them. */
typedef struct guide_window {
	size_t x, y, nx, ny;
} guide_window;

/* How the keyword of a read becomes its weight. */
typedef struct weight_rule {
	const char *text; /* NULL: linear */
	double threshold; /* of the largest value; 0: linear */
} weight_rule;

/* Which of `count` names, in *index. */
bool value_choice(const char *option, const char *text,
		  const char *const *names, size_t count, int *index,
		  report *r);
bool value_count(const char *option, const char *text, size_t least,
		 size_t *count, report *r);
/* 0, or odd. */
bool value_odd(const char *option, const char *text, size_t *count,
	       report *r);
/* With k, M or G: powers of 1000. */
bool value_bytes(const char *option, const char *text, size_t *bytes,
		 report *r);
/* 0 for no test. */
bool value_sigma(const char *option, const char *text, double *sigma,
		 report *r);
/* What reads as a number is a value, all else a file. */
bool value_quantity(const char *option, const char *text, quantity *q,
		    report *r);
/* Added to the list *ranges, which grows. */
bool value_ranges(const char *option, const char *text,
		  number_range **ranges, size_t *count, report *r);
bool value_window(const char *option, const char *text,
		  guide_window **windows, size_t *count, report *r);
bool value_keyword(const char *option, const char *text, char name[9],
		   report *r);
bool value_rule(const char *option, const char *text, weight_rule *rule,
		report *r);

#endif
