/* SPDX-License-Identifier: BSD-3-Clause */
/* iris_merge_headers and iris_header_span_name. */
#include "iris_readout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CARD = 80, MAX_CARDS = 64 };

static int failures;

#define CHECK(condition)                                                   \
	do {                                                               \
		if (!(condition)) {                                        \
			failures++;                                        \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__,     \
				      __LINE__, #condition);               \
		}                                                          \
	} while (0)

/* Blank-padded cards of one header in a block of exactly their size. */
static char *header_of(const char *const *lines, size_t *ncards)
{
	size_t n = 0;
	char *cards;

	while (lines[n] != NULL)
		n++;
	cards = malloc(n * CARD + 1);
	if (cards == NULL)
		abort();
	cards = realloc(cards, n * CARD); /* no byte to spare: sanitizers */
	if (cards == NULL)
		abort();
	memset(cards, ' ', n * CARD);
	for (size_t i = 0; i < n; i++)
		memcpy(cards + i * CARD, lines[i], strlen(lines[i]));
	*ncards = n;
	return cards;
}

/* Merge up to three headers; the result is padded with a NUL per card. */
static size_t merge(const char *const *const *headers, size_t n,
		    char result[MAX_CARDS][CARD + 1])
{
	char *blocks[3];
	const char *views[3];
	size_t ncards[3];
	char *cards = NULL;
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		views[i] = blocks[i] = header_of(headers[i], &ncards[i]);
	CHECK(iris_merge_headers(views, ncards, n, &cards, &count) == IRIS_OK);
	CHECK(count <= MAX_CARDS);
	for (size_t i = 0; i < count; i++) {
		memcpy(result[i], cards + i * CARD, CARD);
		result[i][CARD] = '\0';
	}
	iris_free(cards);
	for (size_t i = 0; i < n; i++)
		free(blocks[i]);
	return count;
}

static int card_is(const char *card, const char *text)
{
	size_t length = strlen(text);

	return strncmp(card, text, length) == 0 &&
	       strspn(card + length, " ") == CARD - length;
}

static void expect(char result[MAX_CARDS][CARD + 1], size_t count,
		   const char *const *lines)
{
	size_t n = 0;

	for (; lines[n] != NULL; n++) {
		if (n >= count || !card_is(result[n], lines[n])) {
			failures++;
			(void)fprintf(stderr, "card %zu: got '%s', expected "
				      "'%s'\n", n, n < count ? result[n] : "",
				      lines[n]);
		}
	}
	CHECK(n == count);
}

static void test_span_names(void)
{
	char name[9];

	iris_header_span_name("EL", 'S', name);
	CHECK(strcmp(name, "EL_S") == 0);
	iris_header_span_name("ABCDEF", 'E', name);
	CHECK(strcmp(name, "ABCDEF_E") == 0);
	iris_header_span_name("READTIME", 'S', name);
	CHECK(strcmp(name, "READTE_S") == 0);
	iris_header_span_name("READ_NO", 'E', name);
	CHECK(strcmp(name, "READ_O_E") == 0);
}

static void test_constant_and_varying(void)
{
	static const char *const a[] = {
		"SIMPLE  =                    T", "BITPIX  =           16",
		"NAXIS   = 2", "NAXIS1  = 4", "BZERO   = 32768",
		"GAIN    = 3.0 / first", "READTIME= 10", "OBJECT  = 'M 92 '",
		"DATASUM = '12'", "NAXISX  = 1", NULL
	};
	static const char *const b[] = {
		"GAIN    =     3.0 / other", "READTIME= 20 / b",
		"OBJECT  = 'M 92' / o", NULL
	};
	static const char *const c[] = {
		"GAIN    = 3.0", "READTIME= 30", "OBJECT  = 'M 92'",
		"END", "LATE    = 1", NULL
	};
	static const char *const expected[] = {
		"GAIN    = 3.0 / first", "READTIME= 20 / b", "READTE_S= 10",
		"READTE_E= 30", "OBJECT  = 'M 92 '", "NAXISX  = 1", NULL
	};
	static const char *const *const all[] = { a, b, c };
	char result[MAX_CARDS][CARD + 1];

	expect(result, merge(all, 3, result), expected);
}

static void test_strings(void)
{
	static const char *const a[] = {
		"A       = 'it''s / a' / one", "B       = 'x'", "C       = 'a'",
		NULL
	};
	static const char *const b[] = {
		"A       = 'it''s / a'   / two", "B       = 'x''' / y",
		"C       = a", NULL
	};
	static const char *const expected[] = {
		"A       = 'it''s / a' / one", "B       = 'x''' / y",
		"B_S     = 'x'", "B_E     = 'x''' / y", "C       = a",
		"C_S     = 'a'", "C_E     = a", NULL
	};
	static const char *const *const all[] = { a, b };
	char result[MAX_CARDS][CARD + 1];

	expect(result, merge(all, 2, result), expected);
}

/* A keyword that only some reads have. */
static void test_union(void)
{
	static const char *const a[] = { "SEEING  = 0.5", "FIRST   = 1", NULL };
	static const char *const b[] = { "X       = 1", NULL };
	static const char *const c[] = { "SEEING  = 0.7", "LAST    = T",
					 "X       = 2", NULL };
	static const char *const expected[] = {
		"SEEING  = 0.5", "SEEING_S= 0.5", "SEEING_E= 0.7",
		"FIRST   = 1", "X       = 1", "X_S     = 1", "X_E     = 2",
		"LAST    = T", NULL
	};
	static const char *const *const all[] = { a, b, c };
	char result[MAX_CARDS][CARD + 1];

	expect(result, merge(all, 3, result), expected);
}

static void test_remarks(void)
{
	static const char *const a[] = { "COMMENT one", "HISTORY h", "",
					 "COMMENT one", "        free", NULL };
	static const char *const b[] = { "COMMENT two", "COMMENT one",
					 "HISTORY h", NULL };
	static const char *const expected[] = { "COMMENT one", "HISTORY h",
						"        free", "COMMENT two",
						NULL };
	static const char *const *const all[] = { a, b };
	char result[MAX_CARDS][CARD + 1];

	expect(result, merge(all, 2, result), expected);
}

static void test_long_strings(void)
{
	static const char *const a[] = { "PATH    = 'aaa&'", "CONTINUE  'bb'",
					 "SAME    = 's&'",
					 "CONTINUE  't' / c", NULL };
	static const char *const b[] = { "PATH    = 'aaa&'", "CONTINUE  'cc'",
					 "SAME    = 's&'", "CONTINUE  't'",
					 NULL };
	static const char *const expected[] = {
		"PATH    = 'aaa&'", "CONTINUE  'cc'", "PATH_S  = 'aaa&'",
		"CONTINUE  'bb'", "PATH_E  = 'aaa&'", "CONTINUE  'cc'",
		"SAME    = 's&'", "CONTINUE  't' / c", NULL
	};
	static const char *const *const all[] = { a, b };
	char result[MAX_CARDS][CARD + 1];

	expect(result, merge(all, 2, result), expected);
}

static void test_odd_cards(void)
{
	static const char *const a[] = {
		"HIERARCH ESO DET TEMP = 38.1 / K", "gain    = 2",
		"BAD\xc3\xa9  = 1", "BAD.KEY = 1", "NOTE    = 'caf\xe9'",
		"CONTINUE  'orphan'", "HIERARCH no value", "GAIN    = 9", NULL
	};
	static const char *const b[] = { "HIERARCH ESO DET TEMP = 38.4 / K",
					 "GAIN    = 2", NULL };
	static const char *const expected[] = {
		"HIERARCH ESO DET TEMP = 38.4 / K", "GAIN    = 2",
		"HIERARCH no value", NULL
	};
	static const char *const *const all[] = { a, b };
	char result[MAX_CARDS][CARD + 1];

	expect(result, merge(all, 2, result), expected);
}

/* READTIME and READTXXE have one span name; X_S exists already. */
static void test_taken_span_names(void)
{
	static const char *const a[] = { "READTIME= 1", "READTXXE= 1",
					 "X       = 1", "X_S     = 7", NULL };
	static const char *const b[] = { "READTIME= 2", "READTXXE= 2",
					 "X       = 2", "X_S     = 7", NULL };
	static const char *const expected[] = {
		"READTIME= 2", "READTE_S= 1", "READTE_E= 2", "READTXXE= 2",
		"READT1_S= 1", "READT1_E= 2", "X       = 2", "X1_S    = 1",
		"X1_E    = 2", "X_S     = 7", NULL
	};
	static const char *const *const all[] = { a, b };
	char result[MAX_CARDS][CARD + 1];

	expect(result, merge(all, 2, result), expected);
}

/* Fifty keywords with one stem: more than one letter has to give way. */
static void test_many_equal_stems(void)
{
	enum { KEYS = 50 };
	char block[2][KEYS * CARD];
	const char *headers[2] = { block[0], block[1] };
	size_t ncards[2] = { KEYS, KEYS };
	char *cards = NULL;
	size_t count = 0;

	memset(block, ' ', sizeof block);
	for (int i = 0; i < 2 * KEYS; i++) {
		char line[CARD + 1];
		int n = snprintf(line, sizeof line, "TEMP%02d_X= %d", i % KEYS,
				 i / KEYS);

		memcpy(block[i / KEYS] + i % KEYS * CARD, line, (size_t)n);
	}
	CHECK(iris_merge_headers(headers, ncards, 2, &cards, &count) ==
	      IRIS_OK);
	CHECK(count == 3 * KEYS);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			CHECK(memcmp(cards + i * CARD, cards + j * CARD, 8) !=
			      0);
	iris_free(cards);
}

static void test_bad_arguments(void)
{
	char block[CARD];
	const char *headers[2] = { block, NULL };
	size_t ncards[2] = { 1, 1 };
	char *cards = NULL;
	size_t count;

	memset(block, ' ', sizeof block);
	CHECK(iris_merge_headers(NULL, ncards, 1, &cards, &count) ==
	      IRIS_ERROR_NULL);
	CHECK(iris_merge_headers(headers, ncards, 2, &cards, &count) ==
	      IRIS_ERROR_NULL);
	CHECK(iris_merge_headers(headers, ncards, 0, &cards, &count) ==
	      IRIS_ERROR_SHAPE);
	CHECK(iris_merge_headers(headers, ncards, 1, &cards, &count) ==
	      IRIS_OK);
	CHECK(count == 0 && cards != NULL);
	iris_free(cards);
	iris_free(NULL);
}

int main(void)
{
	test_span_names();
	test_constant_and_varying();
	test_strings();
	test_union();
	test_remarks();
	test_long_strings();
	test_odd_cards();
	test_taken_span_names();
	test_many_equal_stems();
	test_bad_arguments();
	if (failures > 0)
		(void)fprintf(stderr, "%d checks failed\n", failures);
	return failures > 0;
}
