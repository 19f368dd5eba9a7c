/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iris_readout: raw detector reads (level 0) to raw science frames (level 1).
 *
 * The only public header.  The library takes buffers and gives planes: it does
 * no input or output, keeps no global state, never prints and never exits.
 *
 *     iris_options options;
 *     iris_ramp *ramp;
 *     iris_options_init(&options, ny, nx);
 *     options.gain.value = 3.04f;
 *     options.read_noise.value = 9.0f;
 *     iris_ramp_create(&ramp, &options, NULL, 0);
 *     for each read: iris_ramp_push(ramp, counts, IRIS_NATIVE, seconds);
 *     iris_ramp_finish(ramp, &planes);
 *     iris_ramp_destroy(ramp);
 *
 * Arrays are C order, (ny, nx), x fastest.  Counts are DN, charge is electrons,
 * rates are electrons per second, times are seconds since the reset.
 *
 * Ownership: maps in iris_options are views; they must outlive the ramp and are
 * never written.  Planes belong to the caller.  A read handed to
 * iris_ramp_push may be reused as soon as the call returns; a borrowed one
 * (iris_ramp_push_read) must stay as it is until the ramp is finished and
 * reset, or destroyed.
 *
 * Memory: everything is allocated by iris_ramp_create, nothing afterwards.
 * Pages that are not needed are not touched.  Least squares without a jump
 * test and CDS keep sums, whatever the number of reads: no chi-square and no
 * weights of reads then, unless options.keep_reads is set.  The other
 * estimators keep the reads (2 bytes per pixel each) while they fit into
 * options.memory_limit; then they fold them into at most IRIS_MAX_RESULTANTS
 * resultants (means of neighbouring reads), whatever the number of reads.  A
 * push folds eight reads at most, so that those kept are folded while others
 * come; what is left is folded by iris_ramp_finish.
 *
 * Threads: different ramps may be used by different threads at the same time;
 * one ramp must not.  A ramp has threads of its own (options.nthreads) from
 * create to destroy.
 *
 * Bits: the result is the same to the last bit however many threads there are,
 * whichever instruction set is used, whether reads are borrowed or copied.
 *
 * Errors: every call returns an iris_status.  iris_status_text gives a
 * sentence for it, iris_ramp_error the details of the last failure of a ramp.
 */
#ifndef IRIS_READOUT_H
#define IRIS_READOUT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The one place where the version of the whole distribution stands. */
#define IRIS_READOUT_VERSION "0.1.0"
/* Changes whenever a struct or a prototype below changes. */
#define IRIS_READOUT_ABI 3

/* Resultants that reads are folded into when they do not fit into memory. */
#define IRIS_MAX_RESULTANTS 24

#if defined(__GNUC__)
#define IRIS_API __attribute__((visibility("default")))
#else
#define IRIS_API
#endif

typedef enum iris_status {
	IRIS_OK = 0,
	IRIS_ERROR_NULL,       /* a required pointer is NULL */
	IRIS_ERROR_MEMORY,     /* memory could not be had */
	IRIS_ERROR_SHAPE,      /* sizes do not fit together */
	IRIS_ERROR_OPTION,     /* an option is out of range */
	IRIS_ERROR_REFERENCE,  /* gain, noise or another map is unusable */
	IRIS_ERROR_TIME,       /* read times do not rise */
	IRIS_ERROR_TOO_FEW,    /* fewer than two reads */
	IRIS_ERROR_STATE       /* call out of order, e.g. push after finish */
} iris_status;

/* Data-quality bits, the same as liger_iris_pipeline.dq.Flag. */
enum iris_dq {
	IRIS_DQ_DO_NOT_USE = 0,
	IRIS_DQ_SATURATED = 1,
	IRIS_DQ_JUMP_DET = 2,
	IRIS_DQ_DROPOUT = 3,
	IRIS_DQ_OUTLIER = 4,
	IRIS_DQ_PERSISTENCE = 5,
	IRIS_DQ_AD_FLOOR = 6,
	IRIS_DQ_CHARGELOSS = 7,
	IRIS_DQ_SUBARRAY = 8,
	IRIS_DQ_NON_SCIENCE = 9,
	IRIS_DQ_DEAD = 10,
	IRIS_DQ_HOT = 11,
	IRIS_DQ_WARM = 12,
	IRIS_DQ_LOW_QE = 13,
	IRIS_DQ_COLD = 14,
	IRIS_DQ_TELEGRAPH = 15,
	IRIS_DQ_NONLINEAR = 16,
	IRIS_DQ_BAD_REF_PIXEL = 17,
	IRIS_DQ_NO_FLAT_FIELD = 18,
	IRIS_DQ_NO_GAIN_VALUE = 19,
	IRIS_DQ_NO_LIN_CORR = 20,
	IRIS_DQ_NO_SAT_CHECK = 21,
	IRIS_DQ_UNRELIABLE_BIAS = 22,
	IRIS_DQ_UNRELIABLE_DARK = 23,
	IRIS_DQ_UNRELIABLE_SLOPE = 24,
	IRIS_DQ_UNRELIABLE_FLAT = 25,
	IRIS_DQ_UNRELIABLE_WAVESOL = 26,
	IRIS_DQ_FLUX_ESTIMATED = 27,
	IRIS_DQ_TELLURIC = 28,
	IRIS_DQ_OH_LINE = 29,
	IRIS_DQ_OTHER_BAD_PIXEL = 30,
	IRIS_DQ_REFERENCE_PIXEL = 31
};
/* Mask of a bit: IRIS_DQ_MASK(IRIS_DQ_SATURATED) == 2. */
#define IRIS_DQ_MASK(bit) ((uint32_t)1 << (bit))

typedef enum iris_mode {
	IRIS_MODE_UTR = 0,  /* slope of all usable reads, see iris_estimator */
	IRIS_MODE_CDS = 1,  /* last minus first usable read */
	IRIS_MODE_MCDS = 2  /* mean of the last minus mean of the first nfowler */
} iris_mode;

/* Of IRIS_MODE_UTR. */
typedef enum iris_estimator {
	/*
	 * Generalised least squares with the covariance of the differences of
	 * reads (Brandt 2024, PASP 136, 045004, doi:10.1088/1538-3873/ad38d9),
	 * jumps by the change of chi-square when a difference, or two
	 * neighbours, are left out (Brandt 2024, PASP 136, 045005).
	 */
	IRIS_ESTIMATOR_LIKELIHOOD = 0,
	/*
	 * Ordinary least squares of the reads, one slope and an offset after
	 * each jump: the quick look.  Jumps by a two-point test.
	 */
	IRIS_ESTIMATOR_OLS = 1
} iris_estimator;

/* Instruction sets; the result does not depend on them. */
typedef enum iris_isa {
	IRIS_ISA_AUTO = 0, /* IRIS_ISA of the environment, else the best */
	IRIS_ISA_BASELINE = 1,
	IRIS_ISA_AVX2 = 2,
	IRIS_ISA_AVX512 = 3
} iris_isa;

typedef enum iris_byte_order {
	IRIS_NATIVE = 0,  /* uint16 in the order of this machine */
	IRIS_SWAPPED = 1, /* uint16 in the other order */
	IRIS_FITS = 2     /* FITS bytes: big-endian int16 with BZERO 32768 */
} iris_byte_order;

/* A quantity per pixel (map, ny*nx) or, where map is NULL, for all (value). */
typedef struct iris_map {
	const float *map;
	float value;
} iris_map;

/*
 * Linearity: x = reference-corrected DN - pedestal, y = sum c_k x^k replaces x.
 * From the first read with x > limit on, reads are not used (NONLINEAR).
 */
typedef struct iris_linearity {
	size_t ncoef;          /* 0: no linearity correction */
	const float *coeffs;   /* (ncoef, ny, nx), ascending powers of DN */
	const float *limit;    /* (ny, nx) DN, or NULL: no limit */
	const float *pedestal; /* (ny, nx) DN, or NULL: 0 */
} iris_linearity;

/*
 * Frequency-weighted reference correction (SIRS: Rauscher et al. 2022, JATIS 8,
 * 028002), as kernels in real space: row y of output o is corrected by
 *
 *     sum_j left[o][j] L[y + j - h] + right[o][j] R[y + j - h],
 *     h = (nlag - 1) / 2,
 *
 * L and R being the means of the left and right reference columns of a row
 * after the level of their output.  Beyond the ends rows are mirrored.
 */
typedef struct iris_refweights {
	size_t nlag;        /* odd; 0: the side columns are only smoothed */
	const float *left;  /* (noutputs, nlag) */
	const float *right; /* (noutputs, nlag) */
} iris_refweights;

/* A rectangle of pixels, 0-based. */
typedef struct iris_window {
	size_t y, x, ny, nx;
} iris_window;

typedef struct iris_options {
	size_t ny, nx;
	iris_mode mode;
	iris_estimator estimator;  /* UTR */
	size_t nfowler;            /* MCDS: reads in each mean, >= 1 */
	double jump_sigma;         /* two-sided jump threshold; 0 = off (UTR) */
	int snowballs;             /* look for them too (with a jump test) */
	size_t saturation_grow;    /* pixels around a saturated one to mask */
	size_t ref_pixels;         /* width of the reference border, 0 = none */
	size_t noutputs;           /* vertical output stripes; divides nx */
	size_t side_rows;          /* smoothing of the side columns, odd; 0: off */
	iris_refweights ref_weights;
	unsigned nthreads;         /* 0: as many as there are processors */
	iris_isa isa;
	size_t memory_limit;       /* bytes of reads kept; 0: 1.5e9 */
	int keep_reads;            /* also where sums would do, see Memory */
	size_t max_events;         /* 0: four for each pixel */
	iris_map gain;             /* e-/DN, > 0 */
	iris_map read_noise;       /* e- rms of one read, > 0 */
	iris_map saturation;       /* raw DN; a read at or above is saturated */
	const uint32_t *bad_pixels; /* (ny, nx) DQ to OR in, or NULL */
	iris_linearity linearity;
	/*
	 * All maps above are (map_ny, map_nx), and pixel (y, x) of a read lies
	 * at (map_y + y, map_x + x) of them: reads of a window with the maps of
	 * the full detector.  map_ny and map_nx 0: maps as large as the reads.
	 */
	size_t map_y, map_x, map_ny, map_nx;
	/* Guide windows: their pixels, and guide_margin pixels around them, get
	 * SUBARRAY and DO_NOT_USE. */
	size_t nguide;
	const iris_window *guide;
	size_t guide_margin;
} iris_options;

/* One read. */
typedef struct iris_read {
	const void *counts;    /* (ny, nx) uint16 */
	iris_byte_order order;
	double seconds;        /* begun that long after the reset */
	/*
	 * Of the charge collected since the read before, 0 to 1 (0: this
	 * interval does not count); the variance follows.  That of the first
	 * read has no meaning.
	 */
	double weight;
	int dropped;           /* counted, not looked at */
	int borrowed;          /* not copied, see Ownership above */
} iris_read;

/*
 * Result planes, each (ny, nx) or NULL when not wanted (rate is required).
 * photon_factor is d var_photon / d rate [1/s]: what iris_combine_ramps needs.
 */
typedef struct iris_planes {
	float *rate;          /* e-/s, NaN without a rate, 0 on reference pixels */
	float *var_read;      /* (e-/s)^2, includes the reference correction */
	float *var_photon;    /* (e-/s)^2 */
	float *photon_factor; /* 1/s */
	float *chi2;          /* per degree of freedom, NaN at none */
	uint32_t *dq;
	uint16_t *nused;      /* reads used */
} iris_planes;

typedef enum iris_event_kind {
	IRIS_EVENT_JUMP = 0,
	IRIS_EVENT_SATURATION = 1,
	/* y, x: the centre; amplitude: the flagged radius [pixels] */
	IRIS_EVENT_SNOWBALL = 2
} iris_event_kind;

/* One decision about one pixel.  Sorted by y, x, read, kind. */
typedef struct iris_event {
	uint32_t read; /* 1-based: the first read that contains the event */
	uint32_t y, x;
	uint32_t kind;   /* iris_event_kind */
	float amplitude; /* e-, signed; NaN for saturation */
	float sigma;     /* amplitude over its error; NaN for saturation */
} iris_event;

typedef struct iris_ramp iris_ramp; /* opaque */

/* Version and ABI of the library that was loaded. */
IRIS_API const char *iris_readout_version(void);
IRIS_API int iris_readout_abi(void);

/* A sentence for a status; never NULL, static storage. */
IRIS_API const char *iris_status_text(iris_status status);

/*
 * Set defaults: UTR, likelihood, nfowler 1, jump_sigma 4.5, snowballs on,
 * grow 0, ref_pixels 4, noutputs 64, side_rows 11, nthreads 0, gain and read
 * noise unset (must be given), saturation 65535, no maps.
 */
IRIS_API void iris_options_init(iris_options *options, size_t ny, size_t nx);

/*
 * Check the options and make a ramp.  Single bad pixels of a gain or noise map
 * (not finite, <= 0) get NO_GAIN_VALUE or OTHER_BAD_PIXEL and DO_NOT_USE; a bad
 * scalar or a map without one good pixel is IRIS_ERROR_REFERENCE.
 * message (may be NULL) receives up to size bytes of detail on failure.
 */
IRIS_API iris_status iris_ramp_create(iris_ramp **ramp,
				      const iris_options *options,
				      char *message, size_t size);

/*
 * Take one read, ny*nx counts, begun `seconds` after the reset: at least 0, at
 * most 1e12 and later than the read before.  At most 65535 reads.  After a
 * finish the ramp must be reset first (IRIS_ERROR_STATE).
 */
IRIS_API iris_status iris_ramp_push(iris_ramp *ramp, const uint16_t *read,
				    iris_byte_order order, double seconds);

/* The same with a weight, without a copy, or of a read that is left out. */
IRIS_API iris_status iris_ramp_push_read(iris_ramp *ramp,
					 const iris_read *read);

/* Number of reads pushed so far. */
IRIS_API size_t iris_ramp_nread(const iris_ramp *ramp);

/*
 * Fit all reads pushed so far.  Needs two reads.  May be called again, e.g.
 * for other planes.  Every bit of the result is independent of nthreads.
 */
IRIS_API iris_status iris_ramp_finish(iris_ramp *ramp,
				      const iris_planes *planes);

/* Events of the last finish; valid until the next call on this ramp. */
IRIS_API const iris_event *iris_ramp_events(const iris_ramp *ramp,
					    size_t *count);

/* Events of the last finish for which options.max_events left no room. */
IRIS_API size_t iris_ramp_lost_events(const iris_ramp *ramp);

/* Reads folded into the average resultant; 1: none were. */
IRIS_API double iris_ramp_folding(const iris_ramp *ramp);

/* Instruction set in use: "baseline", "avx2" or "avx512". */
IRIS_API const char *iris_ramp_isa(const iris_ramp *ramp);

/* Forget the reads, keep the options: ready for the next ramp. */
IRIS_API iris_status iris_ramp_reset(iris_ramp *ramp);

/* Detail of the last failure of this ramp, "" if none. */
IRIS_API const char *iris_ramp_error(const iris_ramp *ramp);

IRIS_API void iris_ramp_destroy(iris_ramp *ramp);

typedef enum iris_combination {
	/*
	 * Mean with weights 1 / (var_read + photon_factor * common rate), the
	 * common rate being the mean of the ramps weighted by 1 / var_read, not
	 * below 0: a ramp's own photon variance never weighs.
	 */
	IRIS_COMBINE_MEAN = 0,
	/* Sum; where a ramp has no rate, the others stand in for it. */
	IRIS_COMBINE_SUM = 1
} iris_combination;

/*
 * Combine the ramps of one exposure pixel by pixel.  var_photon is that of the
 * combined rate.  A ramp with DO_NOT_USE has weight 0; dq is the OR of the used
 * ramps' bits, DO_NOT_USE (and the OR of all) only if none was used: there the
 * planes are NaN, or 0 on reference pixels.
 *
 * With reject_sigma > 0 a ramp that lies that many sigmas from the combination
 * of the others is not used, the worst first, as long as two remain; the pixel
 * gets OUTLIER.  Of two ramps neither is left out: a pixel where they differ
 * that much gets UNRELIABLE_SLOPE.
 *
 * All planes but chi2 and nused must be present in every ramp; chi2 is the
 * mean over used ramps weighted by degrees of freedom (nused - 2), nused the
 * sum (saturating at 65535).
 */
IRIS_API iris_status iris_combine_ramps(const iris_planes *ramps,
					size_t nramps, size_t npixels,
					iris_combination combination,
					double reject_sigma,
					const iris_planes *out);

/* Which values of a pixel are left out, see iris_stack. */
typedef enum iris_clipping {
	/*
	 * Further from the median than clip standard deviations (about the
	 * mean, of all n values); repeated.  The decisions are those of
	 * astropy.stats.sigma_clip(cenfunc='median', stdfunc='std').
	 */
	IRIS_CLIP_SIGMA = 0,
	/*
	 * Further from the median than clip times the larger of the root of
	 * the median variance and of 1.4826 times the median absolute
	 * deviation, corrected for few values (Croux & Rousseeuw 1992); of
	 * less than 6 values the latter counts up to twice the former.  Two
	 * values are never clipped.
	 */
	IRIS_CLIP_ROBUST = 1
} iris_clipping;

/* What becomes of the values that are used. */
typedef enum iris_centre {
	/* Mean, weights 1 / var_read; equal where one is not above 0. */
	IRIS_CENTRE_MEAN = 0,
	IRIS_CENTRE_MEDIAN = 1
} iris_centre;

typedef struct iris_stack_options {
	double clip;       /* > 0; infinite: nothing is clipped */
	size_t iterations; /* most passes; 0: nothing is clipped */
	iris_clipping rule;
	iris_centre centre;
	/*
	 * (nframes + 1), by number of values, or NULL.  Where the scatter of n
	 * values is more than excess[n] times the mean of their variances, the
	 * variance of the mean is multiplied by that ratio.
	 */
	const double *excess;
	unsigned nthreads; /* 0: as many as there are processors */
	iris_isa isa;
} iris_stack_options;

/*
 * One frame, npixels each: (value - offset) / scale is combined, its variances
 * are those given over scale^2.  Either all frames have var_read or none;
 * var_photon goes with it.
 */
typedef struct iris_stack_frame {
	const float *value;
	const float *var_read;   /* or NULL */
	const float *var_photon; /* or NULL: 0 */
	const uint32_t *dq;      /* or NULL: 0 */
	float offset;            /* finite */
	float scale;             /* finite, not 0 */
	uint8_t *used;           /* receives 1 where it is used, else 0; or NULL */
} iris_stack_frame;

/* Result planes, npixels each, or NULL when not wanted (value is required). */
typedef struct iris_stack_planes {
	float *value;    /* NaN where no frame is used */
	/*
	 * Of value, for the weights used.  Without var_read, from the scatter:
	 * NaN for one value.  That of a median of three and more is pi / 2
	 * times that of the mean, which it is for many; for few it is less.
	 */
	float *variance;
	uint32_t *dq;
	uint16_t *nused; /* frames used */
} iris_stack_planes;

/* Set defaults: clip 3, 5 iterations, rule of sigma, mean, no excess. */
IRIS_API void iris_stack_options_init(iris_stack_options *options);

/*
 * Combine frames of one scene pixel by pixel: darks, flats, skies.  Values with
 * DO_NOT_USE, or that are not finite, or whose variances are not, are not used;
 * dq is the OR of the used frames' bits, DO_NOT_USE (and the OR of all) only
 * where none was used.  At most 65535 frames.
 *
 * Pixels are independent: bands of rows may be combined one by one.  Memory is
 * 2560 bytes per frame and thread, allocated and given back by the call.
 * message (may be NULL) receives up to size bytes of detail on failure.
 */
IRIS_API iris_status iris_stack(const iris_stack_options *options,
				const iris_stack_frame *frames, size_t nframes,
				size_t npixels, const iris_stack_planes *out,
				char *message, size_t size);

/* Planes of a frame, npixels each, e-/s and (e-/s)^2. */
typedef struct iris_frame {
	float *rate;
	float *var_read;
	float *var_photon;
	float *var_flat; /* or NULL, see the calls */
	uint32_t *dq;
} iris_frame;

/* Planes of a dark or of a flat, npixels each: value, one sigma, flags. */
typedef struct iris_reference {
	const float *value;
	const float *error;
	const uint32_t *dq;
} iris_reference;

/*
 * Subtract a dark: rate - value, var_read + error^2, the flags of both.  Where
 * the dark cannot be used (value not finite, error^2 not a float) the planes
 * are NaN and dq gets UNRELIABLE_DARK and DO_NOT_USE.  REFERENCE_PIXELs keep
 * their values.  var_flat is there in both frames or in none.
 *
 * out may be the frame itself.  Computed in double, rounded once; every bit is
 * the same for every isa.  Pixels are independent, nothing is allocated, and
 * calls on different pixels may run at the same time.  message (may be NULL)
 * receives up to size bytes of detail on failure.
 */
IRIS_API iris_status iris_subtract_dark(const iris_frame *frame,
					const iris_reference *dark,
					size_t npixels, iris_isa isa,
					const iris_frame *out, char *message,
					size_t size);

/*
 * Divide by a flat f with error s: rate / f, variances / f^2, and var_flat +
 * (rate s / f)^2, which out must have; without one in the frame it is 0.  Where
 * f is not above 0, or f or s is not finite, or a result does not fit into a
 * float, the planes are NaN and dq gets NO_FLAT_FIELD and DO_NOT_USE.
 * REFERENCE_PIXELs keep their values.  The rest as for iris_subtract_dark.
 */
IRIS_API iris_status iris_divide_flat(const iris_frame *frame,
				      const iris_reference *flat,
				      size_t npixels, iris_isa isa,
				      const iris_frame *out, char *message,
				      size_t size);

/*
 * Merge the FITS headers of the reads of one exposure, in time order, into one
 * list of 80-byte cards.  A keyword with the same value in every read is kept
 * once; one that varies keeps the value of the middle read under its own name
 * and gets two more cards, start and end, named by iris_header_span_name.
 * Structural cards (SIMPLE BITPIX NAXIS* EXTEND BZERO BSCALE PCOUNT GCOUNT
 * XTENSION GROUPS CHECKSUM DATASUM END) are dropped, COMMENT and HISTORY cards
 * are united, cards that are not text are dropped.
 *
 * Given:    headers[i]  the cards of read i, ncards[i] * 80 bytes, no END needed
 * Returned: *cards (malloc'ed, free with iris_free), *count cards
 */
IRIS_API iris_status iris_merge_headers(const char *const *headers,
					const size_t *ncards, size_t nreads,
					char **cards, size_t *count);

/*
 * Name of the start ('S') or end ('E') card of a keyword: KEY_S for up to six
 * letters, else its first five and its last letter, then _S (READTIME ->
 * READTE_S).
 */
IRIS_API void iris_header_span_name(const char *keyword, char which,
				    char name[9]);

IRIS_API void iris_free(void *memory);

#ifdef __cplusplus
}
#endif

#endif
