/* SPDX-License-Identifier: BSD-3-Clause */
/* From stored reads or sums to planes, one strip of rows at a time. */
#include "internal.h"

#include <math.h>
#include <string.h>

/* The vector two-point test looks a little closer than the one that decides. */
#define CLOSER 0.98f

void iris_strip_rows(const iris_ramp *ramp, size_t strip, size_t *y0,
		     size_t *y1)
{
	*y0 = strip * IRIS_STRIP;
	*y1 = ramp->options.ny - *y0 > IRIS_STRIP ? *y0 + IRIS_STRIP
		: ramp->options.ny;
}

/*
 * Counts of the reads of a job, and of the first read of the ramp, and the
 * references, from x on up to the end of the stretch or of the row.
 */
static void stage(const iris_job *job, size_t y, size_t x,
		  iris_workspace *work)
{
	const iris_ramp *ramp = job->ramp;
	const size_t nx = ramp->options.nx;
	const size_t count = nx - x < IRIS_STRETCH ? nx - x : IRIS_STRETCH;
	const size_t at = 2 * (y * nx + x);
	uint16_t *to = work->staged;
	size_t k;

	iris_references_stage(ramp, work, y, x, count);
	ramp->kernels->stage(ramp->reads[0].counts + at, count,
			     ramp->reads[0].order, to);
	for (k = job->first; k < job->first + job->count; k++) {
		const iris_stored *read = &ramp->reads[iris_entry(k)];

		to += IRIS_STAGED;
		ramp->kernels->stage(read->counts + at, count, read->order, to);
	}
}

/* Blocks of a row, one after the other: their counts, their references, use. */
static void walk_row(const iris_job *job, size_t strip, size_t y,
		     iris_workspace *work, iris_task *use)
{
	size_t x;

	for (x = 0; x < job->ramp->options.nx; x += IRIS_LANES) {
		if (x % IRIS_STRETCH == 0)
			stage(job, y, x, work);
		iris_block_place(job->ramp, work, y, x);
		iris_block_load(job->ramp, work);
		use(job, strip, work);
	}
}

/* Do something with every block of a strip. */
void iris_strip_walk(const iris_job *job, size_t strip, iris_workspace *work,
		     iris_task *use)
{
	size_t y0, y1, y;

	iris_strip_rows(job->ramp, strip, &y0, &y1);
	for (y = y0; y < y1; y++)
		walk_row(job, strip, y, work, use);
}

static bool is_border(const iris_block *block, size_t l)
{
	return block->dq[l] & IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
}

static bool is_usable(const iris_block *block, size_t l)
{
	return !(block->dq[l] & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE));
}

/* --- saturated neighbours ------------------------------------------------ */

static void scan_block(const iris_job *job, size_t strip,
		       iris_workspace *work)
{
	const iris_ramp *ramp = job->ramp;
	iris_block *block = &work->block;
	uint16_t *kept = ramp->saturated + block->y * ramp->options.nx
		+ block->x;
	size_t l;

	(void)strip;
	for (l = 0; l < block->count && job->first > 0; l++)
		block->saturated[l] = kept[l];
	ramp->kernels->scan(block, job->first, job->count);
	for (l = 0; l < block->count; l++)
		kept[l] = ramp->options.ref_pixels > 0 && is_border(block, l)
			? IRIS_NEVER : (uint16_t)block->saturated[l];
}

void iris_strip_scan(const iris_job *job, size_t strip, iris_workspace *work)
{
	iris_strip_walk(job, strip, work, scan_block);
}

/* First read in which a pixel within `grow` of (y, x) is saturated. */
static uint16_t first_near(const iris_ramp *ramp, size_t y, size_t x)
{
	const iris_options *o = &ramp->options;
	const size_t grow = o->saturation_grow;
	const size_t y0 = y > grow ? y - grow : 0;
	const size_t x0 = x > grow ? x - grow : 0;
	const size_t y1 = grow < o->ny - 1 - y ? y + grow : o->ny - 1;
	const size_t x1 = grow < o->nx - 1 - x ? x + grow : o->nx - 1;
	uint16_t first = IRIS_NEVER;
	size_t j, i;

	for (j = y0; j <= y1; j++) {
		const uint16_t *row = ramp->saturated + j * o->nx;

		for (i = x0; i <= x1; i++)
			first = row[i] < first ? row[i] : first;
	}
	return first;
}

void iris_block_neighbours(const iris_ramp *ramp, iris_block *block)
{
	size_t l;

	if (ramp->options.saturation_grow == 0)
		return;
	for (l = 0; l < block->count; l++)
		block->near_by[l] = first_near(ramp, block->y, block->x + l);
}

/* --- charge -------------------------------------------------------------- */

/* Calibrate; saturation of reference pixels means nothing. */
void iris_block_calibrate(const iris_ramp *ramp, iris_block *block,
			  size_t first, size_t count, float *charge)
{
	const uint32_t border = IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
	_Alignas(64) uint32_t before[IRIS_LANES];
	size_t l;

	memcpy(before, block->dq, sizeof(before));
	ramp->kernels->calibrate(&ramp->calibration, block, first, count,
				 charge);
	if (ramp->options.ref_pixels == 0)
		return;
	for (l = 0; l < IRIS_LANES; l++) {
		if (!(before[l] & border))
			continue;
		block->dq[l] = before[l];
		block->saturated[l] = IRIS_NEVER;
	}
}

/* Charge counted with the weights of the intervals, in place. */
static void weigh_intervals(const iris_pattern *p, float *charge)
{
	_Alignas(64) float before[IRIS_LANES] = {0};
	size_t k, l;

	for (k = 1; k < p->nsample; k++) {
		const float weight = (float)p->weight[k];
		const float *last = charge + (k - 1) * IRIS_LANES;
		float *q = charge + k * IRIS_LANES;

		for (l = 0; l < IRIS_LANES; l++) {
			const float now = q[l];

			q[l] = last[l] + weight * (now - before[l]);
			before[l] = now;
		}
	}
}

/* --- events -------------------------------------------------------------- */

void iris_event_jump(iris_ramp *ramp, size_t strip, const iris_block *block,
		     size_t lane, uint16_t read, double amplitude,
		     double sigma)
{
	const iris_event event = {
		.read = read,
		.y = (uint32_t)block->y,
		.x = (uint32_t)(block->x + lane),
		.kind = IRIS_EVENT_JUMP,
		.amplitude = (float)amplitude,
		.sigma = (float)sigma,
	};

	iris_events_add(&ramp->events, strip, &event);
}

static void add_saturations(iris_ramp *ramp, size_t strip,
			    const iris_block *block)
{
	size_t l;

	for (l = 0; l < block->count; l++) {
		const iris_event event = {
			.read = block->saturated[l] < IRIS_NEVER
				? ramp->number[block->saturated[l]] : 0,
			.y = (uint32_t)block->y,
			.x = (uint32_t)(block->x + l),
			.kind = IRIS_EVENT_SATURATION,
			.amplitude = NAN,
			.sigma = NAN,
		};

		if (event.read > 0)
			iris_events_add(&ramp->events, strip, &event);
	}
}

/* --- single pixels ------------------------------------------------------- */

/* Sample with, or right after, a read; nsample where it lies beyond. */
static size_t sample_of(const iris_pattern *p, uint32_t read, bool *inside)
{
	size_t k = 0;

	while (k < p->nsample && p->first[k] < read)
		k++;
	*inside = (k == p->nsample || p->first[k] > read) && k > 0
		&& p->count[k - 1] > 1.0;
	return *inside ? k - 1 : k;
}

/* Break the ramp of a pixel where a snowball hit it. */
static bool break_at_snowballs(const iris_job *job, const iris_block *block,
			       size_t lane, iris_pixel *pixel)
{
	const iris_pattern *p = &job->ramp->pattern;
	const size_t x = block->x + lane;
	bool hit = false, inside;
	size_t b, k, x0, x1;

	for (b = 0; b < job->nsnowball; b++) {
		const iris_snowball *s = &job->snowballs[b];

		if (!iris_snowball_row(s, job->ramp->options.ny,
				       job->ramp->options.nx, block->y, &x0,
				       &x1)
		    || x < x0 || x >= x1)
			continue;
		k = sample_of(p, s->read, &inside);
		hit = true;
		if (k > 0 && k < pixel->nsample)
			pixel->broken[k] = 1;
		if (inside && k + 1 < pixel->nsample)
			pixel->broken[k + 1] = 1;
	}
	return hit;
}

/* Copy a lane out of its block. */
static void take_pixel(const iris_ramp *ramp, const iris_workspace *work,
		       size_t lane, uint32_t broken, iris_pixel *pixel)
{
	size_t k;

	pixel->nsample = (size_t)work->block.nusable[lane];
	pixel->time = ramp->pattern.time;
	pixel->variance = (double)work->block.variance[lane];
	for (k = 0; k < pixel->nsample; k++) {
		pixel->charge[k] = (double)work->charge[k * IRIS_LANES + lane];
		pixel->broken[k] = k == 0
			|| (k < 32 && (broken >> k & 1));
	}
}

/* Fit a lane on its own, jumps and all. */
static void fit_lane(const iris_job *job, size_t strip, iris_workspace *work,
		     size_t lane, uint32_t broken)
{
	iris_ramp *ramp = job->ramp;
	const iris_options *o = &ramp->options;
	iris_block *block = &work->block;
	iris_pixel *pixel = &work->pixel;
	iris_result r;
	size_t njump = 0, j;
	bool hit = broken != 0;

	take_pixel(ramp, work, lane, broken, pixel);
	if (job->nsnowball > 0)
		hit |= break_at_snowballs(job, block, lane, pixel);
	if (o->estimator == IRIS_ESTIMATOR_LIKELIHOOD) {
		r = iris_likelihood_fit(&ramp->pattern, pixel, o->jump_sigma,
					work->sweep, work->jumps, &njump);
	} else {
		if (o->jump_sigma > 0.0 && !ramp->pattern.folded && !hit)
			njump = iris_two_point_find(pixel, o->jump_sigma,
						    work->jumps);
		r = iris_slope_fit(&ramp->pattern, pixel, work->sweep);
	}
	iris_block_put(block, lane, &r);
	if (njump > 0 || hit)
		block->dq[lane] |= IRIS_DQ_MASK(IRIS_DQ_JUMP_DET);
	for (j = 0; j < njump && !job->quiet; j++)
		iris_event_jump(ramp, strip, block, lane,
				ramp->pattern.first[work->jumps[j].sample],
				work->jumps[j].amplitude, work->jumps[j].sigma);
}

static bool in_snowball(const iris_job *job, const iris_block *block,
			size_t lane)
{
	const size_t x = block->x + lane;
	size_t b, x0, x1;

	for (b = 0; b < job->nsnowball; b++)
		if (iris_snowball_row(&job->snowballs[b],
				      job->ramp->options.ny,
				      job->ramp->options.nx, block->y, &x0, &x1)
		    && x >= x0 && x < x1)
			return true;
	return false;
}

static void fit_suspects(const iris_job *job, size_t strip,
			 iris_workspace *work, const uint32_t *broken)
{
	iris_block *block = &work->block;
	size_t l;

	for (l = 0; l < block->count; l++)
		if (is_usable(block, l)
		    && (block->suspect[l] || broken[l]
			|| in_snowball(job, block, l)))
			fit_lane(job, strip, work, l, broken[l]);
}

/* --- estimators ---------------------------------------------------------- */

static void likelihood(const iris_ramp *ramp, iris_workspace *work)
{
	const double sigma = ramp->options.jump_sigma;
	const double two = ramp->pattern.folded && sigma > 0.0
		? iris_two_omit_threshold(sigma) : 0.0;
	iris_block *block = &work->block;

	ramp->kernels->likelihood(block, &ramp->pattern,
				  (float)(IRIS_WORTH_A_LOOK * sigma * sigma),
				  (float)(IRIS_WORTH_A_LOOK * two),
				  work->charge,
				  work->scratch);
	ramp->kernels->count_reads(block, ramp->slopes);
}

static void least_squares(const iris_ramp *ramp, const iris_planes *planes,
			  iris_workspace *work)
{
	const iris_pattern *p = &ramp->pattern;
	iris_block *block = &work->block;
	size_t k;

	memset(block->suspect, 0, sizeof(block->suspect));
	if (ramp->options.jump_sigma > 0.0 && !p->folded)
		ramp->kernels->two_point(block, p, &ramp->two_point,
					 CLOSER
					 * (float)ramp->options.jump_sigma,
					 work->charge);
	if (p->weighted)
		memcpy(work->scratch, work->charge,
		       p->nsample * IRIS_LANES * sizeof(float));
	if (p->weighted)
		weigh_intervals(p, work->scratch);
	for (k = 0; k < p->nsample; k += IRIS_BATCH)
		ramp->kernels->accumulate(
			block, p, k,
			p->nsample - k < IRIS_BATCH ? p->nsample - k
			: IRIS_BATCH,
			(p->weighted ? work->scratch : work->charge)
			+ k * IRIS_LANES);
	ramp->kernels->slope(block, ramp->slopes);
	if (planes->chi2 != NULL)
		ramp->kernels->chi_square(block, p, work->charge);
}

/* Means of the first and the last reads: their difference into the sums. */
static void end_means(const iris_ramp *ramp, iris_workspace *work)
{
	const iris_pattern *p = &ramp->pattern;
	const size_t nfowler = ramp->options.mode == IRIS_MODE_CDS ? 1
		: ramp->options.nfowler;
	const int32_t most = (int32_t)(nfowler < IRIS_MAX_KEPT ? nfowler
				       : IRIS_MAX_KEPT);
	iris_block *block = &work->block;

	if (p->weighted)
		weigh_intervals(p, work->charge);
	ramp->kernels->end_sums(block, p->nsample, most, work->charge);
	ramp->kernels->slope(block, ramp->slopes);
	memset(block->suspect, 0, sizeof(block->suspect));
}

/* --- sums ---------------------------------------------------------------- */

enum { SATURATED = 1, FLOOR = 2, CHARGELOSS = 4, NONLINEAR = 8 };

static uint32_t flags_of(unsigned cause)
{
	return (cause & SATURATED ? IRIS_DQ_MASK(IRIS_DQ_SATURATED) : 0)
		| (cause & FLOOR ? IRIS_DQ_MASK(IRIS_DQ_AD_FLOOR) : 0)
		| (cause & CHARGELOSS ? IRIS_DQ_MASK(IRIS_DQ_CHARGELOSS) : 0)
		| (cause & NONLINEAR ? IRIS_DQ_MASK(IRIS_DQ_NONLINEAR) : 0);
}

static unsigned char cause_of(uint32_t dq)
{
	return (unsigned char)(
		(dq & IRIS_DQ_MASK(IRIS_DQ_SATURATED) ? SATURATED : 0)
		| (dq & IRIS_DQ_MASK(IRIS_DQ_AD_FLOOR) ? FLOOR : 0)
		| (dq & IRIS_DQ_MASK(IRIS_DQ_CHARGELOSS) ? CHARGELOSS : 0)
		| (dq & IRIS_DQ_MASK(IRIS_DQ_NONLINEAR) ? NONLINEAR : 0));
}

static unsigned char *cut_of(const iris_ramp *ramp, const iris_block *block)
{
	return ramp->cut + block->y * ramp->nblock + block->x / IRIS_LANES;
}

/* What earlier reads left: cuts and their causes. */
void iris_block_resume(const iris_ramp *ramp, iris_block *block)
{
	const size_t i = block->y * ramp->options.nx + block->x;
	size_t l;

	if (!*cut_of(ramp, block))
		return;
	for (l = 0; l < block->count; l++) {
		block->nusable[l] = ramp->nusable[i + l];
		block->dq[l] |= flags_of(ramp->cause[i + l]);
		if (ramp->cause[i + l] & SATURATED)
			block->saturated[l] = ramp->saturated[i + l];
	}
}

/*
 * Keep that for later, where there is anything (after the first reads always:
 * then all the memory there will be is in use at once).  Where saturation grows,
 * the plane of saturated reads belongs to iris_strip_scan, which other strips
 * look at.
 */
void iris_block_suspend(const iris_ramp *ramp, const iris_block *block,
			bool always)
{
	const size_t i = block->y * ramp->options.nx + block->x;
	int32_t least = IRIS_NEVER;
	size_t l;

	for (l = 0; l < IRIS_LANES; l++) {
		least = block->nusable[l] < least ? block->nusable[l] : least;
		least = block->saturated[l] < least ? block->saturated[l]
			: least;
	}
	*cut_of(ramp, block) = least < IRIS_NEVER;
	if (least == IRIS_NEVER && !always)
		return;
	for (l = 0; l < block->count; l++) {
		ramp->nusable[i + l] = (uint16_t)block->nusable[l];
		ramp->cause[i + l] = cause_of(block->dq[l]);
		if (ramp->options.saturation_grow == 0)
			ramp->saturated[i + l] = (uint16_t)block->saturated[l];
	}
}

/* Sums of all reads of a block up to the end of the job. */
static void sum_block(const iris_job *job, iris_workspace *work)
{
	const iris_ramp *ramp = job->ramp;
	const size_t i = work->block.y * ramp->options.nx + work->block.x;
	iris_block *block = &work->block;
	size_t k, m, l;

	if (job->first > 0) {
		iris_block_resume(ramp, block);
		for (l = 0; l < block->count; l++) {
			block->sum[l] = ramp->sum[i + l];
			block->moment[l] = ramp->moment[i + l];
		}
	}
	if (ramp->options.mode == IRIS_MODE_UTR
	    && ramp->kernels->sum_up(&ramp->calibration, block, &ramp->pattern,
				     job->first, job->count))
		return;
	for (k = job->first; k < job->first + job->count; k += m) {
		m = job->first + job->count - k;
		m = m < IRIS_BATCH ? m : IRIS_BATCH;
		block->reads = block->origin
			+ (1 + k - job->first) * IRIS_STAGED;
		iris_block_calibrate(ramp, block, k, m, work->charge);
		if (ramp->options.mode == IRIS_MODE_CDS)
			ramp->kernels->keep_last(block, k, m, work->charge);
		else
			ramp->kernels->accumulate(block, &ramp->pattern, k, m,
						  work->charge);
	}
}

static void sum_and_keep(const iris_job *job, size_t strip,
			 iris_workspace *work)
{
	const iris_ramp *ramp = job->ramp;
	iris_block *block = &work->block;
	const size_t i = block->y * ramp->options.nx + block->x;
	size_t l;

	(void)strip;
	iris_block_neighbours(ramp, block);
	sum_block(job, work);
	iris_block_suspend(ramp, block, job->first == 0);
	for (l = 0; l < block->count; l++) {
		ramp->sum[i + l] = block->sum[l];
		ramp->moment[i + l] = block->moment[l];
	}
}

void iris_strip_sum(const iris_job *job, size_t strip, iris_workspace *work)
{
	iris_strip_walk(job, strip, work, sum_and_keep);
}

/* --- the end ------------------------------------------------------------- */

/* Pixels with jumps, and what there is to say about those that saturate. */
static void look_closely(const iris_job *job, size_t strip,
			 iris_workspace *work, const uint32_t *broken)
{
	fit_suspects(job, strip, work, broken);
	if (!job->quiet)
		add_saturations(job->ramp, strip, &work->block);
}

/* Everything up to the rates of a block, and its events. */
static void finish_block(const iris_job *job, size_t strip,
			 iris_workspace *work)
{
	iris_ramp *ramp = job->ramp;
	iris_block *block = &work->block;
	uint32_t broken[IRIS_LANES] = {0};

	iris_block_neighbours(ramp, block);
	if (ramp->engine == IRIS_ENGINE_SUM) {
		sum_block(job, work);
		ramp->kernels->clamp(block, (int32_t)ramp->nread);
		ramp->kernels->slope(block, ramp->slopes);
		memset(block->suspect, 0, sizeof(block->suspect));
		if (ramp->kernels->is_odd(block, broken))
			look_closely(job, strip, work, broken);
		return;
	}
	if (ramp->engine == IRIS_ENGINE_FOLD)
		iris_fold_load(ramp, block, work->charge, broken);
	else
		iris_block_calibrate(ramp, block, 0, ramp->nread, work->charge);
	ramp->kernels->clamp(block, (int32_t)ramp->pattern.nsample);
	if (ramp->options.mode != IRIS_MODE_UTR)
		end_means(ramp, work);
	else if (ramp->options.estimator == IRIS_ESTIMATOR_OLS)
		least_squares(ramp, job->planes, work);
	else
		likelihood(ramp, work);
	if (ramp->kernels->is_odd(block, broken) || job->nsnowball > 0)
		look_closely(job, strip, work, broken);
}

static bool row_has_snowball(const iris_job *job, size_t y)
{
	size_t b, x0, x1;

	for (b = 0; b < job->nsnowball; b++)
		if (iris_snowball_row(&job->snowballs[b],
				      job->ramp->options.ny,
				      job->ramp->options.nx, y, &x0, &x1))
			return true;
	return false;
}

static void finish_and_store(const iris_job *job, size_t strip,
			     iris_workspace *work)
{
	finish_block(job, strip, work);
	iris_block_store(job->ramp, &work->block, job->planes);
}

/* Planes of a strip.  A job with snowballs does only the rows they touch. */
void iris_strip_finish(const iris_job *job, size_t strip, iris_workspace *work)
{
	size_t y0, y1, y;

	iris_strip_rows(job->ramp, strip, &y0, &y1);
	for (y = y0; y < y1; y++)
		if (job->nsnowball == 0 || row_has_snowball(job, y))
			walk_row(job, strip, y, work, finish_and_store);
}
