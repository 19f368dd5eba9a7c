/* SPDX-License-Identifier: BSD-3-Clause */
/* Version, status texts and the wording of failures. */
#include "check.h"
#include "internal.h"

#include <string.h>

static void test_every_status_has_its_own_text(void)
{
	int a, b;

	for (a = IRIS_OK; a <= IRIS_ERROR_STATE; a++) {
		const char *text = iris_status_text((iris_status)a);

		CHECK(strcmp(text, "unknown status") != 0);
		for (b = IRIS_OK; b < a; b++)
			CHECK(strcmp(text, iris_status_text((iris_status)b))
			      != 0);
	}
	CHECK(strcmp(iris_status_text((iris_status)77), "unknown status")
	      == 0);
}

static void test_failure_text_is_cut_to_its_buffer(void)
{
	char message[8] = "unset";

	CHECK(iris_fail(message, sizeof(message), IRIS_ERROR_TIME,
			"read %d is late", 12) == IRIS_ERROR_TIME);
	CHECK(strcmp(message, "read 12") == 0);
	CHECK(iris_fail(NULL, 0, IRIS_ERROR_NULL, "x") == IRIS_ERROR_NULL);
}

int main(void)
{
	CHECK(strcmp(iris_readout_version(), IRIS_READOUT_VERSION) == 0);
	CHECK(iris_readout_abi() == IRIS_READOUT_ABI);
	test_every_status_has_its_own_text();
	test_failure_text_is_cut_to_its_buffer();
	return failures != 0;
}
