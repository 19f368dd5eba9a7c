/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A product appears whole or not at all: it is written beside its final name
 * and renamed.  SIGINT, SIGTERM and SIGHUP remove what was begun.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "report.h"
#include "settings.h"

/* Refuse a name that cannot be written, exists, or is an input. */
bool output_check(const settings *s, report *r);

/* A free temporary name beside the output; valid until the next call. */
const char *output_begin(const char *path, report *r);

/* Flush the temporary file to disk and give it its final name. */
bool output_commit(const char *path, bool overwrite, report *r);

/* Remove the temporary file; harmless without one. */
void output_abandon(void);

#endif
