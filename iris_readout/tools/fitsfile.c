/* SPDX-License-Identifier: BSD-3-Clause */
#include "fitsfile.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAGIC = 9 };

/* What is known of a file from its bytes alone. */
typedef struct content {
	unsigned char magic[MAGIC];
	unsigned char tail[4];
	uint64_t size;
	char hex[SHA256_HEX];
} content;

static void keep_ends(content *bytes, const unsigned char *chunk, size_t n)
{
	for (size_t i = 0; i < n && bytes->size + i < MAGIC; i++)
		bytes->magic[bytes->size + i] = chunk[i];
	for (size_t i = n < 4 ? 0 : n - 4; i < n; i++) {
		memmove(bytes->tail, bytes->tail + 1, 3);
		bytes->tail[3] = chunk[i];
	}
	bytes->size += n;
}

static bool read_content(const char *path, content *bytes, report *r)
{
	static const char remedy[] = "check its name and permissions";
	unsigned char chunk[1 << 16];
	struct stat about;
	sha256 digest;
	FILE *file;
	size_t n;

	memset(bytes, 0, sizeof *bytes);
	if (stat(path, &about) == 0 && !S_ISREG(about.st_mode))
		return report_fail(r, path, "file", "got something that is "
				   "not a plain file, expected a FITS file; "
				   "%s", remedy);
	file = fopen(path, "rb");
	if (file == NULL)
		return report_fail(r, path, "file", "got '%s', expected a "
				   "readable FITS file; %s", strerror(errno),
				   remedy);
	sha256_begin(&digest);
	while ((n = fread(chunk, 1, sizeof chunk, file)) > 0) {
		sha256_add(&digest, chunk, n);
		keep_ends(bytes, chunk, n);
	}
	sha256_end(&digest, bytes->hex);
	n = (size_t)ferror(file);
	(void)fclose(file);
	return n == 0 || report_fail(r, path, "file", "got a read error, "
				     "expected %s; check the disk",
				     "all its bytes");
}

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

/* DATASUM must hold; CHECKSUM should. */
static bool check_sums(fitsfile *file, const char *path, const char *part,
		       report *r)
{
	int status = 0, data = 0, hdu = 0;

	if (fits_verify_chksum(file, &data, &hdu, &status) != 0)
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
static bool check_whole(fitsfile *file, const char *path, bool packed,
			report *r)
{
	int64_t size = file->Fptr->filesize;
	LONGLONG head, data, end = 0;
	int status = 0;
	char part[16] = "PRIMARY";

	for (int hdu = 1; status == 0; hdu++) {
		if (hdu > 1)
			(void)snprintf(part, sizeof part, "HDU %d", hdu);
		if (fits_get_hduaddrll(file, &head, &data, &end, &status) != 0)
			return fitsfile_failed(r, path, part, status);
		if (end > size)
			return fail_truncated(r, path, part, size, end);
		if (!check_sums(file, path, part, r))
			return false;
		(void)fits_movrel_hdu(file, 1, NULL, &status);
	}
	fits_clear_errmsg();
	if (end < size && !packed && next_starts(path, end))
		return fail_truncated(r, path, "last HDU", size, size + 1);
	if (end < size)
		report_warn(r, path, "end", "got %lld bytes after the last "
			    "HDU, expected none; they are ignored",
			    (long long)(size - end));
	status = 0;
	return fits_movabs_hdu(file, 1, NULL, &status) == 0 ||
	       fitsfile_failed(r, path, "PRIMARY", status);
}

bool fitsfile_open(const char *path, fitsfile **file, char hex[SHA256_HEX],
		   report *r)
{
	content bytes;
	int status = 0;
	bool good;

	*file = NULL;
	if (!read_content(path, &bytes, r))
		return false;
	memcpy(hex, bytes.hex, SHA256_HEX);
	if (!is_gzip(&bytes) && memcmp(bytes.magic, "SIMPLE  =", MAGIC) != 0)
		return report_fail(r, path, "PRIMARY", "got a file that does "
				   "not begin with SIMPLE, expected FITS; %s",
				   bytes.size == 0 ? "it is empty: copy it "
						     "again"
						   : "give FITS files only");
	if (fits_open_diskfile(file, path, READONLY, &status) != 0) {
		*file = NULL;
		return fitsfile_failed(r, path, "PRIMARY", status);
	}
	good = gzip_is_whole(&bytes, (uint64_t)(*file)->Fptr->filesize) ||
	       report_fail(r, path, "file", "got a gzip file that ends too "
			   "early, expected %s; copy it again", "a whole one");
	if (good && check_whole(*file, path, is_gzip(&bytes), r))
		return true;
	fitsfile_close(*file);
	*file = NULL;
	return false;
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
