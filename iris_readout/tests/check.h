/* SPDX-License-Identifier: BSD-3-Clause */
/* What the C tests share: checks that count, and numbers to test with. */
#ifndef IRIS_READOUT_TESTS_CHECK_H
#define IRIS_READOUT_TESTS_CHECK_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>

static int failures;

#define CHECK(condition)                                                   \
	do {                                                               \
		if (!(condition)) {                                        \
			failures++;                                        \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__,     \
				      __LINE__, #condition);               \
		}                                                          \
	} while (0)

#define CHECK_CLOSE(got, expected, tolerance)                              \
	do {                                                               \
		const double got_ = (double)(got);                         \
		const double expected_ = (double)(expected);               \
									   \
		if (!(fabs(got_ - expected_) <= (tolerance))) {            \
			failures++;                                        \
			(void)fprintf(stderr,                              \
				      "%s:%d: %s is %.9g, not %.9g\n",     \
				      __FILE__, __LINE__, #got, got_,      \
				      expected_);                          \
		}                                                          \
	} while (0)

#endif
