/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reference pixels against simulated truth (levels, slopes, hits, variances
 * worked out by hand) and against a slow oracle that sorts and loops.
 */
#include "check.h"
#include "refpix.h"

#include <stdlib.h>
#include <string.h>

enum { NY = 40, NX = 32, BORDER = 4, NOUT = 4 };
/* Room for the largest array and kernel here. */
enum { MAX_NY = 70, MAX_NX = 48, MAX_LAG = 201, MAX_OUT = 48 };
enum { MAX_PIXEL = MAX_NY * MAX_NX, MAX_ROW = MAX_OUT * MAX_NY };

/* Everything about one case; large, so that it lives in static storage. */
typedef struct fixture {
	iris_options o;
	uint16_t read[MAX_PIXEL];
	uint32_t dq[MAX_PIXEL];
	float left[MAX_OUT * MAX_LAG], right[MAX_OUT * MAX_LAG];
	float column[MAX_NX], row[MAX_ROW];
	float column_variance[MAX_NX], row_variance[MAX_ROW];
	size_t nrow;
} fixture;

/* ---- random numbers: xorshift, and a near Gaussian ---- */

static uint64_t state = 20240607;

static double uniform(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (double)(state >> 11) / 9007199254740992.0;
}

static double gaussian(void)
{
	double sum = -6.0;
	int i;

	for (i = 0; i < 12; i++)
		sum += uniform();
	return sum;
}

/* ---- making and running a case ---- */

static fixture *start(size_t ny, size_t nx, size_t border, size_t noutputs)
{
	static fixture f;

	memset(&f, 0, sizeof(f));
	f.o.ny = ny;
	f.o.nx = nx;
	f.o.ref_pixels = border;
	f.o.noutputs = noutputs;
	f.o.gain.value = 2.0f;
	f.o.read_noise.value = 10.0f;
	return &f;
}

static void run_order(fixture *f, const void *counts, iris_byte_order order)
{
	iris_refpix *refpix = NULL;
	size_t i;

	CHECK(iris_refpix_create(&refpix, &f->o) == IRIS_OK);
	f->nrow = iris_refpix_nrow(refpix);
	iris_refpix_measure(refpix, counts, order, f->column, f->row);
	memcpy(f->column_variance, iris_refpix_column_variance(refpix),
	       f->o.nx * sizeof(float));
	CHECK((iris_refpix_row_variance(refpix) == NULL) == (f->nrow == 0));
	for (i = 0; i < f->nrow; i++)
		f->row_variance[i] = iris_refpix_row_variance(refpix)[i];
	iris_refpix_destroy(refpix);
}

static void run(fixture *f)
{
	run_order(f, f->read, IRIS_NATIVE);
}

static void set_kernels(fixture *f, size_t nlag)
{
	f->o.ref_weights.nlag = nlag;
	f->o.ref_weights.left = f->left;
	f->o.ref_weights.right = f->right;
}

static bool in_border(const fixture *f, size_t y, size_t x)
{
	const size_t b = f->o.ref_pixels;

	return y < b || y >= f->o.ny - b || x < b || x >= f->o.nx - b;
}

/* The offsets that the levels should find. */
static double offset(const fixture *f, size_t x)
{
	return 1000.0 + 100.0 * (double)(x / (f->o.nx / f->o.noutputs))
		+ 10.0 * (double)(x % 2);
}

/* Offsets, slope DN from row to row (0 in the middle) and noise; light. */
static void fill(fixture *f, double slope, double noise)
{
	const double middle = 0.5 * (double)(f->o.ny - 1);
	size_t y, x;

	for (y = 0; y < f->o.ny; y++)
		for (x = 0; x < f->o.nx; x++) {
			const double value = offset(f, x)
				+ slope * ((double)y - middle);

			f->read[y * f->o.nx + x] = in_border(f, y, x)
				? (uint16_t)(value + noise * gaussian() + 0.5)
				: 40000;
		}
}

/* ---- the oracle ---- */

static int compare(const void *a, const void *b)
{
	const double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(const double *value, size_t n)
{
	double sorted[MAX_PIXEL];

	memcpy(sorted, value, n * sizeof(*value));
	qsort(sorted, n, sizeof(*sorted), compare);
	return 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]);
}

static double low_median(const double *value, size_t n)
{
	double sorted[MAX_PIXEL];

	memcpy(sorted, value, n * sizeof(*value));
	qsort(sorted, n, sizeof(*sorted), compare);
	return sorted[(n - 1) / 2];
}

static bool oracle_good(const fixture *f, size_t y, size_t x)
{
	const uint16_t c = f->read[y * f->o.nx + x];

	return (f->o.bad_pixels == NULL
		|| iris_refpix_usable(f->dq[y * f->o.nx + x]))
		&& c > 0 && c < 65535;
}

/* parity 2: both; stripe == noutputs: all. */
static size_t oracle_values(const fixture *f, size_t stripe, size_t parity,
			    double *value)
{
	const size_t b = f->o.ref_pixels;
	size_t n = 0, y, x;

	for (y = 0; y < f->o.ny; y++)
		for (x = 0; x < f->o.nx; x++) {
			if (y >= b && y < f->o.ny - b)
				continue;
			if (stripe < f->o.noutputs
			    && x / (f->o.nx / f->o.noutputs) != stripe)
				continue;
			if (parity < 2 && x % 2 != parity)
				continue;
			if (oracle_good(f, y, x))
				value[n++] = (double)f->read[y * f->o.nx + x];
		}
	return n;
}

static double oracle_level(const fixture *f, size_t x)
{
	const size_t stripe = x / (f->o.nx / f->o.noutputs);
	double value[MAX_PIXEL], far[MAX_PIXEL], middle, limit, sum = 0.0;
	size_t n = oracle_values(f, stripe, x % 2, value), i, kept = 0;

	if (n == 0)
		n = oracle_values(f, stripe, 2, value);
	if (n == 0)
		n = oracle_values(f, f->o.noutputs, 2, value);
	if (n == 0)
		return 0.0;
	middle = median(value, n);
	for (i = 0; i < n; i++)
		far[i] = fabs(value[i] - middle);
	limit = 4.0 * 1.4826 * low_median(far, n);
	if (limit < 2.0)
		limit = 2.0;
	for (i = 0; i < n; i++)
		if (far[i] <= limit) {
			sum += value[i];
			kept++;
		}
	return sum / (double)kept;
}

/* Values of one row less the levels: side 0 left, 1 right, 2 both. */
static size_t oracle_side(const fixture *f, const double *level, size_t y,
			  int side, double *value)
{
	const size_t b = f->o.ref_pixels;
	size_t n = 0, x;

	for (x = 0; x < f->o.nx; x++) {
		const bool left = x < b, right = x >= f->o.nx - b;

		if (!(left && side != 1) && !(right && side != 0))
			continue;
		if (oracle_good(f, y, x))
			value[n++] = (double)f->read[y * f->o.nx + x]
				- level[x];
	}
	return n;
}

static double oracle_centre(const fixture *f, const double *level, size_t y)
{
	double value[MAX_PIXEL];
	size_t n = oracle_side(f, level, y, 2, value), d;

	for (d = 1; d <= 5 && n < 3; d++) {
		if (y >= d)
			n += oracle_side(f, level, y - d, 2, value + n);
		if (y + d < f->o.ny)
			n += oracle_side(f, level, y + d, 2, value + n);
	}
	return median(value, n);
}

static double oracle_sigma(const fixture *f, const double *level)
{
	double value[MAX_PIXEL], far[MAX_PIXEL], sigma;
	size_t n, count = 0, y, i;

	for (y = 0; y < f->o.ny; y++) {
		n = oracle_side(f, level, y, 2, value);
		for (i = 0; i < n; i++)
			far[count++] = fabs(value[i]
					    - oracle_centre(f, level, y));
	}
	sigma = count > 0 ? 1.4826 * low_median(far, count) : 0.0;
	return sigma > 0.5 ? sigma : 0.5;
}

/* Means of a side and pixels in them. */
static void oracle_means(const fixture *f, const double *level, int side,
			 double *mean, double *weight)
{
	const double sigma = oracle_sigma(f, level);
	double value[MAX_PIXEL];
	size_t n, y, i;

	for (y = 0; y < f->o.ny; y++) {
		double w, sum = 0.0, weights = 0.0;

		n = oracle_side(f, level, y, side, value);
		for (i = 0; i < n; i++) {
			w = 2.0 - fabs(value[i] - oracle_centre(f, level, y))
				/ sigma / 3.0;
			w = w > 1.0 ? 1.0 : w < 0.0 ? 0.0 : w;
			sum += w * value[i];
			weights += w;
		}
		weight[y] = weights < 0.5 ? 0.0 : weights;
		mean[y] = weights < 0.5 ? 0.0 : sum / weights;
	}
}

/* Straight line through the rows [y0, y1), weights times a triangle, at y. */
static double oracle_line(const double *mean, const double *pixels, size_t y0,
			  size_t y1, size_t y)
{
	double w = 0.0, t = 0.0, v = 0.0, tt = 0.0, tv = 0.0;
	double weight[MAX_NY], farthest = 0.0;
	bool before = false, after = false;
	size_t i;

	for (i = y0; i < y1; i++)
		farthest = fmax(farthest, fabs((double)i - (double)y));
	for (i = y0; i < y1; i++) {
		weight[i] = pixels[i] * (farthest + 1.0
					 - fabs((double)i - (double)y));
		w += weight[i];
		t += weight[i] * (double)i;
		v += weight[i] * mean[i];
		if (weight[i] > 0.0 && i <= y)
			before = true;
		if (weight[i] > 0.0 && i >= y)
			after = true;
	}
	if (w <= 0.0)
		return 0.0;
	t /= w;
	v /= w;
	for (i = y0; i < y1; i++) {
		tt += weight[i] * ((double)i - t) * ((double)i - t);
		tv += weight[i] * ((double)i - t) * (mean[i] - v);
	}
	if (!before || !after || tt < 1e-9)
		return v;
	return v + tv / tt * ((double)y - t);
}

static double oracle_smooth(const double *mean, const double *weight,
			    size_t ny, size_t half, size_t y)
{
	const size_t enough = half + 1;

	for (;; half = 2 * half + 1) {
		size_t y0 = y < half ? 0 : y - half, y1, n = 0, i;

		if (2 * half + 1 >= ny)
			return oracle_line(mean, weight, 0, ny, y);
		if (y0 + 2 * half + 1 > ny)
			y0 = ny - 2 * half - 1;
		y1 = y0 + 2 * half + 1;
		for (i = y0; i < y1; i++)
			n += weight[i] > 0.0;
		if (n >= enough)
			return oracle_line(mean, weight, y0, y1, y);
	}
}

/* Rows with the gaps bridged; the other side if this one has no pixel. */
static void oracle_bridged(const fixture *f, const double *level, int side,
			   double *out)
{
	const size_t half = f->o.side_rows > 0 ? f->o.side_rows / 2 : 5;
	double mean[MAX_NY], weight[MAX_NY], total = 0.0;
	size_t y;
	int turn;

	for (turn = 0; turn < 2 && total <= 0.0; turn++) {
		oracle_means(f, level, turn == 0 ? side : 1 - side, mean,
			     weight);
		for (y = 0; y < f->o.ny; y++)
			total += weight[y];
	}
	for (y = 0; y < f->o.ny; y++)
		out[y] = weight[y] > 0.0 ? mean[y]
			: oracle_smooth(mean, weight, f->o.ny, half, y);
}

/* Row i of an array that is reflected at its first and last row. */
static double reflected(const double *row, long ny, long i)
{
	while (i < 0 || i >= ny)
		i = i < 0 ? -i : 2 * (ny - 1) - i;
	return row[i];
}

static void oracle_rows(const fixture *f, const double *level, double *row)
{
	const size_t ny = f->o.ny, nlag = f->o.ref_weights.nlag;
	double left[MAX_NY], right[MAX_NY], weight[MAX_NY];
	size_t o, y, j;

	if (nlag == 0) {
		oracle_means(f, level, 2, left, weight);
		for (y = 0; y < ny; y++)
			row[y] = oracle_smooth(left, weight, ny,
					       f->o.side_rows / 2, y);
		return;
	}
	oracle_bridged(f, level, 0, left);
	oracle_bridged(f, level, 1, right);
	for (o = 0; o < f->o.noutputs; o++)
		for (y = 0; y < ny; y++) {
			double sum = 0.0;

			for (j = 0; j < nlag; j++) {
				const long i = (long)y + (long)j
					- (long)(nlag / 2);

				sum += (double)f->left[o * nlag + j]
					* reflected(left, (long)ny, i);
				sum += (double)f->right[o * nlag + j]
					* reflected(right, (long)ny, i);
			}
			row[o * ny + y] = sum;
		}
}

static void check_against_oracle(fixture *f)
{
	static double row[MAX_ROW];
	double level[MAX_NX];
	size_t i;

	run(f);
	for (i = 0; i < f->o.nx; i++) {
		level[i] = oracle_level(f, i);
		CHECK_CLOSE(f->column[i], level[i], 0.003); /* float */
		level[i] = (double)f->column[i];
	}
	if (f->nrow == 0)
		return;
	oracle_rows(f, level, row);
	for (i = 0; i < f->nrow; i++)
		CHECK_CLOSE(f->row[i], row[i], 1e-3 + 1e-6 * fabs(row[i]));
}

/* ---- levels ---- */

static void check_levels(const fixture *f)
{
	size_t x;

	for (x = 0; x < f->o.nx; x++)
		CHECK_CLOSE(f->column[x], offset(f, x), 0.0);
}

static void test_level_per_stripe_and_parity(void)
{
	fixture *f = start(NY, NX, BORDER, NOUT);

	fill(f, 0.0, 0.0);
	run(f);
	CHECK(f->nrow == 0);
	check_levels(f);
	/* 8 rows by 4 columns of 5 DN noise */
	CHECK_CLOSE(f->column_variance[0], 25.0 / 32.0, 1e-6);
}

static void test_outliers_and_flagged_pixels_do_not_count(void)
{
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y, x;

	f->o.bad_pixels = f->dq;
	fill(f, 0.0, 0.0);
	f->read[2 * NX + 3] = 60000; /* not flagged: clipped */
	f->read[(NY - 1) * NX + 3] = 5;
	f->read[1 * NX + 9] = 0; /* carries no level */
	for (y = 0; y < BORDER; y++)
		for (x = 24; x < NX; x++) {
			f->read[y * NX + x] = 9000;
			f->dq[y * NX + x] = y % 2
				? IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)
				: IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL)
				| IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
		}
	run(f);
	check_levels(f);
	CHECK_CLOSE(f->column_variance[1], 25.0 / 32.0, 1e-6);
	CHECK_CLOSE(f->column_variance[24], 25.0 / 16.0, 1e-6);
}

static void test_fallbacks(void)
{
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y, x;

	f->o.bad_pixels = f->dq;
	fill(f, 0.0, 0.0);
	for (y = 0; y < NY; y++)
		for (x = 0; x < NX; x++)
			if ((x < 8 && x % 2) || (x >= 8 && x < 16))
				f->dq[y * NX + x] =
					IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL);
	run(f);
	CHECK_CLOSE(f->column[1], 1000.0, 0.0); /* the other parity */
	CHECK_CLOSE(f->column_variance[1], 25.0 / 32.0, 1e-6);
	/* Stripe 1 gets all of the detector: stripes 0 (even), 2 and 3. */
	CHECK_CLOSE(f->column[8], (1000.0 + 2.0 * 1205.0 + 2.0 * 1305.0) / 5.0,
		    1e-4);
	CHECK_CLOSE(f->column[9], f->column[8], 0.0);
	CHECK_CLOSE(f->column_variance[9], 25.0 / 160.0, 1e-6);
}

static void test_reads_without_any_level(void)
{
	const uint16_t ends[2] = {0, 65535};
	size_t e, i;

	for (e = 0; e < 2; e++) {
		fixture *f = start(NY, NX, BORDER, NOUT);

		f->o.side_rows = 11;
		for (i = 0; i < NY * NX; i++)
			f->read[i] = ends[e];
		run(f);
		for (i = 0; i < NX; i++)
			CHECK_CLOSE(f->column[i], 0.0, 0.0);
		for (i = 0; i < NY; i++)
			CHECK_CLOSE(f->row[i], 0.0, 0.0);
	}
}

static void test_whole_border_may_be_marked_do_not_use(void)
{
	CHECK(iris_refpix_usable(0));
	CHECK(iris_refpix_usable(IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)
				 | IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)));
	CHECK(!iris_refpix_usable(IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE)));
	CHECK(!iris_refpix_usable(IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL)
				  | IRIS_DQ_MASK(IRIS_DQ_HOT)));
}

static void test_no_border_no_correction(void)
{
	fixture *f = start(NY, NX, 0, NOUT);
	iris_refpix *refpix = NULL;

	CHECK(iris_refpix_create(&refpix, &f->o) == IRIS_OK);
	CHECK(refpix == NULL);
	CHECK(iris_refpix_nrow(NULL) == 0);
	CHECK(iris_refpix_column_variance(NULL) == NULL);
	CHECK(iris_refpix_row_variance(NULL) == NULL);
	iris_refpix_destroy(NULL);
}

/* ---- rows ---- */

/*
 * What both stages take off together is the truth, once: also on the first and
 * last rows, whose noise the levels have had their share of.
 */
static void test_slope_is_taken_off_once(void)
{
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y, x;

	f->o.side_rows = 11;
	fill(f, 2.0, 0.0);
	run(f);
	CHECK(f->nrow == NY);
	for (y = 0; y < NY; y++)
		for (x = 0; x < NX; x++)
			CHECK_CLOSE(f->column[x] + f->row[y], offset(f, x)
				    + 2.0 * ((double)y - 19.5), 0.51);
	/* half a DN of rounding is the same for all */
	for (y = 0; y < NY; y++)
		CHECK_CLOSE(f->row[y] - f->row[0], 2.0 * (double)y, 1e-3);
}

/* Kernels that pass L, R or a shifted L on, output by output. */
static void test_kernels_pass_the_side_they_point_at(void)
{
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y, x;

	set_kernels(f, 5);
	f->left[0 * 5 + 2] = 1.0f;
	f->right[1 * 5 + 2] = 1.0f;
	f->left[2 * 5 + 4] = 1.0f; /* of two rows further up */
	fill(f, 0.0, 0.0);
	for (y = BORDER; y < NY - BORDER; y++)
		for (x = 0; x < BORDER; x++) {
			f->read[y * NX + x] = (uint16_t)(offset(f, x) + 3.0
							 * (double)(y % 7));
			f->read[y * NX + NX - 1 - x] =
				(uint16_t)(offset(f, NX - 1 - x) - 2.0
					   * (double)(y % 5));
		}
	run(f);
	CHECK(f->nrow == NOUT * NY);
	for (y = 6; y < NY - 6; y++) {
		CHECK_CLOSE(f->row[y], 3.0 * (double)(y % 7), 1e-3);
		CHECK_CLOSE(f->row[NY + y], -2.0 * (double)(y % 5), 1e-3);
		CHECK_CLOSE(f->row[2 * NY + y], 3.0 * (double)((y + 2) % 7),
			    1e-3);
		CHECK_CLOSE(f->row[3 * NY + y], 0.0, 0.0);
	}
	/* two rows beyond the last one stands the third last one: level */
	CHECK_CLOSE(f->row[2 * NY + NY - 1], 0.0, 1e-3);
	CHECK_CLOSE(f->row[2 * NY + 2], 3.0 * 4.0, 1e-3);
}

/* A hit on a side pixel is as if the pixel were marked bad. */
static void test_hits_on_side_pixels(void)
{
	float row[NY];
	double sum = 0.0;
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y;

	f->o.side_rows = 11;
	fill(f, 0.0, 5.0);
	f->read[20 * NX + 1] = 5000;
	f->read[20 * NX + 2] = 30000; /* two in one row */
	f->read[29 * NX + NX - 1] = 1500;
	run(f);
	memcpy(row, f->row, sizeof(row));
	f->o.bad_pixels = f->dq;
	f->dq[20 * NX + 1] = f->dq[20 * NX + 2] = f->dq[29 * NX + NX - 1] =
		IRIS_DQ_MASK(IRIS_DQ_HOT);
	run(f);
	for (y = 0; y < NY; y++) {
		CHECK_CLOSE(row[y], f->row[y], 0.05);
		sum += (double)(f->row[y] * f->row[y]);
	}
	CHECK(sum / NY < 3.0); /* 0.35 of the rows, and the levels */
}

static void test_hit_in_a_border_of_one_pixel(void)
{
	fixture *f = start(NY, NX, 1, NOUT);
	size_t y;

	f->o.side_rows = 5;
	fill(f, 0.0, 0.0);
	f->read[11 * NX] = 4000;
	run(f);
	for (y = 0; y < NY; y++)
		CHECK_CLOSE(f->row[y], 0.0, 0.0);
}

static void test_no_usable_side_pixel(void)
{
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y, x, i, nlag;

	for (nlag = 0; nlag <= 3; nlag += 3) {
		f = start(NY, NX, BORDER, NOUT);
		f->o.side_rows = 11;
		f->o.bad_pixels = f->dq;
		fill(f, 0.0, 5.0);
		for (y = 0; y < NY; y++)
			for (x = 0; x < BORDER; x++)
				f->dq[y * NX + x] =
					f->dq[y * NX + NX - 1 - x] =
					IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL);
		set_kernels(f, nlag);
		for (i = 0; i < NOUT * nlag; i++)
			f->left[i] = f->right[i] = 0.5f;
		run(f);
		for (i = 0; i < f->nrow; i++) {
			CHECK_CLOSE(f->row[i], 0.0, 0.0);
			CHECK_CLOSE(f->row_variance[i], 0.0, 0.0);
		}
	}
}

static void test_rows_without_pixels_are_bridged(void)
{
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y, x;

	f->o.side_rows = 5;
	f->o.bad_pixels = f->dq;
	fill(f, 2.0, 0.0);
	for (y = 12; y < 26; y++)
		for (x = 0; x < NX; x++)
			f->dq[y * NX + x] =
				IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL);
	run(f);
	for (y = 0; y < 12; y++)
		CHECK_CLOSE(f->row[y] - f->row[0], 2.0 * (double)y, 1e-3);
	for (y = 26; y < NY; y++)
		CHECK_CLOSE(f->row[y] - f->row[0], 2.0 * (double)y, 1e-3);
	for (y = 17; y < 21; y++) /* both ends of the gap are in reach */
		CHECK_CLOSE(f->row[y] - f->row[0], 2.0 * (double)y, 1e-3);
	for (y = 12; y < 26; y++) {
		CHECK(f->row[y] > f->row[6] && f->row[y] < f->row[32]);
		CHECK(f->row_variance[y] > 0.0f);
	}
}

/* ---- variances, worked out by hand ---- */

/*
 * A level is the mean of 32 pixels of 25 DN^2, 4 columns of 8 rows; of the
 * columns of a side two and two share one.
 */
static const double level_of_side = 25.0 / 32.0 / 2.0;

static void test_variance_of_smoothed_rows(void)
{
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y;

	f->o.side_rows = 11;
	fill(f, 0.0, 0.0);
	run(f);
	/* weights 1 2 3 4 5 6 5 4 3 2 1 over 36 */
	for (y = 5; y < NY - 5; y++)
		CHECK_CLOSE(f->row_variance[y], 25.0 / 8.0 * 146.0 / 1296.0
			    + level_of_side / 2.0, 1e-6);
	/* end of a line through points of weight 11, 10, ... 1 */
	for (y = 0; y < NY; y += NY - 1)
		CHECK_CLOSE(f->row_variance[y], 25.0 / 8.0 * 103.0 / 286.0
			    + level_of_side / 2.0, 1e-6);
}

/*
 * Noise of 5 DN on the side pixels.  That of the last rows is the opposite of
 * that of the first ones, so that the levels stay as they are.
 */
static void add_side_noise(fixture *f)
{
	size_t y, x;

	fill(f, 0.0, 0.0);
	for (y = 0; y < NY; y++)
		for (x = 0; x < NX; x++) {
			const double opposite =
				(double)f->read[(NY - 1 - y) * NX + x];

			if (x >= BORDER && x < NX - BORDER)
				continue;
			f->read[y * NX + x] = (uint16_t)
				(y < NY - BORDER ? offset(f, x)
				 + 5.0 * gaussian() + 0.5
				 : 2.0 * offset(f, x) - opposite);
		}
}

/* The scatter of many reads is what the variance says. */
static void test_scatter_of_simulated_reads(void)
{
	enum { NREAD = 4000, ROW = NY / 2 };
	size_t nlag, k;

	for (nlag = 0; nlag <= 7; nlag += 7) {
		fixture *f = start(NY, NX, BORDER, NOUT);
		double sum = 0.0, square = 0.0, expected;
		double left = 0.0, right = 0.0;

		f->o.side_rows = 11;
		set_kernels(f, nlag);
		for (k = 0; k < NOUT * nlag; k++) {
			f->left[k] = (float)(0.1 + 0.05 * (double)(k % 7));
			f->right[k] = (float)(0.3 - 0.1 * (double)(k % 7));
		}
		for (k = 0; k < NREAD; k++) {
			add_side_noise(f);
			run(f);
			sum += (double)f->row[ROW] / NREAD;
			square += (double)f->row[ROW] * (double)f->row[ROW]
				/ NREAD;
		}
		for (k = 0; k < nlag; k++) {
			left += (double)f->left[k];
			right += (double)f->right[k];
		}
		expected = (double)f->row_variance[ROW]; /* levels are exact */
		expected -= nlag == 0 ? level_of_side / 2.0
			: (left * left + right * right) * level_of_side;
		/* of rounding to DN: 1 / 12; error of a variance: 2.2 % */
		expected *= (25.0 + 1.0 / 12.0) / 25.0;
		CHECK_CLOSE(square - sum * sum, expected, 0.09 * expected);
		CHECK_CLOSE(sum, 0.0, 4.0 * sqrt(expected / NREAD));
	}
}

static void test_variance_of_kernels(void)
{
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t i;

	set_kernels(f, 3);
	for (i = 0; i < 3; i++)
		f->left[i] = f->right[3 + i] = 1.0f / 3.0f;
	f->left[6 + 1] = 0.5f;
	f->right[6 + 1] = 0.25f;
	fill(f, 0.0, 0.0);
	run(f);
	for (i = 0; i < 2; i++) { /* 4 pixels of 25 DN^2 */
		CHECK_CLOSE(f->row_variance[i * NY + 9],
			    25.0 / 12.0 + level_of_side, 1e-5);
		/* the mirrored neighbour comes twice: (1 + 4) / 9 */
		CHECK_CLOSE(f->row_variance[i * NY],
			    25.0 / 4.0 * 5.0 / 9.0 + level_of_side, 1e-5);
		CHECK_CLOSE(f->row_variance[i * NY + NY - 1],
			    25.0 / 4.0 * 5.0 / 9.0 + level_of_side, 1e-5);
	}
	CHECK_CLOSE(f->row_variance[2 * NY],
		    (25.0 / 4.0 + level_of_side) * 0.3125, 1e-5);
	CHECK_CLOSE(f->row_variance[3 * NY], 0.0, 0.0);
}

/* One side stands in for the other, and the kernels' values add up. */
static void test_one_side_bad(void)
{
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y, x;

	set_kernels(f, 1);
	f->left[0] = 0.5f;
	f->right[0] = 0.5f;
	f->o.bad_pixels = f->dq;
	fill(f, 2.0, 0.0);
	for (y = 0; y < NY; y++)
		for (x = 0; x < BORDER; x++)
			f->dq[y * NX + x] =
				IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL);
	run(f);
	for (y = 1; y < NY; y++)
		CHECK_CLOSE(f->row[y] - f->row[0], 2.0 * (double)y, 1e-3);
	CHECK_CLOSE(f->row_variance[3], 25.0 / 4.0 + level_of_side, 1e-5);
}

/*
 * Reference pixels without a gain get the mean noise of those that have one;
 * one without a noise too.  Maps may be larger than the reads.
 */
static void test_noise_of_maps(void)
{
	static float gain[MAX_PIXEL], noise[MAX_PIXEL];
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y, x;

	for (y = 0; y < NY; y++)
		for (x = 0; x < NX; x++) {
			gain[y * NX + x] = in_border(f, y, x) ? NAN : 2.0f;
			noise[y * NX + x] = x % 2 ? 8.0f : 12.0f;
		}
	gain[20 * NX + 20] = INFINITY; /* no good pixels; of noise 4 */
	noise[20 * NX + 20] = 8.0f;
	gain[20 * NX + 21] = -1.0f;
	noise[20 * NX + 21] = 12.0f;
	gain[0] = 1.0f; /* this reference pixel has a noise of 12 DN */
	f->o.gain.map = gain;
	f->o.read_noise.map = noise;
	fill(f, 0.0, 0.0);
	run(f);
	{
		/* 766 good pixels inside: 383 of 6 DN and 383 of 4 DN */
		const double mean = (383.0 * 10.0 + 12.0) / 767.0;
		const double v = mean * mean;

		CHECK_CLOSE(f->column_variance[9], v / 32.0, 1e-5);
		CHECK_CLOSE(f->column_variance[0],
			    (31.0 * v + 144.0) / 1024.0, 1e-5);
	}
}

static void test_window_of_larger_maps(void)
{
	enum { Y0 = 7, X0 = 5, MNY = 60, MNX = 44 };
	static float gain[MNY * MNX], noise[MNY * MNX];
	static float small_gain[NY * NX], small_noise[NY * NX];
	static uint32_t dq[MNY * MNX];
	static fixture whole;
	fixture *f = start(NY, NX, BORDER, NOUT);
	size_t y, x, i;

	for (i = 0; i < MNY * MNX; i++) {
		gain[i] = (float)(1.0 + uniform());
		noise[i] = (float)(8.0 + 4.0 * uniform());
		if (uniform() < 0.1)
			dq[i] = IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL);
	}
	for (y = 0; y < NY; y++)
		for (x = 0; x < NX; x++) {
			i = (Y0 + y) * MNX + X0 + x;
			small_gain[y * NX + x] = gain[i];
			small_noise[y * NX + x] = noise[i];
			f->dq[y * NX + x] = dq[i];
		}
	f->o.side_rows = 11;
	fill(f, 0.5, 5.0);
	f->o.bad_pixels = f->dq;
	f->o.gain.map = small_gain;
	f->o.read_noise.map = small_noise;
	run(f);
	whole = *f;
	whole.o.map_y = Y0;
	whole.o.map_x = X0;
	whole.o.map_ny = MNY;
	whole.o.map_nx = MNX;
	whole.o.bad_pixels = dq;
	whole.o.gain.map = gain;
	whole.o.read_noise.map = noise;
	run(&whole);
	CHECK(!memcmp(f->column, whole.column, sizeof(f->column)));
	CHECK(!memcmp(f->row, whole.row, sizeof(f->row)));
	CHECK(!memcmp(f->column_variance, whole.column_variance,
		      sizeof(f->column_variance)));
	CHECK(!memcmp(f->row_variance, whole.row_variance,
		      sizeof(f->row_variance)));
}

/* ---- against the oracle ---- */

typedef struct shape {
	size_t ny, nx, border, noutputs, side_rows, nlag;
} shape;

static void spoil(fixture *f, double bad, double hits)
{
	size_t i;

	f->o.bad_pixels = f->dq;
	for (i = 0; i < f->o.ny * f->o.nx; i++) {
		if (uniform() < bad)
			f->dq[i] = IRIS_DQ_MASK(IRIS_DQ_BAD_REF_PIXEL);
		if (uniform() < hits)
			f->read[i] = (uint16_t)(65536.0 * uniform());
		if (uniform() < hits)
			f->read[i] = uniform() < 0.5 ? 0 : 65535;
	}
}

static const shape shapes[] = {
	{40, 32, 4, 4, 0, 0}, {40, 32, 4, 4, 11, 0}, {40, 32, 4, 4, 11, 9},
	{40, 32, 4, 4, 0, 9}, {40, 32, 4, 4, 1, 0}, {40, 32, 4, 4, 1, 1},
	{40, 32, 1, 4, 11, 0}, {40, 32, 1, 4, 5, 7}, {40, 32, 2, 4, 3, 3},
	{40, 32, 4, 1, 11, 0}, {40, 32, 4, 1, 11, 5}, /* noutputs 1 */
	{40, 32, 4, 32, 11, 0}, {40, 32, 4, 32, 11, 5}, /* noutputs nx */
	{41, 33, 4, 3, 11, 0}, {41, 33, 4, 11, 7, 11}, /* odd nx */
	{37, 31, 3, 1, 9, 0}, {70, 48, 4, 6, 11, 33},
	{40, 32, 4, 4, 101, 0}, {40, 32, 4, 4, 11, 201}, /* longer than ny */
	{9, 9, 4, 1, 11, 0}, {9, 9, 4, 3, 11, 5}, {3, 3, 1, 3, 3, 3}
};

static void check_shape(const shape *s, double bad, double hits)
{
	fixture *f = start(s->ny, s->nx, s->border, s->noutputs);
	size_t i;

	f->o.side_rows = s->side_rows;
	set_kernels(f, s->nlag);
	for (i = 0; i < s->noutputs * s->nlag; i++) {
		f->left[i] = (float)((uniform() - 0.3) / (double)s->nlag);
		f->right[i] = (float)((uniform() - 0.3) / (double)s->nlag);
	}
	fill(f, 0.3, 5.0);
	spoil(f, bad, hits);
	check_against_oracle(f);
}

static void test_against_oracle(void)
{
	static const double bad[] = {0.0, 0.05, 0.6, 0.97};
	size_t i, k;

	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		for (k = 0; k < 4; k++)
			check_shape(&shapes[i], bad[k], k == 1 ? 0.05 : 0.01);
}

/* Three ways to store the same counts, at an odd address too: same bits. */
static void test_byte_orders(void)
{
	static unsigned char bytes[2 * MAX_PIXEL + 1];
	static fixture other;
	fixture *f = start(NY, NX, BORDER, NOUT);
	const uint16_t one = 1;
	const bool little = *(const unsigned char *)&one == 1;
	size_t i, way;

	f->o.side_rows = 11;
	fill(f, 0.3, 5.0);
	spoil(f, 0.02, 0.02);
	f->read[0] = 32767;
	f->read[1] = 32768;
	run(f);
	for (way = 0; way < 2; way++) {
		for (i = 0; i < NY * NX; i++) {
			const unsigned c = f->read[i];
			const unsigned fits = (c + 65536u - 32768u) % 65536u;
			const bool high_first = way == 1 || little;
			const unsigned v = way == 1 ? fits : c;

			bytes[1 + 2 * i + !high_first] =
				(unsigned char)(v / 256);
			bytes[1 + 2 * i + high_first] =
				(unsigned char)(v % 256);
		}
		other = *f;
		other.o.bad_pixels = other.dq;
		memset(other.row, 0, sizeof(other.row));
		memset(other.column, 0, sizeof(other.column));
		run_order(&other, bytes + 1, way == 1 ? IRIS_FITS
			  : IRIS_SWAPPED);
		CHECK(!memcmp(f->column, other.column, sizeof(f->column)));
		CHECK(!memcmp(f->row, other.row, sizeof(f->row)));
	}
}

/* A refpix remembers nothing of the reads before. */
static void test_reads_are_independent(void)
{
	static float column[MAX_NX], row[MAX_ROW];
	static uint16_t junk[NY * NX];
	fixture *f = start(NY, NX, BORDER, NOUT);
	iris_refpix *refpix = NULL;
	size_t i;

	f->o.side_rows = 11;
	fill(f, 0.3, 5.0);
	spoil(f, 0.02, 0.02);
	run(f);
	for (i = 0; i < NY * NX; i++)
		junk[i] = (uint16_t)(65536.0 * uniform());
	CHECK(iris_refpix_create(&refpix, &f->o) == IRIS_OK);
	iris_refpix_measure(refpix, junk, IRIS_NATIVE, column, row);
	iris_refpix_measure(refpix, f->read, IRIS_NATIVE, column, row);
	CHECK(!memcmp(column, f->column, NX * sizeof(float)));
	CHECK(!memcmp(row, f->row, NY * sizeof(float)));
	CHECK(!memcmp(iris_refpix_row_variance(refpix), f->row_variance,
		      NY * sizeof(float)));
	iris_refpix_destroy(refpix);
}

int main(void)
{
	test_level_per_stripe_and_parity();
	test_outliers_and_flagged_pixels_do_not_count();
	test_fallbacks();
	test_reads_without_any_level();
	test_whole_border_may_be_marked_do_not_use();
	test_no_border_no_correction();
	test_slope_is_taken_off_once();
	test_kernels_pass_the_side_they_point_at();
	test_hits_on_side_pixels();
	test_hit_in_a_border_of_one_pixel();
	test_no_usable_side_pixel();
	test_rows_without_pixels_are_bridged();
	test_variance_of_smoothed_rows();
	test_scatter_of_simulated_reads();
	test_variance_of_kernels();
	test_one_side_bad();
	test_noise_of_maps();
	test_window_of_larger_maps();
	test_against_oracle();
	test_byte_orders();
	test_reads_are_independent();
	return failures != 0;
}
