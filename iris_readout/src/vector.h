/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Vectors of floats and of masks as wide as the instruction set has them, by
 * the vector extension of gcc and clang.  Part of kernels.c.
 */
#ifndef IRIS_READOUT_VECTOR_H
#define IRIS_READOUT_VECTOR_H

#include "internal.h"

#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#ifndef IRIS_VECTOR
#define IRIS_VECTOR 16
#define IRIS_KERNELS iris_kernels_baseline
#define IRIS_KERNELS_NAME "baseline"
#endif

typedef float vreal __attribute__((vector_size(IRIS_VECTOR)));
typedef int32_t vmask __attribute__((vector_size(IRIS_VECTOR)));
typedef uint16_t vhalf __attribute__((vector_size(IRIS_VECTOR / 2)));

enum {
	L = IRIS_LANES,
	V = IRIS_VECTOR / 4, /* lanes of a vector */
	U = 2,               /* vectors side by side: hides divisions */
	G = U * V            /* lanes worked on together */
};

#define INLINE static inline __attribute__((always_inline))

#define FOR_L for (size_t l = 0; l < L; l++)

#define FOR_U for (int u = 0; u < U; u++)

static inline vreal load(const float *lanes)
{
	return *(const vreal *)(const void *)lanes;
}

static inline void store(float *lanes, vreal value)
{
	*(vreal *)(void *)lanes = value;
}

static inline vmask load_mask(const int32_t *lanes)
{
	return *(const vmask *)(const void *)lanes;
}

static inline vmask load_flags(const uint32_t *lanes)
{
	return *(const vmask *)(const void *)lanes;
}

static inline void store_flags(uint32_t *lanes, vmask flags)
{
	*(vmask *)(void *)lanes = flags;
}

static inline vreal all(float value)
{
	return value - (vreal){0};
}

static inline vmask all_mask(int32_t value)
{
	return value - (vmask){0};
}

/* a where the mask is set, else 0. */
static inline vreal only(vmask mask, vreal a)
{
	return (vreal)(mask & (vmask)a);
}

static inline vreal choose(vmask mask, vreal a, vreal b)
{
	return (vreal)((mask & (vmask)a) | (~mask & (vmask)b));
}

static inline vreal at_least_zero(vreal a)
{
	return only(a > 0, a);
}

/* Counts of neighbouring pixels, at any even address. */
static inline vreal load_counts(const uint16_t *counts)
{
#if defined(__AVX2__) && IRIS_VECTOR == 32 /* in one instruction */
	const vmask wide = (vmask)_mm256_cvtepu16_epi32(
		_mm_loadu_si128((const __m128i *)(const void *)counts));
#else
	vhalf half;
	vmask wide;

	memcpy(&half, counts, sizeof(half));
	wide = __builtin_convertvector(half, vmask);
#endif
	return __builtin_convertvector(wide, vreal);
}

static inline bool any(vmask mask)
{
	int32_t found = 0;

	for (int l = 0; l < V; l++)
		found |= mask[l];
	return found != 0;
}

#endif
