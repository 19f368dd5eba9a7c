/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events: every strip has a region of its own, so that threads never meet;
 * at the end the regions are sorted and closed up.
 */
#include "internal.h"

#include <string.h>

iris_status iris_events_create(iris_event_store *store, size_t nstrip,
			       size_t per_strip, size_t most)
{
	memset(store, 0, sizeof(*store));
	store->nstrip = nstrip;
	store->per_strip = per_strip;
	store->most = most < nstrip * per_strip ? most : nstrip * per_strip;
	store->item = iris_reserve(nstrip * per_strip, sizeof(*store->item));
	store->count = iris_reserve(nstrip, sizeof(*store->count));
	store->lost = iris_reserve(nstrip, sizeof(*store->lost));
	if (store->item == NULL || store->count == NULL || store->lost == NULL)
		return IRIS_ERROR_MEMORY;
	return IRIS_OK;
}

void iris_events_destroy(iris_event_store *store)
{
	iris_unreserve(store->item, store->nstrip * store->per_strip,
		       sizeof(*store->item));
	iris_unreserve(store->count, store->nstrip, sizeof(*store->count));
	iris_unreserve(store->lost, store->nstrip, sizeof(*store->lost));
}

void iris_events_clear(iris_event_store *store)
{
	memset(store->count, 0, store->nstrip * sizeof(*store->count));
	memset(store->lost, 0, store->nstrip * sizeof(*store->lost));
	store->total = store->total_lost = 0;
	store->packed = false;
}

void iris_events_add(iris_event_store *store, size_t strip,
		     const iris_event *event)
{
	if (store->count[strip] == store->per_strip) {
		store->lost[strip]++;
		return;
	}
	store->item[strip * store->per_strip + store->count[strip]] = *event;
	store->count[strip]++;
}

static bool comes_before(const iris_event *a, const iris_event *b)
{
	if (a->y != b->y)
		return a->y < b->y;
	if (a->x != b->x)
		return a->x < b->x;
	if (a->read != b->read)
		return a->read < b->read;
	return a->kind < b->kind;
}

static void sift(iris_event *heap, size_t root, size_t count)
{
	const iris_event value = heap[root];
	size_t child;

	while ((child = 2 * root + 1) < count) {
		if (child + 1 < count
		    && comes_before(&heap[child], &heap[child + 1]))
			child++;
		if (!comes_before(&value, &heap[child]))
			break;
		heap[root] = heap[child];
		root = child;
	}
	heap[root] = value;
}

/* Heap sort: in place, unlike the qsort of the C library. */
static void sort(iris_event *events, size_t count)
{
	size_t i;

	for (i = 1; i < count && !comes_before(&events[i], &events[i - 1]); i++)
		;
	if (i >= count)
		return;
	for (i = count / 2; i-- > 0;)
		sift(events, i, count);
	for (i = count; i-- > 1;) {
		const iris_event last = events[i];

		events[i] = events[0];
		events[0] = last;
		sift(events, 0, i);
	}
}

/* Sort by y, x, read, kind and leave no gaps; adding is over then. */
void iris_events_pack(iris_event_store *store)
{
	size_t strip;

	if (store->packed)
		return;
	store->total = store->total_lost = 0;
	for (strip = 0; strip < store->nstrip; strip++) {
		iris_event *from = store->item + strip * store->per_strip;
		const size_t count = store->count[strip];

		sort(from, count);
		if (count > 0)
			memmove(store->item + store->total, from,
				count * sizeof(*from));
		store->total += count;
		store->total_lost += store->lost[strip];
	}
	if (store->total > store->most) {
		store->total_lost += store->total - store->most;
		store->total = store->most;
	}
	store->packed = true;
}

/* Add one more to packed events, in its place. */
void iris_events_insert(iris_event_store *store, const iris_event *event)
{
	size_t i = store->total;

	if (i == store->most) {
		store->total_lost++;
		return;
	}
	for (; i > 0 && comes_before(event, &store->item[i - 1]); i--)
		store->item[i] = store->item[i - 1];
	store->item[i] = *event;
	store->total++;
}
