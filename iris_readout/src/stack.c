/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames of one scene, combined pixel by pixel: the gate, threads, memory. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

enum {
	PIECE = 64 * IRIS_LANES, /* pixels that a thread takes at a time */
	NCOLUMN = 10             /* columns of scratch per frame */
};

void iris_stack_options_init(iris_stack_options *options)
{
	if (options == NULL)
		return;
	*options = (iris_stack_options){
		.clip = 3.0,
		.iterations = 5,
		.rule = IRIS_CLIP_SIGMA,
		.centre = IRIS_CENTRE_MEAN,
		.isa = IRIS_ISA_AUTO,
	};
}

static iris_status check_options(const iris_stack_options *o, char *message,
				 size_t size)
{
	if (!(o->clip > 0.0))
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "clip: got %g, expected a number above 0",
				 o->clip);
	if ((int)o->rule < IRIS_CLIP_SIGMA || (int)o->rule > IRIS_CLIP_ROBUST)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "rule: got %d, expected 0 or 1", (int)o->rule);
	if ((int)o->centre < IRIS_CENTRE_MEAN
	    || (int)o->centre > IRIS_CENTRE_MEDIAN)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "centre: got %d, expected 0 or 1",
				 (int)o->centre);
	return IRIS_OK;
}

static iris_status check_frame(const iris_stack_frame *frames, size_t f,
			       char *message, size_t size)
{
	const iris_stack_frame *frame = &frames[f];

	if (frame->value == NULL)
		return iris_fail(message, size, IRIS_ERROR_NULL,
				 "frame %zu: got no values", f);
	if ((frame->var_read == NULL) != (frames[0].var_read == NULL))
		return iris_fail(message, size, IRIS_ERROR_NULL,
				 "frame %zu: var_read: expected it in all "
				 "frames or in none", f);
	if (!(fabsf(frame->offset) <= FLT_MAX))
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "frame %zu: offset: got %g, expected a finite "
				 "number", f, (double)frame->offset);
	if (!(fabsf(frame->scale) <= FLT_MAX) || frame->scale == 0.0f)
		return iris_fail(message, size, IRIS_ERROR_OPTION,
				 "frame %zu: scale: got %g, expected a finite "
				 "number, not 0", f, (double)frame->scale);
	return IRIS_OK;
}

static iris_status check(const iris_stack_options *options,
			 const iris_stack_frame *frames, size_t nframes,
			 const iris_stack_planes *out, char *message,
			 size_t size)
{
	iris_status status;
	size_t f;

	if (options == NULL || frames == NULL || out == NULL
	    || out->value == NULL)
		return iris_fail(message, size, IRIS_ERROR_NULL,
				 "options, frames, planes or value: got NULL");
	if (nframes == 0)
		return iris_fail(message, size, IRIS_ERROR_SHAPE,
				 "frames: got none, expected at least one");
	if (nframes > UINT16_MAX)
		return iris_fail(message, size, IRIS_ERROR_SHAPE,
				 "frames: got %zu, expected at most 65535",
				 nframes);
	status = check_options(options, message, size);
	for (f = 0; f < nframes && status == IRIS_OK; f++)
		status = check_frame(frames, f, message, size);
	return status;
}

/*
 * Standard deviation over median absolute deviation, by number of values, of
 * normal values (Croux & Rousseeuw 1992, Computational Statistics 1, 411).
 */
void iris_stack_factors(double *factor, size_t nframe)
{
	static const double few[] = {0.0, 0.0, 1.196, 1.495, 1.363,
				     1.206, 1.200, 1.140, 1.129, 1.107};
	size_t n;

	for (n = 0; n <= nframe; n++)
		factor[n] = 1.4826 * (n < sizeof(few) / sizeof(few[0]) ? few[n]
				      : (double)n / ((double)n - 0.8));
}

static void combine_piece(const iris_job *job, size_t piece,
			  iris_workspace *work)
{
	const iris_stack_job *stack = job->stack;
	const size_t begin = piece * PIECE;
	const size_t end = begin + PIECE < stack->npixel ? begin + PIECE
		: stack->npixel;

	stack->kernels->combine_stack(stack, begin, end - begin,
				      work->scratch);
}

/* All pieces, by as many threads as can be had. */
static iris_status run(const iris_stack_job *stack, size_t npiece,
		       size_t nthread)
{
	const iris_job job = {.stack = stack};
	const size_t each = NCOLUMN * stack->nframe * IRIS_LANES;
	iris_workspace *workspaces = calloc(nthread, sizeof(*workspaces));
	float *scratch = iris_reserve(nthread * each, sizeof(*scratch));
	iris_status status = IRIS_ERROR_MEMORY;
	iris_pool *pool = NULL;
	size_t t;

	if (workspaces != NULL && scratch != NULL)
		status = iris_pool_create(&pool, nthread);
	if (status == IRIS_OK) {
		for (t = 0; t < nthread; t++)
			workspaces[t].scratch = scratch + t * each;
		iris_pool_run(pool, combine_piece, &job, npiece, workspaces);
	}
	iris_pool_destroy(pool);
	iris_unreserve(scratch, nthread * each, sizeof(*scratch));
	free(workspaces);
	return status;
}

iris_status iris_stack(const iris_stack_options *options,
		       const iris_stack_frame *frames, size_t nframes,
		       size_t npixels, const iris_stack_planes *out,
		       char *message, size_t size)
{
	const size_t npiece = npixels / PIECE + (npixels % PIECE != 0);
	iris_options threads = {0};
	iris_stack_job stack = {
		.frames = frames, .nframe = nframes, .npixel = npixels,
		.out = out,
	};
	iris_stack_options own;
	double *factor;
	iris_status status = check(options, frames, nframes, out, message,
				   size);

	if (status == IRIS_OK)
		status = iris_kernels_choose(&stack.kernels, options->isa,
					     message, size);
	if (status != IRIS_OK || npixels == 0)
		return status;
	own = *options;
	if (own.clip > DBL_MAX)
		own.iterations = 0;
	stack.options = &own;
	threads.nthreads = own.nthreads;
	factor = malloc((nframes + 1) * sizeof(*factor));
	if (factor != NULL) {
		iris_stack_factors(factor, nframes);
		stack.factor = factor;
		status = run(&stack, npiece, iris_thread_count(&threads, npiece));
	}
	if (factor == NULL || status == IRIS_ERROR_MEMORY)
		status = iris_fail(message, size, IRIS_ERROR_MEMORY,
				   "memory: got none for %zu frames", nframes);
	free(factor);
	return status;
}
