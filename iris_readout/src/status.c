/* SPDX-License-Identifier: BSD-3-Clause */
/* Version, status texts and the one place where a failure is worded. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

const char *iris_readout_version(void)
{
	return IRIS_READOUT_VERSION;
}

int iris_readout_abi(void)
{
	return IRIS_READOUT_ABI;
}

const char *iris_status_text(iris_status status)
{
	switch (status) {
	case IRIS_OK:
		return "no error";
	case IRIS_ERROR_NULL:
		return "a required pointer is NULL";
	case IRIS_ERROR_MEMORY:
		return "memory could not be had";
	case IRIS_ERROR_SHAPE:
		return "sizes do not fit together";
	case IRIS_ERROR_OPTION:
		return "an option is out of range";
	case IRIS_ERROR_REFERENCE:
		return "gain, noise or another map is unusable";
	case IRIS_ERROR_TIME:
		return "read times do not rise";
	case IRIS_ERROR_TOO_FEW:
		return "fewer than two reads";
	case IRIS_ERROR_STATE:
		return "call out of order";
	}
	return "unknown status";
}

/* Word the detail of a failure into message (may be NULL); give the status. */
iris_status iris_fail(char *message, size_t size, iris_status status,
		      const char *format, ...)
{
	va_list arguments;

	if (message != NULL && size > 0) {
		va_start(arguments, format);
		(void)vsnprintf(message, size, format, arguments);
		va_end(arguments);
	}
	return status;
}
