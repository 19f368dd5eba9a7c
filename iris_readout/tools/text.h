/* SPDX-License-Identifier: BSD-3-Clause */
/* A string that grows, and JSON in it. */
#ifndef TEXT_H
#define TEXT_H

#include "report.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct text_buffer {
	char *start; /* NULL: empty, or memory was short */
	size_t length, capacity;
	bool failed;
} text_buffer;

void text_add(text_buffer *t, const char *format, ...) REPORT_FORMAT(2);

/* Add a string with quotes and escapes; bytes beyond ASCII become '?'. */
void text_add_json(text_buffer *t, const char *string);

/* Add a number as Python's json writes it: the shortest that reads the same. */
void text_add_number(text_buffer *t, double value);

/* "true" or "false" */
const char *text_truth(bool value);

void text_free(text_buffer *t);

#endif
