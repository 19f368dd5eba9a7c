/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pixels of reads: straight from the bytes of a file that is mapped into
 * memory where they can be used as they are, else through CFITSIO.
 */
#ifndef PIXELS_H
#define PIXELS_H

#include "exposure.h"
#include "iris_readout.h"

#include <signal.h>

/* A mapped file; start NULL: it is not. */
typedef struct mapping {
	const unsigned char *start;
	size_t size;
} mapping;

typedef struct pixel_source {
	const exposure *exposure;
	mapping *maps;    /* one for each file of the exposure */
	fitsfile *file;   /* open through CFITSIO */
	size_t index;     /* of that file */
	uint16_t *counts; /* room for a read through CFITSIO */
	struct sigaction before; /* what a lost file did */
} pixel_source;

bool pixels_open(pixel_source *p, const exposure *e, report *r);

/*
 * Set the counts, the order and borrowed of `one`.  Borrowed counts stay until
 * pixels_release, others until the next call.
 */
bool pixels_fetch(pixel_source *p, const raw_read *read, iris_read *one,
		  report *r);

/* Let go of the memory of a read that is hardly used again. */
void pixels_forget(const pixel_source *p, const raw_read *read);

/* End of what was borrowed. */
void pixels_release(pixel_source *p);

void pixels_close(pixel_source *p);

/* Whether two reads have the same counts. */
bool pixels_compare(const exposure *e, const raw_read *a, const raw_read *b,
		    bool *same, report *r);

#endif
