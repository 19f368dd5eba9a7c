/* SPDX-License-Identifier: BSD-3-Clause */
/* The level-1 FITS file. */
#ifndef PRODUCT_H
#define PRODUCT_H

#include "exposure.h"
#include "frame.h"
#include "plan.h"
#include "references.h"
#include "settings.h"

#include <time.h>

/* All that goes into the file. */
typedef struct product {
	const settings *settings;
	const exposure *exposure;
	const references *references;
	const plan *plan;
	const frame *frame;
	struct timespec start, end; /* of the work, UTC */
} product;

/* Write the file, whole, under its final name. */
bool product_write(const product *p, report *r);

/* tables.c; the status is CFITSIO's. */
int tables_write(fitsfile *file, const product *p, int *status);

#endif
