/* SPDX-License-Identifier: BSD-3-Clause */
/* Four reads of a lit detector to a rate image. */
#include <iris_readout.h>
#include <math.h>
#include <stdio.h>

enum { NY = 64, NX = 64, NREAD = 4 };

static uint16_t counts[NY * NX];
static float rate[NY * NX], var_read[NY * NX], var_photon[NY * NX];
static uint32_t dq[NY * NX];

/* Stands for the detector: 50 DN/s on a bias of 1000 DN. */
static void take_read(double seconds)
{
	for (size_t i = 0; i < (size_t)NY * NX; i++)
		counts[i] = (uint16_t)(1000.0 + 50.0 * seconds);
}

int main(void)
{
	const iris_planes planes = {.rate = rate, .var_read = var_read,
				    .var_photon = var_photon, .dq = dq};
	char message[256];
	iris_options options;
	iris_ramp *ramp;

	iris_options_init(&options, NY, NX);
	options.gain.value = 3.04f;      /* e-/DN */
	options.read_noise.value = 9.0f; /* e-, one read */
	options.ref_pixels = 0;          /* a window has no border */
	if (iris_ramp_create(&ramp, &options, message, sizeof(message))) {
		(void)fprintf(stderr, "%s\n", message);
		return 1;
	}
	for (size_t k = 0; k < NREAD; k++) {
		take_read(1.4 * (double)k);
		if (iris_ramp_push(ramp, counts, IRIS_NATIVE, 1.4 * (double)k))
			break;
	}
	if (iris_ramp_finish(ramp, &planes))
		(void)fprintf(stderr, "%s\n", iris_ramp_error(ramp));
	else
		(void)printf("%.2f +- %.2f e-/s\n", (double)rate[0],
			     sqrt((double)(var_read[0] + var_photon[0])));
	iris_ramp_destroy(ramp);
	return 0;
}
