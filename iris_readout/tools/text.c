/* SPDX-License-Identifier: BSD-3-Clause */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool make_room(text_buffer *t, size_t more)
{
	size_t capacity = 2 * t->capacity + more + 64;
	char *start;

	if (t->failed || t->length + more < t->capacity)
		return !t->failed;
	start = realloc(t->start, capacity);
	t->failed = start == NULL;
	if (t->failed)
		return false;
	t->start = start;
	t->capacity = capacity;
	return true;
}

void text_add(text_buffer *t, const char *format, ...)
{
	va_list arguments, again;
	int n;

	va_start(arguments, format);
	va_copy(again, arguments);
	n = vsnprintf(NULL, 0, format, arguments);
	if (n >= 0 && make_room(t, (size_t)n + 1)) {
		(void)vsnprintf(t->start + t->length, (size_t)n + 1, format,
				again);
		t->length += (size_t)n;
	}
	va_end(again);
	va_end(arguments);
}

void text_add_json(text_buffer *t, const char *string)
{
	text_add(t, "\"");
	for (; *string != '\0'; string++) {
		unsigned char byte = (unsigned char)*string;

		if (byte == '"' || byte == '\\')
			text_add(t, "\\%c", byte);
		else if (byte < ' ')
			text_add(t, "\\u%04x", byte);
		else
			text_add(t, "%c", byte > '~' ? '?' : byte);
	}
	text_add(t, "\"");
}

void text_add_number(text_buffer *t, double value)
{
	const double size = value < 0.0 ? -value : value;
	char digits[40] = "";
	int precision = 0;

	do
		(void)snprintf(digits, sizeof digits, "%.*g", ++precision,
			       value);
	while (precision < 17 && (strtod(digits, NULL) < value ||
				  strtod(digits, NULL) > value));
	/* No exponent from 1e-4 up to 1e16, and a point in every number. */
	if (strchr(digits, 'e') != NULL && size >= 1e-4 && size < 1e16)
		(void)snprintf(digits, sizeof digits, "%.0f", value);
	text_add(t, "%s%s", digits, strpbrk(digits, ".en") == NULL ? ".0" : "");
}

const char *text_truth(bool value)
{
	return value ? "true" : "false";
}

void text_free(text_buffer *t)
{
	free(t->start);
	memset(t, 0, sizeof *t);
}
