/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Strips of rows, shared out to threads.  A strip does not know which thread
 * has it, and events are put together in the order of strips: results do not
 * depend on the number of threads.
 */
#define _DEFAULT_SOURCE /* _SC_NPROCESSORS_ONLN */
#include "internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct strip_job strip_job;

typedef iris_status strip_task(strip_job *job, size_t strip, iris_workspace *work);

struct strip_job {
	iris_ramp *ramp;
	const iris_planes *planes;
	strip_task *task;
	size_t nstrip;
	iris_event_list *events; /* (nstrip) */
	atomic_size_t next;
	atomic_int status;
};

typedef struct worker {
	strip_job *job;
	iris_workspace *workspace;
	pthread_t thread;
	bool started;
} worker;

static iris_status scan_task(strip_job *job, size_t strip, iris_workspace *work)
{
	iris_ramp *ramp = job->ramp;
	const size_t size = IRIS_STRIP * ramp->options.nx;
	const size_t first = strip * size;
	const size_t count = ramp->npixel - first < size
		? ramp->npixel - first : size;

	(void)work;
	iris_saturation_scan(ramp, first, count, ramp->saturated + first);
	return IRIS_OK;
}

static iris_status fit_task(strip_job *job, size_t strip, iris_workspace *work)
{
	work->events = &job->events[strip];
	return iris_process_strip(job->ramp, strip, job->planes, work);
}

static void *work_through(void *argument)
{
	worker *self = argument;
	strip_job *shared = self->job;

	while (atomic_load(&shared->status) == IRIS_OK) {
		const size_t strip = atomic_fetch_add(&shared->next, 1);
		iris_status status;

		if (strip >= shared->nstrip)
			break;
		status = shared->task(shared, strip, self->workspace);
		if (status != IRIS_OK)
			atomic_store(&shared->status, (int)status);
	}
	return NULL;
}

/* Run a task over all strips; a thread that cannot start is done without. */
static iris_status run(strip_job *job, strip_task *task, worker *workers,
		       size_t nworker)
{
	size_t w;

	job->task = task;
	atomic_store(&job->next, 0);
	for (w = 1; w < nworker; w++)
		workers[w].started = pthread_create(&workers[w].thread, NULL,
						    work_through,
						    &workers[w]) == 0;
	(void)work_through(&workers[0]);
	for (w = 1; w < nworker; w++)
		if (workers[w].started)
			(void)pthread_join(workers[w].thread, NULL);
	return (iris_status)atomic_load(&job->status);
}

static void workspace_free(iris_workspace *work)
{
	if (work == NULL)
		return;
	free(work->block.counts);
	free(work->pixel.charge);
	free(work->pixel.noise);
	free(work->pixel.broken);
	free(work->jumps);
	free(work->full.weight);
	free(work->other.weight);
	free(work);
}

/* Buffers for ramps of nread reads, and the estimator of an intact ramp. */
static iris_workspace *workspace_new(const iris_ramp *ramp)
{
	const size_t n = ramp->nread;
	iris_workspace *work = calloc(1, sizeof(*work));

	if (work == NULL)
		return NULL;
	work->block.counts = malloc(IRIS_BLOCK * n * sizeof(double));
	work->pixel.charge = malloc(n * sizeof(double));
	work->pixel.noise = malloc(n * sizeof(double));
	work->pixel.broken = malloc(n);
	work->jumps = malloc(n * sizeof(*work->jumps));
	work->full.weight = malloc(n * sizeof(double));
	work->other.weight = malloc(n * sizeof(double));
	if (work->block.counts == NULL || work->pixel.charge == NULL
	    || work->pixel.noise == NULL || work->pixel.broken == NULL
	    || work->jumps == NULL || work->full.weight == NULL
	    || work->other.weight == NULL) {
		workspace_free(work);
		return NULL;
	}
	work->pixel.time = ramp->times;
	work->pixel.nread = n;
	memset(work->pixel.broken, 0, n);
	work->pixel.broken[0] = 1;
	iris_estimator_set(&work->full, &ramp->options, &work->pixel);
	return work;
}

/* Put the events of all strips into the ramp, in their order. */
static iris_status collect(strip_job *job)
{
	iris_ramp *ramp = job->ramp;
	size_t total = 0, strip;

	for (strip = 0; strip < job->nstrip; strip++)
		total += job->events[strip].count;
	if (total == 0)
		return IRIS_OK;
	ramp->events = malloc(total * sizeof(*ramp->events));
	if (ramp->events == NULL)
		return IRIS_ERROR_MEMORY;
	for (strip = 0; strip < job->nstrip; strip++) {
		iris_event_list *list = &job->events[strip];

		if (list->count > 0)
			memcpy(ramp->events + ramp->nevent, list->item,
			       list->count * sizeof(*list->item));
		ramp->nevent += list->count;
		free(list->item);
		list->item = NULL;
	}
	return IRIS_OK;
}

static size_t count_threads(const iris_options *options, size_t nstrip)
{
	size_t count = options->nthreads;

	if (count == 0) {
		const long online = sysconf(_SC_NPROCESSORS_ONLN);

		count = online > 0 ? (size_t)online : 1;
	}
	return count < nstrip ? count : nstrip;
}

static iris_status run_all(strip_job *job, worker *workers, size_t nworker)
{
	iris_status status = IRIS_OK;
	size_t w;

	for (w = 0; w < nworker; w++) {
		workers[w].job = job;
		workers[w].workspace = workspace_new(job->ramp);
		if (workers[w].workspace == NULL)
			return IRIS_ERROR_MEMORY;
	}
	if (job->ramp->options.saturation_grow > 0)
		status = run(job, scan_task, workers, nworker);
	if (status == IRIS_OK)
		status = run(job, fit_task, workers, nworker);
	if (status == IRIS_OK)
		status = collect(job);
	return status;
}

/* Fit all reads of a ramp into planes and collect its events. */
iris_status iris_strips_run(iris_ramp *ramp, const iris_planes *planes)
{
	const size_t nstrip = (ramp->options.ny + IRIS_STRIP - 1) / IRIS_STRIP;
	const size_t nworker = count_threads(&ramp->options, nstrip);
	strip_job job = {.ramp = ramp, .planes = planes, .nstrip = nstrip};
	worker *workers = calloc(nworker, sizeof(*workers));
	iris_status status = IRIS_ERROR_MEMORY;
	size_t i;

	job.events = calloc(nstrip, sizeof(*job.events));
	atomic_init(&job.next, 0);
	atomic_init(&job.status, IRIS_OK);
	if (workers != NULL && job.events != NULL)
		status = run_all(&job, workers, nworker);
	for (i = 0; workers != NULL && i < nworker; i++)
		workspace_free(workers[i].workspace);
	for (i = 0; job.events != NULL && i < nstrip; i++)
		free(job.events[i].item);
	free(workers);
	free(job.events);
	return status;
}
