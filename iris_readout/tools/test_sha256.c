/* SPDX-License-Identifier: BSD-3-Clause */
/* The SHA-256 of the command against the examples of FIPS 180-4 and NIST. */
#include "sha256.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void check(const char *got, const char *expected, const char *what)
{
	if (strcmp(got, expected) != 0) {
		failures++;
		(void)fprintf(stderr, "%s: got %s, expected %s\n", what, got,
			      expected);
	}
}

/* With the instructions of the processor, if it has them, or without. */
static bool plain;

static void begin(sha256 *digest)
{
	sha256_begin(digest);
	if (plain)
		digest->accelerated = false;
}

static void check_text(const char *text, const char *expected)
{
	size_t length = strlen(text);
	char hex[SHA256_HEX];

	/* Every way to cut the text in two gives the same. */
	for (size_t cut = 0; cut <= length; cut++) {
		sha256 digest;

		begin(&digest);
		sha256_add(&digest, text, cut);
		sha256_add(&digest, text + cut, length - cut);
		sha256_end(&digest, hex);
		check(hex, expected, text);
	}
}

static void check_million_a(void)
{
	char block[999];
	sha256 digest;
	char hex[SHA256_HEX];
	size_t left = 1000000;

	memset(block, 'a', sizeof block);
	begin(&digest);
	while (left > 0) {
		size_t part = left < sizeof block ? left : sizeof block;

		sha256_add(&digest, block, part);
		left -= part;
	}
	sha256_end(&digest, hex);
	check(hex, "cdc76e5c9914fb9281a1c7e284d73e67"
		   "f1809a48a497200e046d39ccc7112cd0", "a million a");
}

static void check_all(void)
{
	check_text("", "e3b0c44298fc1c149afbf4c8996fb924"
		       "27ae41e4649b934ca495991b7852b855");
	check_text("abc", "ba7816bf8f01cfea414140de5dae2223"
			  "b00361a396177a9cb410ff61f20015ad");
	check_text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		   "248d6a61d20638b8e5c026930c3e6039"
		   "a33ce45964ff2167f6ecedd419db06c1");
	check_text("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
		   "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
		   "cf5b16a778af8380036ce59e7b049237"
		   "0b249b11e8f07a51afac45037afee9d1");
	check_million_a();
}

int main(void)
{
	check_all();
	plain = true;
	check_all();
	return failures > 0;
}
