/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a ramp: create, push, finish, reset, destroy. */
#include "internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Default of memory_limit: with planes of its own a 4096 x 4096 ramp of any
 * number of reads then stays below 2.5e9 bytes. */
static const size_t default_limit = (size_t)1500000000;

/* Beyond it squares of times leave single precision. */
#define LATEST 1e12

enum {
	MAX_SNOWBALLS = 4096,
	EVENTS_PER_PIXEL = 4,
	/*
	 * Reads from one batch that is folded to the next, as long as there is
	 * a backlog.  More would take less of the time of each read, and more
	 * memory: docs/decisions/0007.
	 */
	FOLD_EVERY = 2
};

/* --- create -------------------------------------------------------------- */

static bool is_streaming(const iris_options *o)
{
	if (o->keep_reads)
		return false;
	return o->mode == IRIS_MODE_CDS
		|| (o->mode == IRIS_MODE_UTR
		    && o->estimator == IRIS_ESTIMATOR_OLS
		    && !(o->jump_sigma > 0.0));
}

static bool has_jump_test(const iris_options *o)
{
	return o->mode == IRIS_MODE_UTR && o->jump_sigma > 0.0;
}

/* Reads kept before they are folded: whole batches. */
static size_t count_kept(const iris_options *o, size_t npixel)
{
	const size_t limit = o->memory_limit > 0 ? o->memory_limit
		: default_limit;
	size_t kept = limit / (2 * npixel) / IRIS_BATCH * IRIS_BATCH;

	kept = kept < IRIS_BATCH ? IRIS_BATCH : kept;
	return kept < IRIS_MAX_KEPT ? kept : IRIS_MAX_KEPT;
}

static bool make_workspace(iris_workspace *work, size_t capacity)
{
	work->staged = iris_reserve((IRIS_MAX_KEPT + 1) * IRIS_STAGED,
				    sizeof(*work->staged));
	work->maps = iris_reserve((size_t)IRIS_NMAP * IRIS_STAGED,
				  sizeof(float));
	work->charge = iris_reserve(capacity * IRIS_LANES, sizeof(float));
	work->scratch = iris_reserve(3 * capacity * IRIS_LANES, sizeof(float));
	work->sweep = iris_reserve(4 * capacity, sizeof(double));
	work->jumps = iris_reserve(capacity, sizeof(*work->jumps));
	work->pixel.charge = iris_reserve(capacity, sizeof(double));
	work->pixel.broken = iris_reserve(capacity + 1, 1);
	return work->staged != NULL && work->maps != NULL
		&& work->charge != NULL && work->scratch != NULL
		&& work->sweep != NULL && work->jumps != NULL
		&& work->pixel.charge != NULL && work->pixel.broken != NULL;
}

static void free_workspace(iris_workspace *work, size_t capacity)
{
	iris_unreserve(work->staged, (IRIS_MAX_KEPT + 1) * IRIS_STAGED,
		       sizeof(*work->staged));
	iris_unreserve(work->maps, (size_t)IRIS_NMAP * IRIS_STAGED,
		       sizeof(float));
	iris_unreserve(work->charge, capacity * IRIS_LANES, sizeof(float));
	iris_unreserve(work->scratch, 3 * capacity * IRIS_LANES,
		       sizeof(float));
	iris_unreserve(work->sweep, 4 * capacity, sizeof(double));
	iris_unreserve(work->jumps, capacity, sizeof(*work->jumps));
	iris_unreserve(work->pixel.charge, capacity, sizeof(double));
	iris_unreserve(work->pixel.broken, capacity + 1, 1);
}

/* Samples that a workspace must hold: kept reads, or resultants. */
static size_t workspace_capacity(const iris_ramp *ramp)
{
	return ramp->capacity > IRIS_MAX_RESULTANTS + 1 ? ramp->capacity
		: IRIS_MAX_RESULTANTS + 1;
}

static size_t pattern_capacity(const iris_ramp *ramp)
{
	return is_streaming(&ramp->options) ? IRIS_MAX_READS
		: workspace_capacity(ramp);
}

static bool allocate_workers(iris_ramp *ramp)
{
	const size_t threads = iris_thread_count(&ramp->options, ramp->nstrip);
	size_t i;

	ramp->workspaces = iris_reserve(threads, sizeof(*ramp->workspaces));
	if (ramp->workspaces == NULL)
		return false;
	ramp->nworkspace = threads;
	for (i = 0; i < threads; i++) {
		if (!make_workspace(&ramp->workspaces[i],
				    workspace_capacity(ramp)))
			return false;
		iris_references_start(ramp, &ramp->workspaces[i]);
	}
	return iris_pool_create(&ramp->pool, threads) == IRIS_OK;
}

static bool allocate_planes(iris_ramp *ramp)
{
	const size_t n = ramp->npixel;

	ramp->nusable = iris_reserve_planes(n, sizeof(*ramp->nusable));
	ramp->saturated = iris_reserve_planes(n, sizeof(*ramp->saturated));
	ramp->cause = iris_reserve_planes(n, 1);
	ramp->cut = iris_reserve(ramp->options.ny * ramp->nblock, 1);
	if (is_streaming(&ramp->options)) {
		ramp->sum = iris_reserve_planes(n, sizeof(double));
		ramp->moment = iris_reserve_planes(n, sizeof(double));
		if (ramp->sum == NULL || ramp->moment == NULL)
			return false;
	} else if (iris_fold_create(&ramp->fold, n) != IRIS_OK) {
		return false;
	}
	return ramp->nusable != NULL && ramp->saturated != NULL
		&& ramp->cause != NULL && ramp->cut != NULL;
}

static bool allocate_tables(iris_ramp *ramp)
{
	const size_t capacity = pattern_capacity(ramp);

	ramp->seconds = iris_reserve(IRIS_MAX_READS, sizeof(double));
	ramp->number = iris_reserve(IRIS_MAX_READS, sizeof(*ramp->number));
	ramp->reads = iris_reserve(IRIS_MAX_KEPT + 1, sizeof(*ramp->reads));
	ramp->slopes = iris_reserve(capacity + 1, sizeof(*ramp->slopes));
	ramp->two_point.photon = iris_reserve(capacity, sizeof(float));
	ramp->two_point.read = iris_reserve(capacity, sizeof(float));
	return ramp->seconds != NULL && ramp->number != NULL
		&& ramp->reads != NULL && ramp->slopes != NULL
		&& ramp->two_point.photon != NULL
		&& ramp->two_point.read != NULL
		&& iris_pattern_create(&ramp->pattern, capacity) == IRIS_OK;
}

static bool allocate_reference(iris_ramp *ramp)
{
	const iris_options *o = &ramp->options;
	iris_calibration *c = &ramp->calibration;

	c->nx = o->nx;
	c->ny = o->ny;
	c->reads = ramp->reads;
	c->ncoef = o->linearity.ncoef == 1 ? 2 : o->linearity.ncoef;
	if (iris_refpix_create(&ramp->refpix, o) != IRIS_OK)
		return false;
	if (ramp->refpix == NULL)
		return true;
	c->width = o->nx / o->noutputs;
	c->nrow = iris_refpix_nrow(ramp->refpix);
	ramp->column = iris_reserve((IRIS_MAX_KEPT + 1) * c->nx,
				    sizeof(float));
	ramp->row = iris_reserve((IRIS_MAX_KEPT + 1) * c->nrow, sizeof(float));
	c->column = ramp->column;
	c->row = ramp->row;
	return ramp->column != NULL && ramp->row != NULL;
}

static bool allocate_events(iris_ramp *ramp)
{
	const iris_options *o = &ramp->options;
	const size_t usual = EVENTS_PER_PIXEL * IRIS_STRIP * o->nx;
	const size_t most = o->max_events > 0 ? o->max_events
		: usual * ramp->nstrip;
	/* Events may crowd in a strip, not without bounds. */
	const size_t per_strip = o->max_events == 0 ? usual
		: most < 4 * usual ? most : 4 * usual;

	if (iris_events_create(&ramp->events, ramp->nstrip, per_strip, most)
	    != IRIS_OK)
		return false;
	if (!has_jump_test(o) || !o->snowballs)
		return true;
	return iris_snowball_create(&ramp->snowballs, o->ny, o->nx,
				    ramp->nstrip * per_strip, MAX_SNOWBALLS)
		== IRIS_OK;
}

/* Slots for a batch and the first read at least, and for sums of reads. */
static size_t count_slots(const iris_ramp *ramp)
{
	const size_t reads = ramp->capacity > IRIS_BATCH + 1 ? ramp->capacity
		: IRIS_BATCH + 1;

	return is_streaming(&ramp->options) ? reads
		: reads + 2 * IRIS_MAX_RESULTANTS;
}

static bool allocate(iris_ramp *ramp)
{
	ramp->nslot = count_slots(ramp);
	ramp->arena = iris_reserve_planes(ramp->nslot * ramp->npixel, 2);
	ramp->vacant = iris_reserve(ramp->nslot, sizeof(*ramp->vacant));
	return ramp->arena != NULL && ramp->vacant != NULL
		&& allocate_tables(ramp)
		&& allocate_planes(ramp) && allocate_reference(ramp)
		&& allocate_events(ramp) && allocate_workers(ramp);
}

static void set_up(iris_ramp *ramp, const iris_options *options)
{
	ramp->options = *options;
	ramp->npixel = options->ny * options->nx;
	ramp->nstrip = (options->ny + IRIS_STRIP - 1) / IRIS_STRIP;
	ramp->nblock = (options->nx + IRIS_LANES - 1) / IRIS_LANES;
	ramp->capacity = count_kept(options, ramp->npixel);
}

iris_status iris_ramp_create(iris_ramp **ramp, const iris_options *options,
			     char *message, size_t size)
{
	const iris_kernels *kernels = NULL;
	iris_status status;
	iris_ramp *made;

	if (message != NULL && size > 0)
		message[0] = '\0';
	if (ramp == NULL || options == NULL)
		return iris_fail(message, size, IRIS_ERROR_NULL,
				 "ramp or options: got NULL");
	*ramp = NULL;
	status = iris_options_check(options, message, size);
	if (status == IRIS_OK)
		status = iris_kernels_choose(&kernels, options->isa, message,
					     size);
	if (status != IRIS_OK)
		return status;
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return iris_fail(message, size, IRIS_ERROR_MEMORY,
				 "ramp: no memory");
	made->kernels = kernels;
	set_up(made, options);
	if (!allocate(made)) {
		iris_ramp_destroy(made);
		return iris_fail(message, size, IRIS_ERROR_MEMORY,
				 "ramp: no memory for (%zu, %zu) pixels",
				 options->ny, options->nx);
	}
	(void)iris_ramp_reset(made);
	*ramp = made;
	return IRIS_OK;
}

/* --- push ---------------------------------------------------------------- */

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static iris_status fail(iris_ramp *ramp, iris_status status,
			const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(ramp->error, sizeof(ramp->error), format, arguments);
	va_end(arguments);
	return status;
}

static iris_status check_time(iris_ramp *ramp, double seconds)
{
	const size_t number = ramp->npushed + 1;

	if (!(isfinite(seconds) && seconds >= 0.0))
		return fail(ramp, IRIS_ERROR_TIME,
			    "time of read %zu: got %g s, expected a finite "
			    "time since the reset, at least 0", number,
			    seconds);
	if (seconds > LATEST)
		return fail(ramp, IRIS_ERROR_TIME,
			    "time of read %zu: got %g s, expected at most %g s "
			    "since the reset", number, seconds, LATEST);
	if (number > 1 && !(seconds > ramp->last_seconds))
		return fail(ramp, IRIS_ERROR_TIME,
			    "time of read %zu: got %.9g s, expected later than "
			    "%.9g s of the read before; sort the reads",
			    number, seconds, ramp->last_seconds);
	return IRIS_OK;
}

static iris_status check_push(iris_ramp *ramp, const iris_read *read)
{
	const size_t number = ramp->npushed + 1;

	if (read == NULL || (read->counts == NULL && !read->dropped))
		return fail(ramp, IRIS_ERROR_NULL, "read %zu: got NULL",
			    number);
	if (ramp->finished)
		return fail(ramp, IRIS_ERROR_STATE,
			    "read pushed after finish; reset the ramp first");
	if (read->order != IRIS_NATIVE && read->order != IRIS_SWAPPED
	    && read->order != IRIS_FITS)
		return fail(ramp, IRIS_ERROR_OPTION,
			    "byte order: got %d, expected 0, 1 or 2",
			    (int)read->order);
	if (number > IRIS_MAX_READS)
		return fail(ramp, IRIS_ERROR_SHAPE,
			    "reads: got more than %zu", IRIS_MAX_READS);
	if (!(read->weight >= 0.0 && read->weight <= 1.0))
		return fail(ramp, IRIS_ERROR_OPTION,
			    "weight of read %zu: got %g, expected 0 to 1",
			    number, read->weight);
	return check_time(ramp, read->seconds);
}

/* Weights need the reads themselves, and so do the means of the last reads. */
static iris_status check_room(iris_ramp *ramp, const iris_read *read)
{
	const bool weighted = ramp->weighted
		|| (ramp->nread > 0 && read->weight != 1.0);
	const bool whole = weighted || ramp->options.mode != IRIS_MODE_UTR;

	if (ramp->engine == IRIS_ENGINE_SUM && weighted)
		return fail(ramp, IRIS_ERROR_OPTION,
			    "weight of read %zu: got %g, expected 1 where only "
			    "sums are kept; set keep_reads",
			    ramp->npushed + 1, read->weight);
	if (ramp->engine != IRIS_ENGINE_SUM && whole
	    && ramp->nread >= ramp->capacity)
		return fail(ramp, IRIS_ERROR_MEMORY,
			    "read %zu: got more reads than the %zu that fit, "
			    "expected all of them in memory for weights, cds "
			    "and mcds; raise memory_limit or leave reads out",
			    ramp->npushed + 1, ramp->capacity);
	ramp->weighted = weighted;
	return IRIS_OK;
}

static void run(iris_ramp *ramp, iris_task *task, const iris_job *job)
{
	iris_pool_run(ramp->pool, task, job, ramp->nstrip, ramp->workspaces);
}

/* First saturated reads of all pixels, where their neighbours need them. */
static void scan(iris_ramp *ramp, size_t first, size_t count)
{
	const iris_job job = {.ramp = ramp, .first = first, .count = count};

	if (ramp->options.saturation_grow > 0)
		run(ramp, iris_strip_scan, &job);
}

unsigned char *iris_slot_take(iris_ramp *ramp)
{
	return ramp->vacant[--ramp->nvacant];
}

void iris_slot_give(iris_ramp *ramp, unsigned char *slot)
{
	ramp->vacant[ramp->nvacant++] = slot;
}

/* No copy of these reads is needed any more, but that of the very first. */
static void vacate(iris_ramp *ramp, size_t first, size_t count)
{
	size_t k;

	for (k = first; k < first + count; k++) {
		unsigned char *slot = ramp->reads[iris_entry(k)].slot;

		if (k > 0 && slot != NULL)
			iris_slot_give(ramp, slot);
	}
}

/* Reads since the last time into sums. */
static void sum_up(iris_ramp *ramp)
{
	const iris_job job = {
		.ramp = ramp, .first = ramp->nsummed,
		.count = ramp->nread - ramp->nsummed,
	};

	scan(ramp, job.first, job.count);
	run(ramp, iris_strip_sum, &job);
	ramp->nsummed = ramp->nread;
	ramp->copied = false;
}

/* The oldest batch of reads into resultants. */
static void fold_batch(iris_ramp *ramp)
{
	const size_t left = ramp->nread - ramp->nsummed;
	const iris_job job = {
		.ramp = ramp, .first = ramp->nsummed,
		.count = left < IRIS_BATCH ? left : IRIS_BATCH,
	};

	scan(ramp, job.first, job.count);
	vacate(ramp, job.first, job.count);
	iris_fold_plan(ramp, job.first, job.count);
	run(ramp, iris_strip_fold, &job);
	ramp->nsummed += job.count;
}

/*
 * A batch into resultants, where there is a whole one: after every FOLD_EVERY
 * reads as long as there is a backlog, then as soon as its reads are there.
 */
static void fold_next(iris_ramp *ramp)
{
	if (ramp->nread % FOLD_EVERY == 0
	    && ramp->nread - ramp->nsummed >= IRIS_BATCH)
		fold_batch(ramp);
}

/* What is left into resultants; memory for planes, of slots not in use. */
static void fold_rest(iris_ramp *ramp)
{
	size_t i;

	while (ramp->nsummed < ramp->nread)
		fold_batch(ramp);
	for (i = 0; i < ramp->nvacant && !ramp->finished; i++)
		iris_discard(ramp->vacant[i], 2 * ramp->npixel);
}

/*
 * Where the copy of read k goes.  Sums need the first read and those of a batch,
 * but the last one, whose push adds them up.
 */
static unsigned char *take_slot(iris_ramp *ramp, size_t k)
{
	const size_t number = k == 0 ? 0 : 1 + k % IRIS_BATCH;

	if (ramp->engine != IRIS_ENGINE_SUM)
		return iris_slot_take(ramp);
	return ramp->arena + number * ramp->npixel * 2;
}

/* Read k as a sample of its own. */
static void set_sample(iris_ramp *ramp, size_t k)
{
	iris_pattern *p = &ramp->pattern;

	p->time[k] = p->tau[k] = ramp->seconds[k];
	p->count[k] = 1.0;
	p->weight[k] = ramp->engine == IRIS_ENGINE_KEEP && k > 0
		? ramp->reads[iris_entry(k)].weight : 1.0;
	p->first[k] = ramp->number[k];
}

/* Whether the next read completes a batch of sums. */
static bool is_summed_at_once(const iris_ramp *ramp)
{
	return ramp->engine == IRIS_ENGINE_SUM
		&& (ramp->nread + 1) % IRIS_BATCH == 0;
}

static void store(iris_ramp *ramp, const iris_read *read)
{
	const size_t k = ramp->nread, entry = iris_entry(k);
	const iris_calibration *c = &ramp->calibration;
	iris_stored *stored = &ramp->reads[entry];

	stored->counts = read->counts;
	stored->slot = NULL;
	if (!read->borrowed)
		ramp->copied = true;
	if (!read->borrowed && !is_summed_at_once(ramp)) {
		stored->slot = take_slot(ramp, k);
		stored->counts = stored->slot;
		memcpy(stored->slot, read->counts, ramp->npixel * 2);
	}
	stored->order = read->order;
	stored->seconds = read->seconds;
	stored->weight = read->weight;
	if (ramp->refpix != NULL)
		iris_refpix_measure(ramp->refpix, stored->counts,
				    stored->order,
				    ramp->column + entry * c->nx,
				    ramp->row + entry * c->nrow);
	if (k == 0) {
		ramp->reads[0] = *stored;
		if (ramp->refpix != NULL) {
			memcpy(ramp->column, ramp->column + entry * c->nx,
			       c->nx * sizeof(float));
			memcpy(ramp->row, ramp->row + entry * c->nrow,
			       c->nrow * sizeof(float));
		}
	}
	ramp->seconds[k] = read->seconds;
	ramp->number[k] = (uint16_t)(ramp->npushed + 1);
	if (ramp->engine == IRIS_ENGINE_SUM) {
		set_sample(ramp, k);
		iris_pattern_since(&ramp->pattern, k);
	}
	ramp->nread++;
}

/* Sums or resultants of a batch that is complete. */
static void use_batch(iris_ramp *ramp)
{
	const size_t pending = ramp->nread - ramp->nsummed;

	if (ramp->engine == IRIS_ENGINE_FOLD)
		fold_next(ramp);
	else if (ramp->engine == IRIS_ENGINE_SUM
		 && ramp->nread % IRIS_BATCH == 0
		 && (ramp->copied || pending + IRIS_BATCH > IRIS_MAX_KEPT))
		sum_up(ramp);
}

iris_status iris_ramp_push_read(iris_ramp *ramp, const iris_read *read)
{
	iris_status status;

	if (ramp == NULL)
		return IRIS_ERROR_NULL;
	status = check_push(ramp, read);
	if (status == IRIS_OK && !read->dropped)
		status = check_room(ramp, read);
	if (status != IRIS_OK)
		return status;
	if (!read->dropped) {
		if (ramp->engine == IRIS_ENGINE_KEEP
		    && ramp->nread == ramp->capacity) {
			ramp->engine = IRIS_ENGINE_FOLD;
			fold_next(ramp);
		}
		store(ramp, read);
		use_batch(ramp);
	}
	ramp->npushed++;
	ramp->last_seconds = read->seconds;
	return IRIS_OK;
}

iris_status iris_ramp_push(iris_ramp *ramp, const uint16_t *read,
			   iris_byte_order order, double seconds)
{
	const iris_read one = {
		.counts = read, .order = order, .seconds = seconds,
		.weight = 1.0,
	};

	return iris_ramp_push_read(ramp, &one);
}

size_t iris_ramp_nread(const iris_ramp *ramp)
{
	return ramp != NULL ? ramp->npushed : 0;
}

/* --- finish -------------------------------------------------------------- */

/* The reads themselves are the samples. */
static void set_pattern(iris_ramp *ramp)
{
	size_t k;

	ramp->pattern.nsample = ramp->nread;
	for (k = 0; k < ramp->nread; k++)
		set_sample(ramp, k);
	iris_pattern_complete(&ramp->pattern);
}

static void set_tables(iris_ramp *ramp)
{
	if (ramp->engine == IRIS_ENGINE_FOLD)
		iris_fold_pattern(ramp);
	else
		set_pattern(ramp);
	if (ramp->engine == IRIS_ENGINE_SUM)
		iris_slopes_set_running(ramp->slopes, &ramp->pattern,
					ramp->options.mode);
	else
		iris_slopes_set(ramp->slopes, &ramp->pattern, &ramp->options);
	if (ramp->engine == IRIS_ENGINE_KEEP)
		iris_two_point_set(&ramp->two_point, &ramp->pattern);
}

/* Planes from the reads at hand. */
static void fit(iris_ramp *ramp, const iris_planes *planes)
{
	const iris_job job = {
		.ramp = ramp, .planes = planes, .first = ramp->nsummed,
		.count = ramp->nread - ramp->nsummed,
		.quiet = ramp->finished,
	};

	if (!ramp->finished && ramp->engine == IRIS_ENGINE_KEEP)
		iris_events_clear(&ramp->events);
	if (ramp->engine != IRIS_ENGINE_FOLD)
		scan(ramp, job.first, job.count);
	run(ramp, iris_strip_finish, &job);
	iris_events_pack(&ramp->events);
}

/* The pixel nearest to a coordinate. */
static uint32_t nearest(float coordinate, size_t size)
{
	const float last = (float)(size - 1);

	return (uint32_t)fminf(fmaxf(coordinate + 0.5f, 0.0f), last);
}

/* Snowballs among the events: their surroundings are fitted again. */
static void clear_snowballs(iris_ramp *ramp, const iris_planes *planes)
{
	iris_job job = {
		.ramp = ramp, .planes = planes, .first = ramp->nsummed,
		.count = ramp->nread - ramp->nsummed, .quiet = true,
	};
	size_t b;

	if (ramp->snowballs == NULL)
		return;
	job.nsnowball = iris_snowball_find(ramp->snowballs, ramp->events.item,
					   ramp->events.total, &job.snowballs);
	if (job.nsnowball > 0)
		run(ramp, iris_strip_finish, &job);
	for (b = 0; b < job.nsnowball && !ramp->finished; b++) {
		const iris_snowball *s = &job.snowballs[b];
		const float radius = sqrtf(s->major * s->minor);
		const iris_event event = {
			.read = s->read,
			.y = nearest(s->y, ramp->options.ny),
			.x = nearest(s->x, ramp->options.nx),
			.kind = IRIS_EVENT_SNOWBALL,
			.amplitude = radius,
			.sigma = NAN,
		};

		iris_events_insert(&ramp->events, &event);
	}
}

iris_status iris_ramp_finish(iris_ramp *ramp, const iris_planes *planes)
{
	if (ramp == NULL)
		return IRIS_ERROR_NULL;
	if (planes == NULL || planes->rate == NULL)
		return fail(ramp, IRIS_ERROR_NULL,
			    "planes: got no rate plane");
	if (ramp->nread < 2)
		return fail(ramp, IRIS_ERROR_TOO_FEW,
			    "reads: got %zu, expected at least 2",
			    ramp->nread);
	if (ramp->engine == IRIS_ENGINE_FOLD)
		fold_rest(ramp);
	set_tables(ramp);
	fit(ramp, planes);
	clear_snowballs(ramp, planes);
	ramp->finished = true;
	ramp->error[0] = '\0';
	return IRIS_OK;
}

/* --- what else can be asked ---------------------------------------------- */

const iris_event *iris_ramp_events(const iris_ramp *ramp, size_t *count)
{
	const bool there = ramp != NULL && ramp->finished;

	if (count != NULL)
		*count = there ? ramp->events.total : 0;
	return there ? ramp->events.item : NULL;
}

size_t iris_ramp_lost_events(const iris_ramp *ramp)
{
	return ramp != NULL && ramp->finished ? ramp->events.total_lost : 0;
}

double iris_ramp_folding(const iris_ramp *ramp)
{
	if (ramp == NULL || ramp->engine != IRIS_ENGINE_FOLD)
		return 1.0;
	return iris_fold_mean(ramp->fold);
}

const char *iris_ramp_isa(const iris_ramp *ramp)
{
	return ramp != NULL ? ramp->kernels->name : "";
}

const char *iris_ramp_error(const iris_ramp *ramp)
{
	return ramp != NULL ? ramp->error : "";
}

iris_status iris_ramp_reset(iris_ramp *ramp)
{
	size_t k;

	if (ramp == NULL)
		return IRIS_ERROR_NULL;
	iris_events_clear(&ramp->events);
	if (ramp->fold != NULL)
		iris_fold_reset(ramp->fold);
	ramp->engine = is_streaming(&ramp->options) ? IRIS_ENGINE_SUM
		: IRIS_ENGINE_KEEP;
	ramp->nread = ramp->npushed = ramp->nsummed = ramp->nvacant = 0;
	for (k = ramp->nslot; k-- > 0;) /* the first ones are taken first */
		iris_slot_give(ramp, ramp->arena + k * ramp->npixel * 2);
	ramp->last_seconds = 0.0;
	ramp->weighted = ramp->finished = ramp->copied = false;
	ramp->error[0] = '\0';
	return IRIS_OK;
}

static void free_tables(iris_ramp *ramp)
{
	const iris_calibration *c = &ramp->calibration;
	const size_t capacity = pattern_capacity(ramp);

	iris_unreserve(ramp->seconds, IRIS_MAX_READS, sizeof(double));
	iris_unreserve(ramp->number, IRIS_MAX_READS, sizeof(*ramp->number));
	iris_unreserve(ramp->reads, IRIS_MAX_KEPT + 1, sizeof(*ramp->reads));
	iris_unreserve(ramp->slopes, capacity + 1, sizeof(*ramp->slopes));
	iris_unreserve(ramp->two_point.photon, capacity, sizeof(float));
	iris_unreserve(ramp->two_point.read, capacity, sizeof(float));
	iris_unreserve(ramp->column, (IRIS_MAX_KEPT + 1) * c->nx,
		       sizeof(float));
	iris_unreserve(ramp->row, (IRIS_MAX_KEPT + 1) * c->nrow,
		       sizeof(float));
	iris_pattern_destroy(&ramp->pattern);
}

static void free_planes(iris_ramp *ramp)
{
	const size_t n = ramp->npixel;

	iris_unreserve(ramp->arena, ramp->nslot * n, 2);
	iris_unreserve(ramp->vacant, ramp->nslot, sizeof(*ramp->vacant));
	iris_unreserve(ramp->nusable, n, sizeof(*ramp->nusable));
	iris_unreserve(ramp->saturated, n, sizeof(*ramp->saturated));
	iris_unreserve(ramp->cause, n, 1);
	iris_unreserve(ramp->cut, ramp->options.ny * ramp->nblock, 1);
	iris_unreserve(ramp->sum, n, sizeof(double));
	iris_unreserve(ramp->moment, n, sizeof(double));
	iris_fold_destroy(ramp->fold);
}

void iris_ramp_destroy(iris_ramp *ramp)
{
	size_t i;

	if (ramp == NULL)
		return;
	iris_pool_destroy(ramp->pool);
	for (i = 0; i < ramp->nworkspace; i++)
		free_workspace(&ramp->workspaces[i], workspace_capacity(ramp));
	iris_unreserve(ramp->workspaces, ramp->nworkspace,
		       sizeof(*ramp->workspaces));
	free_tables(ramp);
	free_planes(ramp);
	iris_events_destroy(&ramp->events);
	iris_refpix_destroy(ramp->refpix);
	iris_snowball_destroy(ramp->snowballs);
	free(ramp);
}
