/* SPDX-License-Identifier: BSD-3-Clause */
/* What the stages of the library share; nothing here is public. */
#ifndef IRIS_READOUT_INTERNAL_H
#define IRIS_READOUT_INTERNAL_H

#include "iris_readout.h"

#include <stdbool.h>

/* nused is uint16, and an index of IRIS_NEVER says "in no read". */
#define IRIS_NEVER UINT16_MAX
#define IRIS_MAX_READS ((size_t)UINT16_MAX)

enum {
	IRIS_BLOCK = 64,    /* pixels of one row worked on together */
	IRIS_STRIP = 16,    /* rows one thread takes at a time */
	IRIS_MESSAGE = 256  /* bytes of an error detail */
};

/* Reference level of one read, one stripe, one column parity. */
typedef struct iris_level {
	double mean;     /* DN */
	double variance; /* of the mean, DN^2 */
} iris_level;

struct iris_ramp {
	iris_options options;
	size_t npixel;
	size_t nread;
	size_t capacity;      /* entries of the four arrays below */
	uint16_t **reads;     /* (nread) blocks of npixel counts, native order */
	double *times;        /* (nread) s */
	iris_level *levels;   /* (nread, nlevel) */
	size_t nlevel;        /* 2 * noutputs, or 0 without reference pixels */
	double border_noise;  /* DN, stands in where a map has none */
	uint16_t *border;     /* scratch: values of the reference rows */
	double *border_var;   /* scratch: their variances, DN^2 */
	uint16_t *saturated;  /* (npixel) first saturated read, if grow > 0 */
	iris_event *events;
	size_t nevent;
	bool finished;
	char error[IRIS_MESSAGE];
};

/* Up to IRIS_BLOCK neighbouring pixels of one row on their way to rates. */
typedef struct iris_block {
	size_t y, x, count;
	uint32_t dq[IRIS_BLOCK];
	uint16_t nusable[IRIS_BLOCK];   /* reads before the first unusable one */
	uint16_t saturated[IRIS_BLOCK]; /* first saturated read or IRIS_NEVER */
	double *counts;                 /* (IRIS_BLOCK, nread) DN, corrected */
} iris_block;

/* One pixel: usable reads 0 .. nread - 1. */
typedef struct iris_pixel {
	size_t nread;
	const double *time;    /* (nread) s */
	double *charge;        /* (nread) e-, relative to the first read */
	double *noise;         /* (nread) variance of each read, e-^2 */
	unsigned char *broken; /* (nread) read k is not joined to read k - 1 */
} iris_pixel;

typedef struct iris_jump {
	size_t read; /* index of the first read that contains the hit */
	double amplitude, sigma;
} iris_jump;

/* Linear estimator of the rate: sum of weight[k] * charge[k]. */
typedef struct iris_estimator {
	double *weight;       /* (nread) 1/s */
	double photon_factor; /* 1/s */
	size_t nused;         /* reads that weigh; 0: there is no rate */
} iris_estimator;

typedef struct iris_event_list {
	iris_event *item;
	size_t count, capacity;
} iris_event_list;

/* Buffers of one thread. */
typedef struct iris_workspace {
	iris_block block;
	iris_pixel pixel;
	iris_jump *jumps;         /* (nread) */
	iris_estimator full;      /* all reads usable, no jump */
	iris_estimator other;     /* anything else */
	iris_event_list *events;  /* of the strip at hand */
} iris_workspace;

/* status.c */
iris_status iris_fail(char *message, size_t size, iris_status status,
		      const char *format, ...)
#if defined(__GNUC__)
	__attribute__((format(printf, 4, 5)))
#endif
	;

/* ramp.c */
bool iris_is_reference(const iris_options *options, size_t y, size_t x);
iris_status iris_process_strip(const iris_ramp *ramp, size_t strip,
			       const iris_planes *planes,
			       iris_workspace *workspace);

/* options.c */
float iris_map_at(const iris_map *map, size_t pixel);
bool iris_is_good(float value);
iris_status iris_options_check(const iris_options *options, char *message,
			       size_t size);

/* refpix.c */
bool iris_refpix_usable(uint32_t dq);
double iris_refpix_border_noise(const iris_options *options);
void iris_refpix_measure(iris_ramp *ramp, const uint16_t *read,
			 iris_level *levels);
void iris_refpix_subtract(const iris_ramp *ramp, iris_block *block);
size_t iris_refpix_index(const iris_options *options, size_t x);

/* saturation.c */
void iris_saturation_scan(const iris_ramp *ramp, size_t first, size_t count,
			  uint16_t *saturated);
void iris_saturation_cut(const iris_ramp *ramp, iris_block *block);

/* linearity.c */
void iris_linearity_apply(const iris_ramp *ramp, iris_block *block);

/* jump.c */
size_t iris_jump_find(const iris_pixel *pixel, double threshold,
		      iris_jump *jumps);

/* fit.c */
void iris_estimator_set(iris_estimator *estimator, const iris_options *options,
			const iris_pixel *pixel);
double iris_chi_square(const iris_pixel *pixel, double rate);

/* strips.c */
iris_status iris_strips_run(iris_ramp *ramp, const iris_planes *planes);

#endif
