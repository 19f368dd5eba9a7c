/* SPDX-License-Identifier: BSD-3-Clause */
/* SHA-256 as in FIPS 180-4, sections 4.1.2, 5.1.1, 5.3.3 and 6.2. */
#include "sha256.h"

#include <string.h>

enum { BLOCK = 64, LENGTH_AT = 56 };

/* First 32 bits of the fractional parts of the cube roots of the primes. */
static const uint32_t constant[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t word, unsigned bits)
{
	return word >> bits | word << (32 - bits);
}

static uint32_t big_endian(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
	       (uint32_t)bytes[2] << 8 | (uint32_t)bytes[3];
}

static void schedule(const unsigned char *block, uint32_t w[64])
{
	for (size_t t = 0; t < 16; t++)
		w[t] = big_endian(block + 4 * t);
	for (size_t t = 16; t < 64; t++) {
		uint32_t a = w[t - 15], b = w[t - 2];
		uint32_t s0 = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3;
		uint32_t s1 = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10;

		w[t] = w[t - 16] + s0 + w[t - 7] + s1;
	}
}

/* One block; the letters a to h of the standard are v[0] to v[7]. */
static void compress(uint32_t state[8], const unsigned char *block)
{
	uint32_t w[64], v[8];

	schedule(block, w);
	memcpy(v, state, sizeof v);
	for (size_t t = 0; t < 64; t++) {
		uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^
			      rotate(v[4], 25);
		uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
		uint32_t t1 = v[7] + s1 + choice + constant[t] + w[t];
		uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^
			      rotate(v[0], 22);
		uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^
				    (v[1] & v[2]);

		memmove(v + 1, v, 7 * sizeof *v);
		v[4] += t1;
		v[0] = t1 + s0 + majority;
	}
	for (size_t i = 0; i < 8; i++)
		state[i] += v[i];
}

void sha256_begin(sha256 *digest)
{
	/* Fractional parts of the square roots of the first eight primes. */
	static const uint32_t initial[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	memcpy(digest->state, initial, sizeof initial);
	digest->length = 0;
}

void sha256_add(sha256 *digest, const void *bytes, size_t count)
{
	const unsigned char *next = bytes;
	size_t filled = (size_t)(digest->length % BLOCK);

	digest->length += count;
	if (filled > 0) {
		size_t part = BLOCK - filled < count ? BLOCK - filled : count;

		memcpy(digest->block + filled, next, part);
		next += part;
		count -= part;
		if (filled + part < BLOCK)
			return;
		compress(digest->state, digest->block);
	}
	for (; count >= BLOCK; count -= BLOCK, next += BLOCK)
		compress(digest->state, next);
	if (count > 0)
		memcpy(digest->block, next, count);
}

void sha256_end(sha256 *digest, char hex[SHA256_HEX])
{
	static const char digits[] = "0123456789abcdef";
	static const unsigned char padding[BLOCK] = { 0x80 };
	uint64_t bits = 8 * digest->length;
	size_t filled = (size_t)(digest->length % BLOCK);
	size_t pad = (filled < LENGTH_AT ? LENGTH_AT : LENGTH_AT + BLOCK) -
		     filled;
	unsigned char length[8];

	for (size_t i = 0; i < 8; i++)
		length[i] = (unsigned char)(bits >> (56 - 8 * i));
	sha256_add(digest, padding, pad);
	sha256_add(digest, length, sizeof length);
	for (size_t i = 0; i < 64; i++) {
		uint32_t word = digest->state[i / 8];

		hex[i] = digits[word >> (28 - 4 * (i % 8)) & 15];
	}
	hex[64] = '\0';
}
