/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small detector and its reads, in guarded buffers: light, noise well below
 * any threshold, and pixels that saturate, are zero, leave the range of their
 * linearity or are hit, all at known reads.
 */
#ifndef IRIS_READOUT_TESTS_SCENE_H
#define IRIS_READOUT_TESTS_SCENE_H

#include "iris_readout.h"

#include <stdbool.h>

enum { SCENE_READS = 60 };

/* What there is beside light and noise. */
enum {
	SCENE_MAPS = 1,       /* gain, noise and saturation per pixel */
	SCENE_BAD = 2,        /* some of them no good, and known bad pixels */
	SCENE_LINEARITY = 4,  /* polynomials and pedestals */
	SCENE_LIMIT = 8,      /* pixels beyond their limit */
	SCENE_SATURATED = 16, /* saturated and zero pixels */
	SCENE_HITS = 32,      /* large positive hits */
	SCENE_WINDOW = 64,    /* maps are larger than reads */
	SCENE_GUIDES = 128,   /* guide windows */
	SCENE_DROPPED = 256,  /* reads 1 and 4 are left out */
	SCENE_WEIGHTS = 512,  /* intervals weigh 0.25 to 1 */
	SCENE_GROW = 1024     /* saturation grows by a pixel */
};

typedef struct scene {
	iris_options options;
	size_t npixel, nread;
	unsigned features;
	uint16_t *native[SCENE_READS]; /* (npixel), order of this machine */
	uint16_t *stored[SCENE_READS]; /* (npixel), as they are pushed */
	iris_read reads[SCENE_READS];
	uint16_t *hit;      /* (npixel) read with the hit, from 0 on; 0: none */
	float amplitude;    /* of hits, DN */
} scene;

void scene_make(scene *s, size_t ny, size_t nx, size_t nread,
		unsigned features, uint64_t seed);

/* Push all reads, every second one borrowed, or the others. */
iris_status scene_push(const scene *s, iris_ramp *ramp, bool swap);

/* Planes in guarded buffers. */
iris_planes scene_planes(size_t npixel);

#endif
