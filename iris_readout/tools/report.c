/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <fitsio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE = 1024 };

const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

/* One line: whatever a header or a file name brought along. */
static void flatten(char *line)
{
	for (; *line != '\0'; line++)
		if ((unsigned char)*line < ' ' || *line == 127)
			*line = '?';
}

static void compose(char line[LINE], const char *path, const char *part,
		    const char *format, va_list arguments)
{
	int n = path != NULL ? snprintf(line, LINE, "%s: %s: ",
					base_name(path), part)
			     : snprintf(line, LINE, "%s: ", part);

	if (n >= 0 && n < LINE)
		(void)vsnprintf(line + n, LINE - (size_t)n, format, arguments);
	flatten(line);
}

bool report_fail(report *r, const char *path, const char *part,
		 const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	compose(r->message, path, part, format, arguments);
	va_end(arguments);
	r->exit_status = EXIT_INPUT;
	return false;
}

bool report_usage(report *r, const char *part, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	compose(r->message, NULL, part, format, arguments);
	va_end(arguments);
	r->exit_status = EXIT_USAGE;
	return false;
}

bool report_memory(report *r)
{
	return report_fail(r, NULL, "memory",
			   "got less than is needed, expected enough for the "
			   "frame and its reads; free some");
}

void report_warn(const report *r, const char *path, const char *part,
		 const char *format, ...)
{
	char line[LINE];
	va_list arguments;

	if (r->quiet)
		return;
	va_start(arguments, format);
	compose(line, path, part, format, arguments);
	va_end(arguments);
	(void)fprintf(stderr, "iris-readout: warning: %s\n", line);
}

void report_demote(report *r, const char *consequence)
{
	r->exit_status = EXIT_GOOD;
	fits_clear_errmsg();
	if (!r->quiet)
		(void)fprintf(stderr, "iris-readout: warning: %s; %s\n",
			      r->message, consequence);
}

void report_print(const report *r)
{
	char line[FLEN_ERRMSG];

	(void)fprintf(stderr, "iris-readout: %s\n", r->message);
	while (r->debug && fits_read_errmsg(line) != 0)
		(void)fprintf(stderr, "iris-readout: cfitsio: %s\n", line);
}
