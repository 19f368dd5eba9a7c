/* SPDX-License-Identifier: BSD-3-Clause */
/* Reserved memory: zero, aligned, refused where it cannot be, given back. */
#define _DEFAULT_SOURCE /* sysconf */
#include "check.h"
#include "internal.h"

#include <string.h>
#include <unistd.h>

static void test_reserve(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char *bytes = iris_reserve(3, page);
	size_t i, sum = 0;

	CHECK(bytes != NULL && (uintptr_t)bytes % page == 0);
	for (i = 0; bytes != NULL && i < 3 * page; i++)
		sum += bytes[i];
	CHECK(sum == 0);
	iris_unreserve(bytes, 3, page);
}

static void test_nothing_and_too_much(void)
{
	void *nothing = iris_reserve(0, 8);

	CHECK(nothing != NULL);
	iris_unreserve(nothing, 0, 8);
	CHECK(iris_reserve(SIZE_MAX, 1) == NULL);
	CHECK(iris_reserve(SIZE_MAX / 4, 8) == NULL);
	CHECK(iris_reserve(2, SIZE_MAX / 2) == NULL);
	iris_unreserve(NULL, 5, 5);
}

/* What lies beside whole pages inside stays as it is. */
static void test_discard(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char *bytes = iris_reserve(4, page);
	size_t i, changed = 0;

	memset(bytes, 7, 4 * page);
	iris_discard(bytes + page / 2, 2 * page);
	for (i = 0; i < page; i++)
		changed += bytes[i] != 7;
	for (i = 2 * page; i < 4 * page; i++)
		changed += bytes[i] != 7;
	CHECK(changed == 0);
	iris_discard(bytes + 1, page - 2); /* no whole page */
	iris_discard(bytes + 1, 0);
	CHECK(bytes[1] == 7 && bytes[page - 1] == 7);
	bytes[page] = 9; /* may be written again */
	CHECK(bytes[page] == 9);
	iris_unreserve(bytes, 4, page);
}

/* A ramp that the machine cannot hold is refused, not half made. */
static void test_ramp_without_memory(void)
{
	char message[IRIS_MESSAGE] = "";
	iris_ramp *ramp = NULL;
	iris_options o;
	iris_status status;

	iris_options_init(&o, (size_t)1 << 29, (size_t)1 << 30);
	o.ref_pixels = 0;
	o.gain.value = o.read_noise.value = 1.0f;
	status = iris_ramp_create(&ramp, &o, message, sizeof(message));
	CHECK(status == IRIS_ERROR_MEMORY || status == IRIS_ERROR_SHAPE);
	CHECK(ramp == NULL && message[0] != '\0');
}

int main(void)
{
	test_reserve();
	test_nothing_and_too_much();
	test_discard();
	test_ramp_without_memory();
	return failures != 0;
}
