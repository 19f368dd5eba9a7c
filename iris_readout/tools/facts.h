/* SPDX-License-Identifier: BSD-3-Clause */
/* Names the instrument knows; a test holds them equal to the Python side. */
#ifndef FACTS_H
#define FACTS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct vocabulary {
	const char *keyword;
	const char *const *words; /* ended by NULL */
} vocabulary;

extern const vocabulary known_detectors, known_image_types, known_filters;

bool is_known(const vocabulary *known, const char *word);

/* The words separated by blanks, cut to size. */
void list_known(const vocabulary *known, char *text, size_t size);

#endif
