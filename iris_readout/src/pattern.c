/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables that depend on the times of the samples only: the covariance of their
 * differences and the linear estimators for every number of usable samples.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

enum { DOUBLES = 10, FLOATS = 8 };

iris_status iris_pattern_create(iris_pattern *p, size_t capacity)
{
	double *doubles = iris_reserve(DOUBLES * capacity, sizeof(double));
	float *floats = iris_reserve(FLOATS * capacity, sizeof(float));

	memset(p, 0, sizeof(*p));
	p->time = doubles;
	p->step = floats;
	p->first = iris_reserve(capacity, sizeof(*p->first));
	p->capacity = capacity;
	if (doubles == NULL || floats == NULL || p->first == NULL)
		return IRIS_ERROR_MEMORY;
	p->tau = doubles + capacity;
	p->count = doubles + 2 * capacity;
	p->weight = doubles + 3 * capacity;
	p->exact_step = doubles + 4 * capacity;
	p->exact_inverse = doubles + 5 * capacity;
	p->exact_photon = doubles + 6 * capacity;
	p->exact_photon_off = doubles + 7 * capacity;
	p->exact_read = doubles + 8 * capacity;
	p->exact_read_off = doubles + 9 * capacity;
	p->inverse = floats + capacity;
	p->photon = floats + 2 * capacity;
	p->photon_off = floats + 3 * capacity;
	p->read = floats + 4 * capacity;
	p->read_off = floats + 5 * capacity;
	p->inflate = floats + 6 * capacity;
	p->since = floats + 7 * capacity;
	return IRIS_OK;
}

void iris_pattern_destroy(iris_pattern *p)
{
	iris_unreserve(p->time, DOUBLES * p->capacity, sizeof(double));
	iris_unreserve(p->step, FLOATS * p->capacity, sizeof(float));
	iris_unreserve(p->first, p->capacity, sizeof(*p->first));
}

/*
 * Variance and covariance of differences for unit photon rate and unit read
 * variance: difference i is sample i + 1 minus sample i, and shares sample i
 * with the one before it.  The charge of two samples shares that collected
 * before the earlier one (its mean time), a sample with itself tau.
 */
static double photon_on(const iris_pattern *p, size_t i)
{
	return p->tau[i] + p->tau[i + 1] - 2.0 * p->time[i];
}

static double photon_beside(const iris_pattern *p, size_t i)
{
	return i > 0 ? p->time[i] - p->tau[i] : 0.0;
}

static double read_on(const iris_pattern *p, size_t i)
{
	return 1.0 / p->count[i] + 1.0 / p->count[i + 1];
}

static double read_beside(const iris_pattern *p, size_t i)
{
	return i > 0 ? -1.0 / p->count[i] : 0.0;
}

/* What sums need to know of a sample before the ramp is complete. */
void iris_pattern_since(iris_pattern *p, size_t k)
{
	p->since[k] = (float)(p->count[k] * (p->time[k] - p->time[0]));
}

/* Fill in what follows from nsample, time, tau, count and weight. */
void iris_pattern_complete(iris_pattern *p)
{
	size_t i;

	for (i = 0; i < p->nsample; i++)
		iris_pattern_since(p, i);

	p->weighted = p->folded = false;
	for (i = 0; i < p->nsample; i++) {
		p->weighted |= i > 0 && p->weight[i] != 1.0;
		p->folded |= p->count[i] != 1.0;
	}
	for (i = 0; i + 1 < p->nsample; i++) {
		p->exact_step[i] = p->time[i + 1] - p->time[i];
		p->exact_inverse[i] = 1.0 / p->exact_step[i];
		p->exact_photon[i] = photon_on(p, i);
		p->exact_photon_off[i] = photon_beside(p, i);
		p->exact_read[i] = read_on(p, i);
		p->exact_read_off[i] = read_beside(p, i);
		p->step[i] = (float)p->exact_step[i];
		p->inverse[i] = (float)p->exact_inverse[i];
		p->photon[i] = (float)p->exact_photon[i];
		p->photon_off[i] = (float)p->exact_photon_off[i];
		p->read[i] = (float)p->exact_read[i];
		p->read_off[i] = (float)p->exact_read_off[i];
		p->inflate[i] = p->weight[i + 1] > 0.0
			? (float)(1.0 / p->weight[i + 1]) : HUGE_VALF;
	}
}

static double total_count(const iris_pattern *p, size_t n)
{
	double total = 0.0;
	size_t k;

	for (k = 0; k < n; k++)
		total += p->count[k];
	return total;
}

/*
 * Weight of sample k among n in a least-squares slope (not normalised), or in
 * the difference of the means of the last and the first m reads.
 */
static double sample_weight(const iris_pattern *p, size_t n, size_t m,
			    double mean, size_t k)
{
	if (m == 0)
		return p->count[k] * (p->time[k] - p->time[0] - mean);
	return (k + m >= n) - (double)(k < m);
}

/* Factors of the variance when difference i weighs sum_{k > i} w_k q_i. */
static void set_factors(iris_slope *s, const iris_pattern *p, size_t n,
			size_t m, double mean)
{
	double cumulated = 0.0, later = 0.0, norm = 0.0;
	size_t i;

	s->read_factor = s->photon_factor = 0.0;
	for (i = n - 1; i-- > 0;) {
		double w;

		cumulated += sample_weight(p, n, m, mean, i + 1);
		w = cumulated * p->weight[i + 1];
		norm += w * (p->time[i + 1] - p->time[i]);
		s->photon_factor += w * w * p->exact_photon[i];
		s->read_factor += w * w * p->exact_read[i];
		if (i + 2 < n) {
			s->photon_factor += 2.0 * w * later
				* p->exact_photon_off[i + 1];
			s->read_factor += 2.0 * w * later
				* p->exact_read_off[i + 1];
		}
		later = w;
	}
	s->scale = norm > 0.0 ? 1.0 / norm : 0.0;
	s->read_factor *= s->scale * s->scale;
	s->photon_factor *= s->scale * s->scale;
	if (!(norm > 0.0))
		s->nused = 0;
}

/* Mean time of n samples since the first. */
static double mean_time(const iris_pattern *p, size_t n)
{
	double sum = 0.0, total = 0.0;
	size_t k;

	for (k = 0; k < n; k++) {
		sum += p->count[k] * (p->time[k] - p->time[0]);
		total += p->count[k];
	}
	return sum / total;
}

static size_t fowler(const iris_options *o, size_t n)
{
	const size_t m = o->mode == IRIS_MODE_CDS ? 1 : o->nfowler;

	return m < n / 2 ? m : n / 2;
}

/*
 * Estimators for the first n of the samples, n = 0 .. nsample.  For a least-
 * squares slope sum and moment are those of all usable samples; for the means
 * of m reads sum is that of the last less that of the first ones, moment 0.
 */
void iris_slopes_set(iris_slope *slopes, const iris_pattern *p,
		     const iris_options *options)
{
	size_t n;

	for (n = 0; n <= p->nsample; n++) {
		iris_slope *s = &slopes[n];
		const bool slope = options->mode == IRIS_MODE_UTR;
		const size_t m = slope ? 0 : fowler(options, n);

		memset(s, 0, sizeof(*s));
		if (n < 2)
			continue;
		s->offset = slope ? mean_time(p, n) : 0.0;
		s->nused = (uint16_t)(slope ? total_count(p, n)
				      : 2.0 * (double)m);
		set_factors(s, p, n, m, s->offset);
		if (!slope) /* rate = -offset scale sum */
			s->offset = -1.0;
	}
}

/* Last minus first of n plain reads. */
static void set_difference(iris_slope *s, const iris_pattern *p, size_t n)
{
	s->scale = 1.0 / (p->time[n - 1] - p->time[0]);
	s->offset = -1.0;
	s->read_factor = 2.0 * s->scale * s->scale;
	s->photon_factor = s->scale;
	s->nused = 2;
}

/* Sums over the first n reads, S_i being the sum of the times before read i. */
typedef struct running {
	double st, stt;    /* times, their squares */
	double ss, si, ii; /* S^2, S i and i^2 times the step after */
} running;

static void run_on(running *r, const iris_pattern *p, size_t n)
{
	const double t = p->time[n - 1] - p->time[0];
	const double before = (double)(n - 1);

	if (n > 1) {
		const double step = p->time[n - 1] - p->time[n - 2];

		r->ss += step * r->st * r->st;
		r->si += step * r->st * before;
		r->ii += step * before * before;
	}
	r->st += t;
	r->stt += t * t;
}

/* Difference i weighs W_i = tbar i - S_i over the spread of the times. */
static void set_slope(iris_slope *s, const running *r, size_t n)
{
	s->offset = r->st / (double)n;
	s->scale = 1.0 / (r->stt - r->st * s->offset);
	s->read_factor = s->scale;
	s->photon_factor = (r->ss - 2.0 * s->offset * r->si
			    + s->offset * s->offset * r->ii)
		* s->scale * s->scale;
	s->nused = (uint16_t)n;
}

/* The same for any number of plain reads, in one go: UTR and CDS. */
void iris_slopes_set_running(iris_slope *slopes, const iris_pattern *p,
			     iris_mode mode)
{
	running r = {0};
	size_t n;

	for (n = 0; n <= p->nsample; n++) {
		memset(&slopes[n], 0, sizeof(*slopes));
		if (n > 0)
			run_on(&r, p, n);
		if (n > 1 && mode == IRIS_MODE_CDS)
			set_difference(&slopes[n], p, n);
		else if (n > 1)
			set_slope(&slopes[n], &r, n);
	}
}

/*
 * Residual of difference i against the mean rate of the others, when all reads
 * are there: see two_point.c, whose general form this is for one run of reads.
 */
void iris_two_point_set(iris_two_point *table, const iris_pattern *p)
{
	const size_t n = p->nsample - 1;
	const double time = p->time[n] - p->time[0];
	size_t i;

	for (i = 0; i < n; i++) {
		const double step = p->time[i + 1] - p->time[i];
		const double f = n > 1 ? step / (time - step) : 0.0;
		const double joined = (1.0 + f) * (1.0 + f);

		table->photon[i] = (float)(step * (1.0 + f));
		table->read[i] = (float)((i == 0 ? 1.0 : f * f + joined)
					 + (i + 1 == n ? 1.0
					    : f * f + joined));
	}
}
