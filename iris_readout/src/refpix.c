/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reference pixels, in up to two stages.
 *
 * Levels: the level of each read is measured on the reference rows at the
 * bottom and the top of the detector, apart for each output stripe and column
 * parity (the two column sets of an H4RG output have their own offsets), and
 * taken off every pixel of that stripe and parity.  The level is the mean of
 * the values within CLIP robust sigmas of the median.  Where a stripe has no
 * usable pixel of one parity, the pixels of both parities stand in, then those
 * of the whole detector; without any the level is 0 (such a read is all zero or
 * all saturated).
 *
 * Side columns: the noise that is common to all outputs wanders from row to row
 * (1/f noise).  The reference columns at the left and the right see it, so that
 * their mean, row by row, less the level of their own stripe and parity and
 * smoothed over side_rows rows, is taken off the row.  With kernels
 * (iris_refweights) each output gets its own filter of the two sides instead
 * (Rauscher et al. 2022, JATIS 8, 028002).
 *
 * The stages do not correct twice.  Levels contain the mean of the common noise
 * over the reference rows, and the side columns are measured after it was taken
 * off: the correction by rows has an expectation of zero over the reference
 * rows, and what the two take off together is offset + noise of this row.  The
 * measured mean of `row` over the reference rows is therefore left alone: it is
 * nothing but the noise of the 4 * ref_pixels^2 corner pixels (1.1 e- for a
 * border of 4 and 9 e-), and to force it to zero would add that to the whole
 * frame.  The levels of the side columns' own stripes are in `row` too, with a
 * noise that is four times less in 64 outputs.
 */
#include "refpix.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Clips 6e-5 of Gaussian values: the variance of the mean is as unclipped. */
#define CLIP 4.0
/* Sigma of a Gaussian over its median absolute deviation. */
#define SIGMA_PER_MAD 1.4826
/* Digitisation can hide a noise below 1 DN: never clip closer than this, DN. */
#define CLOSEST 2.0
/*
 * A side pixel has full weight up to NEAR sigmas from its row, none from FAR
 * on.  There is no hard cut because reference pixels have fixed offsets from
 * each other: one beside the cut would come and go from read to read.
 */
#define NEAR 3.0
#define FAR 6.0

enum {
	FEWEST = 3,    /* values that a median of side pixels is made of */
	REACH = 5,     /* rows around that may be asked for them */
	BRIDGE = 5,    /* half a window over missing rows, without side_rows */
	TILE = 32,     /* rows filtered at a time: they stay in registers */
	CHUNK = 256,   /* pixels of the noise maps worked on at a time */
	LANES = 8      /* sums side by side, so that the order is fixed */
};

enum { LEFT, RIGHT, NSIDE };

struct iris_refpix {
	size_t ny, nx, border, noutputs, width;
	size_t half; /* rows on either side in a smoothing window */
	size_t nrow;
	iris_refweights weights;

	/* Border rows: (2 * border, nx), the bottom ones first. */
	unsigned char *row_usable;
	uint16_t *row_counts;
	/* Side columns: (ny, 2 * border), the left ones first. */
	unsigned char *side_usable;
	uint16_t *side_counts;

	uint32_t *index;   /* border pixels of one level */
	uint32_t *key;     /* what a rank is looked for in */
	float *value;      /* (ny, 2 * border) side values, packed [DN] */
	size_t *nvalue[NSIDE]; /* (ny) how many of them are left, right */
	float *centre;     /* (ny) median of a row */
	float *sorted;     /* values of up to 2 * REACH + 1 rows */
	double *mean[NSIDE];   /* (ny) DN, or a sum on the way there */
	double *weight[NSIDE]; /* (ny) pixels in it, 0: there is none */
	double *coef;      /* (ny) of one window */
	float *padded[NSIDE];  /* (ny + nlag - 1), TILE more for last loads */
	double whole;      /* level of the whole detector or NaN: not known */

	float *column_variance, *row_variance;
};

/*
 * The whole border may be marked DO_NOT_USE because it is a border, which says
 * nothing about its use as reference.
 */
bool iris_refpix_usable(uint32_t dq)
{
	const uint32_t broken = IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL)
		| IRIS_DQ_MASK(IRIS_DQ_DEAD) | IRIS_DQ_MASK(IRIS_DQ_HOT)
		| IRIS_DQ_MASK(IRIS_DQ_OTHER_BAD_PIXEL);
	const uint32_t border = IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)
		| IRIS_DQ_MASK(IRIS_DQ_NON_SCIENCE);

	if (dq & broken)
		return false;
	return !(dq & IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)) || (dq & border);
}

/* Detector row of border row k. */
static size_t border_row(const iris_refpix *r, size_t k)
{
	return k < r->border ? k : r->ny - 2 * r->border + k;
}

/* Detector column of side column k. */
static size_t side_column(const iris_refpix *r, size_t k)
{
	return k < r->border ? k : r->nx - 2 * r->border + k;
}

/* ---- reading ---- */

static uint16_t swap(uint16_t count)
{
	return (uint16_t)(count << 8 | count >> 8);
}

/* Counts first .. first + number - 1 of a read, in native order. */
static void load(const void *counts, iris_byte_order order, size_t first,
		 size_t number, uint16_t *out)
{
	const unsigned char *bytes = (const unsigned char *)counts + 2 * first;
	size_t i;

	if (order == IRIS_FITS) {
		for (i = 0; i < number; i++)
			out[i] = (uint16_t)((bytes[2 * i] << 8
					     | bytes[2 * i + 1]) ^ 0x8000);
		return;
	}
	memcpy(out, bytes, 2 * number);
	if (order == IRIS_SWAPPED)
		for (i = 0; i < number; i++)
			out[i] = swap(out[i]);
}

static void load_border(iris_refpix *r, const void *counts,
			iris_byte_order order)
{
	const size_t border = r->border;
	size_t k, y;

	for (k = 0; k < 2 * border; k++)
		load(counts, order, border_row(r, k) * r->nx, r->nx,
		     r->row_counts + k * r->nx);
	if (r->nrow == 0)
		return;
	for (y = 0; y < r->ny; y++) {
		uint16_t *out = r->side_counts + 2 * y * border;

		load(counts, order, y * r->nx, border, out);
		load(counts, order, (y + 1) * r->nx - border, border,
		     out + border);
	}
}

/* A count at either end of the scale carries no level. */
static bool has_level(uint16_t count)
{
	return count != 0 && count != UINT16_MAX;
}

/* ---- ranks ---- */

/* The key that has `rank` keys before it when sorted: by its bytes. */
static uint32_t select_key(const uint32_t *key, size_t count, size_t rank)
{
	uint32_t found = 0, mask = 0;
	int shift;

	for (shift = 24; shift >= 0; shift -= 8) {
		size_t bin[256] = {0};
		uint32_t digit = 0;
		size_t i;

		for (i = 0; i < count; i++)
			if ((key[i] & mask) == found)
				bin[key[i] >> shift & 255]++;
		while (rank >= bin[digit])
			rank -= bin[digit++];
		found |= digit << shift;
		mask |= (uint32_t)255 << shift;
	}
	return found;
}

/* Floats from 0 on are in the order of their bits. */
static uint32_t float_key(float value)
{
	uint32_t key;

	memcpy(&key, &value, sizeof(key));
	return key;
}

static float key_float(uint32_t key)
{
	float value;

	memcpy(&value, &key, sizeof(value));
	return value;
}

/* ---- levels ---- */

/* Gather border pixels of columns x0, x0 + step, ... < x1 into r->index. */
static size_t gather(iris_refpix *r, size_t x0, size_t x1, size_t step)
{
	size_t count = 0, k, x;

	for (k = 0; k < 2 * r->border; k++)
		for (x = x0; x < x1; x += step) {
			const size_t i = k * r->nx + x;

			if (r->row_usable[i] && has_level(r->row_counts[i]))
				r->index[count++] = (uint32_t)i;
		}
	return count;
}

/* The same for a stripe and parity, or both parities where one has none. */
static size_t gather_stripe(iris_refpix *r, size_t stripe, size_t parity)
{
	const size_t x0 = stripe * r->width, x1 = x0 + r->width;
	const size_t count = gather(r, x0 + ((x0 ^ parity) & 1), x1, 2);

	return count > 0 ? count : gather(r, x0, x1, 1);
}

/* Clipped mean [DN] of the `count` gathered counts. */
static double clipped_mean(iris_refpix *r, size_t count)
{
	double median, width, sum = 0.0;
	uint32_t twice;
	size_t kept = 0, i;

	for (i = 0; i < count; i++)
		r->key[i] = r->row_counts[r->index[i]];
	twice = select_key(r->key, count, (count - 1) / 2)
		+ select_key(r->key, count, count / 2);
	median = 0.5 * (double)twice;
	for (i = 0; i < count; i++) {
		const uint32_t other = 2 * r->key[i];

		r->key[i] = other > twice ? other - twice : twice - other;
	}
	width = 0.5 * (double)select_key(r->key, count, (count - 1) / 2);
	width = fmax(CLIP * SIGMA_PER_MAD * width, CLOSEST);
	for (i = 0; i < count; i++) {
		const double value = (double)r->row_counts[r->index[i]];

		if (fabs(value - median) > width)
			continue;
		sum += value;
		kept++;
	}
	return sum / (double)kept;
}

/* Level of the whole detector, measured when it is first asked for. */
static double whole_level(iris_refpix *r)
{
	if (isnan(r->whole)) {
		const size_t count = gather(r, 0, r->nx, 1);

		r->whole = count > 0 ? clipped_mean(r, count) : 0.0;
	}
	return r->whole;
}

/* Give the columns of one stripe and parity their value. */
static void spread(const iris_refpix *r, size_t stripe, size_t parity,
		   double value, float *column)
{
	const size_t x0 = stripe * r->width, x1 = x0 + r->width;
	size_t x;

	for (x = x0 + ((x0 ^ parity) & 1); x < x1; x += 2)
		column[x] = (float)value;
}

static void measure_levels(iris_refpix *r, float *column)
{
	size_t stripe, parity;

	r->whole = NAN;
	for (stripe = 0; stripe < r->noutputs; stripe++)
		for (parity = 0; parity < 2; parity++) {
			const size_t count = gather_stripe(r, stripe, parity);

			spread(r, stripe, parity, count > 0
			       ? clipped_mean(r, count) : whole_level(r),
			       column);
		}
}

/* ---- rows: the mean of each side ---- */

/* Pack the usable side values of a row, less their levels. */
static void pack_sides(iris_refpix *r, const float *column)
{
	const size_t border = r->border;
	size_t y, side, k;

	for (y = 0; y < r->ny; y++) {
		const size_t first = 2 * y * border;
		size_t count = 0;

		for (side = 0; side < NSIDE; side++) {
			const size_t before = count;

			for (k = side * border; k < (side + 1) * border; k++) {
				const uint16_t c = r->side_counts[first + k];

				if (!r->side_usable[first + k] || !has_level(c))
					continue;
				r->value[first + count] = (float)c
					- column[side_column(r, k)];
				count++;
			}
			r->nvalue[side][y] = count - before;
		}
	}
}

static size_t row_count(const iris_refpix *r, size_t y)
{
	return r->nvalue[LEFT][y] + r->nvalue[RIGHT][y];
}

/* Insert the values of row y into r->sorted, which holds `count`. */
static size_t insert_row(iris_refpix *r, size_t y, size_t count)
{
	const float *value = r->value + 2 * y * r->border;
	size_t number = row_count(r, y), i, k;

	for (i = 0; i < number; i++, count++) {
		for (k = count; k > 0 && r->sorted[k - 1] > value[i]; k--)
			r->sorted[k] = r->sorted[k - 1];
		r->sorted[k] = value[i];
	}
	return count;
}

/*
 * Median of a row, of the rows around it too where it has fewer than FEWEST
 * values: of one or two values a hit cannot be told.
 */
static float row_centre(iris_refpix *r, size_t y)
{
	size_t count = insert_row(r, y, 0), d;

	for (d = 1; d <= REACH && count < FEWEST; d++) {
		if (y >= d)
			count = insert_row(r, y - d, count);
		if (y + d < r->ny)
			count = insert_row(r, y + d, count);
	}
	return 0.5f * (r->sorted[(count - 1) / 2] + r->sorted[count / 2]);
}

/* Robust sigma [DN] of side values about the centres of their rows. */
static double side_sigma(iris_refpix *r)
{
	double sigma = 0.0;
	size_t count = 0, y, i;

	for (y = 0; y < r->ny; y++) {
		const float *value = r->value + 2 * y * r->border;
		const size_t number = row_count(r, y);

		if (number == 0)
			continue;
		r->centre[y] = row_centre(r, y);
		for (i = 0; i < number; i++)
			r->key[count++] = float_key(fabsf(value[i]
							  - r->centre[y]));
	}
	if (count > 0)
		sigma = SIGMA_PER_MAD
			* (double)key_float(select_key(r->key, count,
						       (count - 1) / 2));
	return fmax(sigma, CLOSEST / CLIP);
}

/* Weighted sum of the values of one side of row y. */
static void side_sum(iris_refpix *r, size_t side, size_t y,
		      const float *value, double sigma)
{
	double weights = 0.0, sum = 0.0;
	size_t i;

	for (i = 0; i < r->nvalue[side][y]; i++) {
		const double distance =
			fabs((double)value[i] - (double)r->centre[y]) / sigma;
		const double weight = fmin(1.0, (FAR - distance)
					   / (FAR - NEAR));

		if (weight <= 0.0)
			continue;
		weights += weight;
		sum += weight * (double)value[i];
	}
	r->weight[side][y] = weights;
	r->mean[side][y] = sum;
}

static void measure_sides(iris_refpix *r, const float *column)
{
	double sigma;
	size_t y;

	pack_sides(r, column);
	sigma = side_sigma(r);
	for (y = 0; y < r->ny; y++) {
		const float *value = r->value + 2 * y * r->border;

		side_sum(r, LEFT, y, value, sigma);
		side_sum(r, RIGHT, y, value + r->nvalue[LEFT][y], sigma);
	}
}

/* Sums to means; less than half a pixel is none. */
static void divide_side(iris_refpix *r, size_t side)
{
	size_t y;

	for (y = 0; y < r->ny; y++) {
		double *mean = r->mean[side] + y, *weight = r->weight[side] + y;

		if (*weight < 0.5)
			*weight = *mean = 0.0;
		else
			*mean /= *weight;
	}
}

/* Sums of both sides in the place of the left ones. */
static void join_sides(iris_refpix *r)
{
	size_t y;

	for (y = 0; y < r->ny; y++) {
		r->mean[LEFT][y] += r->mean[RIGHT][y];
		r->weight[LEFT][y] += r->weight[RIGHT][y];
	}
}

/* ---- rows: smoothing ---- */

static bool is_empty(const double *weight, size_t ny)
{
	size_t y;

	for (y = 0; y < ny; y++)
		if (weight[y] > 0.0)
			return false;
	return true;
}

/* Rows y0 .. y1 - 1 that a value at row y is made of. */
typedef struct window {
	size_t y0, y1;
	size_t count;   /* of them with a weight */
	bool bracketed; /* there are some at or before y, and at or after it */
} window;

static window place_window(const double *weight, size_t ny, size_t y,
			   size_t half)
{
	const size_t size = 2 * half + 1 < ny ? 2 * half + 1 : ny;
	bool before = false, after = false;
	window w = {0, 0, 0, false};
	size_t i;

	w.y0 = y > half ? y - half : 0;
	if (w.y0 > ny - size)
		w.y0 = ny - size;
	w.y1 = w.y0 + size;
	for (i = w.y0; i < w.y1; i++) {
		if (!(weight[i] > 0.0))
			continue;
		w.count++;
		before = before || i <= y;
		after = after || i >= y;
	}
	w.bracketed = before && after;
	return w;
}

/*
 * Coefficients, for coef[w.y0 .. w.y1 - 1], of the least-squares straight line
 * through the rows around y, at y, their weights falling to the window's ends.
 *
 * With all rows present that is the running mean with triangular weights.  It
 * bends to the slope where the window is cut: at the ends, where the window
 * stays as long and the fit gets one-sided, and beside rows without a weight,
 * over which the window grows until it has half of its rows.  Beyond the last
 * row with a weight there is only a constant: a slope would run away.
 *
 * The alternatives are the plain running mean and the Savitzky-Golay filter of
 * degree 2.  Correlated noise left in the row means, over the white noise of a
 * read, for 11 rows of 8 reference pixels, 4096 rows, white noise 9 e-:
 *
 *	common pink noise                                  plain  S-G   here
 *	pixel rate (Rauscher 2015, PASP 127, 1144), 3 e-   0.178  0.207 0.174
 *	the same, 5 e-                                     0.260  0.271 0.244
 *	constant within a row, 3 e- rms between rows       0.206  0.217 0.193
 *	the same, 5 e-                                     0.310  0.288 0.278
 */
static window local_fit(const double *weight, size_t ny, size_t y, size_t half,
			double *coef)
{
	const size_t enough = half + 1;
	double s0 = 0.0, s1 = 0.0, s2 = 0.0, a0, a1 = 0.0, reach;
	window w = place_window(weight, ny, y, half);
	size_t i;

	while (w.count < enough && w.y1 - w.y0 < ny) {
		half = 2 * half + 1;
		w = place_window(weight, ny, y, half);
	}
	reach = (double)(y - w.y0 > w.y1 - 1 - y ? y - w.y0 : w.y1 - 1 - y);
	for (i = w.y0; i < w.y1; i++) {
		const double t = (double)i - (double)y;

		coef[i] = weight[i] * (1.0 - fabs(t) / (reach + 1.0));
		s0 += coef[i];
		s1 += coef[i] * t;
		s2 += coef[i] * t * t;
	}
	a0 = s0 > 0.0 ? 1.0 / s0 : 0.0;
	if (w.bracketed && w.count > 1) {
		const double det = s0 * s2 - s1 * s1;

		a0 = s2 / det;
		a1 = -s1 / det;
	}
	for (i = w.y0; i < w.y1; i++)
		coef[i] *= a0 + a1 * ((double)i - (double)y);
	return w;
}

/*
 * What r->mean of a side holds: values, or their variances, which the squares
 * of coefficients carry on.
 */
typedef enum content { VALUES, VARIANCES } content;

/* The line through r->mean of a side, at row y. */
static double fitted(iris_refpix *r, size_t side, size_t y, content what)
{
	const window w = local_fit(r->weight[side], r->ny, y, r->half,
				   r->coef);
	double sum = 0.0;
	size_t i;

	for (i = w.y0; i < w.y1; i++)
		sum += r->mean[side][i]
			* (what == VALUES ? r->coef[i]
			   : r->coef[i] * r->coef[i]);
	return sum;
}

/* Both sides together, joined in the place of the left one, smoothed. */
static void smooth(iris_refpix *r, content what, float *row)
{
	size_t y;

	memset(row, 0, r->ny * sizeof(*row));
	if (is_empty(r->weight[LEFT], r->ny))
		return;
	for (y = 0; y < r->ny; y++)
		row[y] = (float)fitted(r, LEFT, y, what);
}

/* ---- rows: kernels ---- */

/* Row on this side of the ends for row i: ... 2 1 0 1 2 ... */
static size_t mirror(ptrdiff_t i, size_t ny)
{
	const ptrdiff_t last = (ptrdiff_t)ny - 1;

	if (last == 0)
		return 0;
	i %= 2 * last;
	if (i < 0)
		i += 2 * last;
	return (size_t)(i > last ? 2 * last - i : i);
}

/* The other side stands in for one without any pixel. */
static size_t side_to_use(const iris_refpix *r, size_t side)
{
	return is_empty(r->weight[side], r->ny) ? NSIDE - 1 - side : side;
}

/* Beyond the ends of r->padded of a side, which holds all rows. */
static void mirror_ends(iris_refpix *r, size_t side)
{
	const size_t half = (r->weights.nlag - 1) / 2;
	float *row = r->padded[side] + half;
	size_t i;

	for (i = 1; i <= half; i++)
		r->padded[side][half - i] = row[mirror(-(ptrdiff_t)i, r->ny)];
	for (i = r->ny; i < r->ny + half; i++)
		row[i] = row[mirror((ptrdiff_t)i, r->ny)];
}

/* Rows of one side, bridged where it has no pixel, into r->padded[side]. */
static void pad_side(iris_refpix *r, size_t side, content what)
{
	const size_t use = side_to_use(r, side);
	const size_t half = (r->weights.nlag - 1) / 2;
	float *row = r->padded[side] + half;
	size_t y;

	memset(row, 0, r->ny * sizeof(*row));
	if (!is_empty(r->weight[use], r->ny))
		for (y = 0; y < r->ny; y++)
			row[y] = (float)(r->weight[use][y] > 0.0
					 ? r->mean[use][y]
					 : fitted(r, use, y, what));
	mirror_ends(r, side);
}

/* out[y] = sum_j left[j] L[y + j - h] + right[j] R[y + j - h] */
static void filter(const iris_refpix *r, const float *left, const float *right,
		   float *out)
{
	size_t y, j, i;

	for (y = 0; y < r->ny; y += TILE) {
		const size_t rest = r->ny - y < TILE ? r->ny - y : TILE;
		float sum[TILE] = {0.0f};

		for (j = 0; j < r->weights.nlag; j++) {
			const float *l = r->padded[LEFT] + y + j;
			const float *q = r->padded[RIGHT] + y + j;
			const float a = left[j], b = right[j];

			for (i = 0; i < TILE; i++)
				sum[i] += a * l[i] + b * q[i];
		}
		memcpy(out + y, sum, rest * sizeof(*out));
	}
}

static void measure_rows(iris_refpix *r, float *row)
{
	const size_t nlag = r->weights.nlag;
	size_t o;

	if (nlag == 0) {
		join_sides(r);
		divide_side(r, LEFT);
		smooth(r, VALUES, row);
		return;
	}
	divide_side(r, LEFT);
	divide_side(r, RIGHT);
	pad_side(r, LEFT, VALUES);
	pad_side(r, RIGHT, VALUES);
	for (o = 0; o < r->noutputs; o++)
		filter(r, r->weights.left + o * nlag,
		       r->weights.right + o * nlag, row + o * r->ny);
}

void iris_refpix_measure(iris_refpix *refpix, const void *counts,
			 iris_byte_order order, float *column, float *row)
{
	load_border(refpix, counts, order);
	measure_levels(refpix, column);
	if (refpix->nrow == 0)
		return;
	measure_sides(refpix, column);
	measure_rows(refpix, row);
}

/* ---- noise of the reference pixels ---- */

/* Noise and gain maps, and the mean noise where a map has none. */
typedef struct noise_maps {
	const iris_options *options;
	double mean; /* DN, NaN until it is asked for */
} noise_maps;

static size_t map_index(const iris_options *o, size_t y, size_t x)
{
	if (o->map_ny == 0)
		return y * o->nx + x;
	return (o->map_y + y) * o->map_nx + o->map_x + x;
}

static bool is_positive(float value)
{
	return value > 0.0f && value <= FLT_MAX;
}

/* `number` pixels of a map, filled up with zeros, which are no good value. */
static void load_map(const iris_map *map, size_t first, size_t number,
		     float *out)
{
	size_t i;

	for (i = 0; i < CHUNK; i++)
		out[i] = i < number && map->map == NULL ? map->value : 0.0f;
	if (map->map != NULL)
		memcpy(out, map->map + first, number * sizeof(*out));
}

/*
 * Mean noise [DN] over all pixels of the maps that have one: stands in for
 * reference pixels without one, as in maps made from flats.
 */
static double mean_noise(const iris_options *o)
{
	const size_t npixel = o->map_ny == 0 ? o->ny * o->nx
		: o->map_ny * o->map_nx;
	double sum[LANES] = {0.0}, count[LANES] = {0.0};
	float gain[CHUNK], noise[CHUNK];
	size_t first, i, k;

	for (first = 0; first < npixel; first += CHUNK) {
		const size_t rest = npixel - first;

		load_map(&o->gain, first, rest < CHUNK ? rest : CHUNK, gain);
		load_map(&o->read_noise, first, rest < CHUNK ? rest : CHUNK,
			 noise);
		for (i = 0; i < CHUNK; i += LANES)
			for (k = 0; k < LANES; k++) {
				const float g = gain[i + k], n = noise[i + k];
				const bool good = is_positive(g)
					&& is_positive(n);

				sum[k] += (double)(good ? n : 0.0f)
					/ (double)(good ? g : 1.0f);
				count[k] += good ? 1.0 : 0.0;
			}
	}
	for (k = 1; k < LANES; k++) {
		sum[0] += sum[k];
		count[0] += count[k];
	}
	return count[0] > 0.0 ? sum[0] / count[0] : 0.0;
}

/* Variance of one read of reference pixel (y, x), DN^2. */
static double pixel_variance(noise_maps *maps, size_t y, size_t x)
{
	const iris_options *o = maps->options;
	const size_t i = map_index(o, y, x);
	const float gain = o->gain.map != NULL ? o->gain.map[i]
		: o->gain.value;
	const float noise = o->read_noise.map != NULL ? o->read_noise.map[i]
		: o->read_noise.value;
	double dn;

	if (is_positive(gain) && is_positive(noise)) {
		dn = (double)noise / (double)gain;
		return dn * dn;
	}
	if (isnan(maps->mean))
		maps->mean = mean_noise(o);
	return maps->mean * maps->mean;
}

/* Variance of the mean of the `count` gathered border pixels. */
static double gathered_variance(const iris_refpix *r, noise_maps *maps,
				size_t count)
{
	double sum = 0.0;
	size_t i;

	for (i = 0; i < count; i++)
		sum += pixel_variance(maps,
				      border_row(r, r->index[i] / r->nx),
				      r->index[i] % r->nx);
	return count > 0 ? sum / ((double)count * (double)count) : 0.0;
}

/* As the levels of a read in which every usable pixel has one. */
static void set_column_variance(iris_refpix *r, noise_maps *maps)
{
	double whole;
	size_t stripe, parity, i;

	for (i = 0; i < 2 * r->border * r->nx; i++)
		r->row_counts[i] = 1;
	whole = gathered_variance(r, maps, gather(r, 0, r->nx, 1));
	for (stripe = 0; stripe < r->noutputs; stripe++)
		for (parity = 0; parity < 2; parity++) {
			const size_t count = gather_stripe(r, stripe, parity);

			spread(r, stripe, parity, count > 0
			       ? gathered_variance(r, maps, count) : whole,
			       r->column_variance);
		}
}

/*
 * Variance of the mean of one side, or with both of them: into r->mean, which
 * holds it until the first read, and the number of pixels into r->weight.
 */
static void set_side_variance(iris_refpix *r, noise_maps *maps, size_t out,
			      size_t first, size_t last)
{
	size_t y, k;

	for (y = 0; y < r->ny; y++) {
		double sum = 0.0, count = 0.0;

		for (k = first; k < last; k++) {
			if (!r->side_usable[2 * y * r->border + k])
				continue;
			sum += pixel_variance(maps, y, side_column(r, k));
			count += 1.0;
		}
		r->mean[out][y] = count > 0.0 ? sum / (count * count) : 0.0;
		r->weight[out][y] = count;
	}
}

/*
 * Variance near the ends, where mirrored rows come twice and their kernel
 * values add up before they are squared.
 */
static double end_variance(iris_refpix *r, const float *const kernel[NSIDE],
			   size_t y)
{
	const size_t half = (r->weights.nlag - 1) / 2;
	const size_t y0 = y > half ? y - half : 0;
	const size_t y1 = y + half < r->ny ? y + half + 1 : r->ny;
	double sum = 0.0;
	size_t side, j;

	for (side = 0; side < NSIDE; side++) {
		memset(r->coef + y0, 0, (y1 - y0) * sizeof(*r->coef));
		for (j = 0; j < r->weights.nlag; j++)
			r->coef[mirror((ptrdiff_t)(y + j) - (ptrdiff_t)half,
				       r->ny)] += (double)kernel[side][j];
		for (j = y0; j < y1; j++)
			sum += r->coef[j] * r->coef[j]
				* (double)r->padded[side][half + j];
	}
	return sum;
}

/*
 * Kernels that act on the sides there are, and their squares.  kernel holds
 * 4 * nlag values: left, right, left squared, right squared.
 */
static void effective_kernels(const iris_refpix *r, size_t output,
			      float *kernel)
{
	const size_t nlag = r->weights.nlag;
	const float *in[NSIDE] = {r->weights.left + output * nlag,
				  r->weights.right + output * nlag};
	size_t side, j;

	memset(kernel, 0, 2 * nlag * sizeof(*kernel));
	for (side = 0; side < NSIDE; side++) {
		float *out = kernel + side_to_use(r, side) * nlag;

		for (j = 0; j < nlag; j++)
			out[j] += in[side][j];
	}
	for (j = 0; j < 2 * nlag; j++)
		kernel[2 * nlag + j] = kernel[j] * kernel[j];
}

/*
 * Variance that the mean of side columns [first, last) has from the levels
 * taken off them, the same in every row: columns of one output and parity
 * share the error of their level.
 */
static double level_variance(const iris_refpix *r, size_t first, size_t last)
{
	const size_t width = r->nx / r->noutputs;
	const double count = (double)(last - first);
	double sum = 0.0;
	size_t k, m;

	for (k = first; k < last; k++) {
		const size_t x = side_column(r, k);

		for (m = first; m < last; m++) {
			const size_t other = side_column(r, m);

			if (x / width == other / width
			    && ((x ^ other) & 1) == 0)
				sum += (double)r->column_variance[x];
		}
	}
	return sum / (count * count);
}

static double square_of_sum(const float *kernel, size_t nlag)
{
	double sum = 0.0;
	size_t j;

	for (j = 0; j < nlag; j++)
		sum += (double)kernel[j];
	return sum * sum;
}

/* Bridged rows count as independent of those they are made of. */
static void set_filter_variance(iris_refpix *r, float *kernel)
{
	const size_t nlag = r->weights.nlag, half = (nlag - 1) / 2;
	const float *const effective[NSIDE] = {kernel, kernel + nlag};
	size_t o, y;

	for (o = 0; o < r->noutputs; o++) {
		float *out = r->row_variance + o * r->ny;
		double common;

		effective_kernels(r, o, kernel);
		filter(r, kernel + 2 * nlag, kernel + 3 * nlag, out);
		for (y = 0; y < r->ny; y++)
			if (y < half || y + half >= r->ny)
				out[y] = (float)end_variance(r, effective, y);
		common = square_of_sum(kernel, nlag)
			* level_variance(r, 0, r->border)
			+ square_of_sum(kernel + nlag, nlag)
			* level_variance(r, r->border, 2 * r->border);
		for (y = 0; y < r->ny; y++)
			out[y] += out[y] > 0.0f ? (float)common : 0.0f;
	}
}

static bool set_row_variance(iris_refpix *r, noise_maps *maps)
{
	const size_t border = r->border;
	float *kernel, common;
	size_t y;

	if (r->weights.nlag == 0) {
		set_side_variance(r, maps, LEFT, 0, 2 * border);
		smooth(r, VARIANCES, r->row_variance);
		common = (float)level_variance(r, 0, 2 * border);
		for (y = 0; y < r->ny; y++)
			r->row_variance[y] += r->row_variance[y] > 0.0f
				? common : 0.0f;
		return true;
	}
	kernel = malloc(4 * r->weights.nlag * sizeof(*kernel));
	if (kernel == NULL)
		return false;
	set_side_variance(r, maps, LEFT, 0, border);
	set_side_variance(r, maps, RIGHT, border, 2 * border);
	pad_side(r, LEFT, VARIANCES);
	pad_side(r, RIGHT, VARIANCES);
	set_filter_variance(r, kernel);
	free(kernel);
	return true;
}

/* ---- life ---- */

static bool is_usable(const iris_options *o, size_t y, size_t x)
{
	return o->bad_pixels == NULL
		|| iris_refpix_usable(o->bad_pixels[map_index(o, y, x)]);
}

static void set_usable(iris_refpix *r, const iris_options *o)
{
	size_t k, y, x;

	for (k = 0; k < 2 * r->border; k++)
		for (x = 0; x < r->nx; x++)
			r->row_usable[k * r->nx + x] =
				is_usable(o, border_row(r, k), x);
	if (r->nrow == 0)
		return;
	for (y = 0; y < r->ny; y++)
		for (k = 0; k < 2 * r->border; k++)
			r->side_usable[2 * y * r->border + k] =
				is_usable(o, y, side_column(r, k));
}

/* calloc that never asks for nothing, and clears *ok when it fails. */
static void *make(size_t count, size_t size, bool *ok)
{
	void *memory = calloc(count > 0 ? count : 1, size);

	if (memory == NULL)
		*ok = false;
	return memory;
}

static bool allocate(iris_refpix *r)
{
	const size_t rows = r->nrow > 0 ? r->ny : 0;
	const size_t sides = 2 * r->border * rows;
	const size_t ends = 2 * r->border * r->nx;
	const size_t padded = r->weights.nlag == 0 ? 0
		: r->ny + r->weights.nlag + TILE;
	bool ok = true;
	size_t side;

	r->row_usable = make(ends, sizeof(*r->row_usable), &ok);
	r->row_counts = make(ends, sizeof(*r->row_counts), &ok);
	r->side_usable = make(sides, sizeof(*r->side_usable), &ok);
	r->side_counts = make(sides, sizeof(*r->side_counts), &ok);
	r->index = make(ends, sizeof(*r->index), &ok);
	r->key = make(ends > sides ? ends : sides, sizeof(*r->key), &ok);
	r->value = make(sides, sizeof(*r->value), &ok);
	r->centre = make(rows, sizeof(*r->centre), &ok);
	r->sorted = make((2 * REACH + 1) * 2 * r->border, sizeof(*r->sorted),
			 &ok);
	r->coef = make(rows, sizeof(*r->coef), &ok);
	for (side = 0; side < NSIDE; side++) {
		r->nvalue[side] = make(rows, sizeof(*r->nvalue[side]), &ok);
		r->mean[side] = make(rows, sizeof(*r->mean[side]), &ok);
		r->weight[side] = make(rows, sizeof(*r->weight[side]), &ok);
		r->padded[side] = make(padded, sizeof(*r->padded[side]), &ok);
	}
	r->column_variance = make(r->nx, sizeof(*r->column_variance), &ok);
	r->row_variance = make(r->nrow, sizeof(*r->row_variance), &ok);
	return ok;
}

static size_t row_length(const iris_options *o)
{
	if (o->ref_weights.nlag > 0)
		return o->noutputs * o->ny;
	return o->side_rows > 0 ? o->ny : 0;
}

iris_status iris_refpix_create(iris_refpix **refpix,
			       const iris_options *options)
{
	noise_maps maps = {options, NAN};
	iris_refpix *r;

	*refpix = NULL;
	if (options->ref_pixels == 0)
		return IRIS_OK;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return IRIS_ERROR_MEMORY;
	r->ny = options->ny;
	r->nx = options->nx;
	r->border = options->ref_pixels;
	r->noutputs = options->noutputs;
	r->width = options->nx / options->noutputs;
	r->half = options->side_rows > 0 ? options->side_rows / 2 : BRIDGE;
	r->nrow = row_length(options);
	r->weights = options->ref_weights;
	if (!allocate(r)) {
		iris_refpix_destroy(r);
		return IRIS_ERROR_MEMORY;
	}
	set_usable(r, options);
	set_column_variance(r, &maps);
	if (r->nrow > 0 && !set_row_variance(r, &maps)) {
		iris_refpix_destroy(r);
		return IRIS_ERROR_MEMORY;
	}
	*refpix = r;
	return IRIS_OK;
}

void iris_refpix_destroy(iris_refpix *refpix)
{
	size_t side;

	if (refpix == NULL)
		return;
	free(refpix->row_usable);
	free(refpix->row_counts);
	free(refpix->side_usable);
	free(refpix->side_counts);
	free(refpix->index);
	free(refpix->key);
	free(refpix->value);
	free(refpix->centre);
	free(refpix->sorted);
	free(refpix->coef);
	for (side = 0; side < NSIDE; side++) {
		free(refpix->nvalue[side]);
		free(refpix->mean[side]);
		free(refpix->weight[side]);
		free(refpix->padded[side]);
	}
	free(refpix->column_variance);
	free(refpix->row_variance);
	free(refpix);
}

size_t iris_refpix_nrow(const iris_refpix *refpix)
{
	return refpix != NULL ? refpix->nrow : 0;
}

const float *iris_refpix_column_variance(const iris_refpix *refpix)
{
	return refpix != NULL ? refpix->column_variance : NULL;
}

const float *iris_refpix_row_variance(const iris_refpix *refpix)
{
	return refpix != NULL && refpix->nrow > 0 ? refpix->row_variance : NULL;
}
