/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A detector controller: one thread takes reads of a simulated detector, every
 * 0.72 s over a factor, and puts them into a queue; the main thread pushes them
 * as they come and fits the ramp when the last one is there.
 *
 *     cc -o detector_controller detector_controller.c \
 *         $(pkg-config --cflags --libs iris_readout) -pthread -lm
 *     ./detector_controller [FACTOR [NREAD]]
 */
#define _POSIX_C_SOURCE 200809L
#include <iris_readout.h>

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NY = 256, NX = 256, BORDER = 4, OUTPUTS = 8, NPIXEL = NY * NX };
enum { SLOTS = 4 }; /* reads that may wait */

static const double period = 0.72; /* s between reads */
static const double light = 400.0; /* DN/s */

/* One read in the queue. */
typedef struct item {
	double seconds; /* since the reset */
	double taken;   /* on the clock */
	uint16_t *counts;
} item;

/* Between the two threads; the lock holds for all below it. */
typedef struct queue {
	double factor;
	size_t nread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	item items[SLOTS];
	size_t head, waiting;
	size_t lost; /* reads that found no room */
	bool ended;  /* no read comes any more */
	bool stop;   /* none is wanted any more */
} queue;

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void sleep_until(double when)
{
	double left;

	while ((left = when - now()) > 0.0) {
		struct timespec t = { .tv_sec = (time_t)left };

		t.tv_nsec = (long)(1e9 * (left - (double)t.tv_sec));
		(void)nanosleep(&t, NULL);
	}
}

/* Stands for the detector: light within a dark border, a bias, no noise. */
static void expose(uint16_t *counts, double seconds)
{
	for (size_t y = 0; y < NY; y++) {
		for (size_t x = 0; x < NX; x++) {
			const bool lit = y >= BORDER && y < NY - BORDER &&
					 x >= BORDER && x < NX - BORDER;

			counts[y * NX + x] = (uint16_t)(
				5000.0 + (lit ? light * seconds : 0.0));
		}
	}
}

/* A detector does not wait: a read that finds the queue full is lost. */
static bool deliver(queue *q, const uint16_t *counts, double seconds)
{
	bool wanted;

	(void)pthread_mutex_lock(&q->lock);
	if (q->waiting < SLOTS) {
		item *slot = &q->items[(q->head + q->waiting) % SLOTS];

		memcpy(slot->counts, counts, NPIXEL * sizeof *counts);
		slot->seconds = seconds;
		slot->taken = now();
		q->waiting++;
	} else {
		q->lost++;
	}
	wanted = !q->stop;
	(void)pthread_cond_signal(&q->changed);
	(void)pthread_mutex_unlock(&q->lock);
	return wanted;
}

static void *take_reads(void *shared)
{
	queue *q = shared;
	uint16_t *counts = malloc(NPIXEL * sizeof *counts);
	const double reset = now();

	for (size_t k = 1; k <= q->nread && counts != NULL; k++) {
		const double seconds = period * (double)k;

		expose(counts, seconds);
		sleep_until(reset + seconds / q->factor);
		if (!deliver(q, counts, seconds))
			break;
	}
	free(counts);
	(void)pthread_mutex_lock(&q->lock);
	q->ended = true;
	(void)pthread_cond_signal(&q->changed);
	(void)pthread_mutex_unlock(&q->lock);
	return NULL;
}

/* The next read, which stays in the queue; NULL when the ramp has ended. */
static const item *wait_for_read(queue *q)
{
	const item *next = NULL;

	(void)pthread_mutex_lock(&q->lock);
	while (q->waiting == 0 && !q->ended)
		(void)pthread_cond_wait(&q->changed, &q->lock);
	if (q->waiting > 0)
		next = &q->items[q->head];
	(void)pthread_mutex_unlock(&q->lock);
	return next;
}

static void release_read(queue *q)
{
	(void)pthread_mutex_lock(&q->lock);
	q->head = (q->head + 1) % SLOTS;
	q->waiting--;
	(void)pthread_mutex_unlock(&q->lock);
}

/* Push reads as they come; gives the time when the last one was taken. */
static bool push_reads(iris_ramp *ramp, queue *q, double *taken)
{
	const item *read;

	while ((read = wait_for_read(q)) != NULL) {
		const double start = now();
		const iris_status status = iris_ramp_push(
			ramp, read->counts, IRIS_NATIVE, read->seconds);

		*taken = read->taken;
		if (status != IRIS_OK) {
			(void)fprintf(stderr, "%s\n", iris_ramp_error(ramp));
			return false;
		}
		(void)printf("read %zu: waited %.3f ms, push %.3f ms\n",
			     iris_ramp_nread(ramp), 1e3 * (start - *taken),
			     1e3 * (now() - start));
		release_read(q);
	}
	return true;
}

static bool fit(iris_ramp *ramp, double taken)
{
	const size_t centre = NPIXEL / 2 + NX / 2;
	float *plane = malloc(3 * NPIXEL * sizeof *plane);
	uint32_t *dq = malloc(NPIXEL * sizeof *dq);
	const iris_planes planes = { .rate = plane,
				     .var_read = plane + NPIXEL,
				     .var_photon = plane + 2 * NPIXEL,
				     .dq = dq };
	bool good = plane != NULL && dq != NULL;

	if (!good)
		(void)fprintf(stderr, "no memory\n");
	else if (iris_ramp_finish(ramp, &planes) != IRIS_OK)
		good = false;
	if (good) {
		(void)printf("last read to planes: %.3f ms\n",
			     1e3 * (now() - taken));
		(void)printf("%.1f +- %.1f e-/s\n", (double)plane[centre],
			     sqrt((double)(planes.var_read[centre] +
					   planes.var_photon[centre])));
	} else if (plane != NULL && dq != NULL) {
		(void)fprintf(stderr, "%s\n", iris_ramp_error(ramp));
	}
	free(plane);
	free(dq);
	return good;
}

/* The life of the detector's thread: whatever happens, it is joined. */
static bool run(iris_ramp *ramp, queue *q)
{
	double taken = 0.0;
	pthread_t detector;
	bool good;

	if (pthread_create(&detector, NULL, take_reads, q) != 0) {
		(void)fprintf(stderr, "no thread\n");
		return false;
	}
	good = push_reads(ramp, q, &taken);
	(void)pthread_mutex_lock(&q->lock);
	q->stop = true;
	(void)pthread_mutex_unlock(&q->lock);
	(void)pthread_join(detector, NULL);
	if (q->lost > 0)
		(void)printf("%zu reads were lost\n", q->lost);
	return good && fit(ramp, taken);
}

static iris_ramp *make_ramp(void)
{
	char message[256];
	iris_options options;
	iris_ramp *ramp = NULL;

	iris_options_init(&options, NY, NX);
	options.gain.value = 3.04f;      /* e-/DN */
	options.read_noise.value = 9.0f; /* e-, one read */
	options.ref_pixels = BORDER;
	options.noutputs = OUTPUTS;
	if (iris_ramp_create(&ramp, &options, message, sizeof message))
		(void)fprintf(stderr, "%s\n", message);
	return ramp;
}

int main(int argc, char **argv)
{
	queue q = { .factor = argc > 1 ? atof(argv[1]) : 1.0,
		    .nread = argc > 2 ? (size_t)atol(argv[2]) : 10 };
	uint16_t *counts = malloc(SLOTS * NPIXEL * sizeof *counts);
	iris_ramp *ramp = make_ramp();
	bool good = counts != NULL && ramp != NULL && q.factor > 0.0;

	if (!(q.factor > 0.0))
		(void)fprintf(stderr, "usage: %s [FACTOR [NREAD]], FACTOR "
			      "above 0\n", argv[0]);
	for (size_t i = 0; i < SLOTS && good; i++)
		q.items[i].counts = counts + i * NPIXEL;
	(void)pthread_mutex_init(&q.lock, NULL);
	(void)pthread_cond_init(&q.changed, NULL);
	good = good && run(ramp, &q);
	(void)pthread_cond_destroy(&q.changed);
	(void)pthread_mutex_destroy(&q.lock);
	iris_ramp_destroy(ramp);
	free(counts);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
