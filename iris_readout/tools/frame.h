/* SPDX-License-Identifier: BSD-3-Clause */
/* The rate image and the events of an exposure. */
#ifndef FRAME_H
#define FRAME_H

#include "exposure.h"
#include "iris_readout.h"
#include "plan.h"

typedef struct ramp_event {
	uint32_t ramp; /* 1-based */
	iris_event event;
} ramp_event;

typedef struct frame {
	size_t ny, nx;
	iris_planes planes;
	ramp_event *events;
	size_t nevent;
	fit_notes notes;
} frame;

/* Fit each ramp and combine them. */
bool frame_fit(frame *f, const exposure *e, const plan *p, const settings *s,
	       report *r);
void frame_free(frame *f);

#endif
