/* SPDX-License-Identifier: BSD-3-Clause */
/* SHA-256 (FIPS 180-4) of a stream of bytes. */
#ifndef SHA256_H
#define SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_HEX = 65 }; /* 64 lower-case digits and a NUL */

typedef struct sha256 {
	uint32_t state[8];
	uint64_t length; /* bytes so far */
	unsigned char block[64];
	bool accelerated; /* by instructions of the processor; may be cleared */
} sha256;

void sha256_begin(sha256 *digest);
void sha256_add(sha256 *digest, const void *bytes, size_t count);
void sha256_end(sha256 *digest, char hex[SHA256_HEX]);

#endif
