/* SPDX-License-Identifier: BSD-3-Clause */
#include "telemetry.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIXED = 3, STAMP = 32, TEXT = 4 * FLEN_VALUE, UNIT = 24 };

/* A keyword in all reads: its texts as in the cards, NULL where it is not. */
typedef struct series {
	char name[FLEN_KEYWORD];
	char column[FLEN_KEYWORD + 8];
	char unit[UNIT]; /* as its first comment begins, "" for none */
	char **text; /* one for each read */
} series;

typedef struct collection {
	series *item;
	size_t count, capacity, nread;
	size_t next; /* where the next card is likely to be found */
	bool failed; /* memory was short */
} collection;

/* Structure of the file, and what the fixed columns have. */
static bool is_left_out(const char *name)
{
	static const char *const names[] = {
		"SIMPLE", "BITPIX", "EXTEND", "BZERO", "BSCALE", "PCOUNT",
		"GCOUNT", "XTENSION", "GROUPS", "CHECKSUM", "DATASUM",
		"COMMENT", "HISTORY", "CONTINUE", "RAMP_NO", "READ_NO", "",
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return strncmp(name, "NAXIS", 5) == 0 &&
	       strspn(name + 5, "0123456789") == strlen(name + 5);
}

/* Keyword of a card in upper case, without HIERARCH; false for a remark. */
static bool read_name(const char *card, char name[FLEN_KEYWORD])
{
	const char *end = card + 8;
	size_t length;

	if (strncmp(card, "HIERARCH ", 9) == 0 && strchr(card, '=') != NULL) {
		card += 9;
		end = strchr(card, '=');
	} else if (strncmp(end, "= ", 2) != 0) {
		return false;
	}
	while (card < end && *card == ' ')
		card++;
	while (end > card && end[-1] == ' ')
		end--;
	length = (size_t)(end - card);
	if (length >= FLEN_KEYWORD)
		return false;
	for (size_t i = 0; i < length; i++)
		name[i] = (char)toupper((unsigned char)card[i]);
	name[length] = '\0';
	return !is_left_out(name);
}

/* From the first letter to before the comment; strings with their quotes. */
static void read_value(const char *from, char text[FLEN_CARD])
{
	const char *end;
	size_t length;

	from += strspn(from, " ");
	if (*from == '\'') {
		end = from + 1;
		while (*end != '\0' && (*end != '\'' || end[1] == '\''))
			end += *end == '\'' ? 2 : 1;
		(void)snprintf(text, FLEN_CARD, "%.*s'", (int)(end - from),
			       from);
		return;
	}
	length = strcspn(from, "/");
	while (length > 0 && from[length - 1] == ' ')
		length--;
	(void)snprintf(text, FLEN_CARD, "%.*s", (int)length, from);
}

/* Join a string that ends with & and its continuation. */
static void append_value(char text[TEXT], const char *more)
{
	size_t length = strlen(text);

	if (length < 2 || text[0] != '\'')
		return;
	length--; /* the closing quote */
	while (length > 1 && text[length - 1] == ' ')
		length--;
	if (text[length - 1] == '&')
		(void)snprintf(text + length - 1, TEXT - length + 1, "%s",
			       more[0] == '\'' ? more + 1 : "'");
}

/* The unit a comment begins with; UTC is none. */
static void read_unit(const char *card, char unit[UNIT])
{
	const char *from = strstr(card, "/ [");
	size_t length;

	unit[0] = '\0';
	if (from == NULL)
		return;
	from += 3;
	length = strcspn(from, "]");
	if (length < UNIT && from[length] == ']' &&
	    strncmp(from, "UTC]", 4) != 0)
		(void)snprintf(unit, UNIT, "%.*s", (int)length, from);
}

static series *find(collection *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++) {
		size_t at = (all->next + i) % all->count;

		if (strcmp(all->item[at].name, name) == 0) {
			all->next = at + 1;
			return &all->item[at];
		}
	}
	return NULL;
}

static series *append(collection *all, const char *name, const char *card)
{
	series *item = all->item;

	if (all->count == all->capacity) {
		size_t capacity = 2 * all->capacity + 128;

		item = realloc(item, capacity * sizeof *item);
		if (item == NULL)
			return NULL;
		all->item = item;
		all->capacity = capacity;
	}
	item += all->count;
	item->text = calloc(all->nread, sizeof *item->text);
	if (item->text == NULL)
		return NULL;
	(void)snprintf(item->name, sizeof item->name, "%s", name);
	read_unit(card, item->unit);
	all->count++;
	all->next = 0;
	return item;
}

/* Take the text of one card; the first of several in one header counts. */
static void take(collection *all, size_t read, const char *name,
		 const char *text, const char *card)
{
	series *item = find(all, name);

	if (item == NULL)
		item = append(all, name, card);
	if (item == NULL) {
		all->failed = true;
	} else if (item->text[read] == NULL) {
		item->text[read] = strdup(text);
		all->failed = all->failed || item->text[read] == NULL;
	}
}

static void copy_card(const raw_read *read, size_t i, char card[FLEN_CARD])
{
	memcpy(card, read->cards + i * CARD, CARD);
	card[CARD] = '\0';
}

static void take_read(collection *all, size_t number, const raw_read *read)
{
	char card[FLEN_CARD], next[FLEN_CARD], more[FLEN_CARD];
	char name[FLEN_KEYWORD], text[TEXT];
	size_t i = 0;

	while (i < read->ncards) {
		bool named;

		copy_card(read, i++, card);
		if (strncmp(card, "END     ", 8) == 0)
			break;
		named = read_name(card, name);
		if (named)
			read_value(strchr(card, '=') + 1, text);
		while (i < read->ncards) {
			copy_card(read, i, next);
			if (strncmp(next, "CONTINUE", 8) != 0)
				break;
			read_value(next + 8, more);
			if (named)
				append_value(text, more);
			i++;
		}
		if (named)
			take(all, number, name, text, card);
	}
}

static bool varies(const series *s, size_t nread)
{
	for (size_t i = 0; i < nread; i++)
		if (s->text[i] == NULL || strcmp(s->text[0], s->text[i]) != 0)
			return true;
	return false;
}

static bool is_integer(const char *text)
{
	char *end;

	if (text == NULL || strspn(text, "+-0123456789") != strlen(text))
		return false;
	errno = 0;
	(void)strtoll(text, &end, 10);
	return end != text && *end == '\0' && errno == 0;
}

/* A number as FITS writes it: no names, no hexadecimals; D is an exponent. */
static bool read_number(const char *text, double *value)
{
	char plain[FLEN_CARD], *end;

	*value = NAN;
	if (text == NULL || *text == '\0')
		return true;
	if (strlen(text) >= sizeof plain ||
	    strspn(text, "+-0123456789.EeDd") != strlen(text))
		return false;
	(void)snprintf(plain, sizeof plain, "%s", text);
	for (char *at = plain; *at != '\0'; at++)
		if (*at == 'D' || *at == 'd')
			*at = 'E';
	*value = strtod(plain, &end);
	return end != plain && *end == '\0';
}

static int type_of(const series *s, size_t nread)
{
	bool integer = true, number = true;
	double value;

	for (size_t i = 0; i < nread; i++) {
		integer = integer && is_integer(s->text[i]);
		number = number && read_number(s->text[i], &value);
	}
	return integer ? TLONGLONG : number ? TDOUBLE : TSTRING;
}

/* Take quotes and the blanks before the closing one away, in place. */
static char *bare(char *text)
{
	static char nothing[] = "";
	size_t n = 0;

	if (text == NULL)
		return nothing;
	if (text[0] != '\'')
		return text;
	for (size_t i = 1; text[i] != '\0'; i++) {
		if (text[i] == '\'' && text[++i] != '\'')
			break;
		text[n++] = text[i];
	}
	while (n > 0 && text[n - 1] == ' ')
		n--;
	text[n] = '\0';
	return text;
}

static size_t width_of(char *const *texts, size_t nread)
{
	size_t width = 1;

	for (size_t i = 0; i < nread; i++)
		if (strlen(texts[i]) > width)
			width = strlen(texts[i]);
	return width;
}

static int add_numbers(fitsfile *file, const char *name, const series *s,
		       size_t nread, int at, int *status)
{
	double *values = malloc(nread * sizeof *values);

	if (values == NULL)
		return *status = MEMORY_ALLOCATION;
	for (size_t i = 0; i < nread; i++)
		(void)read_number(s->text[i], &values[i]);
	fits_insert_col(file, at, (char *)(uintptr_t)name, "1D", status);
	fits_write_col(file, TDOUBLE, at, 1, 1, (LONGLONG)nread, values,
		       status);
	free(values);
	return *status;
}

static int add_integers(fitsfile *file, const char *name, const series *s,
			size_t nread, int at, int *status)
{
	LONGLONG *values = malloc(nread * sizeof *values);

	if (values == NULL)
		return *status = MEMORY_ALLOCATION;
	for (size_t i = 0; i < nread; i++)
		values[i] = strtoll(s->text[i], NULL, 10);
	fits_insert_col(file, at, (char *)(uintptr_t)name, "1K", status);
	fits_write_col(file, TLONGLONG, at, 1, 1, (LONGLONG)nread, values,
		       status);
	free(values);
	return *status;
}

static int add_texts(fitsfile *file, const char *name, const series *s,
		     size_t nread, int at, int *status)
{
	char **texts = malloc(nread * sizeof *texts);
	char form[32];

	if (texts == NULL)
		return *status = MEMORY_ALLOCATION;
	for (size_t i = 0; i < nread; i++)
		texts[i] = bare(s->text[i]);
	(void)snprintf(form, sizeof form, "%zuA", width_of(texts, nread));
	fits_insert_col(file, at, (char *)(uintptr_t)name, form, status);
	fits_write_col(file, TSTRING, at, 1, 1, (LONGLONG)nread, texts,
		       status);
	free(texts);
	return *status;
}

static bool is_taken(const collection *all, size_t before, const char *name)
{
	static const char *const fixed[] = { "ramp", "read", "seconds" };

	for (size_t i = 0; i < FIXED; i++)
		if (strcmp(name, fixed[i]) == 0)
			return true;
	for (size_t i = 0; i < before; i++)
		if (strcmp(name, all->item[i].column) == 0)
			return true;
	return false;
}

/* Lower case, _ for all that is neither letter nor digit; not taken yet. */
static void name_column(collection *all, size_t i)
{
	series *s = &all->item[i];
	size_t n = 0;

	for (; s->name[n] != '\0'; n++) {
		int letter = tolower((unsigned char)s->name[n]);

		s->column[n] = isalnum(letter) ? (char)letter : '_';
	}
	s->column[n] = '\0';
	while (is_taken(all, i, s->column) && n + 1 < sizeof s->column) {
		s->column[n++] = '_';
		s->column[n] = '\0';
	}
}

/* The columns every table has. */
static int write_fixed(fitsfile *file, const exposure *e, int *status)
{
	char *names[] = { "ramp", "read", "seconds" };
	char *forms[] = { "1J", "1J", "1D" };
	char *units[] = { "", "", "s" };

	fits_create_tbl(file, BINARY_TBL, (LONGLONG)e->nread, FIXED, names,
			forms, units, "TELEMETRY", status);
	for (size_t i = 0; i < e->nread; i++) {
		const raw_read *read = &e->reads[i];
		LONGLONG row = (LONGLONG)i + 1;
		LONGLONG ramp = read->ramp, number = read->number;
		double seconds = read->seconds;

		fits_write_col(file, TLONGLONG, 1, row, 1, 1, &ramp, status);
		fits_write_col(file, TLONGLONG, 2, row, 1, 1, &number, status);
		fits_write_col(file, TDOUBLE, 3, row, 1, 1, &seconds, status);
	}
	return *status;
}

static void write_unit(fitsfile *file, const series *s, int at, int *status)
{
	char key[FLEN_KEYWORD];

	if (s->unit[0] == '\0')
		return;
	(void)snprintf(key, sizeof key, "TUNIT%d", at);
	fits_write_key_str(file, key, s->unit, "unit of the column", status);
}

static int write_series(fitsfile *file, collection *all, int *status)
{
	int at = FIXED;

	for (size_t i = 0; i < all->count && *status == 0; i++) {
		const series *s = &all->item[i];

		all->item[i].column[0] = '\0';
		if (!varies(s, all->nread))
			continue;
		name_column(all, i);
		at++;
		switch (type_of(s, all->nread)) {
		case TLONGLONG:
			add_integers(file, s->column, s, all->nread, at,
				     status);
			break;
		case TDOUBLE:
			add_numbers(file, s->column, s, all->nread, at,
				    status);
			break;
		default:
			add_texts(file, s->column, s, all->nread, at, status);
			break;
		}
		write_unit(file, s, at, status);
	}
	return *status;
}

static void release(collection *all)
{
	for (size_t i = 0; i < all->count; i++) {
		for (size_t k = 0; k < all->nread; k++)
			free(all->item[i].text[k]);
		free(all->item[i].text);
	}
	free(all->item);
}

int telemetry_write(fitsfile *file, const exposure *e, int *status)
{
	collection all = { NULL, 0, 0, e->nread, 0, false };

	for (size_t i = 0; i < e->nread && !all.failed; i++)
		take_read(&all, i, &e->reads[i]);
	if (all.failed)
		*status = *status != 0 ? *status : MEMORY_ALLOCATION;
	write_fixed(file, e, status);
	write_series(file, &all, status);
	release(&all);
	return fits_write_chksum(file, status);
}

/* Microseconds since 1970 as ISO date, to a millisecond. */
static void stamp(int64_t moment, char text[STAMP])
{
	int64_t milliseconds = (moment + 500) / 1000;
	time_t seconds = (time_t)(milliseconds / 1000);
	struct tm utc;
	size_t n = 0;

	if (gmtime_r(&seconds, &utc) != NULL)
		n = strftime(text, STAMP, "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(text + n, STAMP - n, ".%03d",
		       (int)(milliseconds % 1000));
}

/* MJD to 1e-9 d: a day has 86.4 such parts of a microsecond. */
static double mjd(int64_t moment)
{
	const int64_t day = 86400000000, parts = 1000000000, epoch = 40587;
	int64_t whole = moment / day;
	int64_t part = (moment % day * 10 + 432) / 864;

	return (double)((epoch + whole) * parts + part) / (double)parts;
}

static bool is_there(fitsfile *file, const char *name)
{
	return fitsfile_keyword(file, name).found;
}

/* One moment both ways. */
static void write_time(fitsfile *file, const char *which, const char *word,
		       int64_t moment, int *status)
{
	char name[FLEN_KEYWORD], comment[FLEN_COMMENT], text[STAMP];
	double day = mjd(moment);

	(void)snprintf(name, sizeof name, "DATE-%s", which);
	(void)snprintf(comment, sizeof comment, "[UTC] %s of the exposure",
		       word);
	stamp(moment, text);
	if (!is_there(file, name))
		fits_write_key_str(file, name, text, comment, status);
	(void)snprintf(name, sizeof name, "MJD-%s", which);
	(void)snprintf(comment, sizeof comment, "[d] %s of the exposure",
		       word);
	if (!is_there(file, name))
		fits_write_key_dbl(file, name, day, 15, comment, status);
}

/* FRM_TIME of a read [us]; 0 where it has none. */
static int64_t frame_time(const raw_read *read)
{
	char card[FLEN_CARD], name[FLEN_KEYWORD], text[FLEN_CARD];

	for (size_t i = 0; i < read->ncards; i++) {
		copy_card(read, i, card);
		if (!read_name(card, name) || strcmp(name, "FRM_TIME") != 0)
			continue;
		read_value(strchr(card, '=') + 1, text);
		return is_integer(text) && text[0] != '-'
			? strtoll(text, NULL, 10) : 0;
	}
	return 0;
}

int telemetry_write_times(fitsfile *file, const exposure *e, int *status)
{
	const raw_read *first = &e->reads[0], *last = &e->reads[e->nread - 1];
	int64_t begin, end;

	for (size_t i = 0; i < e->nread; i++)
		if (!e->reads[i].has_clock)
			return *status;
	begin = first->reset_time;
	end = last->read_time + frame_time(last);
	write_time(file, "BEG", "start", begin, status);
	write_time(file, "AVG", "middle", (begin + end) / 2, status);
	write_time(file, "END", "end", end, status);
	return *status;
}
