/* SPDX-License-Identifier: BSD-3-Clause */
#include "settings.h"

#include <getopt.h>
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
"\n"
"Fit:\n"
"      --mode MODE           utr, cds or mcds [SAMPMODE of the header]\n"
"      --estimator NAME      utr: likelihood or ols [likelihood]\n"
"      --nfowler N           mcds: reads in each mean [NFOWLER]\n"
"      --jump-sigma S        threshold of the jump test, 0 or none: off [4.5]\n"
"      --no-snowballs        do not look for snowballs\n"
"      --saturation-grow N   also mask N pixels around a saturated one [0]\n"
"      --side-rows N         rows that smooth the side reference columns, odd;\n"
"                            0: no correction by them [11]\n"
"\n"
"Calibration (FILE: the full detector, or the window of the reads):\n"
"      --gain FILE|VALUE     e-/DN [GAIN]\n"
"      --read-noise FILE|VALUE   e- rms of one read [READNOIS]\n"
"      --saturation FILE|VALUE   raw DN [SATURATE, else 65535]\n"
"      --linearity FILE      polynomials; without it there is no correction\n"
"      --bad-pixels FILE     DQ reference\n"
"      --ref-weights FILE    kernels of the reference-pixel correction\n"
"      --guide-window X,Y,NX,NY  mask these pixels of the detector, from 1 as\n"
"                            SUBSTRT1; may be repeated\n"
"      --guide-margin N      and N pixels around [0]\n"
"\n"
"Reads and ramps:\n"
"      --drop N[,N-M...]     do not use the reads of these numbers (READ_NO)\n"
"      --weight-keyword KEY  weigh reads by KEY of their headers\n"
"      --weight-rule RULE    linear: value / largest; threshold=F: 1 from\n"
"                            F * largest on, else 0 [linear]\n"
"      --combine RULE        mean or sum of several ramps [mean]\n"
"      --reject-sigma S      outlier among ramps, 0 or none: off [5]\n"
"      --skip-bad-reads      go on without reads that cannot be used\n"
"\n"
"Machine:\n"
"      --threads N           0: as many as there are processors [0]\n"
"      --isa NAME            auto, baseline, avx2 or avx512 [IRIS_ISA, auto]\n"
"      --memory-limit BYTES  of reads before they are folded, with k, M or G;\n"
"                            0: 1.75G [0]\n"
"      --keep-reads          also where sums would do (ols without a jump\n"
"                            test, cds): gives CHI2\n"
"      --max-events N        room for events, 0: two for each pixel [0]\n"
"\n"
"Output:\n"
"      --overwrite           replace FILE if it exists\n"
"      --no-chi2, --no-events    leave that extension out\n"
"      --quiet               neither warnings nor a summary\n"
"      --debug               also say what CFITSIO said\n"
"      --version, --help\n"
"\n"
"Exit status: 0 good, 1 an input cannot be used, 2 wrong usage.\n";

enum {
	OPT_MODE = 256, OPT_ESTIMATOR, OPT_NFOWLER, OPT_JUMP_SIGMA,
	OPT_NO_SNOWBALLS, OPT_GROW, OPT_SIDE_ROWS, OPT_GAIN, OPT_READ_NOISE,
	OPT_SATURATION, OPT_LINEARITY, OPT_BAD_PIXELS, OPT_REF_WEIGHTS,
	OPT_GUIDE_WINDOW, OPT_GUIDE_MARGIN, OPT_DROP, OPT_WEIGHT_KEYWORD,
	OPT_WEIGHT_RULE, OPT_COMBINE, OPT_REJECT_SIGMA, OPT_SKIP_BAD,
	OPT_THREADS, OPT_ISA, OPT_MEMORY_LIMIT, OPT_KEEP_READS, OPT_MAX_EVENTS,
	OPT_OVERWRITE, OPT_NO_CHI2, OPT_NO_EVENTS, OPT_QUIET, OPT_DEBUG,
	OPT_VERSION, OPT_HELP
};

static const struct option options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "estimator", required_argument, NULL, OPT_ESTIMATOR },
	{ "nfowler", required_argument, NULL, OPT_NFOWLER },
	{ "jump-sigma", required_argument, NULL, OPT_JUMP_SIGMA },
	{ "no-snowballs", no_argument, NULL, OPT_NO_SNOWBALLS },
	{ "saturation-grow", required_argument, NULL, OPT_GROW },
	{ "side-rows", required_argument, NULL, OPT_SIDE_ROWS },
	{ "gain", required_argument, NULL, OPT_GAIN },
	{ "read-noise", required_argument, NULL, OPT_READ_NOISE },
	{ "saturation", required_argument, NULL, OPT_SATURATION },
	{ "linearity", required_argument, NULL, OPT_LINEARITY },
	{ "bad-pixels", required_argument, NULL, OPT_BAD_PIXELS },
	{ "ref-weights", required_argument, NULL, OPT_REF_WEIGHTS },
	{ "guide-window", required_argument, NULL, OPT_GUIDE_WINDOW },
	{ "guide-margin", required_argument, NULL, OPT_GUIDE_MARGIN },
	{ "drop", required_argument, NULL, OPT_DROP },
	{ "weight-keyword", required_argument, NULL, OPT_WEIGHT_KEYWORD },
	{ "weight-rule", required_argument, NULL, OPT_WEIGHT_RULE },
	{ "combine", required_argument, NULL, OPT_COMBINE },
	{ "reject-sigma", required_argument, NULL, OPT_REJECT_SIGMA },
	{ "skip-bad-reads", no_argument, NULL, OPT_SKIP_BAD },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "isa", required_argument, NULL, OPT_ISA },
	{ "memory-limit", required_argument, NULL, OPT_MEMORY_LIMIT },
	{ "keep-reads", no_argument, NULL, OPT_KEEP_READS },
	{ "max-events", required_argument, NULL, OPT_MAX_EVENTS },
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
static const char *const estimators[] = { "likelihood", "ols" };
static const char *const sets[] = { "auto", "baseline", "avx2", "avx512" };
static const char *const combinations[] = { "mean", "sum" };

const char *mode_name(iris_mode mode)
{
	return modes[mode];
}

const char *estimator_name(iris_estimator estimator)
{
	return estimators[estimator];
}

const char *combination_name(iris_combination combination)
{
	return combinations[combination];
}

static bool parse_word(int option, const char *text, settings *s, report *r)
{
	int index = 0;
	bool good;

	switch (option) {
	case OPT_MODE:
		good = value_choice("--mode", text, modes, 3, &index, r);
		s->mode = (iris_mode)index;
		s->mode_given = true;
		return good;
	case OPT_ESTIMATOR:
		good = value_choice("--estimator", text, estimators, 2, &index,
				    r);
		s->estimator = (iris_estimator)index;
		return good;
	case OPT_ISA:
		good = value_choice("--isa", text, sets, 4, &index, r);
		s->isa = (iris_isa)index;
		return good;
	default:
		good = value_choice("--combine", text, combinations, 2, &index,
				    r);
		s->combination = (iris_combination)index;
		return good;
	}
}

static bool parse_quantity(int option, const char *text, settings *s,
			   report *r)
{
	switch (option) {
	case OPT_GAIN:
		return value_quantity("--gain", text, &s->gain, r);
	case OPT_READ_NOISE:
		return value_quantity("--read-noise", text, &s->read_noise, r);
	case OPT_SATURATION:
		return value_quantity("--saturation", text, &s->saturation, r);
	case OPT_JUMP_SIGMA:
		return value_sigma("--jump-sigma", text, &s->jump_sigma, r);
	default:
		return value_sigma("--reject-sigma", text, &s->reject_sigma,
				   r);
	}
}

static bool parse_count(int option, const char *text, settings *s, report *r)
{
	size_t count = 0;
	bool good;

	switch (option) {
	case OPT_NFOWLER:
		return value_count("--nfowler", text, 1, &s->nfowler, r);
	case OPT_GROW:
		return value_count("--saturation-grow", text, 0,
				   &s->saturation_grow, r);
	case OPT_SIDE_ROWS:
		return value_odd("--side-rows", text, &s->side_rows, r);
	case OPT_MEMORY_LIMIT:
		return value_bytes("--memory-limit", text, &s->memory_limit,
				   r);
	case OPT_MAX_EVENTS:
		return value_count("--max-events", text, 0, &s->max_events, r);
	case OPT_GUIDE_MARGIN:
		return value_count("--guide-margin", text, 0, &s->guide_margin,
				   r);
	default:
		good = value_count("--threads", text, 0, &count, r);
		s->nthreads = (unsigned)count;
		return good;
	}
}

static bool parse_selection(int option, const char *text, settings *s,
			    report *r)
{
	switch (option) {
	case OPT_DROP:
		return value_ranges("--drop", text, &s->drop, &s->ndrop, r);
	case OPT_WEIGHT_KEYWORD:
		return value_keyword("--weight-keyword", text,
				     s->weight_keyword, r);
	case OPT_WEIGHT_RULE:
		return value_rule("--weight-rule", text, &s->weight_rule, r);
	default:
		return value_window("--guide-window", text, &s->guide,
				    &s->nguide, r);
	}
}

static void parse_file(int option, const char *text, settings *s)
{
	switch (option) {
	case 'o':
		s->output = text;
		break;
	case OPT_LINEARITY:
		s->linearity = text;
		break;
	case OPT_REF_WEIGHTS:
		s->ref_weights = text;
		break;
	default:
		s->bad_pixels = text;
		break;
	}
}

static void parse_flag(int option, settings *s)
{
	switch (option) {
	case OPT_NO_SNOWBALLS:
		s->snowballs = false;
		break;
	case OPT_KEEP_READS:
		s->keep_reads = true;
		break;
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
	case OPT_LINEARITY:
	case OPT_BAD_PIXELS:
	case OPT_REF_WEIGHTS:
		parse_file(option, text, s);
		return true;
	case OPT_MODE:
	case OPT_ESTIMATOR:
	case OPT_ISA:
	case OPT_COMBINE:
		return parse_word(option, text, s, r);
	case OPT_GAIN:
	case OPT_READ_NOISE:
	case OPT_SATURATION:
	case OPT_JUMP_SIGMA:
	case OPT_REJECT_SIGMA:
		return parse_quantity(option, text, s, r);
	case OPT_DROP:
	case OPT_WEIGHT_KEYWORD:
	case OPT_WEIGHT_RULE:
	case OPT_GUIDE_WINDOW:
		return parse_selection(option, text, s, r);
	case OPT_NFOWLER:
	case OPT_GROW:
	case OPT_SIDE_ROWS:
	case OPT_MEMORY_LIMIT:
	case OPT_MAX_EVENTS:
	case OPT_GUIDE_MARGIN:
	case OPT_THREADS:
		return parse_count(option, text, s, r);
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
	if (s->weight_rule.text != NULL && s->weight_keyword[0] == '\0')
		return report_usage(r, "--weight-rule", "got '%s' alone, "
				    "expected --weight-keyword with it; see "
				    "--help", s->weight_rule.text);
	return true;
}

/* What the library does where nothing is said. */
static void set_defaults(settings *s)
{
	iris_options defaults;

	iris_options_init(&defaults, 1, 1);
	memset(s, 0, sizeof *s);
	s->estimator = defaults.estimator;
	s->jump_sigma = defaults.jump_sigma;
	s->snowballs = defaults.snowballs != 0;
	s->side_rows = defaults.side_rows;
	s->reject_sigma = 5.0;
	s->chi2 = s->events = true;
}

bool settings_parse(settings *s, int argc, char **argv, report *r)
{
	int option;

	set_defaults(s);
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

void settings_free(settings *s)
{
	free(s->drop);
	free(s->guide);
	s->drop = NULL;
	s->guide = NULL;
}
