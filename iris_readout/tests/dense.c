/* SPDX-License-Identifier: BSD-3-Clause */
#include "dense.h"

#include <math.h>
#include <string.h>

void dense_reads(dense_ramp *r, const double *seconds, size_t nread,
		 double variance)
{
	size_t k;

	memset(r, 0, sizeof(*r));
	r->seconds = seconds;
	r->nsample = nread;
	r->variance = variance;
	for (k = 0; k < nread; k++) {
		r->first[k] = k;
		r->count[k] = 1;
		r->weight[k] = 1.0;
	}
}

double dense_time(const dense_ramp *r, size_t sample)
{
	double sum = 0.0;
	size_t k;

	for (k = 0; k < r->count[sample]; k++)
		sum += r->seconds[r->first[sample] + k];
	return sum / (double)r->count[sample];
}

void dense_samples(const dense_ramp *r, double rate, double variance, dense *c)
{
	size_t a, b, i, j;

	c->n = r->nsample;
	for (a = 0; a < c->n; a++) {
		for (b = 0; b < c->n; b++) {
			double sum = 0.0;

			for (i = r->first[a]; i < r->first[a] + r->count[a];
			     i++)
				for (j = r->first[b];
				     j < r->first[b] + r->count[b]; j++)
					sum += rate * fmin(r->seconds[i],
							   r->seconds[j])
						+ (i == j ? variance : 0.0);
			c->at[a][b] = sum / (double)(r->count[a]
						     * r->count[b]);
		}
	}
}

size_t dense_used(const dense_ramp *r, size_t *used)
{
	size_t n = 0, k;

	for (k = 1; k < r->nsample; k++)
		if (!r->broken[k])
			used[n++] = k;
	return n;
}

void dense_differences(const dense_ramp *r, double rate, double variance,
		       dense *c)
{
	static dense s;
	size_t used[DENSE_MOST], i, j;

	dense_samples(r, rate, variance, &s);
	c->n = dense_used(r, used);
	for (i = 0; i < c->n; i++) {
		for (j = 0; j < c->n; j++) {
			const size_t a = used[i], b = used[j];

			c->at[i][j] = s.at[a][b] - s.at[a - 1][b]
				- s.at[a][b - 1] + s.at[a - 1][b - 1];
		}
	}
}

/* By Gaussian elimination with pivots. */
void dense_solve(const dense *c, const double *b, double *x)
{
	static double m[DENSE_MOST][DENSE_MOST + 1];
	const size_t n = c->n;
	size_t i, j, k;

	for (i = 0; i < n; i++) {
		memcpy(m[i], c->at[i], n * sizeof(double));
		m[i][n] = b[i];
	}
	for (i = 0; i < n; i++) {
		size_t largest = i;

		for (j = i; j < n; j++)
			if (fabs(m[j][i]) > fabs(m[largest][i]))
				largest = j;
		for (k = i; k <= n; k++) {
			const double kept = m[i][k];

			m[i][k] = m[largest][k];
			m[largest][k] = kept;
		}
		for (j = i + 1; j < n; j++) {
			const double factor = m[j][i] / m[i][i];

			for (k = i; k <= n; k++)
				m[j][k] -= factor * m[i][k];
		}
	}
	for (i = n; i-- > 0;) {
		x[i] = m[i][n];
		for (k = i + 1; k < n; k++)
			x[i] -= m[i][k] * x[k];
		x[i] /= m[i][i];
	}
}

double dense_form(const dense *c, const double *a, const double *b)
{
	double x[DENSE_MOST], sum = 0.0;
	size_t i;

	dense_solve(c, b, x);
	for (i = 0; i < c->n; i++)
		sum += a[i] * x[i];
	return sum;
}

/* Charge and time of the differences in use. */
static size_t take_differences(const dense_ramp *r, double *d, double *t)
{
	size_t used[DENSE_MOST], i;
	const size_t n = dense_used(r, used);

	for (i = 0; i < n; i++) {
		d[i] = r->charge[used[i]] - r->charge[used[i] - 1];
		t[i] = dense_time(r, used[i]) - dense_time(r, used[i] - 1);
	}
	return n;
}

double dense_chi_square(const dense_ramp *r, double rate)
{
	static dense c;
	double d[DENSE_MOST], t[DENSE_MOST], b;

	(void)take_differences(r, d, t);
	dense_differences(r, fmax(rate, 0.0), r->variance, &c);
	b = dense_form(&c, d, t);
	return dense_form(&c, d, d) - b * b / dense_form(&c, t, t);
}

/* w' C w. */
static double spread(const dense *c, const double *w)
{
	double sum = 0.0;
	size_t i, j;

	for (i = 0; i < c->n; i++)
		for (j = 0; j < c->n; j++)
			sum += w[i] * c->at[i][j] * w[j];
	return sum;
}

dense_fit dense_at(const dense_ramp *r, double rate)
{
	static dense c;
	dense_ramp counted = *r;
	double d[DENSE_MOST], t[DENSE_MOST];
	double w[DENSE_MOST] = {0.0}, norm = 0.0;
	size_t used[DENSE_MOST], i, k;
	dense_fit fit = {0};

	for (k = 1; k < r->nsample; k++)
		if (!(r->weight[k] > 0.0))
			counted.broken[k] = 1;
	(void)take_differences(&counted, d, t);
	fit.ndifference = dense_used(&counted, used);
	dense_differences(&counted, fmax(rate, 0.0), r->variance, &c);
	for (i = 0; i < c.n; i++) /* as if it were that much noisier */
		c.at[i][i] /= r->weight[used[i]];
	dense_solve(&c, t, w);
	for (i = 0; i < c.n; i++)
		norm += w[i] * t[i];
	for (i = 0; i < c.n; i++) {
		w[i] /= norm;
		fit.rate += w[i] * d[i];
	}
	dense_differences(&counted, 0.0, r->variance, &c);
	fit.var_read = spread(&c, w);
	dense_differences(&counted, 1.0, 0.0, &c);
	fit.photon_factor = spread(&c, w);
	fit.chi2 = dense_chi_square(r, rate);
	fit.ndifference = dense_used(r, used);
	return fit;
}

/* Mean of the differences, without the extremes where there are three. */
static double trimmed_mean(const dense_ramp *r)
{
	double d[DENSE_MOST], t[DENSE_MOST], charge = 0.0, time = 0.0;
	const size_t n = take_differences(r, d, t);
	size_t low = 0, high = 0, i;

	for (i = 0; i < n; i++) {
		low = d[i] / t[i] < d[low] / t[low] ? i : low;
		high = d[i] / t[i] > d[high] / t[high] ? i : high;
	}
	for (i = 0; i < n; i++) {
		if (n > 2 && low != high && (i == low || i == high))
			continue;
		charge += d[i];
		time += t[i];
	}
	return charge / time;
}

dense_fit dense_likelihood(const dense_ramp *r, int passes)
{
	dense_ramp plain = *r;
	dense_fit fit = {0}, weighted;
	double rate = trimmed_mean(r);
	int differ = 0;
	size_t k;

	for (k = 0; k < r->nsample; k++) {
		differ |= r->weight[k] < 1.0;
		plain.weight[k] = 1.0;
	}
	for (; passes > 0; passes--) {
		fit = dense_at(&plain, rate);
		rate = passes > 1 ? fit.rate : rate;
	}
	if (!differ)
		return fit;
	weighted = dense_at(r, dense_at(r, rate).rate);
	weighted.chi2 = fit.chi2;
	return weighted;
}

void dense_variance(const dense_ramp *r, const double *coefficient,
		    double *read, double *photon)
{
	static dense c;

	dense_samples(r, 0.0, r->variance, &c);
	*read = spread(&c, coefficient);
	dense_samples(r, 1.0, 0.0, &c);
	*photon = spread(&c, coefficient);
}

/*
 * A linear estimate sum_k a_k s_k of the slope, where s_k is the charge counted
 * with the weights of the intervals: its value, what it gives for a rate of 1,
 * and its variance as that of a combination of the samples themselves.
 */
static dense_fit weigh(const dense_ramp *r, const double *a)
{
	double combination[DENSE_MOST] = {0.0};
	double charge = 0.0, time = 0.0, sum = 0.0, norm = 0.0;
	size_t k, j;
	dense_fit fit = {0};

	for (k = 0; k < r->nsample; k++) {
		if (k > 0) {
			charge += r->weight[k]
				* (r->charge[k] - r->charge[k - 1]);
			time += r->weight[k]
				* (dense_time(r, k) - dense_time(r, k - 1));
		}
		sum += a[k] * charge;
		norm += a[k] * time;
		for (j = 1; j <= k; j++) {
			combination[j] += a[k] * r->weight[j];
			combination[j - 1] -= a[k] * r->weight[j];
		}
	}
	for (k = 0; k < r->nsample; k++)
		combination[k] /= norm;
	fit.rate = sum / norm;
	dense_variance(r, combination, &fit.var_read, &fit.photon_factor);
	return fit;
}

dense_fit dense_slope(const dense_ramp *r)
{
	static dense normal;
	size_t run[DENSE_MOST], nrun = 0, k, j, i;
	double unit[DENSE_MOST] = {1.0}, row[DENSE_MOST], a[DENSE_MOST];

	/* Unknowns: the slope, then the offset of each run. */
	for (k = 0; k < r->nsample; k++) {
		nrun += k == 0 || r->broken[k];
		run[k] = nrun;
	}
	memset(&normal, 0, sizeof(normal));
	normal.n = nrun + 1;
	for (k = 0; k < r->nsample; k++) {
		double design[DENSE_MOST] = {0.0};

		design[0] = dense_time(r, k) - dense_time(r, 0);
		design[run[k]] = 1.0;
		for (i = 0; i < normal.n; i++)
			for (j = 0; j < normal.n; j++)
				normal.at[i][j] += (double)r->count[k]
					* design[i] * design[j];
	}
	dense_solve(&normal, unit, row); /* a row of the inverse */
	for (k = 0; k < r->nsample; k++)
		a[k] = (double)r->count[k]
			* (row[0] * (dense_time(r, k) - dense_time(r, 0))
			   + row[run[k]]);
	return weigh(r, a);
}

dense_fit dense_ends(const dense_ramp *r, size_t m)
{
	double a[DENSE_MOST] = {0.0};
	size_t k;

	for (k = 0; k < m; k++) {
		a[k] -= 1.0;
		a[r->nsample - 1 - k] += 1.0;
	}
	return weigh(r, a);
}
