/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nothing is allocated, and no thread started, once a ramp exists: the linker
 * sends such calls of the library here (see CMakeLists.txt), to be counted.
 */
#include "check.h"
#include "internal.h"
#include "scene.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

static atomic_int calls;
static atomic_bool counting;

static void count(void)
{
	if (atomic_load(&counting))
		atomic_fetch_add(&calls, 1);
}

/* Names that the linker gives: __wrap_f is called for f, __real_f is f. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int file,
		  off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file,
		  off_t offset);
int __real_munmap(void *memory, size_t size);
int __wrap_munmap(void *memory, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);
void __real_free(void *memory);
void __wrap_free(void *memory);

void *__wrap_malloc(size_t size)
{
	count();
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	count();
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	count();
	return __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	count();
	return __real_aligned_alloc(align, size);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int file,
		  off_t offset)
{
	count();
	return __real_mmap(at, size, protection, flags, file, offset);
}

int __wrap_munmap(void *memory, size_t size)
{
	count();
	return __real_munmap(memory, size);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument)
{
	count();
	return __real_pthread_create(thread, attributes, start, argument);
}

void __wrap_free(void *memory)
{
	count();
	__real_free(memory);
}

/* All that may be done with a ramp between create and destroy. */
static void live(const scene *s, iris_ramp *ramp, const iris_planes *planes)
{
	size_t n = 0;

	CHECK(iris_ramp_push(ramp, NULL, IRIS_NATIVE, 0.0) == IRIS_ERROR_NULL);
	CHECK(scene_push(s, ramp, false) == IRIS_OK);
	CHECK(iris_ramp_push(ramp, s->stored[0], IRIS_NATIVE, 0.0)
	      == IRIS_ERROR_TIME);
	CHECK(iris_ramp_finish(ramp, planes) == IRIS_OK);
	CHECK(iris_ramp_finish(ramp, planes) == IRIS_OK);
	CHECK(iris_ramp_events(ramp, &n) != NULL && n > 0);
	CHECK(iris_ramp_lost_events(ramp) == 0);
	CHECK(iris_ramp_folding(ramp) >= 1.0 && iris_ramp_nread(ramp) > 0);
	CHECK(*iris_ramp_isa(ramp) != '\0' && *iris_ramp_error(ramp) == '\0');
	CHECK(iris_ramp_reset(ramp) == IRIS_OK);
	CHECK(scene_push(s, ramp, true) == IRIS_OK);
	CHECK(iris_ramp_finish(ramp, planes) == IRIS_OK);
}

static void check_engine(const iris_options *o, const scene *s)
{
	const iris_planes planes = scene_planes(s->npixel);
	iris_ramp *ramp = NULL;
	int before;

	atomic_store(&counting, true);
	before = atomic_load(&calls);
	CHECK(iris_ramp_create(&ramp, o, NULL, 0) == IRIS_OK);
	CHECK(atomic_load(&calls) > before + 10); /* they are counted */
	before = atomic_load(&calls);
	live(s, ramp, &planes);
	CHECK(atomic_load(&calls) == before);
	iris_ramp_destroy(ramp);
	CHECK(atomic_load(&calls) > before + 10);
	atomic_store(&counting, false);
}

static void set_border(iris_options *o)
{
	static float weights[2 * 5] = {0.1f, 0.2f, 0.2f, 0.2f, 0.1f,
				       0.1f, 0.2f, 0.2f, 0.2f, 0.1f};

	o->ref_pixels = 4;
	o->noutputs = 2;
	o->ref_weights = (iris_refweights){5, weights, weights};
}

int main(void)
{
	static scene s;
	iris_options o;

	scene_make(&s, 40, 70, 30, SCENE_MAPS | SCENE_SATURATED | SCENE_GROW
		   | SCENE_HITS | SCENE_LINEARITY, 1);
	s.options.nthreads = 3;
	s.options.snowballs = 1;
	o = s.options; /* likelihood, reads kept */
	check_engine(&o, &s);
	o.memory_limit = 1; /* folded */
	check_engine(&o, &s);
	o = s.options;
	o.estimator = IRIS_ESTIMATOR_OLS; /* two-point test */
	check_engine(&o, &s);
	o.jump_sigma = 0.0; /* sums */
	check_engine(&o, &s);
	set_border(&o); /* with reference pixels and kernels */
	check_engine(&o, &s);
	o.side_rows = 11;
	o.ref_weights.nlag = 0;
	check_engine(&o, &s);
	o = s.options;
	o.mode = IRIS_MODE_CDS;
	check_engine(&o, &s);
	o.mode = IRIS_MODE_MCDS;
	o.nfowler = 4;
	check_engine(&o, &s);
	return failures != 0;
}
