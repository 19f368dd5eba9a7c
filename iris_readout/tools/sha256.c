/* SPDX-License-Identifier: BSD-3-Clause */
/* SHA-256 as in FIPS 180-4, sections 4.1.2, 5.1.1, 5.3.3 and 6.2. */
#include "sha256.h"

#include <string.h>

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define HAVE_SHA_NI
#include <cpuid.h>
#include <immintrin.h>
#endif

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

/* Word t of the message schedule, 16 at a time in a ring. */
#define SCHEDULE(t)                                                            \
	(w[(t) % 16] += (rotate(w[((t) + 14) % 16], 17) ^                      \
			 rotate(w[((t) + 14) % 16], 19) ^                      \
			 w[((t) + 14) % 16] >> 10) +                           \
			w[((t) + 9) % 16] +                                    \
			(rotate(w[((t) + 1) % 16], 7) ^                        \
			 rotate(w[((t) + 1) % 16], 18) ^                       \
			 w[((t) + 1) % 16] >> 3))

/* One round; the letters are those of the standard, renamed, not moved. */
#define ROUND(a, b, c, d, e, f, g, h, t)                                       \
	do {                                                                   \
		const uint32_t t1 =                                            \
			h +                                                    \
			(rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +       \
			(g ^ (e & (f ^ g))) + constant[t] +                    \
			((t) < 16 ? w[(t) % 16] : SCHEDULE(t));                \
		d += t1;                                                       \
		h = t1 + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +      \
		    ((a & b) | (c & (a | b)));                                 \
	} while (0)

/* Whole blocks, on any machine. */
static void compress_plain(uint32_t state[8], const unsigned char *block,
			   size_t count)
{
	uint32_t w[16];

	for (; count > 0; count--, block += BLOCK) {
		uint32_t a = state[0], b = state[1], c = state[2];
		uint32_t d = state[3], e = state[4], f = state[5];
		uint32_t g = state[6], h = state[7];

		for (size_t t = 0; t < 16; t++)
			w[t] = big_endian(block + 4 * t);
		for (size_t t = 0; t < 64; t += 8) {
			ROUND(a, b, c, d, e, f, g, h, t);
			ROUND(h, a, b, c, d, e, f, g, t + 1);
			ROUND(g, h, a, b, c, d, e, f, t + 2);
			ROUND(f, g, h, a, b, c, d, e, t + 3);
			ROUND(e, f, g, h, a, b, c, d, t + 4);
			ROUND(d, e, f, g, h, a, b, c, t + 5);
			ROUND(c, d, e, f, g, h, a, b, t + 6);
			ROUND(b, c, d, e, f, g, h, a, t + 7);
		}
		state[0] += a;
		state[1] += b;
		state[2] += c;
		state[3] += d;
		state[4] += e;
		state[5] += f;
		state[6] += g;
		state[7] += h;
	}
}

#ifdef HAVE_SHA_NI
/* Sixteen message words in four registers, the rounds 4k to 4k + 3 of them. */
#define FOUR_ROUNDS(k, m0, m1, m2, m3)                                         \
	do {                                                                   \
		const __m128i wk = _mm_add_epi32(                              \
			m0, _mm_loadu_si128((const __m128i *)constant + (k))); \
                                                                               \
		if ((k) >= 3 && (k) < 15)                                      \
			m1 = _mm_sha256msg2_epu32(                             \
				_mm_add_epi32(m1, _mm_alignr_epi8(m0, m3, 4)), \
				m0);                                           \
		cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);                  \
		abef = _mm_sha256rnds2_epu32(abef, cdgh,                       \
					     _mm_shuffle_epi32(wk, 0x0e));     \
		if ((k) >= 1 && (k) < 13)                                      \
			m3 = _mm_sha256msg1_epu32(m3, m0);                     \
	} while (0)

/* The same with the instructions that x86 processors have for it. */
__attribute__((target("sha,ssse3,sse4.1"))) static void
compress_ni(uint32_t state[8], const unsigned char *block, size_t count)
{
	const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5,
					  6, 7, 0, 1, 2, 3);
	/* a b c d and e f g h, lowest first, become f e b a and h g d c. */
	__m128i badc = _mm_shuffle_epi32(
		_mm_loadu_si128((const __m128i *)state), 0xb1);
	__m128i hgfe = _mm_shuffle_epi32(
		_mm_loadu_si128((const __m128i *)state + 1), 0x1b);
	__m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
	__m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);

	for (; count > 0; count--, block += BLOCK) {
		const __m128i *at = (const __m128i *)block;
		const __m128i abef_before = abef, cdgh_before = cdgh;
		__m128i m0 = _mm_shuffle_epi8(_mm_loadu_si128(at), swap);
		__m128i m1 = _mm_shuffle_epi8(_mm_loadu_si128(at + 1), swap);
		__m128i m2 = _mm_shuffle_epi8(_mm_loadu_si128(at + 2), swap);
		__m128i m3 = _mm_shuffle_epi8(_mm_loadu_si128(at + 3), swap);

		FOUR_ROUNDS(0, m0, m1, m2, m3);
		FOUR_ROUNDS(1, m1, m2, m3, m0);
		FOUR_ROUNDS(2, m2, m3, m0, m1);
		FOUR_ROUNDS(3, m3, m0, m1, m2);
		FOUR_ROUNDS(4, m0, m1, m2, m3);
		FOUR_ROUNDS(5, m1, m2, m3, m0);
		FOUR_ROUNDS(6, m2, m3, m0, m1);
		FOUR_ROUNDS(7, m3, m0, m1, m2);
		FOUR_ROUNDS(8, m0, m1, m2, m3);
		FOUR_ROUNDS(9, m1, m2, m3, m0);
		FOUR_ROUNDS(10, m2, m3, m0, m1);
		FOUR_ROUNDS(11, m3, m0, m1, m2);
		FOUR_ROUNDS(12, m0, m1, m2, m3);
		FOUR_ROUNDS(13, m1, m2, m3, m0);
		FOUR_ROUNDS(14, m2, m3, m0, m1);
		FOUR_ROUNDS(15, m3, m0, m1, m2);
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	hgfe = _mm_shuffle_epi32(abef, 0x1b);
	badc = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)state, _mm_blend_epi16(hgfe, badc, 0xf0));
	_mm_storeu_si128((__m128i *)state + 1,
			 _mm_alignr_epi8(badc, hgfe, 8));
}

/* CPUID leaf 7, EBX bit 29, and SSSE3 and SSE4.1 in leaf 1. */
static bool has_sha_ni(void)
{
	unsigned a, b, c = 0, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 9 & 1) ||
	    !(c >> 19 & 1))
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}
#endif

static void compress(sha256 *digest, const unsigned char *block, size_t count)
{
#ifdef HAVE_SHA_NI
	if (digest->accelerated) {
		compress_ni(digest->state, block, count);
		return;
	}
#endif
	compress_plain(digest->state, block, count);
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
	digest->accelerated = false;
#ifdef HAVE_SHA_NI
	digest->accelerated = has_sha_ni();
#endif
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
		compress(digest, digest->block, 1);
	}
	compress(digest, next, count / BLOCK);
	if (count % BLOCK > 0)
		memcpy(digest->block, next + count / BLOCK * BLOCK,
		       count % BLOCK);
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
