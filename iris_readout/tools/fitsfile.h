/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening FITS files without trusting them, and reading their keywords. */
#ifndef FITSFILE_H
#define FITSFILE_H

#include "content.h"
#include "report.h"

#include <fitsio.h>
#include <stdint.h>

enum { CARD = 80 };

/* Text of a value as it stands in the header; strings without quotes. */
typedef struct keyword {
	char name[FLEN_KEYWORD];
	char text[FLEN_VALUE];
	bool found;  /* present, with a value */
	bool quoted; /* a string */
} keyword;

/*
 * Open a file whose content was read, check that it is FITS, that all its HDUs
 * are there to the last byte and that their DATASUM holds; the primary HDU is
 * current then.  Bytes after the last HDU and a wrong CHECKSUM alone are
 * warnings.
 */
bool fitsfile_open(const char *path, const content *bytes, fitsfile **file,
		   report *r);
void fitsfile_close(fitsfile *file);

/*
 * Where the pixels of the current HDU, int16 with BZERO 32768, begin in the
 * file; 0 where its bytes cannot be used as they are.
 */
int64_t fitsfile_data_at(fitsfile *file, const content *bytes);

/* Note what CFITSIO said; gives false. */
bool fitsfile_failed(report *r, const char *path, const char *part,
		     int status);

keyword fitsfile_keyword(fitsfile *file, const char *name);

/* Fail unless the keyword is there and of that kind. */
bool keyword_string(const keyword *key, const char **value, const char *path,
		    report *r);
bool keyword_integer(const keyword *key, int64_t least, int64_t *value,
		     const char *path, report *r);

/* False where it is missing, no number, or not finite. */
bool keyword_number(const keyword *key, double *value);

/* All cards of the current header, malloc'ed; NULL without memory. */
char *fitsfile_cards(fitsfile *file, size_t *count);

#endif
