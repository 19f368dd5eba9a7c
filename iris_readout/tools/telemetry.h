/* SPDX-License-Identifier: BSD-3-Clause */
/* What changes from read to read, and when the reads were taken. */
#ifndef TELEMETRY_H
#define TELEMETRY_H

#include "exposure.h"

/*
 * Table TELEMETRY: a row for each read; ramp, read, seconds since the reset,
 * then each keyword that has not one value in all reads.  The status is
 * CFITSIO's.
 */
int telemetry_write(fitsfile *file, const exposure *e, int *status);

/*
 * DATE-BEG, MJD-BEG and so on from the clocks of the reads, where the header
 * has them not yet; nothing where a read has no clock.
 */
int telemetry_write_times(fitsfile *file, const exposure *e, int *status);

#endif
