/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The slow way: whole covariance matrices from first principles, solved by
 * Gaussian elimination.  The charges at t_i and t_j share what was collected
 * before the earlier one, so their covariance is rate * min(t_i, t_j); the
 * noise of every read is independent; a sample is the mean of its reads.
 */
#ifndef IRIS_READOUT_TESTS_DENSE_H
#define IRIS_READOUT_TESTS_DENSE_H

#include <stddef.h>

enum { DENSE_MOST = 64 };

typedef struct dense {
	size_t n;
	double at[DENSE_MOST][DENSE_MOST];
} dense;

/* Samples of a ramp; sample k is the mean of reads [first, first + count). */
typedef struct dense_ramp {
	const double *seconds; /* of every read */
	size_t nsample;
	size_t first[DENSE_MOST], count[DENSE_MOST];
	double charge[DENSE_MOST];    /* of the samples, e- */
	double weight[DENSE_MOST];    /* of the interval before each sample */
	unsigned char broken[DENSE_MOST]; /* difference k - 1 to k is masked */
	double variance;              /* of one read, e-^2 */
} dense_ramp;

/* What a linear estimate of the rate is worth. */
typedef struct dense_fit {
	double rate, var_read, photon_factor;
	double chi2; /* total */
	size_t ndifference;
} dense_fit;

/* Reads as they are: nread samples of one read, weights 1, nothing broken. */
void dense_reads(dense_ramp *r, const double *seconds, size_t nread,
		 double variance);
double dense_time(const dense_ramp *r, size_t sample);

/* Covariance of all samples at a photon rate and a variance of one read. */
void dense_samples(const dense_ramp *r, double rate, double variance,
		   dense *c);

/* Samples k whose difference from k - 1 is not broken, in order. */
size_t dense_used(const dense_ramp *r, size_t *used);

void dense_solve(const dense *c, const double *b, double *x);
double dense_form(const dense *c, const double *a, const double *b);

/* Covariance of the differences that are not broken. */
void dense_differences(const dense_ramp *r, double rate, double variance,
		       dense *c);

/* Smallest chi-square of the differences, the covariance being at a rate. */
double dense_chi_square(const dense_ramp *r, double rate);

/*
 * Generalised least squares with the covariance at a rate; an interval of
 * weight q counts as if its variance were 1 / q times as large, one of 0 not.
 */
dense_fit dense_at(const dense_ramp *r, double rate);

/*
 * The same from the mean of the differences without the extremes, `passes`
 * times with the covariance at the rate of the pass before; weights are used in
 * the last one and once more, with the covariance at its own rate.
 */
dense_fit dense_likelihood(const dense_ramp *r, int passes);

/* Sum of `coefficient` x samples: variances of one linear combination. */
void dense_variance(const dense_ramp *r, const double *coefficient,
		    double *read, double *photon);

/*
 * Least squares with one slope and an offset for each run of joined samples,
 * samples weighing as many as their reads; chi2 is not set.
 */
dense_fit dense_slope(const dense_ramp *r);

/* Mean of the last less mean of the first `m` samples. */
dense_fit dense_ends(const dense_ramp *r, size_t m);

#endif
