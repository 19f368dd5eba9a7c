/* SPDX-License-Identifier: BSD-3-Clause */
/* Dark and flat of a frame: the gate, and the frame in pieces. */
#include "internal.h"

typedef void kernel(const iris_frame *frame, const iris_reference *reference,
		    size_t count, const iris_frame *out);

static bool whole(const iris_frame *frame)
{
	return frame != NULL && frame->rate != NULL && frame->var_read != NULL
		&& frame->var_photon != NULL && frame->dq != NULL;
}

static iris_status check(const iris_frame *frame,
			 const iris_reference *reference,
			 const iris_frame *out, char *message, size_t size)
{
	if (!whole(frame) || !whole(out))
		return iris_fail(message, size, IRIS_ERROR_NULL,
				 "frame or out: got NULL for it or for a plane "
				 "other than var_flat");
	if (reference == NULL || reference->value == NULL
	    || reference->error == NULL || reference->dq == NULL)
		return iris_fail(message, size, IRIS_ERROR_NULL,
				 "reference: got NULL for it or for a plane");
	return IRIS_OK;
}

static float *moved(float *plane, size_t first)
{
	return plane == NULL ? NULL : plane + first;
}

static iris_frame from(const iris_frame *frame, size_t first)
{
	return (iris_frame){
		.rate = frame->rate + first,
		.var_read = frame->var_read + first,
		.var_photon = frame->var_photon + first,
		.var_flat = moved(frame->var_flat, first),
		.dq = frame->dq + first,
	};
}

static void run(kernel *apply, const iris_frame *frame,
		const iris_reference *reference, size_t npixels,
		const iris_frame *out)
{
	size_t first;

	for (first = 0; first < npixels; first += IRIS_FRAME_PIECE) {
		const size_t left = npixels - first;
		const iris_frame in = from(frame, first), to = from(out, first);
		const iris_reference with = {
			.value = reference->value + first,
			.error = reference->error + first,
			.dq = reference->dq + first,
		};

		apply(&in, &with, left < IRIS_FRAME_PIECE ? left : IRIS_FRAME_PIECE, &to);
	}
}

iris_status iris_subtract_dark(const iris_frame *frame,
			       const iris_reference *dark, size_t npixels,
			       iris_isa isa, const iris_frame *out,
			       char *message, size_t size)
{
	const iris_kernels *kernels;
	iris_status status = check(frame, dark, out, message, size);

	if (status == IRIS_OK
	    && (frame->var_flat == NULL) != (out->var_flat == NULL))
		status = iris_fail(message, size, IRIS_ERROR_NULL,
				   "var_flat: expected it in both frames or in "
				   "none");
	if (status == IRIS_OK)
		status = iris_kernels_choose(&kernels, isa, message, size);
	if (status == IRIS_OK)
		run(kernels->subtract_dark, frame, dark, npixels, out);
	return status;
}

iris_status iris_divide_flat(const iris_frame *frame,
			     const iris_reference *flat, size_t npixels,
			     iris_isa isa, const iris_frame *out,
			     char *message, size_t size)
{
	const iris_kernels *kernels;
	iris_status status = check(frame, flat, out, message, size);

	if (status == IRIS_OK && out->var_flat == NULL)
		status = iris_fail(message, size, IRIS_ERROR_NULL,
				   "var_flat: got none in out, expected a plane");
	if (status == IRIS_OK)
		status = iris_kernels_choose(&kernels, isa, message, size);
	if (status == IRIS_OK)
		run(kernels->divide_flat, frame, flat, npixels, out);
	return status;
}
