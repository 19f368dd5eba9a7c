/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bounded pool of threads that take strips in turn.  A strip does not know
 * which thread has it, so results do not depend on their number.  In a process
 * that was forked the threads are not there: the caller works alone then.
 */
#define _DEFAULT_SOURCE /* _SC_NPROCESSORS_ONLN */
#include "internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct member {
	iris_pool *pool;
	pthread_t thread;
	size_t number;
} member;

struct iris_pool {
	pthread_mutex_t lock;
	pthread_cond_t begin, end;
	member *members; /* without the caller */
	size_t nmember;
	size_t busy;
	unsigned long round;
	bool closing;
	pid_t owner;
	/* The work at hand. */
	iris_task *task;
	const iris_job *job;
	size_t nstrip;
	iris_workspace *workspaces;
	atomic_size_t next;
};

static void take_strips(iris_pool *pool, size_t number)
{
	for (;;) {
		const size_t strip = atomic_fetch_add(&pool->next, 1);

		if (strip >= pool->nstrip)
			break;
		pool->task(pool->job, strip, &pool->workspaces[number]);
	}
}

static void *live(void *argument)
{
	member *self = argument;
	iris_pool *pool = self->pool;
	unsigned long seen = 0;

	(void)pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (pool->round == seen && !pool->closing)
			(void)pthread_cond_wait(&pool->begin, &pool->lock);
		if (pool->closing)
			break;
		seen = pool->round;
		(void)pthread_mutex_unlock(&pool->lock);
		take_strips(pool, self->number);
		(void)pthread_mutex_lock(&pool->lock);
		pool->busy--;
		if (pool->busy == 0)
			(void)pthread_cond_signal(&pool->end);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Threads of a ramp: as asked, else one per processor, never more than strips. */
size_t iris_thread_count(const iris_options *options, size_t nstrip)
{
	size_t count = options->nthreads;

	if (count == 0) {
		const long online = sysconf(_SC_NPROCESSORS_ONLN);

		count = online > 0 ? (size_t)online : 1;
	}
	return count < nstrip ? count : nstrip;
}

/* A thread that cannot be started is done without. */
iris_status iris_pool_create(iris_pool **pool, size_t nthread)
{
	iris_pool *p = calloc(1, sizeof(*p));

	*pool = p;
	if (p == NULL)
		return IRIS_ERROR_MEMORY;
	p->owner = getpid();
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->begin, NULL);
	(void)pthread_cond_init(&p->end, NULL);
	p->members = calloc(nthread, sizeof(*p->members));
	if (p->members == NULL)
		return IRIS_ERROR_MEMORY;
	while (p->nmember + 1 < nthread) {
		member *m = &p->members[p->nmember];

		m->pool = p;
		m->number = p->nmember + 1;
		if (pthread_create(&m->thread, NULL, live, m) != 0)
			break;
		p->nmember++;
	}
	return IRIS_OK;
}

void iris_pool_destroy(iris_pool *pool)
{
	size_t i;

	if (pool == NULL)
		return;
	if (pool->owner == getpid()) {
		(void)pthread_mutex_lock(&pool->lock);
		pool->closing = true;
		(void)pthread_cond_broadcast(&pool->begin);
		(void)pthread_mutex_unlock(&pool->lock);
		for (i = 0; i < pool->nmember; i++)
			(void)pthread_join(pool->members[i].thread, NULL);
		(void)pthread_cond_destroy(&pool->begin);
		(void)pthread_cond_destroy(&pool->end);
		(void)pthread_mutex_destroy(&pool->lock);
	}
	free(pool->members);
	free(pool);
}

/* Run a task over all strips; returns when the last is done. */
void iris_pool_run(iris_pool *pool, iris_task *task, const iris_job *job,
		   size_t nstrip, iris_workspace *workspaces)
{
	const bool alone = pool->nmember == 0 || pool->owner != getpid();

	pool->task = task;
	pool->job = job;
	pool->nstrip = nstrip;
	pool->workspaces = workspaces;
	atomic_store(&pool->next, 0);
	if (!alone) {
		(void)pthread_mutex_lock(&pool->lock);
		pool->busy = pool->nmember;
		pool->round++;
		(void)pthread_cond_broadcast(&pool->begin);
		(void)pthread_mutex_unlock(&pool->lock);
	}
	take_strips(pool, 0);
	if (alone)
		return;
	(void)pthread_mutex_lock(&pool->lock);
	while (pool->busy > 0)
		(void)pthread_cond_wait(&pool->end, &pool->lock);
	(void)pthread_mutex_unlock(&pool->lock);
}
