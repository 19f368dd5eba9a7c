/* SPDX-License-Identifier: BSD-3-Clause */
/* Every strip is done once, by one thread with a workspace of its own. */
#define _DEFAULT_SOURCE /* fork */
#include "check.h"
#include "internal.h"

#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 6, STRIPS = 200 };

static iris_workspace workspaces[THREADS];
static atomic_int done[STRIPS], busy[THREADS], clashes;

static void note_strip(const iris_job *job, size_t strip, iris_workspace *work)
{
	const ptrdiff_t who = work - workspaces;

	if (who < 0 || who >= THREADS || atomic_fetch_add(&busy[who], 1) != 0)
		atomic_fetch_add(&clashes, 1);
	atomic_fetch_add(&done[strip], (int)job->count);
	work->block.y = strip; /* not atomic: the thread sanitizer looks */
	atomic_fetch_sub(&busy[who], 1);
}

static void run(iris_pool *pool, size_t nstrip)
{
	const iris_job job = {.count = 1};
	size_t i;

	for (i = 0; i < STRIPS; i++)
		atomic_store(&done[i], 0);
	iris_pool_run(pool, note_strip, &job, nstrip, workspaces);
	for (i = 0; i < STRIPS; i++)
		CHECK(atomic_load(&done[i]) == (i < nstrip));
	CHECK(atomic_load(&clashes) == 0);
}

static void test_rounds(void)
{
	static const size_t strips[] = {0, 1, 2, THREADS, STRIPS, 3};
	size_t threads, i, round;

	for (threads = 1; threads <= THREADS; threads++) {
		iris_pool *pool = NULL;

		CHECK(iris_pool_create(&pool, threads) == IRIS_OK);
		for (round = 0; round < 20; round++)
			for (i = 0; i < sizeof(strips) / sizeof(*strips); i++)
				run(pool, strips[i]);
		iris_pool_destroy(pool);
	}
	iris_pool_destroy(NULL);
}

static void test_unused_pool_ends(void)
{
	iris_pool *pool = NULL;

	CHECK(iris_pool_create(&pool, THREADS) == IRIS_OK);
	iris_pool_destroy(pool);
}

static void test_number_of_threads(void)
{
	iris_options o;

	iris_options_init(&o, 100, 100);
	CHECK(iris_thread_count(&o, 7) >= 1 && iris_thread_count(&o, 7) <= 7);
	CHECK(iris_thread_count(&o, 1) == 1);
	o.nthreads = 3;
	CHECK(iris_thread_count(&o, 100) == 3 && iris_thread_count(&o, 2) == 2);
	o.nthreads = 1000000;
	CHECK(iris_thread_count(&o, 5) == 5);
}

/* The child of a fork has no threads and does the work alone. */
static void test_fork(void)
{
#if !defined(__SANITIZE_THREAD__)
	iris_pool *pool = NULL;
	int status = -1;
	pid_t child;

	CHECK(iris_pool_create(&pool, 3) == IRIS_OK);
	run(pool, STRIPS);
	child = fork();
	if (child == 0) {
		run(pool, STRIPS);
		iris_pool_destroy(pool);
		_exit(failures != 0);
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	run(pool, STRIPS);
	iris_pool_destroy(pool);
#endif
}

int main(void)
{
	test_rounds();
	test_unused_pool_ends();
	test_number_of_threads();
	test_fork();
	return failures != 0;
}
