/* SPDX-License-Identifier: BSD-3-Clause */
#include "settings.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char settings_help[] =
"usage: iris-readout [--mode utr|cds|mcds] -o L1.fits [options] READ.fits...\n"
"\n"
"Turn the raw reads (level 0) of one exposure of one detector into a raw\n"
"science frame (level 1).  Reads are FITS files of one read or cubes of many,\n"
"packed with gzip or not, in any order.\n"
"\n"
"  -o, --output FILE         the frame to write (required)\n"
"      --mode MODE           utr, cds or mcds [SAMPMODE of the header]\n"
"      --nfowler N           mcds: reads in each mean [NFOWLER]\n"
"      --jump-sigma S        threshold of the jump test, 0 or none: off [4.5]\n"
"      --saturation-grow N   also mask N pixels around a saturated one [0]\n"
"      --gain FILE|VALUE     e-/DN [GAIN]\n"
"      --read-noise FILE|VALUE   e- rms of one read [READNOIS]\n"
"      --saturation FILE|VALUE   raw DN [SATURATE, else 65535]\n"
"      --linearity FILE      polynomials; without it there is no correction\n"
"      --bad-pixels FILE     DQ reference\n"
"      --threads N           0: as many as there are processors [0]\n"
"      --skip-bad-reads      go on without reads that cannot be used\n"
"      --overwrite           replace FILE if it exists\n"
"      --no-chi2, --no-events    leave that extension out\n"
"      --quiet               neither warnings nor a summary\n"
"      --debug               also say what CFITSIO said\n"
"      --version, --help\n"
"\n"
"Exit status: 0 good, 1 an input cannot be used, 2 wrong usage.\n";

enum {
	OPT_MODE = 256, OPT_NFOWLER, OPT_JUMP_SIGMA, OPT_GROW, OPT_GAIN,
	OPT_READ_NOISE, OPT_SATURATION, OPT_LINEARITY, OPT_BAD_PIXELS,
	OPT_THREADS, OPT_SKIP_BAD, OPT_OVERWRITE, OPT_NO_CHI2, OPT_NO_EVENTS,
	OPT_QUIET, OPT_DEBUG, OPT_VERSION, OPT_HELP
};

static const struct option options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "nfowler", required_argument, NULL, OPT_NFOWLER },
	{ "jump-sigma", required_argument, NULL, OPT_JUMP_SIGMA },
	{ "saturation-grow", required_argument, NULL, OPT_GROW },
	{ "gain", required_argument, NULL, OPT_GAIN },
	{ "read-noise", required_argument, NULL, OPT_READ_NOISE },
	{ "saturation", required_argument, NULL, OPT_SATURATION },
	{ "linearity", required_argument, NULL, OPT_LINEARITY },
	{ "bad-pixels", required_argument, NULL, OPT_BAD_PIXELS },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "skip-bad-reads", no_argument, NULL, OPT_SKIP_BAD },
	{ "overwrite", no_argument, NULL, OPT_OVERWRITE },
	{ "no-chi2", no_argument, NULL, OPT_NO_CHI2 },
	{ "no-events", no_argument, NULL, OPT_NO_EVENTS },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "debug", no_argument, NULL, OPT_DEBUG },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static const char *const modes[] = { "utr", "cds", "mcds" };

const char *mode_name(iris_mode mode)
{
	return modes[mode];
}

static bool parse_mode(const char *text, settings *s, report *r)
{
	for (int i = 0; i < 3; i++) {
		if (strcmp(text, modes[i]) == 0) {
			s->mode = (iris_mode)i;
			s->mode_given = true;
			return true;
		}
	}
	return report_usage(r, "--mode", "got '%s', expected utr, cds or "
			    "mcds; see --help", text);
}

static bool parse_count(const char *name, const char *text, size_t least,
			size_t *count, report *r)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (*text != '\0' && *end == '\0' && errno == 0 &&
	    value >= (long)least && value <= INT_MAX) {
		*count = (size_t)value;
		return true;
	}
	return report_usage(r, name, "got '%s', expected an integer of at "
			    "least %zu; see --help", text, least);
}

static bool parse_sigma(const char *text, double *sigma, report *r)
{
	char *end;

	if (strcmp(text, "none") == 0) {
		*sigma = 0.0;
		return true;
	}
	*sigma = strtod(text, &end);
	if (*text != '\0' && *end == '\0' && isfinite(*sigma) && *sigma >= 0.0)
		return true;
	return report_usage(r, "--jump-sigma", "got '%s', expected a number "
			    "above 0, or 0 or none for no test; see --help",
			    text);
}

/* What reads as a number is a value, all else a file. */
static bool parse_quantity(const char *name, const char *text, quantity *q,
			   report *r)
{
	char *end;
	double value = strtod(text, &end);

	if (*text == '\0')
		return report_usage(r, name, "got nothing, expected a file or "
				    "a number; see --help");
	q->file = *end == '\0' ? NULL : text;
	q->value = *end == '\0' ? value : 0.0;
	if (q->file != NULL || (isfinite((float)value) && (float)value > 0.0f))
		return true;
	return report_usage(r, name, "got %s, expected a finite number above "
			    "0 or a file; see --help", text);
}

static bool parse_quantities(int option, const char *text, settings *s,
			     report *r)
{
	switch (option) {
	case OPT_GAIN:
		return parse_quantity("--gain", text, &s->gain, r);
	case OPT_READ_NOISE:
		return parse_quantity("--read-noise", text, &s->read_noise, r);
	default:
		return parse_quantity("--saturation", text, &s->saturation, r);
	}
}

static bool parse_counts(int option, const char *text, settings *s, report *r)
{
	size_t count = 0;
	bool good;

	switch (option) {
	case OPT_NFOWLER:
		return parse_count("--nfowler", text, 1, &s->nfowler, r);
	case OPT_GROW:
		return parse_count("--saturation-grow", text, 0,
				   &s->saturation_grow, r);
	default:
		good = parse_count("--threads", text, 0, &count, r);
		s->nthreads = (unsigned)count;
		return good;
	}
}

static void parse_flag(int option, settings *s)
{
	switch (option) {
	case OPT_SKIP_BAD:
		s->skip_bad_reads = true;
		break;
	case OPT_OVERWRITE:
		s->overwrite = true;
		break;
	case OPT_NO_CHI2:
		s->chi2 = false;
		break;
	case OPT_NO_EVENTS:
		s->events = false;
		break;
	case OPT_QUIET:
		s->quiet = true;
		break;
	case OPT_DEBUG:
		s->debug = true;
		break;
	case OPT_VERSION:
		s->version = true;
		break;
	default:
		s->help = true;
		break;
	}
}

static bool parse_option(int option, const char *text, settings *s, report *r)
{
	switch (option) {
	case 'o':
		s->output = text;
		return true;
	case OPT_MODE:
		return parse_mode(text, s, r);
	case OPT_JUMP_SIGMA:
		return parse_sigma(text, &s->jump_sigma, r);
	case OPT_LINEARITY:
		s->linearity = text;
		return true;
	case OPT_BAD_PIXELS:
		s->bad_pixels = text;
		return true;
	case OPT_GAIN:
	case OPT_READ_NOISE:
	case OPT_SATURATION:
		return parse_quantities(option, text, s, r);
	case OPT_NFOWLER:
	case OPT_GROW:
	case OPT_THREADS:
		return parse_counts(option, text, s, r);
	default:
		parse_flag(option, s);
		return true;
	}
}

static bool check_given(const settings *s, report *r)
{
	size_t length = s->output != NULL ? strlen(s->output) : 0;

	if (s->help || s->version)
		return true;
	if (length == 0)
		return report_usage(r, "-o", "got no output file, expected "
				    "one; see --help");
	if (length > 3 && strcmp(s->output + length - 3, ".gz") == 0)
		return report_usage(r, "-o", "got '%s', expected a name "
				    "without .gz; frames are written unpacked",
				    s->output);
	if (s->nread == 0)
		return report_usage(r, "READ.fits", "got no reads, expected "
				    "at least two; see --help");
	return true;
}

bool settings_parse(settings *s, int argc, char **argv, report *r)
{
	int option;

	memset(s, 0, sizeof *s);
	s->jump_sigma = 4.5;
	s->chi2 = s->events = true;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":o:", options, NULL)) != -1) {
		const char *name = argv[optind - 1];

		if (option == ':')
			return report_usage(r, name, "got no value, expected "
					    "one; see --help");
		if (option == '?')
			return report_usage(r, name, "got an option that is "
					    "not known or takes no value, "
					    "expected one of --help");
		if (!parse_option(option, optarg, s, r))
			return false;
	}
	s->reads = argv + optind;
	s->nread = (size_t)(argc - optind);
	r->quiet = s->quiet;
	r->debug = s->debug;
	return check_given(s, r);
}
