/* SPDX-License-Identifier: BSD-3-Clause */
/* Which instruction set the vector code uses; all of them give the same bits. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static const iris_kernels *const sets[] = {
	[IRIS_ISA_AUTO] = NULL,
	[IRIS_ISA_BASELINE] = &iris_kernels_baseline,
#ifdef IRIS_HAVE_X86
	[IRIS_ISA_AVX2] = &iris_kernels_avx2,
	[IRIS_ISA_AVX512] = &iris_kernels_avx512,
#else
	[IRIS_ISA_AVX2] = NULL,
	[IRIS_ISA_AVX512] = NULL,
#endif
};

static const char *const names[] = {"auto", "baseline", "avx2", "avx512"};

static bool is_available(iris_isa isa)
{
#ifdef IRIS_HAVE_X86
	if (isa == IRIS_ISA_AVX2)
		return __builtin_cpu_supports("avx2") != 0;
	if (isa == IRIS_ISA_AVX512)
		return __builtin_cpu_supports("avx512f")
			&& __builtin_cpu_supports("avx512bw")
			&& __builtin_cpu_supports("avx512dq")
			&& __builtin_cpu_supports("avx512vl");
#endif
	return sets[isa] != NULL;
}

static iris_isa best(void)
{
	iris_isa isa = IRIS_ISA_AVX512;

	while (isa > IRIS_ISA_BASELINE && !is_available(isa))
		isa = (iris_isa)(isa - 1);
	return isa;
}

/* The set that IRIS_ISA asks for; false where it is not a name of one. */
static bool from_environment(iris_isa *isa, const char *name)
{
	int i;

	for (i = IRIS_ISA_AUTO; i <= IRIS_ISA_AVX512; i++) {
		if (strcmp(name, names[i]) == 0) {
			*isa = (iris_isa)i;
			return true;
		}
	}
	return false;
}

iris_status iris_kernels_choose(const iris_kernels **kernels, iris_isa isa,
				char *message, size_t size)
{
	const char *wish = getenv("IRIS_ISA");

	if ((int)isa < IRIS_ISA_AUTO || (int)isa > IRIS_ISA_AVX512)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "isa: got %d, expected 0 to 3", (int)isa);
	if (isa == IRIS_ISA_AUTO && wish != NULL && wish[0] != '\0'
	    && !from_environment(&isa, wish))
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "IRIS_ISA: got '%.32s', expected auto, "
				 "baseline, avx2 or avx512", wish);
	if (isa == IRIS_ISA_AUTO)
		isa = best();
	if (!is_available(isa))
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "instruction set: got %s, which this machine "
				 "does not have; the best it has is %s",
				 names[isa], names[best()]);
	*kernels = sets[isa];
	return IRIS_OK;
}
