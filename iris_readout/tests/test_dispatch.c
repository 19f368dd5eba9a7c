/* SPDX-License-Identifier: BSD-3-Clause */
/* Which instruction set a ramp takes: the option, IRIS_ISA, the best. */
#define _DEFAULT_SOURCE /* setenv */
#include "check.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Name of the set in use, "" where the ramp is refused. */
static const char *set_of(iris_isa isa, const char *environment,
			  char message[IRIS_MESSAGE])
{
	static char name[16];
	iris_ramp *ramp = NULL;
	iris_options o;

	iris_options_init(&o, 1, 1);
	o.ref_pixels = 0;
	o.gain.value = o.read_noise.value = 1.0f;
	o.isa = isa;
	if (environment != NULL)
		(void)setenv("IRIS_ISA", environment, 1);
	else
		(void)unsetenv("IRIS_ISA");
	name[0] = '\0';
	if (iris_ramp_create(&ramp, &o, message, IRIS_MESSAGE) == IRIS_OK)
		(void)snprintf(name, sizeof(name), "%s", iris_ramp_isa(ramp));
	else
		CHECK(ramp == NULL && strstr(iris_status_text(
			IRIS_ERROR_OPTION), "option") != NULL);
	iris_ramp_destroy(ramp);
	return name;
}

static void test_environment(void)
{
	char message[IRIS_MESSAGE], best[16];

	(void)snprintf(best, sizeof(best), "%s",
		       set_of(IRIS_ISA_AUTO, NULL, message));
	CHECK(best[0] != '\0');
	CHECK(strcmp(set_of(IRIS_ISA_AUTO, "auto", message), best) == 0);
	CHECK(strcmp(set_of(IRIS_ISA_AUTO, "", message), best) == 0);
	CHECK(strcmp(set_of(IRIS_ISA_AUTO, "baseline", message), "baseline")
	      == 0);
	CHECK(strcmp(set_of(IRIS_ISA_AUTO, "sse9", message), "") == 0);
	CHECK(strstr(message, "IRIS_ISA") != NULL
	      && strstr(message, "sse9") != NULL);
}

/* The option is stronger than the environment, even a wrong one. */
static void test_option(void)
{
	char message[IRIS_MESSAGE];

	CHECK(strcmp(set_of(IRIS_ISA_BASELINE, "avx512", message), "baseline")
	      == 0);
	CHECK(strcmp(set_of(IRIS_ISA_BASELINE, "sse9", message), "baseline")
	      == 0);
	CHECK(strcmp(set_of((iris_isa)17, NULL, message), "") == 0);
	CHECK(strstr(message, "isa") != NULL && strstr(message, "17") != NULL);
}

/* A set is taken, or refused with the name of the best there is. */
static void test_sets_of_this_machine(void)
{
	static const char *const names[] = {"avx2", "avx512"};
	char message[IRIS_MESSAGE], best[16];
	int i;

	(void)snprintf(best, sizeof(best), "%s",
		       set_of(IRIS_ISA_AUTO, NULL, message));
	for (i = 0; i < 2; i++) {
		const iris_isa isa = (iris_isa)(IRIS_ISA_AVX2 + i);
		const char *taken = set_of(isa, NULL, message);

		if (*taken != '\0') {
			CHECK(strcmp(taken, names[i]) == 0);
			continue;
		}
		CHECK(strstr(message, names[i]) != NULL);
		CHECK(strstr(message, best) != NULL);
	}
}

int main(void)
{
	test_environment();
	test_option();
	test_sets_of_this_machine();
	return failures != 0;
}
