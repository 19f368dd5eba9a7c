/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A frame less its dark, and divided by its flat.  Part of kernels.c.
 *
 * Loops over a piece of at most IRIS_FRAME_PIECE pixels, of one width of number each,
 * which compilers make vectors of: what decides is float and uint32_t, what
 * computes is double and is rounded once, so that the bits are those of every
 * instruction set.  Results are local until all of them are there: planes may
 * be changed in place.
 */
#ifndef IRIS_READOUT_KERNELS_FRAME_H
#define IRIS_READOUT_KERNELS_FRAME_H

#include "internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* What is done to the pixels of a piece. */
typedef struct piece {
	float value[IRIS_FRAME_PIECE]; /* of the reference; one that changes nothing */
	float error[IRIS_FRAME_PIECE];
	uint32_t kept[IRIS_FRAME_PIECE]; /* all bits: a reference pixel */
	uint32_t lost[IRIS_FRAME_PIECE]; /* all bits: no result */
	float rate[IRIS_FRAME_PIECE], read[IRIS_FRAME_PIECE], photon[IRIS_FRAME_PIECE];
	float flat[IRIS_FRAME_PIECE];
} piece;

/* Comparisons with NaN are false. */
static inline uint32_t is_finite(float value)
{
	return fabsf(value) <= FLT_MAX ? UINT32_MAX : 0;
}

/* Whether a result fits into a plane. */
static inline uint32_t fits(float value)
{
	return fabsf(value) < FLT_MAX ? UINT32_MAX : 0;
}

static inline float blanked(float value, uint32_t lost)
{
	return lost != 0 ? NAN : value;
}

/* NaN where lost, the flags, and all of it into the planes. */
static void put_piece(const piece *p, const iris_frame *frame,
		      const iris_reference *reference, uint32_t bits,
		      size_t count, const iris_frame *out)
{
	piece q;
	uint32_t dq[IRIS_FRAME_PIECE];
	size_t i;

	for (i = 0; i < count; i++)
		q.rate[i] = blanked(p->rate[i], p->lost[i]);
	for (i = 0; i < count; i++)
		q.read[i] = blanked(p->read[i], p->lost[i]);
	for (i = 0; i < count; i++)
		q.photon[i] = blanked(p->photon[i], p->lost[i]);
	for (i = 0; i < count; i++)
		dq[i] = frame->dq[i] | reference->dq[i] | (p->lost[i] & bits);
	memcpy(out->rate, q.rate, count * sizeof(*q.rate));
	memcpy(out->var_read, q.read, count * sizeof(*q.read));
	memcpy(out->var_photon, q.photon, count * sizeof(*q.photon));
	memcpy(out->dq, dq, count * sizeof(*dq));
	if (out->var_flat == NULL)
		return;
	for (i = 0; i < count; i++)
		q.flat[i] = blanked(p->flat[i], p->lost[i]);
	memcpy(out->var_flat, q.flat, count * sizeof(*q.flat));
}

static void subtract_dark(const iris_frame *frame, const iris_reference *dark,
			  size_t count, const iris_frame *out)
{
	const uint32_t border = IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
	piece p;
	size_t i;

	for (i = 0; i < count; i++) {
		const float error = dark->error[i];
		const uint32_t known = is_finite(dark->value[i])
			& fits(error * error);

		p.kept[i] = (frame->dq[i] & border) != 0 ? UINT32_MAX : 0;
		p.lost[i] = ~known & ~p.kept[i];
		p.value[i] = (known & ~p.kept[i]) != 0 ? dark->value[i] : 0.0f;
		p.error[i] = (known & ~p.kept[i]) != 0 ? error : 0.0f;
	}
	for (i = 0; i < count; i++)
		p.rate[i] = frame->rate[i] - p.value[i];
	for (i = 0; i < count; i++)
		p.read[i] = (float)((double)frame->var_read[i]
				    + (double)p.error[i] * (double)p.error[i]);
	memcpy(p.photon, frame->var_photon, count * sizeof(*p.photon));
	if (out->var_flat != NULL)
		memcpy(p.flat, frame->var_flat, count * sizeof(*p.flat));
	put_piece(&p, frame, dark, IRIS_DQ_MASK(IRIS_DQ_UNRELIABLE_DARK)
		  | IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE), count, out);
}

/* A variance over the square of the flat. */
static void divide_variance(const float *variance, const piece *p,
			    size_t count, float *out)
{
	size_t i;

	for (i = 0; i < count; i++) {
		const double factor = (double)p->value[i];

		out[i] = (float)((double)variance[i] / (factor * factor));
	}
}

/* (rate s / f)^2 and what there was before. */
static void flat_variance(const float *before, const float *rate, piece *p,
			  size_t count)
{
	static const float nothing[IRIS_FRAME_PIECE];
	const float *old = before == NULL ? nothing : before;
	size_t i;

	for (i = 0; i < count; i++) {
		const double factor = (double)p->value[i];
		const double part = (double)rate[i] / factor
			* ((double)p->error[i] / factor);

		p->flat[i] = (float)(part * part
				     + (double)old[i] / (factor * factor));
	}
}

static void divide_flat(const iris_frame *frame, const iris_reference *flat,
			size_t count, const iris_frame *out)
{
	const uint32_t border = IRIS_DQ_MASK(IRIS_DQ_REFERENCE_PIXEL);
	piece p;
	size_t i;

	for (i = 0; i < count; i++) {
		const float value = flat->value[i];
		const uint32_t usable = (value > 0.0f ? UINT32_MAX : 0)
			& is_finite(value) & is_finite(flat->error[i]);

		p.kept[i] = (frame->dq[i] & border) != 0 ? UINT32_MAX : 0;
		p.lost[i] = ~usable & ~p.kept[i];
		p.value[i] = (usable & ~p.kept[i]) != 0 ? value : 1.0f;
		p.error[i] = (usable & ~p.kept[i]) != 0 ? flat->error[i] : 0.0f;
	}
	for (i = 0; i < count; i++)
		p.rate[i] = frame->rate[i] / p.value[i];
	divide_variance(frame->var_read, &p, count, p.read);
	divide_variance(frame->var_photon, &p, count, p.photon);
	flat_variance(frame->var_flat, frame->rate, &p, count);
	for (i = 0; i < count; i++) {
		const uint32_t whole = fits(p.rate[i])
			& (p.read[i] < FLT_MAX ? UINT32_MAX : 0)
			& (p.photon[i] < FLT_MAX ? UINT32_MAX : 0);

		p.lost[i] |= is_finite(frame->rate[i]) & ~whole & ~p.kept[i];
	}
	for (i = 0; i < count; i++) {
		p.rate[i] = blanked(p.rate[i], ~fits(p.rate[i]));
		p.read[i] = blanked(p.read[i], ~fits(p.read[i]));
		p.photon[i] = blanked(p.photon[i], ~fits(p.photon[i]));
		p.flat[i] = blanked(p.flat[i], ~fits(p.flat[i]));
	}
	put_piece(&p, frame, flat, IRIS_DQ_MASK(IRIS_DQ_NO_FLAT_FIELD)
		  | IRIS_DQ_MASK(IRIS_DQ_DO_NOT_USE), count, out);
}

#endif
