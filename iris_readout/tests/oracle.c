/* SPDX-License-Identifier: BSD-3-Clause */
#include "oracle.h"

#include "dense.h"

#include <math.h>
#include <string.h>

/* The reads that are looked at, and the pixel they are looked at in. */
typedef struct pixel {
	const scene *s;
	size_t y, x, map; /* index of the pixel in maps */
	size_t n;
	size_t number[SCENE_READS]; /* of the read, from 0 on */
	double seconds[SCENE_READS], counts[SCENE_READS], charge[SCENE_READS];
	double weight[SCENE_READS];
} pixel;

static double value(const iris_map *map, size_t i)
{
	return (double)(map->map != NULL ? map->map[i] : map->value);
}

static bool good(double v)
{
	return isfinite(v) && v > 0.0;
}

static uint32_t bit(enum iris_dq which)
{
	return IRIS_DQ_MASK(which);
}

static void look_at(pixel *p, const scene *s, size_t y, size_t x)
{
	const iris_options *o = &s->options;
	size_t k;

	memset(p, 0, sizeof(*p));
	p->s = s;
	p->y = y;
	p->x = x;
	p->map = o->map_ny > 0 ? (y + o->map_y) * o->map_nx + x + o->map_x
		: y * o->nx + x;
	for (k = 0; k < s->nread; k++) {
		if (s->reads[k].dropped)
			continue;
		p->number[p->n] = k;
		p->seconds[p->n] = s->reads[k].seconds;
		p->weight[p->n] = s->reads[k].weight;
		p->counts[p->n] = s->native[k][y * o->nx + x];
		p->n++;
	}
}

/* First read at or above the level; p->n: none. */
static size_t first_saturated(const pixel *p)
{
	const iris_options *o = &p->s->options;
	double level = value(&o->saturation, p->map);
	size_t k;

	level = good(level) ? fmin(level, 65535.0) : 65535.0;
	for (k = 0; k < p->n && p->counts[k] < level; k++)
		;
	return k;
}

static size_t first_zero(const pixel *p)
{
	size_t k;

	for (k = 0; k < p->n && p->counts[k] > 0.0; k++)
		;
	return k;
}

/* First read in which some pixel within reach is saturated. */
static size_t first_around(const pixel *p)
{
	const iris_options *o = &p->s->options;
	const long reach = (long)o->saturation_grow;
	size_t first = p->n;
	long dy, dx;

	for (dy = -reach; dy <= reach; dy++) {
		for (dx = -reach; dx <= reach; dx++) {
			const long y = (long)p->y + dy, x = (long)p->x + dx;
			pixel other;
			size_t k;

			if (y < 0 || x < 0 || y >= (long)o->ny
			    || x >= (long)o->nx)
				continue;
			look_at(&other, p->s, (size_t)y, (size_t)x);
			k = first_saturated(&other);
			first = k < first ? k : first;
		}
	}
	return reach > 0 ? first : p->n;
}

/* Polynomial of x; false where there is none. */
static bool linearise(const pixel *p, double x, double *y)
{
	const iris_options *o = &p->s->options;
	const iris_linearity *l = &o->linearity;
	const size_t plane = o->map_ny > 0 ? o->map_ny * o->map_nx
		: o->ny * o->nx;
	double power = 1.0;
	size_t c;

	*y = 0.0;
	for (c = 0; c < l->ncoef; c++) {
		*y += (double)l->coeffs[c * plane + p->map] * power;
		power *= x;
	}
	return isfinite(*y);
}

/* Counts to charge; the first read beyond the limit of linearity. */
static size_t calibrate(pixel *p, uint32_t *dq)
{
	const iris_options *o = &p->s->options;
	const iris_linearity *l = &o->linearity;
	const double gain = value(&o->gain, p->map);
	const double pedestal = l->pedestal != NULL
		? (double)l->pedestal[p->map] : 0.0;
	size_t beyond = p->n, k;
	double ignored;
	const bool correct = l->ncoef > 0 && isfinite(pedestal)
		&& linearise(p, 1.0, &ignored);

	*dq |= l->ncoef > 0 && !correct ? bit(IRIS_DQ_NO_LIN_CORR) : 0;
	for (k = p->n; k-- > 0;) {
		double y = p->counts[k];

		if (correct) {
			const double x = p->counts[k] - pedestal;

			(void)linearise(p, x, &y);
			if (l->limit != NULL && x > (double)l->limit[p->map])
				beyond = k;
		}
		p->charge[k] = y * (good(gain) ? gain : 1.0);
	}
	return beyond;
}

static uint32_t flags(const pixel *p)
{
	const iris_options *o = &p->s->options;
	uint32_t dq = o->bad_pixels != NULL ? o->bad_pixels[p->map] : 0;
	const long margin = (long)o->guide_margin;
	size_t g;

	for (g = 0; g < o->nguide; g++) {
		const iris_window *w = &o->guide[g];
		const long dy = (long)p->y - (long)w->y;
		const long dx = (long)p->x - (long)w->x;

		if (dy >= -margin && dy < (long)w->ny + margin
		    && dx >= -margin && dx < (long)w->nx + margin)
			dq |= bit(IRIS_DQ_SUBARRAY) | bit(IRIS_DQ_DO_NOT_USE);
	}
	if (!good(value(&o->gain, p->map)))
		dq |= bit(IRIS_DQ_NO_GAIN_VALUE) | bit(IRIS_DQ_DO_NOT_USE);
	if (!good(value(&o->read_noise, p->map)))
		dq |= bit(IRIS_DQ_OTHER_BAD_PIXEL) | bit(IRIS_DQ_DO_NOT_USE);
	if (o->saturation.map != NULL && !good(value(&o->saturation, p->map)))
		dq |= bit(IRIS_DQ_NO_SAT_CHECK);
	return dq;
}

/* Reads before the first that cannot be used. */
static size_t cut(pixel *p, oracle_result *r)
{
	const size_t saturated = first_saturated(p), zero = first_zero(p);
	const size_t around = first_around(p);
	const size_t beyond = calibrate(p, &r->dq);
	size_t usable = saturated < zero ? saturated : zero;

	r->saturated = saturated < p->n
		? (uint32_t)p->number[saturated] + 1 : 0;
	r->dq |= saturated < p->n ? bit(IRIS_DQ_SATURATED) : 0;
	r->dq |= zero < p->n ? bit(IRIS_DQ_AD_FLOOR) : 0;
	r->dq |= around < usable ? bit(IRIS_DQ_CHARGELOSS) : 0;
	usable = around < usable ? around : usable;
	r->dq |= beyond < usable ? bit(IRIS_DQ_NONLINEAR) : 0;
	return beyond < usable ? beyond : usable;
}

/* --- samples ------------------------------------------------------------- */

static void set_samples(const pixel *p, const oracle_folding *f, size_t usable,
			dense_ramp *r)
{
	const double noise = value(&p->s->options.read_noise, p->map);
	size_t k, i;

	dense_reads(r, p->seconds, usable, noise * noise);
	for (k = 0; k < usable; k++) {
		r->charge[k] = p->charge[k];
		r->weight[k] = k > 0 ? p->weight[k] : 1.0;
	}
	if (f->nsample == 0)
		return;
	for (k = 0; k < f->nsample && f->first[k] + f->count[k] <= usable;
	     k++) {
		r->first[k] = f->first[k];
		r->count[k] = f->count[k];
		r->charge[k] = 0.0;
		for (i = 0; i < f->count[k]; i++)
			r->charge[k] += p->charge[f->first[k] + i]
				/ (double)f->count[k];
	}
	r->nsample = k;
}

/* Counted read with the hit; 0: none. */
static size_t hit_of(const pixel *p)
{
	const size_t read = p->s->hit[p->y * p->s->options.nx + p->x];
	size_t k;

	for (k = 1; k < p->n && read > 0; k++)
		if (p->number[k] >= read && p->number[k - 1] < read)
			return k;
	return 0;
}

/* Mask what a hit spoils, if the test can see it. */
static void mask_hit(const pixel *p, dense_ramp *r, oracle_result *out)
{
	const size_t hit = hit_of(p);
	size_t k;

	if (hit == 0 || r->nsample < 3)
		return;
	for (k = 0; k < r->nsample && r->first[k] + r->count[k] <= hit; k++)
		;
	if (k == 0 || k == r->nsample)
		return;
	out->jump = (uint32_t)p->number[hit] + 1;
	out->dq |= bit(IRIS_DQ_JUMP_DET);
	r->broken[k] = 1;
	if (r->first[k] < hit) /* inside a resultant: both its differences */
		r->broken[k + 1] = 1;
}

/* Reads in samples that are joined to another one. */
static size_t reads_in_runs(const dense_ramp *r)
{
	size_t reads = 0, k;

	for (k = 0; k < r->nsample; k++)
		if ((k > 0 && !r->broken[k])
		    || (k + 1 < r->nsample && !r->broken[k + 1]))
			reads += r->count[k];
	return reads;
}

/* --- estimators ---------------------------------------------------------- */

/* The vector code makes two passes, the fit around a hit three. */
static dense_fit estimate(const iris_options *o, const dense_ramp *r,
			  bool hit, size_t *nused)
{
	const size_t half = r->nsample / 2;
	size_t m = o->nfowler < half ? o->nfowler : half;

	*nused = reads_in_runs(r);
	if (o->mode == IRIS_MODE_UTR)
		return o->estimator == IRIS_ESTIMATOR_OLS ? dense_slope(r)
			: dense_likelihood(r, hit ? 3 : 2);
	m = o->mode == IRIS_MODE_CDS ? 1 : m;
	*nused = 2 * m;
	return dense_ends(r, m);
}

static double reduced(const iris_options *o, const dense_ramp *r,
		      const dense_fit *fit)
{
	size_t used[DENSE_MOST];
	const size_t n = dense_used(r, used);

	if (o->mode != IRIS_MODE_UTR || n < 2)
		return NAN;
	if (o->estimator == IRIS_ESTIMATOR_OLS)
		return dense_chi_square(r, fit->rate) / (double)(n - 1);
	return fit->chi2 / (double)(n - 1);
}

oracle_result oracle_pixel(const scene *s, const oracle_folding *folding,
			   size_t y, size_t x)
{
	static dense_ramp r;
	const iris_options *o = &s->options;
	oracle_result out = {NAN, NAN, NAN, NAN, 0, 0, 0, 0};
	dense_fit fit;
	pixel p;
	size_t usable;

	look_at(&p, s, y, x);
	out.dq = flags(&p);
	usable = cut(&p, &out);
	set_samples(&p, folding, usable, &r);
	if (out.dq & bit(IRIS_DQ_DO_NOT_USE))
		return out;
	if (o->mode == IRIS_MODE_UTR && o->jump_sigma > 0.0)
		mask_hit(&p, &r, &out);
	if (r.nsample < 2 || reads_in_runs(&r) < 2) {
		out.dq |= bit(IRIS_DQ_DO_NOT_USE);
		return out;
	}
	fit = estimate(o, &r, out.jump > 0, &out.nused);
	out.rate = fit.rate;
	out.var_read = fit.var_read;
	out.photon_factor = fit.photon_factor;
	out.chi2 = reduced(o, &r, &fit);
	return out;
}
