/* SPDX-License-Identifier: BSD-3-Clause */
#include "facts.h"

#include <string.h>

static const char *const detectors[] = {
	"IMG1", "IMG2", "IMG3", "IMG4", "IFS", NULL
};

static const char *const image_types[] = {
	"SCI", "SKY", "DARK", "FLAT", "ARC", "LAMPSCAN", "PINHOLE", "STD",
	"TELLURIC", "BIAS", NULL
};

static const char *const filters[] = {
	"dark", "through", "Zbb", "Ybb", "Jbb", "Hbb", "Kbb", "Z", "Y", "J",
	"H", "Ks", "K", "ZN1", "ZN2", "ZN3", "ZN4", "YN1", "YN2", "YN3",
	"YN4", "JN1", "JN2", "JN3", "JN4", "HN1", "HN2", "HN3", "HN4", "HN5",
	"KN1", "KN2", "KN3", "KN4", "KN5", "CaIIw", "PaBetaw", "FeIIw",
	"Br_Gammaw", "COw", "HeI", "Jcont", "PaBeta", "Hcont", "FeII",
	"H2one", "Kcont", "Br_Gamma", "H2two", "CO", "KN45", "YJ", "HK",
	NULL
};

const vocabulary known_detectors = { "DETECTOR", detectors };
const vocabulary known_image_types = { "IMTYPE", image_types };
const vocabulary known_filters = { "FILTER", filters };

bool is_known(const vocabulary *known, const char *word)
{
	for (size_t i = 0; known->words[i] != NULL; i++)
		if (strcmp(known->words[i], word) == 0)
			return true;
	return false;
}

void list_known(const vocabulary *known, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; known->words[i] != NULL; i++) {
		size_t length = strlen(known->words[i]);

		if (used + length + 2 > size)
			return;
		if (used > 0)
			text[used++] = ' ';
		memcpy(text + used, known->words[i], length + 1);
		used += length;
	}
}
