/* SPDX-License-Identifier: BSD-3-Clause */
/* Every input file is opened, checked whole and asked who it is. */
#include "exposure.h"
#include "facts.h"

#include <stdlib.h>
#include <string.h>

enum { ODD_HIERARCH = 1, ODD_LOWER = 2, ODD_BYTES = 4, ODD_IMTYPE = 8 };

/* The header of one file while it is read. */
typedef struct header {
	fitsfile *file;
	const char *path;
	const settings *settings;
	report *r;
} header;

static bool get_word(const header *h, const char *name, char *word)
{
	keyword key = fitsfile_keyword(h->file, name);
	const char *value;

	if (!keyword_string(&key, &value, h->path, h->r))
		return false;
	memcpy(word, key.text, sizeof key.text);
	return true;
}

static bool get_integer(const header *h, const char *name, int64_t least,
			int64_t *value)
{
	keyword key = fitsfile_keyword(h->file, name);

	return keyword_integer(&key, least, value, h->path, h->r);
}

/* As get_integer, for a keyword that may be missing. */
static bool get_optional(const header *h, const char *name, int64_t least,
			 int64_t otherwise, int64_t *value)
{
	keyword key = fitsfile_keyword(h->file, name);

	*value = otherwise;
	return !key.found || keyword_integer(&key, least, value, h->path, h->r);
}

/* A word, where there is one, must be known. */
static bool check_known(const header *h, const vocabulary *known)
{
	keyword key = fitsfile_keyword(h->file, known->keyword);
	char words[640];

	if (!key.found || is_known(known, key.text))
		return true;
	list_known(known, words, sizeof words);
	return report_fail(h->r, h->path, known->keyword, "got '%s', expected "
			   "one of %s; mend the header", key.text, words);
}

static bool read_identity(const header *h, identity *id)
{
	keyword other = fitsfile_keyword(h->file, "DET_ID");
	keyword window = fitsfile_keyword(h->file, "SUBARRID");

	if (!window.found)
		window = fitsfile_keyword(h->file, "SUBARRAY");
	memcpy(id->subarray, window.text, sizeof id->subarray);
	if (!get_word(h, "OBS_ID", id->obs_id) ||
	    !get_word(h, "DETECTOR", id->detector) ||
	    !check_known(h, &known_detectors) ||
	    !get_integer(h, "EXP_NO", 0, &id->exposure))
		return false;
	if (other.found && strcmp(other.text, id->detector) != 0)
		return report_fail(h->r, h->path, "DET_ID", "got '%s', "
				   "expected '%s' as in DETECTOR; mend the "
				   "header", other.text, id->detector);
	return check_known(h, &known_image_types) &&
	       check_known(h, &known_filters);
}

static const char *pixel_type(int equivalent)
{
	switch (equivalent) {
	case BYTE_IMG:
		return "uint8";
	case SBYTE_IMG:
		return "int8";
	case SHORT_IMG:
		return "int16";
	case LONG_IMG:
		return "int32";
	case ULONG_IMG:
		return "uint32";
	case LONGLONG_IMG:
		return "int64";
	case FLOAT_IMG:
		return "float32";
	case DOUBLE_IMG:
		return "float64";
	default:
		return "another type";
	}
}

static bool read_image(const header *h, geometry *shape, long *nplane,
		       int *naxis)
{
	int status = 0, bitpix = 0, equivalent = 0;
	long axes[3] = { 0, 0, 1 };

	if (fits_get_img_param(h->file, 3, &bitpix, naxis, axes, &status) ||
	    fits_get_img_equivtype(h->file, &equivalent, &status))
		return fitsfile_failed(h->r, h->path, "PRIMARY", status);
	if (*naxis != 2 && *naxis != 3)
		return report_fail(h->r, h->path, "NAXIS", "got %d, expected "
				   "2 (one read) or 3 (a cube of reads) in "
				   "the primary HDU; give raw reads only",
				   *naxis);
	if (bitpix != SHORT_IMG || equivalent != USHORT_IMG)
		return report_fail(h->r, h->path, "BITPIX", "got %s pixels, "
				   "expected unsigned 16-bit (BITPIX 16, BZERO "
				   "32768); give raw reads only",
				   pixel_type(equivalent));
	if (axes[0] < 1 || axes[1] < 1 || axes[2] < 1)
		return report_fail(h->r, h->path, "NAXIS1", "got an empty "
				   "image, expected %s; give raw reads only",
				   "pixels");
	shape->nx = axes[0];
	shape->ny = axes[1];
	*nplane = *naxis == 3 ? axes[2] : 1;
	return true;
}

/* No detector is larger, and sums of such numbers stay in range. */
static bool check_range(const header *h, const char *name, int64_t value)
{
	return value <= INT32_MAX ||
	       report_fail(h->r, h->path, name, "got %lld, expected at most "
			   "%ld pixels; mend the header", (long long)value,
			   (long)INT32_MAX);
}

/* The window along one axis ('1' = x) against the image and the detector. */
static bool read_window(const header *h, char axis, int64_t size,
			int64_t *start, int64_t *full)
{
	char names[3][9] = { "SUBSTRTn", "SUBSIZEn", "DETSIZEn" };
	keyword mode = fitsfile_keyword(h->file, "SUBARRAY");
	int64_t said;

	for (int i = 0; i < 3; i++)
		names[i][7] = axis;
	if (!get_optional(h, names[0], 1, 1, start) ||
	    !check_range(h, names[0], *start) ||
	    !get_optional(h, names[1], 1, size, &said) ||
	    !get_optional(h, names[2], 1, *start + size - 1, full) ||
	    !check_range(h, names[2], *full))
		return false;
	if (said != size)
		return report_fail(h->r, h->path, names[1], "got %lld, "
				   "expected the %lld pixels of NAXIS%c; mend "
				   "the header", (long long)said,
				   (long long)size, axis);
	if (*start + size - 1 > *full)
		return report_fail(h->r, h->path, names[0], "got a window "
				   "from %lld to %lld, expected one inside the "
				   "%lld pixels of %s; mend the header",
				   (long long)*start,
				   (long long)(*start + size - 1),
				   (long long)*full, names[2]);
	if (strcmp(mode.text, "FULL") == 0 && size != *full)
		return report_fail(h->r, h->path, "SUBARRAY", "got FULL with "
				   "%lld pixels along axis %c, expected %lld "
				   "as in %s; mend the header",
				   (long long)size, axis, (long long)*full,
				   names[2]);
	return true;
}

static bool read_geometry(const header *h, identity *id, geometry *shape)
{
	if (!read_window(h, '1', shape->nx, &id->x_start, &shape->full_nx) ||
	    !read_window(h, '2', shape->ny, &id->y_start, &shape->full_ny) ||
	    !get_optional(h, "REFPIX", 0, 0, &shape->ref_pixels) ||
	    !get_optional(h, "NOUTPUTS", 1, 1, &shape->noutputs))
		return false;
	if (shape->nx % shape->noutputs != 0)
		return report_fail(h->r, h->path, "NOUTPUTS", "got %lld, "
				   "expected a divisor of the %lld columns; "
				   "mend the header",
				   (long long)shape->noutputs,
				   (long long)shape->nx);
	if (2 * shape->ref_pixels >= shape->nx ||
	    2 * shape->ref_pixels >= shape->ny)
		return report_fail(h->r, h->path, "REFPIX", "got a border of "
				   "%lld, expected one that leaves pixels "
				   "inside; mend the header",
				   (long long)shape->ref_pixels);
	return true;
}

static bool read_nominal(const header *h, nominal *values)
{
	values->gain = fitsfile_keyword(h->file, "GAIN");
	values->read_noise = fitsfile_keyword(h->file, "READNOIS");
	values->saturate = fitsfile_keyword(h->file, "SATURATE");
	values->sampmode = fitsfile_keyword(h->file, "SAMPMODE");
	values->nfowler = fitsfile_keyword(h->file, "NFOWLER");
	return get_optional(h, "NUMREADS", 1, 0, &values->planned_reads) &&
	       get_optional(h, "NUMRAMPS", 1, 0, &values->planned_ramps);
}

/* Warn once of each kind of card that is not as it should be. */
static void warn_of_oddities(const header *h, const raw_read *read,
			      unsigned *oddities)
{
	static const char *const names[] = { "HIERARCH cards",
					     "lower-case keywords",
					     "bytes that are not text" };
	unsigned seen = 0;

	for (size_t i = 0; i < read->ncards; i++) {
		const char *card = read->cards + i * CARD;

		if (strncmp(card, "HIERARCH", 8) == 0)
			seen |= ODD_HIERARCH;
		for (size_t k = 0; k < 8 && card[k] != '='; k++)
			if (card[k] >= 'a' && card[k] <= 'z')
				seen |= ODD_LOWER;
		for (size_t k = 0; k < CARD; k++)
			if (card[k] < ' ' || card[k] > '~')
				seen |= ODD_BYTES;
	}
	for (unsigned kind = 0; kind < 3; kind++)
		if (seen & ~*oddities & 1u << kind)
			report_warn(h->r, h->path, "header", "got %s, "
				    "expected plain FITS cards; %s (said once)",
				    names[kind], kind == 0
				    ? "they are kept as they are"
				    : kind == 1 ? "they are kept in upper case"
				    : "such cards are left out");
	if (!fitsfile_keyword(h->file, "IMTYPE").found)
		seen |= ODD_IMTYPE;
	if (seen & ~*oddities & ODD_IMTYPE)
		report_warn(h->r, h->path, "IMTYPE", "got no value, expected "
			    "the kind of exposure; the frame lacks it too");
	*oddities |= seen;
}

/* Set an integer in a list of cards that has room for one more. */
static void set_card(char *cards, size_t *count, const char *name,
		     int64_t value)
{
	char text[CARD + 1];
	size_t at = 0;
	int n = snprintf(text, sizeof text, "%-8s= %20lld", name,
			 (long long)value);

	while (at < *count && (strncmp(cards + at * CARD, name, strlen(name)) ||
			       cards[at * CARD + 8] != '='))
		at++;
	memset(cards + at * CARD, ' ', CARD);
	memcpy(cards + at * CARD, text, n > 0 ? (size_t)n : 0);
	if (at == *count)
		++*count;
}

/* Cards of a read with its own number and time in them. */
static bool copy_cards(const char *cards, size_t ncards, bool cube,
		       raw_read *read)
{
	read->cards = malloc((ncards + 2) * CARD);
	if (read->cards == NULL)
		return false;
	memcpy(read->cards, cards, ncards * CARD);
	read->ncards = ncards;
	if (cube)
		set_card(read->cards, &read->ncards, "READ_NO", read->number);
	if (cube && read->has_clock)
		set_card(read->cards, &read->ncards, "READTIME",
			 read->read_time);
	return true;
}

static raw_read *append_read(exposure *e)
{
	if (e->nread == e->capacity) {
		size_t capacity = 2 * e->capacity + 32;
		raw_read *reads = realloc(e->reads, capacity * sizeof *reads);

		if (reads == NULL)
			return NULL;
		e->reads = reads;
		e->capacity = capacity;
	}
	return &e->reads[e->nread++];
}

static bool read_clock(const header *h, raw_read *read)
{
	if (!get_integer(h, "RST_TIME", INT64_MIN, &read->reset_time))
		return false;
	read->has_clock = true;
	return true;
}

/* What a read is weighed by must be there, unless it is dropped. */
static bool set_quality(const header *h, const keyword *key, raw_read *read)
{
	if (is_dropped(h->settings, read->number))
		return true;
	if (keyword_number(key, &read->quality) && read->quality >= 0.0)
		return true;
	return report_fail(h->r, h->path, key->name, "got %s for read %lld, "
			   "expected a number of at least 0, since "
			   "--weight-keyword weighs by it; mend the file or "
			   "leave the read out with --drop",
			   key->found ? key->text : "no value",
			   (long long)read->number);
}

/* A column of TIMES (the current HDU) named as the keyword. */
static bool read_qualities(const header *h, long nplane, raw_read *reads)
{
	keyword key = { .found = false };
	int status = 0, column = 0;
	bool good = true;

	(void)snprintf(key.name, sizeof key.name, "%s",
		       h->settings->weight_keyword);
	if (fits_get_colnum(h->file, CASEINSEN, key.name, &column, &status)) {
		fits_clear_errmsg();
		status = 0;
		column = 0;
	}
	for (long i = 0; i < nplane && good; i++) {
		double value = 0.0;

		if (column > 0 &&
		    fits_read_col(h->file, TDOUBLE, column, i + 1, 1, 1, NULL,
				  &value, NULL, &status) == 0) {
			(void)snprintf(key.text, sizeof key.text, "%.17g",
				       value);
			key.found = true;
		}
		good = status == 0 ? set_quality(h, &key, &reads[i])
				   : fitsfile_failed(h->r, h->path, "TIMES",
						     status);
	}
	return good;
}

static bool fail_times(const header *h, long got, long nplane)
{
	return report_fail(h->r, h->path, "TIMES", "got %ld rows, expected "
			   "one for each of the %ld reads; mend the table",
			   got, nplane);
}

/* Numbers and times of a cube from its TIMES table (the current HDU). */
static bool read_times(const header *h, long nplane, raw_read *reads)
{
	int status = 0, number = 0, time = 0;
	long nrow = 0;

	fits_get_num_rows(h->file, &nrow, &status);
	fits_get_colnum(h->file, CASEINSEN, "READ_NO", &number, &status);
	fits_get_colnum(h->file, CASEINSEN, "READTIME", &time, &status);
	if (status == 0 && nrow != nplane)
		return fail_times(h, nrow, nplane);
	for (long i = 0; i < nplane && status == 0; i++) {
		LONGLONG values[2] = { 0, 0 };

		fits_read_col(h->file, TLONGLONG, number, i + 1, 1, 1, NULL,
			      &values[0], NULL, &status);
		fits_read_col(h->file, TLONGLONG, time, i + 1, 1, 1, NULL,
			      &values[1], NULL, &status);
		reads[i].number = values[0];
		reads[i].read_time = values[1];
		if (status == 0 && values[0] < 1)
			return report_fail(h->r, h->path, "READ_NO", "got "
					   "%lld in TIMES, expected at least "
					   "1; mend the table",
					   (long long)values[0]);
	}
	if (status != 0)
		return fitsfile_failed(h->r, h->path, "TIMES", status);
	return h->settings->weight_keyword[0] == '\0' ||
	       read_qualities(h, nplane, reads);
}

/* A cube without TIMES has one value of a keyword for all its reads. */
static bool refuse_quality(const header *h, raw_read *reads, long nplane)
{
	keyword key = { .found = false };

	(void)snprintf(key.name, sizeof key.name, "%s",
		       h->settings->weight_keyword);
	for (long i = 0; i < nplane && key.name[0] != '\0'; i++)
		if (!set_quality(h, &key, &reads[i]))
			return false;
	return true;
}

/* Numbers and times of the reads of a cube. */
static bool time_cube(const header *h, long nplane, raw_read *reads)
{
	static const char table[] = "TIMES";
	char name[FLEN_VALUE];
	keyword key = fitsfile_keyword(h->file, "TFRAME");
	raw_read clock = { .has_clock = false };
	double frame = 0.0;
	int status = 0;

	(void)snprintf(name, sizeof name, "%s", table);
	if (fits_movnam_hdu(h->file, BINARY_TBL, name, 0, &status) == 0) {
		bool good = read_times(h, nplane, reads);

		fits_movabs_hdu(h->file, 1, NULL, &status);
		if (!good || !read_clock(h, &clock))
			return false;
		for (long i = 0; i < nplane; i++) {
			reads[i].has_clock = true;
			reads[i].reset_time = clock.reset_time;
		}
		return true;
	}
	fits_clear_errmsg();
	if (!keyword_number(&key, &frame) || frame <= 0.0)
		return report_fail(h->r, h->path, "TFRAME", "got %s and no "
				   "TIMES table, expected the seconds between "
				   "reads or the table; mend the file",
				   key.found ? key.text : "no value");
	for (long i = 0; i < nplane; i++) {
		reads[i].number = i + 1;
		reads[i].seconds = (double)(i + 1) * frame;
	}
	return refuse_quality(h, reads, nplane);
}

static bool time_read(const header *h, raw_read *read)
{
	const char *name = h->settings->weight_keyword;
	keyword key;

	if (!get_integer(h, "READ_NO", 1, &read->number) ||
	    !get_integer(h, "READTIME", INT64_MIN, &read->read_time) ||
	    !read_clock(h, read))
		return false;
	if (*name == '\0')
		return true;
	key = fitsfile_keyword(h->file, name);
	return set_quality(h, &key, read);
}

/* Number and time of each read of a file. */
static bool time_reads(const header *h, bool cube, long nplane,
		       raw_read *reads)
{
	if (!(cube ? time_cube(h, nplane, reads) : time_read(h, reads)))
		return false;
	for (long i = 0; i < nplane; i++) {
		raw_read *read = &reads[i];

		read->plane = i;
		if (!read->has_clock)
			continue;
		if (read->read_time < read->reset_time)
			return report_fail(h->r, h->path, "READTIME", "got "
					   "%lld, expected no less than "
					   "RST_TIME %lld; mend the header",
					   (long long)read->read_time,
					   (long long)read->reset_time);
		read->seconds = (double)((uint64_t)read->read_time -
					 (uint64_t)read->reset_time) / 1e6;
	}
	return true;
}

/* Add the reads of an open file to the exposure. */
static bool add_reads(const header *h, exposure *e, size_t index, bool cube,
		      long nplane)
{
	raw_read *reads = calloc((size_t)nplane, sizeof *reads);
	size_t ncards = 0;
	char *cards = fitsfile_cards(h->file, &ncards);
	int64_t ramp = 0;
	bool good = reads != NULL && cards != NULL;

	if (!good)
		(void)report_memory(h->r);
	good = good && get_integer(h, "RAMP_NO", 1, &ramp) &&
	       time_reads(h, cube, nplane, reads);
	for (long i = 0; i < nplane && good; i++) {
		raw_read *read = append_read(e);

		good = read != NULL;
		if (good) {
			*read = reads[i];
			read->file = index;
			read->ramp = ramp;
			good = copy_cards(cards, ncards, cube, read);
		}
		if (!good)
			(void)report_memory(h->r);
		else if (i == 0)
			warn_of_oddities(h, read, &e->oddities);
	}
	free(reads);
	free(cards);
	return good;
}

static bool ingest_file(exposure *e, size_t index, const content *bytes,
			const settings *s, report *r)
{
	raw_file *file = &e->files[index];
	header h = { NULL, file->path, s, r };
	long nplane = 1;
	int naxis = 0;
	bool good;

	if (!fitsfile_open(file->path, bytes, &h.file, r))
		return false;
	good = read_image(&h, &file->shape, &nplane, &naxis) &&
	       read_identity(&h, &file->id) &&
	       read_geometry(&h, &file->id, &file->shape) &&
	       read_nominal(&h, &file->values) &&
	       add_reads(&h, e, index, naxis == 3, nplane);
	file->data_at = good ? fitsfile_data_at(h.file, bytes) : 0;
	file->state = bytes->state;
	memcpy(file->sha256, bytes->hex, sizeof file->sha256);
	fitsfile_close(h.file);
	file->used = good;
	return good;
}

/* With --skip-bad-reads a broken file is named and left out. */
static bool ingest_or_skip(exposure *e, size_t index, const content *bytes,
			   const settings *s, report *r)
{
	size_t before = e->nread;

	if (ingest_file(e, index, bytes, s, r))
		return true;
	while (e->nread > before)
		free(e->reads[--e->nread].cards);
	if (!s->skip_bad_reads)
		return false;
	report_demote(r, "left out as --skip-bad-reads says");
	(void)snprintf(e->files[index].reason, sizeof e->files[index].reason,
		       "%.255s", r->message);
	e->nskipped++;
	return true;
}

bool exposure_ingest(exposure *e, const settings *s, report *r)
{
	content *contents = calloc(s->nread, sizeof *contents);
	bool good = contents != NULL;

	memset(e, 0, sizeof *e);
	e->files = calloc(s->nread, sizeof *e->files);
	if (!good || e->files == NULL) {
		free(contents);
		return report_memory(r);
	}
	content_read_all(contents, s->reads, s->nread, s->nthreads);
	for (size_t i = 0; i < s->nread && good; i++) {
		e->files[e->nfile++].path = s->reads[i];
		good = ingest_or_skip(e, i, &contents[i], s, r);
	}
	for (size_t i = 0; i < s->nread; i++)
		content_free(&contents[i]);
	free(contents);
	return good;
}
