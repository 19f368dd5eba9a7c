/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffers that end right before a page without access. */
#ifndef IRIS_READOUT_TESTS_GUARD_H
#define IRIS_READOUT_TESTS_GUARD_H

#include <stddef.h>

/* `size` bytes, zero; never given back. */
void *guarded(size_t size);

#endif
