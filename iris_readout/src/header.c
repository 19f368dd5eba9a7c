/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers of the reads of one exposure become one list of 80-byte cards. */
#include "iris_readout.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { CARD = 80, NAME = 8 };

typedef enum card_kind {
	KIND_DROP,    /* structural, not text, or no legal keyword */
	KIND_VALUE,   /* KEYWORD = value / comment */
	KIND_LONG,    /* HIERARCH: name too long for a span */
	KIND_REMARK   /* COMMENT, HISTORY and others without a value */
} card_kind;

/* A card and the CONTINUE cards that belong to it; a view on the input. */
typedef struct group {
	const char *cards;
	size_t count;
} group;

typedef struct entry {
	char name[CARD + 1]; /* upper case; of a remark: the whole card */
	card_kind kind;
	bool varies;
	size_t last_read; /* where it was seen last */
	group first, middle, last;
} entry;

typedef struct table {
	entry *item;
	size_t count, capacity;
	size_t next; /* where the next card is likely to be found */
} table;

static bool is_text(const char *card)
{
	for (size_t i = 0; i < CARD; i++)
		if (card[i] < ' ' || card[i] > '~')
			return false;
	return true;
}

static bool is_blank(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (text[i] != ' ')
			return false;
	return true;
}

static char upper(char letter)
{
	return letter >= 'a' && letter <= 'z' ? (char)(letter - 'a' + 'A')
					      : letter;
}

static bool is_name_letter(char letter)
{
	return (letter >= 'A' && letter <= 'Z') ||
	       (letter >= '0' && letter <= '9') || letter == '_' ||
	       letter == '-';
}

static bool is_structural(const char *name)
{
	static const char *const structural[] = {
		"SIMPLE", "BITPIX", "EXTEND",  "BZERO",    "BSCALE",
		"PCOUNT", "GCOUNT", "XTENSION", "GROUPS", "CHECKSUM",
		"DATASUM", "END",   "CONTINUE",
	};

	for (size_t i = 0; i < sizeof structural / sizeof *structural; i++)
		if (strcmp(name, structural[i]) == 0)
			return true;
	return strncmp(name, "NAXIS", 5) == 0 &&
	       strspn(name + 5, "0123456789") == strlen(name + 5);
}

/* Upper-case name of an ordinary card without its trailing blanks. */
static bool read_name(const char *card, char *name)
{
	size_t length = NAME;

	while (length > 0 && card[length - 1] == ' ')
		length--;
	for (size_t i = 0; i < length; i++) {
		name[i] = upper(card[i]);
		if (!is_name_letter(name[i]))
			return false;
	}
	name[length] = '\0';
	return true;
}

/* Name of a HIERARCH card: all before its equals sign. */
static bool read_long_name(const char *card, char *name)
{
	const char *equals = memchr(card, '=', CARD);
	size_t length;

	if (equals == NULL)
		return false;
	length = (size_t)(equals - card);
	while (length > 0 && card[length - 1] == ' ')
		length--;
	memcpy(name, card, length);
	name[length] = '\0';
	return true;
}

/* Tell what a card is and give the name it is filed under. */
static card_kind classify(const char *card, char *name)
{
	if (is_blank(card, CARD) || !is_text(card) || !read_name(card, name) ||
	    is_structural(name))
		return KIND_DROP;
	if (card[NAME] == '=' && card[NAME + 1] == ' ' && name[0] != '\0')
		return KIND_VALUE;
	if (strcmp(name, "HIERARCH") == 0 && read_long_name(card, name))
		return KIND_LONG;
	memcpy(name, card, CARD);
	name[CARD] = '\0';
	return KIND_REMARK;
}

static const char *closing_quote(const char *quote, const char *end)
{
	const char *at = quote + 1;

	while (at < end) {
		if (*at != '\'')
			at++;
		else if (at + 1 < end && at[1] == '\'')
			at += 2;
		else
			break;
	}
	return at;
}

/* The value of a card without its comment: start and length. */
static const char *value_text(const char *card, size_t *length)
{
	const char *end = card + CARD;
	const char *start = card + NAME;
	const char *stop;

	if (strncmp(card, "HIERARCH", NAME) == 0)
		start = memchr(card, '=', CARD);
	start = start == NULL ? end : start + 1;
	while (start < end && *start == ' ')
		start++;
	stop = start < end && *start == '\'' ? closing_quote(start, end)
					   : memchr(start, '/',
						    (size_t)(end - start));
	if (stop == NULL)
		stop = end;
	while (stop > start && stop[-1] == ' ')
		stop--;
	*length = (size_t)(stop - start);
	return start;
}

static bool same_value(group a, group b)
{
	if (a.count != b.count)
		return false;
	for (size_t i = 0; i < a.count; i++) {
		size_t na, nb;
		const char *va = value_text(a.cards + i * CARD, &na);
		const char *vb = value_text(b.cards + i * CARD, &nb);

		if (na != nb || memcmp(va, vb, na) != 0)
			return false;
	}
	return true;
}

/* Find a name, first where the previous read suggests. */
static entry *find(table *known, const char *name)
{
	for (size_t i = 0; i < known->count; i++) {
		size_t at = (known->next + i) % known->count;

		if (strcmp(known->item[at].name, name) == 0) {
			known->next = at + 1;
			return &known->item[at];
		}
	}
	return NULL;
}

static entry *append(table *known)
{
	if (known->count == known->capacity) {
		size_t capacity = 2 * known->capacity + 64;
		entry *item =
			realloc(known->item, capacity * sizeof *known->item);

		if (item == NULL)
			return NULL;
		known->item = item;
		known->capacity = capacity;
	}
	known->next = 0;
	return &known->item[known->count++];
}

/* File one card of one read; false when memory is short. */
static bool file_card(table *known, card_kind kind, const char *name,
		      group cards, size_t read, size_t middle_read)
{
	entry *found = find(known, name);

	if (found == NULL) {
		found = append(known);
		if (found == NULL)
			return false;
		memcpy(found->name, name, strlen(name) + 1);
		found->kind = kind;
		found->varies = false;
		found->first = found->middle = cards;
	} else if (found->last_read == read || kind == KIND_REMARK) {
		return true; /* the first of several in one header counts */
	} else if (!same_value(found->first, cards)) {
		found->varies = true;
	}
	found->last_read = read;
	found->last = cards;
	if (read <= middle_read)
		found->middle = cards;
	return true;
}

static bool is_continue(const char *card)
{
	return strncmp(card, "CONTINUE", NAME) == 0 && is_text(card);
}

static bool file_header(table *known, const char *header, size_t ncards,
			size_t read, size_t middle_read)
{
	char name[CARD + 1];
	size_t i = 0;

	known->next = 0;
	while (i < ncards) {
		const char *card = header + i * CARD;
		card_kind kind = classify(card, name);
		group cards = { card, 1 };

		if (strncmp(card, "END     ", NAME) == 0)
			break;
		while (i + cards.count < ncards && kind != KIND_REMARK &&
		       is_continue(card + cards.count * CARD))
			cards.count++;
		i += cards.count;
		if (kind != KIND_DROP &&
		    !file_card(known, kind, name, cards, read, middle_read))
			return false;
	}
	return true;
}

/* Span name; try > 0 changes its 6th, at last its 5th letter. */
static void span_name(const char *keyword, char which, size_t try,
		      char name[9])
{
	static const char letters[] = "1234567890ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t nletter = sizeof letters - 1;
	size_t length = strlen(keyword);
	size_t stem = length < 6 ? length : 6;

	memcpy(name, keyword, stem);
	if (length > 6)
		name[5] = keyword[length - 1];
	if (try > 0) {
		size_t k = try - 1;

		stem = stem < 6 ? stem + 1 : 6;
		name[stem - 1] = letters[k % nletter];
		if (k >= nletter && stem > 1)
			name[stem - 2] = letters[k / nletter % nletter];
	}
	name[stem] = '_';
	name[stem + 1] = which;
	name[stem + 2] = '\0';
}

void iris_header_span_name(const char *keyword, char which, char name[9])
{
	span_name(keyword, which, 0, name);
}

static void write_group(char *out, const char *name, group cards)
{
	size_t length = strlen(name);

	memcpy(out, cards.cards, cards.count * CARD);
	memset(out, ' ', NAME);
	memcpy(out, name, length);
}

/* Is a name taken by a keyword, or by a span card written already? */
static bool is_taken(const table *known, const char *out, size_t nout,
		     const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < known->count; i++)
		if (strcmp(known->item[i].name, name) == 0)
			return true;
	for (size_t i = 0; i < nout; i++)
		if (strncmp(out + i * CARD, name, length) == 0 &&
		    is_blank(out + i * CARD + length, NAME - length))
			return true;
	return false;
}

/* Append the start and end cards of a keyword that varies. */
static size_t write_span(const table *known, const entry *item, char *out,
			 size_t nout)
{
	enum { TRIES = 1296 };
	char start[9], end[9];
	size_t try = 0;

	do {
		span_name(item->name, 'S', try, start);
		span_name(item->name, 'E', try, end);
	} while ((is_taken(known, out, nout, start) ||
		  is_taken(known, out, nout, end)) &&
		 try++ < TRIES);
	write_group(out + nout * CARD, start, item->first);
	nout += item->first.count;
	write_group(out + nout * CARD, end, item->last);
	return nout + item->last.count;
}

static size_t write_cards(const table *known, char *out)
{
	size_t nout = 0;

	for (size_t i = 0; i < known->count; i++) {
		const entry *item = &known->item[i];
		group cards = item->varies ? item->middle : item->first;

		memcpy(out + nout * CARD, cards.cards, cards.count * CARD);
		if (item->kind == KIND_VALUE)
			write_group(out + nout * CARD, item->name, cards);
		nout += cards.count;
		if (item->varies && item->kind == KIND_VALUE)
			nout = write_span(known, item, out, nout);
	}
	return nout;
}

static iris_status check(const char *const *headers, const size_t *ncards,
			 size_t nreads, char **cards, const size_t *count)
{
	if (headers == NULL || ncards == NULL || cards == NULL ||
	    count == NULL)
		return IRIS_ERROR_NULL;
	if (nreads == 0)
		return IRIS_ERROR_SHAPE;
	for (size_t i = 0; i < nreads; i++)
		if (headers[i] == NULL)
			return IRIS_ERROR_NULL;
	return IRIS_OK;
}

/*
 * See iris_readout.h.  The middle read is number nreads / 2, counted from 0;
 * where it lacks a keyword, the last earlier (else the first later) read that
 * has it stands in.  A keyword that is missing from some reads, but has one
 * value in the others, counts as constant.  Values are compared as text, and
 * names are upper case in the result.  A span name that is taken gets another
 * sixth letter: 1 to 9, 0, then A to Z.
 */
iris_status iris_merge_headers(const char *const *headers,
			       const size_t *ncards, size_t nreads,
			       char **cards, size_t *count)
{
	iris_status status = check(headers, ncards, nreads, cards, count);
	table known = { NULL, 0, 0, 0 };
	size_t room = 1;
	bool enough = true;

	if (status != IRIS_OK)
		return status;
	for (size_t i = 0; i < nreads && enough; i++)
		enough = file_header(&known, headers[i], ncards[i], i,
				     nreads / 2);
	for (size_t i = 0; i < known.count; i++)
		room += known.item[i].first.count +
			known.item[i].middle.count + known.item[i].last.count;
	*cards = enough ? malloc(room * CARD) : NULL;
	if (*cards != NULL)
		*count = write_cards(&known, *cards);
	free(known.item);
	return *cards != NULL ? IRIS_OK : IRIS_ERROR_MEMORY;
}

void iris_free(void *memory)
{
	free(memory);
}
