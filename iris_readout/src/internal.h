/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of the library share; nothing here is public.
 *
 * A frame is worked on in strips of rows (one thread each), a strip in blocks
 * of IRIS_LANES pixels of one row, a block in structure-of-arrays form: one
 * array per quantity, one entry per pixel.  A pixel never sees its neighbours
 * in a block, so results depend neither on threads nor on blocks.
 *
 *     counts --calibrate--> charge --+--accumulate--> sums --------+--> planes
 *     (reads, raw)         (kept)    +--likelihood--> rate, flags --+
 *                                    +--fold--> resultants --^
 */
#ifndef IRIS_READOUT_INTERNAL_H
#define IRIS_READOUT_INTERNAL_H

#include "iris_readout.h"
#include "refpix.h"
#include "snowball.h"

#include <float.h>
#include <stdbool.h>

/* Read numbers are uint16 in planes; this one says "in no read". */
#define IRIS_NEVER UINT16_MAX
#define IRIS_MAX_READS ((size_t)UINT16_MAX)

enum {
	IRIS_LANES = 64,     /* pixels of a block */
	IRIS_FRAME_PIECE = 512, /* pixels of a frame at a time */
	IRIS_STRIP = 16,     /* rows one thread takes at a time */
	IRIS_BATCH = 8,      /* reads folded or summed up together */
	IRIS_MAX_KEPT = 512, /* reads kept at most */
	/*
	 * Stretch of a row whose counts and references are brought together
	 * before blocks are made of it: reads and maps lie powers of two apart,
	 * where their lines would drive each other out of the caches.  Rows of
	 * a stretch do not.
	 */
	IRIS_STRETCH = 2048,
	IRIS_STAGED = IRIS_STRETCH + 32,
	IRIS_MAX_COEF = 16,  /* coefficients of a linearity polynomial */
	IRIS_MESSAGE = 256   /* bytes of an error detail */
};

/* A read as it was pushed. */
typedef struct iris_stored {
	const unsigned char *counts;
	unsigned char *slot; /* of the arena, NULL where it is borrowed */
	iris_byte_order order;
	double seconds;
	double weight;
} iris_stored;

/*
 * Samples of a ramp: its reads, or resultants of neighbouring reads.  The
 * covariance of differences i and i + 1 of neighbouring samples is
 * tridiagonal, for a rate a and a variance s2 of one read
 *
 *     C[i][i] = a photon[i] + s2 read[i]
 *     C[i - 1][i] = a photon_off[i] + s2 read_off[i]
 *
 * (Brandt 2024, PASP 136, 045004, section 2; Casertano 2022 for the times).
 */
typedef struct iris_pattern {
	size_t nsample;
	double *time;      /* (nsample) mean time, s */
	double *tau;       /* (nsample) variance-weighted time, s */
	double *count;     /* (nsample) reads in the sample */
	float *since;      /* (nsample) time since the first, times count, s */
	uint16_t *first;   /* (nsample) number of its first read */
	double *weight;    /* (nsample) of the interval before it */
	bool weighted;     /* some weight is not 1 */
	bool folded;       /* some count is not 1 */
	/* Differences: step and its inverse, covariance as above. */
	double *exact_step, *exact_inverse;
	double *exact_photon, *exact_photon_off;
	double *exact_read, *exact_read_off;
	/* The same as float for the kernels; [0] of the off ones is 0. */
	float *step;       /* (nsample - 1) s */
	float *inverse;    /* (nsample - 1) 1 / s */
	float *photon, *photon_off;
	float *read, *read_off;
	float *inflate;    /* (nsample - 1) 1 / weight of the interval */
	size_t capacity;
} iris_pattern;

/* A linear estimator for ramps whose first n samples are usable. */
typedef struct iris_slope {
	double offset;      /* rate = (T - offset S) scale */
	double scale;
	double read_factor;   /* variance = s2 read_factor + rate photon_factor */
	double photon_factor; /* 1/s */
	uint16_t nused;       /* reads */
} iris_slope;

/* Variance of the residual of difference i in the two-point test. */
typedef struct iris_two_point {
	float *photon, *read; /* (nsample - 1) */
} iris_two_point;

/* References on a stretch of a row: arrays of IRIS_STAGED values. */
typedef struct iris_references {
	float *gain;     /* e-/DN */
	float *noise;    /* of one read, e- */
	float *extra;    /* variance of the reference correction, DN^2 */
	float *variance; /* of one read with both, e-^2 */
	float *level;    /* saturation, DN */
	float *pedestal; /* DN */
	float *limit;    /* of linearity, DN */
	float *coeff;    /* (ncoef, IRIS_STAGED) */
	uint32_t *dq;
} iris_references;

typedef struct iris_block {
	size_t y, x, count;
	/* Counts of the first read, and of those at hand: (n, IRIS_STAGED). */
	const uint16_t *origin, *reads;
	/* References, as above. */
	const float *gain, *variance, *level, *pedestal, *limit, *coeff;
	/* State. */
	_Alignas(64) uint32_t dq[IRIS_LANES];
	_Alignas(64) int32_t nusable[IRIS_LANES];   /* samples before the cut */
	_Alignas(64) int32_t saturated[IRIS_LANES]; /* first read or NEVER */
	_Alignas(64) int32_t near_by[IRIS_LANES];   /* of the neighbours */
	_Alignas(64) double sum[IRIS_LANES];        /* of the charge, e- */
	_Alignas(64) double moment[IRIS_LANES];     /* of time x charge, s e- */
	/* Results. */
	_Alignas(64) float rate[IRIS_LANES];
	_Alignas(64) float var_read[IRIS_LANES];
	_Alignas(64) float var_photon[IRIS_LANES];
	_Alignas(64) float photon_factor[IRIS_LANES];
	_Alignas(64) float chi2[IRIS_LANES];
	_Alignas(64) int32_t suspect[IRIS_LANES]; /* may have a jump */
	_Alignas(64) int32_t nused[IRIS_LANES];
} iris_block;

/* What is done with one read of a batch that is folded. */
typedef struct iris_fold_step {
	size_t merge;  /* first pairs of resultants from this one on */
	size_t nmerge; /* resultants in these pairs; 0: none */
	size_t into;   /* then the read goes into this one */
	bool opens;    /* as its first read */
	float seconds; /* since the read before */
} iris_fold_step;

/* A batch that is folded: what is the same for all pixels. */
typedef struct iris_fold_batch {
	size_t first, count; /* reads */
	iris_fold_step step[IRIS_BATCH + 1]; /* a last one only merges */
	size_t low;          /* first resultant that changes */
	size_t before, after; /* resultants */
	float square; /* of the threshold of the test; 0: none */
	/* Of the first batch: 1 / seconds between reads, all of them / 1.414. */
	float inverse[IRIS_BATCH - 1], whole;
} iris_fold_batch;

/* What is kept of the folded reads of a block: fold.c. */
typedef struct iris_folded {
	_Alignas(64) float sum[IRIS_MAX_RESULTANTS][IRIS_LANES]; /* e- */
	_Alignas(64) float last[IRIS_LANES];   /* charge of the last read, e- */
	_Alignas(64) float charge[IRIS_LANES]; /* of differences, no hits, e- */
	_Alignas(64) float time[IRIS_LANES];   /* of them, s */
	/* Lanes that jump in each read of a batch; by how much those do. */
	uint64_t hit[IRIS_BATCH];
	_Alignas(64) float excess[IRIS_BATCH][IRIS_LANES];
	_Alignas(64) float variance[IRIS_BATCH][IRIS_LANES];
} iris_folded;

/* What the kernels need to know of the ramp. */
typedef struct iris_calibration {
	size_t nx, ny;
	const iris_stored *reads;
	const float *column; /* (read, nx) reference levels, or NULL */
	const float *row;    /* (read, nrow) side corrections, or NULL */
	size_t nrow, width;  /* row is per output of that width if nrow > ny */
	size_t ncoef;
} iris_calibration;

/* Entry of read k among the stored ones; entry 0 is the first read. */
static inline size_t iris_entry(size_t k)
{
	return 1 + k % IRIS_MAX_KEPT;
}

/* Frames that are combined: stack.c. */
enum { IRIS_FEW = 6 };       /* values whose scatter says little */
#define IRIS_FEW_EXCESS 2.0  /* it may widen the expected sigma that much */

typedef struct iris_stack_job {
	const iris_stack_options *options;
	const iris_stack_frame *frames;
	size_t nframe, npixel;
	const iris_stack_planes *out;
	const double *factor; /* (nframe + 1) of the median deviation, by count */
	const struct iris_kernels *kernels;
} iris_stack_job;

/* The vector code, once per instruction set: kernels.c. */
typedef struct iris_kernels {
	const char *name;
	/* Flags and harmless values of bad references: see kernels_lanes.h. */
	void (*check_references)(const iris_references *references,
				 size_t count, bool mapped_level);
	void (*check_linearity)(const iris_references *references,
				size_t count, size_t ncoef);
	/* The state of a block of which nothing is known but its flags. */
	void (*start)(iris_block *block, const uint32_t *dq);
	/* Counts of one read on a stretch of a row: see kernels_lanes.h. */
	void (*stage)(const unsigned char *bytes, size_t count,
		      iris_byte_order order, uint16_t *counts);
	/* Set block->saturated from reads [first, first + count). */
	void (*scan)(iris_block *block, size_t first, size_t count);
	/* Reads [first, first + count) of a block to charge (count, LANES). */
	void (*calibrate)(const iris_calibration *calibration,
			  iris_block *block, size_t first, size_t count,
			  float *charge);
	/*
	 * Reads [first, first + count) to charge, sum and moment at once.
	 * False, and nothing is changed, where some read cannot be used.
	 */
	bool (*sum_up)(const iris_calibration *calibration, iris_block *block,
		       const iris_pattern *pattern, size_t first,
		       size_t count);
	/* Add samples [first, first + count) to sum and moment. */
	void (*accumulate)(iris_block *block, const iris_pattern *pattern,
			   size_t first, size_t count, const float *charge);
	/* The last usable charge into sum. */
	void (*keep_last)(iris_block *block, size_t first, size_t count,
			  const float *charge);
	/* Last less first `most` samples into sum. */
	void (*end_sums)(iris_block *block, size_t nread, int32_t most,
			 const float *charge);
	/* No more than `limit` usable samples. */
	void (*clamp)(iris_block *block, int32_t limit);
	/* nused from nusable. */
	void (*count_reads)(iris_block *block, const iris_slope *slopes);
	/* Whether some lane needs to be looked at on its own. */
	bool (*is_odd)(const iris_block *block, const uint32_t *broken);
	/* Rates from sum and moment. */
	void (*slope)(iris_block *block, const iris_slope *slopes);
	/* NaN, or 0, where there is no rate. */
	void (*blank)(iris_block *block);
	/* Flag lanes whose differences disagree: the two-point test. */
	void (*two_point)(iris_block *block, const iris_pattern *pattern,
			  const iris_two_point *table, float threshold,
			  const float *charge);
	/* Rate, variances, chi-square, suspects; scratch (3 nsample, LANES). */
	void (*likelihood)(iris_block *block, const iris_pattern *pattern,
			   float one, float two, const float *charge,
			   float *scratch);
	/* Chi-square about the rate of the block. */
	void (*chi_square)(iris_block *block, const iris_pattern *pattern,
			   const float *charge);
	/* A batch of reads into resultants, and which of them jump. */
	void (*fold)(const iris_fold_batch *batch, const iris_block *block,
		     const float *charge, iris_folded *state);
	/* Sums of `count` reads to means; usable reads to resultants. */
	void (*fold_means)(iris_block *block, const size_t *count, size_t n,
			   float *charge);
	/* Pixels [first, first + count) of a stack; scratch (10 nframe, LANES). */
	void (*combine_stack)(const iris_stack_job *job, size_t first,
			      size_t count, float *scratch);
	/* At most IRIS_FRAME_PIECE pixels of a frame: see kernels_frame.h. */
	void (*subtract_dark)(const iris_frame *frame,
			      const iris_reference *dark, size_t count,
			      const iris_frame *out);
	void (*divide_flat)(const iris_frame *frame,
			    const iris_reference *flat, size_t count,
			    const iris_frame *out);
} iris_kernels;

extern const iris_kernels iris_kernels_baseline;
#ifdef IRIS_HAVE_X86
extern const iris_kernels iris_kernels_avx2, iris_kernels_avx512;
#endif

/* One pixel, in double precision, for what is rare. */
typedef struct iris_pixel {
	size_t nsample;        /* usable */
	const double *time;    /* (nsample) s */
	double *charge;        /* (nsample) e- */
	double variance;       /* of one read, e-^2 */
	unsigned char *broken; /* sample k is not joined to k - 1; [0] is 1 */
} iris_pixel;

typedef struct iris_jump {
	size_t sample; /* index of the first sample after the hit */
	double amplitude, sigma;
} iris_jump;

/* What one pixel ends as. */
typedef struct iris_result {
	double rate, var_read, var_photon, photon_factor, chi2;
	size_t nused; /* reads; 0: no rate */
} iris_result;

/* Buffers of one thread, for up to `capacity` samples. */
typedef struct iris_workspace {
	iris_block block;
	uint16_t *staged; /* (MAX_KEPT + 1, IRIS_STAGED) */
	float *maps;      /* (IRIS_NMAP, IRIS_STAGED) of the same stretch */
	iris_references references; /* in maps */
	float *charge;  /* (capacity, LANES) */
	float *scratch; /* (3 capacity, LANES); of a stack (10 nframe, LANES) */
	iris_pixel pixel;
	double *sweep;  /* (6 capacity) scratch of the double-precision fit */
	iris_jump *jumps; /* (capacity) */
} iris_workspace;

enum { IRIS_NMAP = 8 + IRIS_MAX_COEF }; /* arrays of iris_references */

/* Events in one region per strip, closed up at the end. */
typedef struct iris_event_store {
	iris_event *item;  /* (capacity) */
	size_t *count;     /* (nstrip) */
	size_t *lost;      /* (nstrip) */
	size_t nstrip, per_strip, most;
	size_t total, total_lost;
	bool packed;
} iris_event_store;

typedef struct iris_fold iris_fold; /* fold.c */
typedef struct iris_pool iris_pool; /* pool.c */

typedef enum iris_engine {
	IRIS_ENGINE_SUM,  /* sums of the charge */
	IRIS_ENGINE_KEEP, /* reads kept */
	IRIS_ENGINE_FOLD  /* reads folded into resultants */
} iris_engine;

struct iris_ramp {
	iris_options options;
	const iris_kernels *kernels;
	size_t npixel, nstrip;
	iris_engine engine;
	size_t capacity;      /* reads that can be kept */
	size_t nread;         /* reads that count */
	size_t npushed;       /* with those that were dropped */
	size_t nsummed;       /* reads already in sums or resultants */
	double last_seconds;  /* of the last read pushed */
	bool weighted;        /* some interval has a weight that is not 1 */
	iris_stored *reads;   /* (MAX_KEPT + 1), see iris_entry */
	double *seconds;      /* (MAX_READS) of every read */
	uint16_t *number;     /* (MAX_READS) of every read, 1-based */
	/* (nslot, npixel) uint16: copies of reads, halves of sums of reads. */
	unsigned char *arena;
	size_t nslot;
	unsigned char **vacant; /* (nslot) unused slots, taken from the end */
	size_t nvacant;
	iris_refpix *refpix;
	float *column, *row;  /* (MAX_KEPT + 1, nx), (.., nrow) corrections */
	iris_calibration calibration;
	iris_pattern pattern;
	iris_slope *slopes;   /* (nsample + 1) */
	iris_two_point two_point;
	double *sum, *moment; /* (npixel) IRIS_ENGINE_SUM */
	uint16_t *nusable;    /* (npixel) SUM, FOLD */
	uint16_t *saturated;  /* (npixel) first saturated read */
	unsigned char *cause; /* (npixel) SUM, FOLD: why reads were cut */
	unsigned char *cut;   /* (ny, blocks of a row): some read was cut */
	size_t nblock;        /* of a row */
	iris_fold *fold;
	iris_pool *pool;
	iris_workspace *workspaces;
	size_t nworkspace;
	iris_event_store events;
	iris_snowball_finder *snowballs;
	bool finished;
	bool copied;          /* a read not yet in sums lies in the arena */
	char error[IRIS_MESSAGE];
};

/*
 * The photon variance that a likelihood fit reports.  At the estimated rate x
 * itself it would be too large for no light, since negative rates count as 0,
 * and make pulls too wide for little light: the expectation of the squared pull
 * of a Poisson count N with sigma^2 = V(x) is 1 + 2 / N, because sigma is small
 * just when the estimate is low (expand (x - N)^2 / V(x) to second order).
 *
 * With f the photon factor, x + f (3 - f x / V) would take all of the second
 * off; x + f (2 - f x / V) shares the error between the pull and the mean
 * variance, each then right to 1 % from 100 electrons on.  u^4 / (u^4 + 4),
 * u = x / sigma, takes off the first: the mean variance is within 15 % of the
 * truth for any rate, reads and noise of 3 e- or more, against 46 % without
 * (docs/decisions/0006).
 */
static inline float iris_photon_variance(float rate, float var_read,
					 float factor)
{
	const float x = rate > 0.0f ? rate : 0.0f;
	const float sum = var_read + factor * x;
	const float v = sum > 0.0f ? sum : 1.0f; /* no noise: no variance */
	const float u2 = x * x / v;
	const float u4 = u2 * u2;
	const float part = u2 < 1e6f ? u4 / (u4 + 4.0f) : 1.0f;

	return factor * (part * (x + factor * (2.0f - factor * x / v)));
}

/* A gain, a noise or a level is good when it is finite and positive. */
static inline bool iris_is_good(float value)
{
	return (value > 0.0f) & (value <= FLT_MAX); /* & makes no branch */
}

/*
 * A difference is decided on in double precision from this part of a threshold
 * on: what the vector code finds depends on a rate that the suspect is part of.
 */
#define IRIS_WORTH_A_LOOK 0.75

/* status.c */
iris_status iris_fail(char *message, size_t size, iris_status status,
		      const char *format, ...)
#if defined(__GNUC__)
	__attribute__((format(printf, 4, 5)))
#endif
	;

/* options.c */
iris_status iris_options_check(const iris_options *options, char *message,
			       size_t size);
size_t iris_map_index(const iris_options *options, size_t y, size_t x);
size_t iris_map_size(const iris_options *options);
bool iris_is_reference(const iris_options *options, size_t y, size_t x);

/* memory.c: zeroed memory whose pages cost nothing until they are touched. */
void *iris_reserve(size_t count, size_t size);
void *iris_reserve_planes(size_t count, size_t size);
void iris_unreserve(void *memory, size_t count, size_t size);
/* Give the pages that lie wholly inside back to the system. */
void iris_discard(void *memory, size_t bytes);

/* dispatch.c */
iris_status iris_kernels_choose(const iris_kernels **kernels, iris_isa isa,
				char *message, size_t size);

/* ramp.c */
unsigned char *iris_slot_take(iris_ramp *ramp);
void iris_slot_give(iris_ramp *ramp, unsigned char *slot);

/* pattern.c */
iris_status iris_pattern_create(iris_pattern *pattern, size_t capacity);
void iris_pattern_destroy(iris_pattern *pattern);
void iris_pattern_since(iris_pattern *pattern, size_t k);
void iris_pattern_complete(iris_pattern *pattern);
void iris_slopes_set(iris_slope *slopes, const iris_pattern *pattern,
		     const iris_options *options);
void iris_slopes_set_running(iris_slope *slopes, const iris_pattern *pattern,
			     iris_mode mode);
void iris_two_point_set(iris_two_point *table, const iris_pattern *pattern);

/* two_point.c */
size_t iris_two_point_find(const iris_pixel *pixel, double threshold,
			   iris_jump *jumps);

/* slope.c */
iris_result iris_slope_fit(const iris_pattern *pattern,
			   const iris_pixel *pixel, double *scratch);

/* exact.c */
iris_result iris_likelihood_fit(const iris_pattern *pattern, iris_pixel *pixel,
				double jump_sigma, double *scratch,
				iris_jump *jumps, size_t *njump);
double iris_two_omit_threshold(double sigma);
double iris_chi_square(const iris_pattern *pattern, const iris_pixel *pixel,
		       double rate, double *scratch);

/* events.c */
iris_status iris_events_create(iris_event_store *store, size_t nstrip,
			       size_t per_strip, size_t most);
void iris_events_destroy(iris_event_store *store);
void iris_events_clear(iris_event_store *store);
void iris_events_add(iris_event_store *store, size_t strip,
		     const iris_event *event);
void iris_events_pack(iris_event_store *store);
void iris_events_insert(iris_event_store *store, const iris_event *event);

/* block.c */
void iris_references_start(const iris_ramp *ramp, iris_workspace *work);
void iris_references_stage(const iris_ramp *ramp, iris_workspace *work,
			   size_t y, size_t x, size_t count);
void iris_block_place(const iris_ramp *ramp, iris_workspace *work, size_t y,
		      size_t x);
void iris_block_load(const iris_ramp *ramp, iris_workspace *work);
void iris_block_put(iris_block *block, size_t lane, const iris_result *r);
void iris_block_store(const iris_ramp *ramp, iris_block *block,
		      const iris_planes *planes);

/* One strip of rows at a time, by any thread. */
typedef struct iris_job {
	iris_ramp *ramp;
	const iris_planes *planes;
	size_t first, count; /* reads */
	const iris_snowball *snowballs;
	size_t nsnowball;
	bool quiet; /* the events are known already */
	const iris_stack_job *stack; /* alone, without a ramp */
} iris_job;

typedef void iris_task(const iris_job *job, size_t strip,
		       iris_workspace *work);

/* strip.c */
void iris_strip_rows(const iris_ramp *ramp, size_t strip, size_t *y0,
		     size_t *y1);
void iris_strip_walk(const iris_job *job, size_t strip, iris_workspace *work,
		     iris_task *use);
void iris_block_neighbours(const iris_ramp *ramp, iris_block *block);
void iris_block_calibrate(const iris_ramp *ramp, iris_block *block,
			  size_t first, size_t count, float *charge);
void iris_block_resume(const iris_ramp *ramp, iris_block *block);
void iris_block_suspend(const iris_ramp *ramp, const iris_block *block,
			bool always);
void iris_event_jump(iris_ramp *ramp, size_t strip, const iris_block *block,
		     size_t lane, uint16_t read, double amplitude,
		     double sigma);
iris_task iris_strip_scan;   /* first saturated reads, for growing them */
iris_task iris_strip_sum;    /* reads into sums */
iris_task iris_strip_fold;   /* reads into resultants: fold.c */
iris_task iris_strip_finish; /* to planes */

/* fold.c */
iris_status iris_fold_create(iris_fold **fold, size_t npixel);
void iris_fold_destroy(iris_fold *fold);
void iris_fold_reset(iris_fold *fold);
void iris_fold_plan(iris_ramp *ramp, size_t first, size_t count);
void iris_fold_pattern(iris_ramp *ramp);
void iris_fold_load(const iris_ramp *ramp, iris_block *block, float *charge,
		    uint32_t *broken);
double iris_fold_mean(const iris_fold *fold);

/* stack.c */
void iris_stack_factors(double *factor, size_t nframe);

/* pool.c */
iris_status iris_pool_create(iris_pool **pool, size_t nthread);
void iris_pool_destroy(iris_pool *pool);
void iris_pool_run(iris_pool *pool, iris_task *task, const iris_job *job,
		   size_t nstrip, iris_workspace *workspaces);
size_t iris_thread_count(const iris_options *options, size_t nstrip);

#endif
