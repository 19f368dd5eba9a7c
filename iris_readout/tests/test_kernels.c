/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vector code: every instruction set gives the bits of the baseline, and
 * the baseline is right: counts to charge by hand, fits against dense matrices.
 */
#include "check.h"
#include "dense.h"
#include "internal.h"
#include "numbers.h"

#include <string.h>

/* Vectors of 64 bytes without the instructions: see CMakeLists.txt. */
extern const iris_kernels iris_kernels_wide;

enum { READS = 12, NX = 70, ROOM = READS * IRIS_LANES };

typedef struct fixture {
	iris_block block;
	_Alignas(64) float maps[IRIS_NMAP][IRIS_STAGED];
	iris_references references; /* in maps */
	/* The first read, then all of them. */
	_Alignas(64) uint16_t staged[READS + 1][IRIS_STAGED];
	float column[(READS + 1) * NX], row[(READS + 1) * 4];
	iris_calibration calibration;
	iris_pattern pattern;
	double seconds[DENSE_MOST];
	_Alignas(64) float charge[ROOM];
	_Alignas(64) float scratch[3 * ROOM];
	float photon[READS], read[READS];
	iris_two_point table;
} fixture;

static float *coeff(fixture *f, size_t c)
{
	return f->references.coeff + c * IRIS_STAGED;
}

static void set_block(fixture *f, numbers *n)
{
	iris_references *r = &f->references;
	iris_block *b = &f->block;
	size_t l;

	*r = (iris_references){
		.gain = f->maps[0], .noise = f->maps[1], .extra = f->maps[2],
		.variance = f->maps[3], .level = f->maps[4],
		.pedestal = f->maps[5], .limit = f->maps[6],
		.dq = (uint32_t *)(void *)f->maps[7], .coeff = f->maps[8],
	};
	b->count = IRIS_LANES;
	b->gain = r->gain;
	b->variance = r->variance;
	b->level = r->level;
	b->pedestal = r->pedestal;
	b->limit = r->limit;
	b->coeff = r->coeff;
	for (l = 0; l < IRIS_LANES; l++) {
		r->gain[l] = (float)(1.5 + uniform(n));
		r->variance[l] = (float)(50.0 + 50.0 * uniform(n));
		r->level[l] = 50000.0f;
		r->limit[l] = HUGE_VALF;
		b->nusable[l] = b->saturated[l] = b->near_by[l] = IRIS_NEVER;
		b->chi2[l] = NAN;
	}
}

static void set_pattern(fixture *f, size_t nsample, bool weighted)
{
	iris_pattern *p = &f->pattern;
	size_t k;

	p->nsample = nsample;
	for (k = 0; k < DENSE_MOST; k++)
		f->seconds[k] = 1.4 + 1.4 * (double)k + 0.2 * (double)(k % 4);
	for (k = 0; k < nsample; k++) {
		p->time[k] = p->tau[k] = f->seconds[k];
		p->count[k] = 1.0;
		p->weight[k] = weighted && k > 0 ? 0.25 * (double)(k % 5) : 1.0;
		p->first[k] = (uint16_t)(k + 1);
	}
	iris_pattern_complete(p);
	f->table = (iris_two_point){f->photon, f->read};
	iris_two_point_set(&f->table, p);
}

/* Light of all strengths with its noise, and a hit in some lanes. */
static void set_charge(fixture *f, numbers *n)
{
	size_t k, l;

	for (l = 0; l < IRIS_LANES; l++) {
		const double rate = pow(10.0, 5.0 * uniform(n) - 2.0);
		const size_t hit = l % 4 == 0 ? 1 + below(n, READS) : READS;
		double sum = 0.0;

		for (k = 0; k < READS; k++) {
			const double step = k > 0 ? f->seconds[k]
				- f->seconds[k - 1] : 0.0;

			sum += rate * step + sqrt(rate * step) * gaussian(n)
				+ (k == hit ? 400.0 : 0.0);
			f->charge[k * IRIS_LANES + l] = (float)(
				sum + 9.0 * gaussian(n));
		}
	}
}

static void start(fixture *f, numbers *n)
{
	memset(f, 0, sizeof(*f));
	CHECK(iris_pattern_create(&f->pattern, READS) == IRIS_OK);
	set_pattern(f, READS, false);
	set_block(f, n);
	set_charge(f, n);
}

static void stop(fixture *f)
{
	iris_pattern_destroy(&f->pattern);
}

/* --- the sets agree ------------------------------------------------------ */

static const iris_kernels *others[4];
static size_t nother;

static void find_sets(void)
{
	const iris_kernels *k = NULL;
	int isa;

#ifdef IRIS_HAVE_WIDE
	others[nother++] = &iris_kernels_wide;
#endif
	for (isa = IRIS_ISA_AVX2; isa <= IRIS_ISA_AVX512; isa++)
		if (iris_kernels_choose(&k, (iris_isa)isa, NULL, 0) == IRIS_OK)
			others[nother++] = k;
}

/* All that the kernels write to. */
static bool same_block(const iris_block *a, const iris_block *b)
{
	return memcmp(a->dq, b->dq, sizeof(*a) - offsetof(iris_block, dq)) == 0;
}

/* No more samples than there are, as the fits expect. */
static void clamp(fixture *f)
{
	size_t l;

	for (l = 0; l < IRIS_LANES; l++)
		if (f->block.nusable[l] > (int32_t)f->pattern.nsample)
			f->block.nusable[l] = (int32_t)f->pattern.nsample;
}

typedef void run_kernel(const iris_kernels *k, fixture *f);

static void run_scan(const iris_kernels *k, fixture *f)
{
	k->scan(&f->block, 0, READS);
}

static void run_calibrate(const iris_kernels *k, fixture *f)
{
	k->calibrate(&f->calibration, &f->block, 0, READS, f->charge);
}

static void run_accumulate(const iris_kernels *k, fixture *f)
{
	k->accumulate(&f->block, &f->pattern, 0, IRIS_BATCH, f->charge);
	k->accumulate(&f->block, &f->pattern, IRIS_BATCH, READS - IRIS_BATCH,
		      f->charge + IRIS_BATCH * IRIS_LANES);
}

static void run_sum_up(const iris_kernels *k, fixture *f)
{
	(void)k->sum_up(&f->calibration, &f->block, &f->pattern, 0,
			f->pattern.nsample);
}

static void run_keep_last(const iris_kernels *k, fixture *f)
{
	k->keep_last(&f->block, 0, READS, f->charge);
}

static void run_end_sums(const iris_kernels *k, fixture *f)
{
	clamp(f);
	k->end_sums(&f->block, READS, 3, f->charge);
}

static void run_two_point(const iris_kernels *k, fixture *f)
{
	k->two_point(&f->block, &f->pattern, &f->table, 4.4f, f->charge);
}

static void run_likelihood(const iris_kernels *k, fixture *f)
{
	clamp(f);
	k->likelihood(&f->block, &f->pattern, 15.0f, 18.0f, f->charge,
		      f->scratch);
}

static void run_chi_square(const iris_kernels *k, fixture *f)
{
	size_t l;

	clamp(f);
	for (l = 0; l < IRIS_LANES; l++)
		f->block.rate[l] = (float)l - 3.0f;
	k->chi_square(&f->block, &f->pattern, f->charge);
}

static void run_slope(const iris_kernels *k, fixture *f)
{
	iris_slope slopes[READS + 1];
	iris_options o;

	clamp(f);
	iris_options_init(&o, 1, NX);
	iris_slopes_set(slopes, &f->pattern, &o);
	run_accumulate(k, f);
	k->slope(&f->block, slopes);
	k->blank(&f->block);
}

/* Both runs begin with the same bits; both must end with the same. */
static void compare_sets(run_kernel *run, const fixture *from)
{
	static fixture plain, other;
	size_t i;

	plain = *from;
	run(&iris_kernels_baseline, &plain);
	for (i = 0; i < nother; i++) {
		other = *from;
		run(others[i], &other);
		CHECK(same_block(&plain.block, &other.block));
		CHECK(memcmp(plain.charge, other.charge, sizeof(plain.charge))
		      == 0);
	}
}

/* Lay the block on pixels x ... of the only row. */
static void place(fixture *f, size_t x)
{
	f->block.x = x;
	f->block.count = NX - x < IRIS_LANES ? NX - x : IRIS_LANES;
	f->block.origin = f->staged[0] + x;
	f->block.reads = f->staged[1] + x;
}

static void stage(fixture *f, size_t k, const uint16_t *counts)
{
	iris_kernels_baseline.stage((const unsigned char *)counts, NX,
				    IRIS_NATIVE, f->staged[k + 1]);
	if (k == 0)
		memcpy(f->staged[0], f->staged[1], sizeof(f->staged[0]));
}

static void set_reads(fixture *f, numbers *n)
{
	uint16_t counts[NX];
	size_t k, x;

	f->calibration = (iris_calibration){.nx = NX, .ny = 1};
	for (k = 0; k < READS; k++) {
		for (x = 0; x < NX; x++) {
			counts[x] = (uint16_t)(1 + below(n, 60000));
			f->column[(k + 1) * NX + x] = (float)gaussian(n);
		}
		f->row[k + 1] = (float)gaussian(n);
		stage(f, k, counts);
	}
	memcpy(f->column, f->column + NX, NX * sizeof(float));
	f->row[0] = f->row[1];
	place(f, 0);
}

static void test_sets_agree(void)
{
	static run_kernel *const fits[] = {
		run_accumulate, run_keep_last, run_end_sums, run_two_point,
		run_likelihood, run_chi_square, run_slope,
	};
	static fixture f;
	numbers n = {1};
	size_t trial, i, l;

	for (trial = 0; trial < 6; trial++) {
		start(&f, &n);
		set_pattern(&f, READS - trial % 2, trial == 5);
		for (l = 0; l < IRIS_LANES && trial > 2; l++)
			f.block.nusable[l] = (int32_t)below(&n, READS + 1);
		for (i = 0; i < sizeof(fits) / sizeof(*fits); i++)
			compare_sets(fits[i], &f);
		set_reads(&f, &n);
		place(&f, trial < 2 ? 0 : 64);
		f.calibration.ncoef = trial > 0 ? trial + 1 : 0;
		if (trial % 2) {
			f.calibration.column = f.column;
			f.calibration.row = f.row;
			f.calibration.nrow = 1;
		}
		compare_sets(run_scan, &f);
		compare_sets(run_calibrate, &f);
		compare_sets(run_sum_up, &f);
		stop(&f);
	}
}

/* --- counts to charge ---------------------------------------------------- */

static void put(fixture *f, size_t k, size_t x, uint32_t value)
{
	f->staged[k + 1][x] = (uint16_t)value;
	if (k == 0)
		f->staged[0][x] = (uint16_t)value;
}

/* 1000 DN and 100 DN more in each read. */
static void put_all(fixture *f)
{
	size_t k, x;

	for (k = 0; k < READS; k++)
		for (x = 0; x < NX; x++)
			put(f, k, x, 1000 + 100 * (uint32_t)k);
}

/* 258 in every order, at odd addresses too, and 1 up to the whole block. */
static void test_orders(void)
{
	static const unsigned char bytes[][2] = {
		[IRIS_NATIVE] = {0, 0}, [IRIS_SWAPPED] = {0, 0},
		[IRIS_FITS] = {0x81, 0x02},
	};
	static unsigned char read[2 * NX + 1];
	static uint16_t counts[2 * IRIS_LANES];
	const uint16_t value = 258, other = 513; /* 0x0102, 0x0201 */
	int order;
	size_t x;

	for (order = IRIS_NATIVE; order <= IRIS_FITS; order++) {
		for (x = 0; x < NX; x++)
			memcpy(read + 1 + 2 * x,
			       order == IRIS_NATIVE ? (const void *)&value
			       : order == IRIS_SWAPPED ? (const void *)&other
			       : bytes[order], 2);
		memset(counts, 0, sizeof(counts));
		iris_kernels_baseline.stage(read + 1, NX,
					    (iris_byte_order)order, counts);
		for (x = 0; x < 2 * IRIS_LANES; x++)
			CHECK(counts[x] == (x < NX ? 258 : 1));
	}
}

static void test_cuts(void)
{
	static fixture f;
	numbers n = {2};
	size_t k;

	start(&f, &n);
	set_reads(&f, &n);
	put_all(&f);
	f.references.level[3] = 1500.0f; /* 1500 is saturated */
	put(&f, 7, 4, 0);
	put(&f, 5, 5, 65535);
	put(&f, 9, 5, 0);
	f.block.near_by[6] = 4;
	f.block.near_by[7] = 4;
	put(&f, 3, 7, 65535);
	run_calibrate(&iris_kernels_baseline, &f);
	for (k = 0; k < READS; k++)
		CHECK_CLOSE(f.charge[k * IRIS_LANES],
			    100.0 * (double)k * (double)f.references.gain[0], 1e-2);
	CHECK(f.block.nusable[0] >= READS && f.block.dq[0] == 0);
	CHECK(f.block.saturated[3] == 5 && f.block.nusable[3] == 5);
	CHECK(f.block.dq[3] == IRIS_DQ_MASK(IRIS_DQ_SATURATED));
	CHECK(f.block.nusable[4] == 7
	      && f.block.dq[4] == IRIS_DQ_MASK(IRIS_DQ_AD_FLOOR));
	CHECK(f.block.nusable[5] == 5
	      && f.block.dq[5] == (IRIS_DQ_MASK(IRIS_DQ_SATURATED)
				   | IRIS_DQ_MASK(IRIS_DQ_AD_FLOOR)));
	CHECK(f.block.nusable[6] == 4
	      && f.block.dq[6] == IRIS_DQ_MASK(IRIS_DQ_CHARGELOSS));
	CHECK(f.block.nusable[7] == 3
	      && f.block.dq[7] == IRIS_DQ_MASK(IRIS_DQ_SATURATED));
	stop(&f);
}

/* Beyond the end of a row nothing is read and nothing flagged. */
static void test_end_of_a_row(void)
{
	static fixture f;
	numbers n = {3};
	size_t l;

	start(&f, &n);
	set_reads(&f, &n);
	put_all(&f);
	place(&f, 64);
	run_calibrate(&iris_kernels_baseline, &f);
	for (l = NX - 64; l < IRIS_LANES; l++)
		CHECK(f.block.dq[l] == 0 && f.block.saturated[l] == IRIS_NEVER);
	CHECK_CLOSE(f.charge[5], 0.0, 0.0);
	CHECK_CLOSE(f.charge[IRIS_LANES + 5], 100.0 * (double)f.references.gain[5],
		    1e-3);
	stop(&f);
}

/* y = 3 + x + 2^-17 x^2 of what is left of the counts without references. */
static void test_linearity_and_reference_levels(void)
{
	static fixture f;
	numbers n = {4};
	size_t k, l;

	start(&f, &n);
	set_reads(&f, &n);
	put_all(&f);
	f.calibration.ncoef = 3;
	f.calibration.column = f.column;
	f.calibration.row = f.row;
	f.calibration.nrow = 1;
	for (l = 0; l < IRIS_LANES; l++) {
		coeff(&f, 0)[l] = 3.0f;
		coeff(&f, 1)[l] = 1.0f;
		coeff(&f, 2)[l] = 0x1p-17f;
		f.references.pedestal[l] = 400.0f;
	}
	f.references.limit[1] = 1249.0f; /* between reads 6 and 7 */
	coeff(&f, 2)[2] = NAN;
	coeff(&f, 1)[3] = INFINITY;
	f.references.pedestal[4] = NAN;
	f.references.limit[5] = NAN; /* no limit */
	iris_kernels_baseline.check_linearity(&f.references, IRIS_LANES, 3);
	memcpy(f.block.dq, f.references.dq, sizeof(f.block.dq));
	run_calibrate(&iris_kernels_baseline, &f);
	for (k = 0; k < READS; k++) {
		const double x0 = 1000.0 - 400.0 - (double)f.column[0]
			- (double)f.row[0];
		const double x = 1000.0 + 100.0 * (double)k - 400.0
			- (double)f.column[(k + 1) * NX]
			- (double)f.row[k + 1];
		const double y = x - x0 + (x * x - x0 * x0) / 131072.0;

		CHECK_CLOSE(f.charge[k * IRIS_LANES],
			    y * (double)f.references.gain[0], 2e-3);
	}
	CHECK(f.block.dq[0] == 0 && f.block.dq[5] == 0);
	CHECK(f.block.nusable[1] == 7
	      && f.block.dq[1] == IRIS_DQ_MASK(IRIS_DQ_NONLINEAR));
	for (l = 2; l < 5; l++) {
		const double y = 100.0 - (double)(f.column[2 * NX + l]
						  - f.column[NX + l])
			- (double)(f.row[2] - f.row[1]);

		CHECK(f.block.dq[l] == IRIS_DQ_MASK(IRIS_DQ_NO_LIN_CORR));
		CHECK_CLOSE(f.charge[IRIS_LANES + l],
			    y * (double)f.references.gain[l], 1e-3);
	}
	stop(&f);
}

static void test_result_beyond_all_numbers_is_not_used(void)
{
	static fixture f;
	numbers n = {5};

	start(&f, &n);
	set_reads(&f, &n);
	put_all(&f);
	f.calibration.ncoef = 3;
	coeff(&f, 1)[0] = 1.0f;
	coeff(&f, 2)[0] = 1e32f; /* 1e38 for 1000 DN, too much later on */
	f.references.limit[0] = NAN;
	iris_kernels_baseline.check_linearity(&f.references, IRIS_LANES, 3);
	memcpy(f.block.dq, f.references.dq, sizeof(f.block.dq));
	run_calibrate(&iris_kernels_baseline, &f);
	CHECK(f.block.nusable[0] == 9); /* 1e32 x 1900^2 > 3.4e38 */
	CHECK(f.block.dq[0] & IRIS_DQ_MASK(IRIS_DQ_NONLINEAR));
	stop(&f);
}

static void test_references_that_are_no_good(void)
{
	static fixture f;
	static const float bad[] = {0.0f, -1.0f, NAN, INFINITY};
	const uint32_t unusable = IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE);
	const iris_references *r = &f.references;
	numbers n = {6};
	size_t l;

	start(&f, &n);
	for (l = 0; l < IRIS_LANES; l++) {
		r->gain[l] = l < 4 ? bad[l] : 2.0f;
		r->noise[l] = l >= 4 && l < 8 ? bad[l - 4] : 9.0f;
		r->level[l] = l >= 8 && l < 12 ? bad[l - 8] : 1e6f;
		r->extra[l] = 1.0f;
	}
	r->level[13] = 1200.5f;
	r->dq[14] = IRIS_DQ_MASK(IRIS_DQ_HOT);
	iris_kernels_baseline.check_references(r, IRIS_LANES, true);
	for (l = 0; l < 12; l++)
		CHECK(r->dq[l] == (l < 4
			? unusable | IRIS_DQ_MASK(IRIS_DQ_NO_GAIN_VALUE)
			: l < 8
			? unusable | IRIS_DQ_MASK(IRIS_DQ_OTHER_BAD_PIXEL)
			: IRIS_DQ_MASK(IRIS_DQ_NO_SAT_CHECK)));
	CHECK_CLOSE(r->variance[12], 81.0 + 4.0, 1e-5);
	CHECK_CLOSE(r->level[12], 65535.0, 0.0);
	CHECK_CLOSE(r->level[13], 1200.5, 0.0);
	CHECK(r->dq[13] == 0 && r->dq[14] == IRIS_DQ_MASK(IRIS_DQ_HOT));
	for (l = 0; l < IRIS_LANES; l++)
		CHECK(isfinite(r->gain[l]) && isfinite(r->variance[l])
		      && isfinite(r->level[l]));
	stop(&f);
}

/* References of all kinds: every set makes the same of them. */
static void test_sets_agree_on_references(void)
{
	static const float odd[] = {0.0f, -1.0f, NAN, INFINITY, 7e4f, 0.5f};
	static fixture plain, other;
	numbers n = {7};
	size_t i, l, m;

	start(&plain, &n);
	for (m = 0; m < 7 + 3; m++)
		for (l = 0; l < IRIS_STAGED; l++)
			plain.maps[m < 7 ? m : m + 1][l] = below(&n, 9) == 0
				? odd[below(&n, 6)] : (float)(2.0 * uniform(&n));
	other = plain;
	iris_kernels_baseline.check_references(&plain.references, IRIS_STRETCH,
					       true);
	iris_kernels_baseline.check_linearity(&plain.references, IRIS_STRETCH,
					      3);
	for (i = 0; i < nother; i++) {
		static fixture mine;

		mine = other;
		set_block(&mine, &n);
		memcpy(mine.maps, other.maps, sizeof(mine.maps));
		others[i]->check_references(&mine.references, IRIS_STRETCH,
					    true);
		others[i]->check_linearity(&mine.references, IRIS_STRETCH, 3);
		CHECK(memcmp(mine.maps, plain.maps, sizeof(mine.maps)) == 0);
	}
	stop(&plain);
}

/* Sums at once are those of charge and accumulate, where all is usable. */
static void test_sums_at_once(void)
{
	static fixture slow, fast;
	const iris_kernels *k = &iris_kernels_baseline;
	numbers n = {8};
	size_t trial, l;

	for (trial = 0; trial < 6; trial++) {
		start(&slow, &n);
		set_reads(&slow, &n);
		slow.references.level[2] = 65535.0f;
		slow.calibration.column = trial % 2 ? slow.column : NULL;
		slow.calibration.row = slow.row;
		slow.calibration.nrow = 1;
		slow.calibration.ncoef = trial > 1 ? trial + 1 : 0;
		for (l = 0; l < IRIS_LANES; l++) {
			slow.references.level[l] = 65535.0f;
			coeff(&slow, 2)[l] = 1e-7f;
			slow.block.sum[l] = 3.0 + (double)l;
		}
		fast = slow;
		run_calibrate(k, &slow);
		run_accumulate(k, &slow);
		CHECK(k->sum_up(&fast.calibration, &fast.block, &fast.pattern,
				0, READS));
		CHECK(same_block(&slow.block, &fast.block));
		stop(&slow);
	}
}

/* What cannot be summed up at once leaves no trace. */
static void refuse(fixture *f, bool refused)
{
	static iris_block before;

	before = f->block;
	CHECK(iris_kernels_baseline.sum_up(&f->calibration, &f->block,
					   &f->pattern, 0, READS) != refused);
	CHECK(same_block(&before, &f->block) == refused);
}

static void test_sums_at_once_need_usable_reads(void)
{
	static fixture f;
	numbers n = {9};

	start(&f, &n);
	set_reads(&f, &n);
	put_all(&f);
	f.calibration.ncoef = 3;
	coeff(&f, 2)[5] = 1e-7f;
	refuse(&f, false);
	put(&f, 7, 63, 0);
	refuse(&f, true);
	put(&f, 7, 63, 50000);
	refuse(&f, true);
	put(&f, 7, 63, 49999);
	refuse(&f, false);
	f.references.limit[17] = 2050.0f; /* the last read has 2100 */
	refuse(&f, true);
	f.references.limit[17] = HUGE_VALF;
	coeff(&f, 2)[5] = 1e32f; /* beyond all numbers */
	refuse(&f, true);
	coeff(&f, 2)[5] = 0.0f;
	f.block.near_by[0] = 11;
	refuse(&f, true);
	f.block.near_by[0] = IRIS_NEVER;
	f.block.nusable[1] = 3;
	refuse(&f, true);
	f.block.nusable[1] = IRIS_NEVER;
	refuse(&f, false);
	stop(&f);
}

/* A lane ends the same whatever the others have. */
static void test_end_sums_of_equal_lanes(void)
{
	static fixture alike, mixed;
	numbers n = {10};
	size_t l;
	int32_t usable;

	for (usable = 0; usable <= READS; usable++) {
		start(&alike, &n);
		for (l = 0; l < IRIS_LANES; l++)
			alike.block.nusable[l] = usable;
		mixed = alike;
		mixed.block.nusable[9] = usable == 0 ? 1 : usable - 1;
		run_end_sums(&iris_kernels_baseline, &alike);
		run_end_sums(&iris_kernels_baseline, &mixed);
		for (l = 0; l < IRIS_LANES; l++)
			CHECK(l == 9
			      || alike.block.sum[l] == mixed.block.sum[l]);
		stop(&alike);
	}
}

/* --- fits ---------------------------------------------------------------- */

static void take_lane(const fixture *f, size_t l, dense_ramp *r)
{
	const int32_t usable = f->block.nusable[l];
	size_t k, n = f->pattern.nsample;

	n = usable < (int32_t)n ? (size_t)usable : n;
	dense_reads(r, f->seconds, n, (double)f->block.variance[l]);
	for (k = 0; k < n; k++) {
		r->charge[k] = (double)f->charge[k * IRIS_LANES + l];
		r->weight[k] = f->pattern.weight[k];
	}
}

static void check_lane(const fixture *f, size_t l)
{
	static dense_ramp r;
	const iris_block *b = &f->block;
	dense_fit d;
	double sigma;

	take_lane(f, l, &r);
	if (r.nsample < 2)
		return;
	d = dense_likelihood(&r, 2);
	sigma = sqrt(d.var_read + fmax(d.rate, 0.0) * d.photon_factor);
	CHECK_CLOSE(b->rate[l], d.rate, 1e-4 * sigma + 1e-6 * fabs(d.rate));
	CHECK_CLOSE(b->var_read[l], d.var_read, 1e-4 * d.var_read);
	CHECK_CLOSE(b->photon_factor[l], d.photon_factor,
		    1e-4 * d.photon_factor);
	if (r.nsample > 2)
		CHECK_CLOSE(b->chi2[l] * (float)(r.nsample - 2), d.chi2,
			    1e-3 + 1e-4 * d.chi2);
	else
		CHECK(isnan(b->chi2[l]));
	CHECK(b->var_photon[l] >= 0.0f);
}

static void test_likelihood(void)
{
	static fixture f;
	numbers n = {7};
	size_t trial, l;

	for (trial = 0; trial < 6; trial++) {
		start(&f, &n);
		set_pattern(&f, READS - trial, false);
		for (l = 0; l < IRIS_LANES && trial % 2; l++)
			f.block.nusable[l] = (int32_t)(2 + below(&n, READS));
		run_likelihood(&iris_kernels_baseline, &f);
		for (l = 0; l < IRIS_LANES; l++)
			check_lane(&f, l);
		stop(&f);
	}
}

static void test_likelihood_with_weights(void)
{
	static fixture f;
	static dense_ramp r;
	numbers n = {8};
	size_t l;

	start(&f, &n);
	set_pattern(&f, READS, true);
	run_likelihood(&iris_kernels_baseline, &f);
	for (l = 0; l < IRIS_LANES; l++) {
		dense_fit d;

		take_lane(&f, l, &r);
		d = dense_likelihood(&r, 3);
		/* A pass less or more moves little. */
		CHECK_CLOSE(f.block.rate[l], d.rate, 0.02 * sqrt(
			d.var_read + fmax(d.rate, 0.0) * d.photon_factor));
		CHECK_CLOSE(f.block.var_read[l], d.var_read,
			    0.02 * d.var_read);
	}
	stop(&f);
}

/* Whoever jumps by the exact test is suspect in the vector code. */
static void test_suspects(void)
{
	static fixture f;
	double charge[READS], sweep[4 * READS];
	unsigned char broken[READS + 1];
	iris_jump jumps[READS];
	numbers n = {9};
	size_t trial, l, k, hits = 0;

	for (trial = 0; trial < 20; trial++) {
		start(&f, &n);
		clamp(&f);
		iris_kernels_baseline.likelihood(&f.block, &f.pattern,
						 0.75f * 20.25f, 0.0f,
						 f.charge, f.scratch);
		for (l = 0; l < IRIS_LANES; l++) {
			iris_pixel pixel = {READS, f.pattern.time, charge,
					    (double)f.block.variance[l],
					    broken};
			size_t njump = 0;

			for (k = 0; k < READS; k++) {
				charge[k] = (double)
					f.charge[k * IRIS_LANES + l];
				broken[k] = k == 0;
			}
			(void)iris_likelihood_fit(&f.pattern, &pixel, 4.5,
						  sweep, jumps, &njump);
			hits += njump;
			CHECK(njump == 0 || f.block.suspect[l]);
		}
		stop(&f);
	}
	CHECK(hits > 100);
}

static void test_two_point_suspects(void)
{
	static fixture f;
	double charge[READS];
	unsigned char broken[READS + 1];
	iris_jump jumps[READS];
	numbers n = {10};
	size_t l, k, calm = 0;

	start(&f, &n);
	iris_kernels_baseline.two_point(&f.block, &f.pattern, &f.table,
					0.98f * 4.5f, f.charge);
	for (l = 0; l < IRIS_LANES; l++) {
		const iris_pixel pixel = {READS, f.pattern.time, charge,
					  (double)f.block.variance[l], broken};

		for (k = 0; k < READS; k++) {
			charge[k] = (double)f.charge[k * IRIS_LANES + l];
			broken[k] = k == 0;
		}
		CHECK(iris_two_point_find(&pixel, 4.5, jumps) == 0
		      || f.block.suspect[l]);
		calm += !f.block.suspect[l];
	}
	CHECK(calm > 40);
	f.block.nusable[7] = READS - 1; /* of a ramp cut short it is not sure */
	iris_kernels_baseline.two_point(&f.block, &f.pattern, &f.table, 1e6f,
					f.charge);
	CHECK(f.block.suspect[7] && !f.block.suspect[8]);
	stop(&f);
}

static void test_sums_and_chi_square(void)
{
	static fixture f;
	static dense_ramp r;
	numbers n = {11};
	size_t l;

	start(&f, &n);
	for (l = 0; l < IRIS_LANES; l++)
		f.block.nusable[l] = (int32_t)(l % (READS + 2));
	run_slope(&iris_kernels_baseline, &f);
	iris_kernels_baseline.chi_square(&f.block, &f.pattern, f.charge);
	for (l = 0; l < IRIS_LANES; l++) {
		dense_fit d;

		take_lane(&f, l, &r);
		if (r.nsample < 2) {
			CHECK(isnan(f.block.rate[l]) && f.block.nused[l] == 0);
			continue;
		}
		d = dense_slope(&r);
		CHECK_CLOSE(f.block.rate[l], d.rate,
			    1e-5 * (1.0 + fabs(d.rate)));
		CHECK_CLOSE(f.block.var_read[l], d.var_read,
			    1e-5 * d.var_read);
		if (r.nsample > 2 && r.nsample < READS) {
			const double chi2 = dense_chi_square(
				&r, (double)f.block.rate[l]);

			CHECK_CLOSE(f.block.chi2[l] * (float)(r.nsample - 2),
				    chi2, 1e-3 + 1e-4 * chi2);
		}
	}
	stop(&f);
}

static void test_ends(void)
{
	static fixture f;
	numbers n = {12};
	size_t l, k;

	start(&f, &n);
	for (l = 0; l < IRIS_LANES; l++)
		f.block.nusable[l] = (int32_t)(l % (READS + 1));
	run_end_sums(&iris_kernels_baseline, &f);
	for (l = 0; l < IRIS_LANES; l++) {
		const size_t usable = l % (READS + 1);
		const size_t m = usable / 2 < 3 ? usable / 2 : 3;
		double sum = 0.0;

		for (k = 0; k < m; k++)
			sum += (double)f.charge[(usable - 1 - k) * IRIS_LANES
						+ l]
				- (double)f.charge[k * IRIS_LANES + l];
		CHECK_CLOSE(f.block.sum[l], sum, 1e-5 * (1.0 + fabs(sum)));
	}
	memset(f.block.sum, 0, sizeof(f.block.sum));
	run_keep_last(&iris_kernels_baseline, &f);
	for (l = 1; l < READS; l++)
		CHECK_CLOSE(f.block.sum[l],
			    f.charge[(l - 1) * IRIS_LANES + l], 0.0);
	stop(&f);
}

/* --- the choice ---------------------------------------------------------- */

static void test_choice(void)
{
	const iris_kernels *k = NULL;
	char message[IRIS_MESSAGE] = "";

	CHECK(iris_kernels_choose(&k, IRIS_ISA_BASELINE, NULL, 0) == IRIS_OK);
	CHECK(strcmp(k->name, "baseline") == 0);
	CHECK(iris_kernels_choose(&k, (iris_isa)4, message, sizeof(message))
	      == IRIS_ERROR_OPTION);
	CHECK(strstr(message, "isa") != NULL);
	CHECK(iris_kernels_choose(&k, (iris_isa)-1, NULL, 0)
	      == IRIS_ERROR_OPTION);
	CHECK(iris_kernels_choose(&k, IRIS_ISA_AUTO, NULL, 0) == IRIS_OK);
}

int main(void)
{
	find_sets();
	test_sets_agree();
	test_orders();
	test_cuts();
	test_end_of_a_row();
	test_linearity_and_reference_levels();
	test_result_beyond_all_numbers_is_not_used();
	test_references_that_are_no_good();
	test_sets_agree_on_references();
	test_sums_at_once();
	test_sums_at_once_need_usable_reads();
	test_end_sums_of_equal_lanes();
	test_likelihood();
	test_likelihood_with_weights();
	test_suspects();
	test_two_point_suspects();
	test_sums_and_chi_square();
	test_ends();
	test_choice();
	return failures != 0;
}
