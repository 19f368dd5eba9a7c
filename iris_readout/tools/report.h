/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the command says: one line for the failure that ends it, one for each
 * warning.  Lines read `FILE: KEY or part: got ..., expected ...; remedy`.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>

#if defined(__GNUC__)
#define REPORT_FORMAT(at) __attribute__((format(printf, at, (at) + 1)))
#else
#define REPORT_FORMAT(at)
#endif

enum { EXIT_GOOD = 0, EXIT_INPUT = 1, EXIT_USAGE = 2 };

typedef struct report {
	bool quiet; /* no warnings */
	bool debug; /* CFITSIO's own words after a failure */
	int exit_status;
	char message[1024]; /* the last failure, one line without line end */
} report;

/* Note a failure of an input; gives false, so that a caller can return it. */
bool report_fail(report *r, const char *path, const char *part,
		 const char *format, ...) REPORT_FORMAT(4);

/* Note wrong usage; gives false. */
bool report_usage(report *r, const char *part, const char *format, ...)
	REPORT_FORMAT(3);

/* Note that memory could not be had; gives false. */
bool report_memory(report *r);

/* Print a warning on standard error, unless quiet. */
void report_warn(const report *r, const char *path, const char *part,
		 const char *format, ...) REPORT_FORMAT(4);

/* Print the last failure as a warning and go on as if it had not been. */
void report_demote(report *r, const char *consequence);

/* Print the last failure on standard error. */
void report_print(const report *r);

/* File name without its folders. */
const char *base_name(const char *path);

#endif
