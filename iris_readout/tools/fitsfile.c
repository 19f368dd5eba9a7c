/* SPDX-License-Identifier: BSD-3-Clause */
#include "fitsfile.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_gzip(const content *bytes)
{
	return bytes->magic[0] == 0x1f && bytes->magic[1] == 0x8b;
}

/* The last four bytes of a gzip file are its unpacked size, mod 2^32. */
static bool gzip_is_whole(const content *bytes, uint64_t unpacked)
{
	uint32_t size = (uint32_t)bytes->tail[0] |
			(uint32_t)bytes->tail[1] << 8 |
			(uint32_t)bytes->tail[2] << 16 |
			(uint32_t)bytes->tail[3] << 24;

	return !is_gzip(bytes) || (uint32_t)unpacked == size;
}

bool fitsfile_failed(report *r, const char *path, const char *part, int status)
{
	char text[FLEN_STATUS];

	fits_get_errstatus(status, text);
	return report_fail(r, path, part, "got '%s' (CFITSIO %d), expected a "
			   "file that can be read; copy it again", text,
			   status);
}

/* Offsets of the current HDU. */
typedef struct extent {
	LONGLONG head, data, end;
} extent;

/*
 * As fits_verify_chksum: 1 good, -1 not, 0 without that keyword; from the sums
 * of the blocks, which were read anyway.
 */
static void compare_sums(fitsfile *file, const content *bytes,
			 const extent *hdu, int *data, int *whole)
{
	keyword datasum = fitsfile_keyword(file, "DATASUM");
	keyword checksum = fitsfile_keyword(file, "CHECKSUM");
	uint32_t sum;

	*data = *whole = 0;
	if (datasum.found)
		*data = strtod(datasum.text, NULL) ==
			(double)content_sum(bytes, hdu->data, hdu->end)
			? 1 : -1;
	if (!checksum.found)
		return;
	sum = content_sum(bytes, hdu->head, hdu->end);
	*whole = sum == 0 || sum == UINT32_MAX ? 1 : -1;
}

/* DATASUM must hold; CHECKSUM should. */
static bool check_sums(fitsfile *file, const content *bytes,
		       const extent *at, const char *path, const char *part,
		       report *r)
{
	int status = 0, data = 0, hdu = 0;

	/* The blocks of a packed file are known to CFITSIO only. */
	if (!is_gzip(bytes))
		compare_sums(file, bytes, at, &data, &hdu);
	else if (fits_verify_chksum(file, &data, &hdu, &status) != 0)
		return fitsfile_failed(r, path, part, status);
	if (data < 0)
		return report_fail(r, path, "DATASUM", "got data in %s that "
				   "do not match it, expected the data as "
				   "they were written; copy the file again",
				   part);
	if (hdu < 0)
		report_warn(r, path, "CHECKSUM", "got a header in %s that "
			    "does not match it, expected an unchanged one; "
			    "the data are intact and are used", part);
	return true;
}

static bool next_starts(const char *path, int64_t at)
{
	char bytes[8] = "";
	FILE *file = fopen(path, "rb");
	bool starts = file != NULL && fseeko(file, (off_t)at, SEEK_SET) == 0 &&
		      fread(bytes, 1, sizeof bytes, file) == sizeof bytes &&
		      memcmp(bytes, "XTENSION", sizeof bytes) == 0;

	if (file != NULL)
		(void)fclose(file);
	return starts;
}

static bool fail_truncated(report *r, const char *path, const char *part,
			   int64_t got, int64_t expected)
{
	return report_fail(r, path, part, "got a file of %lld bytes, expected "
			   "at least %lld: it is truncated; copy it again",
			   (long long)got, (long long)expected);
}

/* Walk the HDUs and compare their ends with the size of the file. */
static bool check_whole(fitsfile *file, const content *bytes,
			const char *path, report *r)
{
	int64_t size = file->Fptr->filesize;
	extent at = { 0, 0, 0 };
	int status = 0;
	char part[16] = "PRIMARY";

	for (int hdu = 1; status == 0; hdu++) {
		if (hdu > 1)
			(void)snprintf(part, sizeof part, "HDU %d", hdu);
		if (fits_get_hduaddrll(file, &at.head, &at.data, &at.end,
				       &status) != 0)
			return fitsfile_failed(r, path, part, status);
		if (at.end > size)
			return fail_truncated(r, path, part, size, at.end);
		if (!check_sums(file, bytes, &at, path, part, r))
			return false;
		(void)fits_movrel_hdu(file, 1, NULL, &status);
	}
	fits_clear_errmsg();
	if (at.end < size && !is_gzip(bytes) && next_starts(path, at.end))
		return fail_truncated(r, path, "last HDU", size, size + 1);
	if (at.end < size)
		report_warn(r, path, "end", "got %lld bytes after the last "
			    "HDU, expected none; they are ignored",
			    (long long)(size - at.end));
	status = 0;
	return fits_movabs_hdu(file, 1, NULL, &status) == 0 ||
	       fitsfile_failed(r, path, "PRIMARY", status);
}

bool fitsfile_open(const char *path, const content *bytes, fitsfile **file,
		   report *r)
{
	int status = 0;
	bool good;

	*file = NULL;
	if (!content_check(bytes, path, r))
		return false;
	if (!is_gzip(bytes) &&
	    memcmp(bytes->magic, "SIMPLE  =", CONTENT_MAGIC) != 0)
		return report_fail(r, path, "PRIMARY", "got a file that does "
				   "not begin with SIMPLE, expected FITS; %s",
				   bytes->size == 0 ? "it is empty: copy it "
						      "again"
						    : "give FITS files only");
	if (fits_open_diskfile(file, path, READONLY, &status) != 0) {
		*file = NULL;
		return fitsfile_failed(r, path, "PRIMARY", status);
	}
	good = gzip_is_whole(bytes, (uint64_t)(*file)->Fptr->filesize) ||
	       report_fail(r, path, "file", "got a gzip file that ends too "
			   "early, expected %s; copy it again", "a whole one");
	if (good && check_whole(*file, bytes, path, r))
		return true;
	fitsfile_close(*file);
	*file = NULL;
	return false;
}

int64_t fitsfile_data_at(fitsfile *file, const content *bytes)
{
	double zero = 0.0, scale = 1.0;
	keyword key = fitsfile_keyword(file, "BZERO");
	keyword factor = fitsfile_keyword(file, "BSCALE");
	LONGLONG head, data = 0, end;
	int status = 0;

	if (is_gzip(bytes) || !keyword_number(&key, &zero) ||
	    zero < 32768.0 || zero > 32768.0)
		return 0;
	if (factor.found && (!keyword_number(&factor, &scale) || scale < 1.0 ||
			     scale > 1.0))
		return 0;
	if (fits_get_hduaddrll(file, &head, &data, &end, &status) != 0)
		return 0;
	return data;
}

void fitsfile_close(fitsfile *file)
{
	int status = 0;

	if (file != NULL)
		(void)fits_close_file(file, &status);
}

/* Take the quotes off a string and the blanks off its end. */
static void unquote(char *text)
{
	size_t from = 1, to = 0, length = strlen(text);

	for (; from < length; from++) {
		if (text[from] == '\'' && text[++from] != '\'')
			break;
		text[to++] = text[from];
	}
	while (to > 0 && text[to - 1] == ' ')
		to--;
	text[to] = '\0';
}

keyword fitsfile_keyword(fitsfile *file, const char *name)
{
	keyword key = { .found = false };
	int status = 0;

	(void)snprintf(key.name, sizeof key.name, "%s", name);
	if (fits_read_keyword(file, name, key.text, NULL, &status) != 0) {
		fits_clear_errmsg();
		key.text[0] = '\0';
		return key;
	}
	key.quoted = key.text[0] == '\'';
	if (key.quoted)
		unquote(key.text);
	key.found = key.text[0] != '\0';
	return key;
}

static bool fail_missing(const keyword *key, const char *what,
			 const char *path, report *r)
{
	return report_fail(r, path, key->name, "got no value, expected %s; "
			   "mend the header or leave the file out", what);
}

bool keyword_string(const keyword *key, const char **value, const char *path,
		    report *r)
{
	*value = key->text;
	if (!key->found)
		return fail_missing(key, "a word", path, r);
	return key->quoted ||
	       report_fail(r, path, key->name, "got %s, expected a string in "
			   "quotes; mend the header", key->text);
}

bool keyword_integer(const keyword *key, int64_t least, int64_t *value,
		     const char *path, report *r)
{
	char *end;
	long long number;

	if (!key->found)
		return fail_missing(key, "an integer", path, r);
	errno = 0;
	number = strtoll(key->text, &end, 10);
	*value = number;
	if (!key->quoted && *end == '\0' && errno == 0 && number >= least)
		return true;
	return report_fail(r, path, key->name, "got %s%s, expected an integer "
			   "of at least %lld; mend the header", key->text,
			   key->quoted ? " (a string)" : "",
			   (long long)least);
}

bool keyword_number(const keyword *key, double *value)
{
	char text[FLEN_VALUE];
	char *end;

	memcpy(text, key->text, sizeof text);
	end = strpbrk(text, "dD"); /* FORTRAN exponents are legal FITS */
	if (end != NULL)
		*end = 'E';
	*value = strtod(text, &end);
	return key->found && !key->quoted && *end == '\0' && isfinite(*value);
}

char *fitsfile_cards(fitsfile *file, size_t *count)
{
	int status = 0, n = 0, room = 0;
	char card[FLEN_CARD];
	char *cards;

	if (fits_get_hdrspace(file, &n, &room, &status) != 0 || n < 0)
		n = 0;
	cards = malloc((size_t)n * CARD + 1);
	if (cards == NULL)
		return NULL;
	memset(cards, ' ', (size_t)n * CARD);
	for (int i = 0; i < n; i++) {
		memset(card, 0, sizeof card);
		if (fits_read_record(file, i + 1, card, &status) == 0)
			memcpy(cards + (size_t)i * CARD, card, strlen(card));
	}
	*count = (size_t)n;
	return cards;
}
