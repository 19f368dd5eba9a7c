/* SPDX-License-Identifier: BSD-3-Clause */
/* The store of events: order, gaps, what does not fit. */
#include "check.h"
#include "internal.h"
#include "numbers.h"

#include <stdlib.h>
#include <string.h>

enum { STRIPS = 5, ROOM = 40, ROWS = 16 };

static int compare(const void *first, const void *second)
{
	const iris_event *a = first, *b = second;

	if (a->y != b->y)
		return a->y < b->y ? -1 : 1;
	if (a->x != b->x)
		return a->x < b->x ? -1 : 1;
	if (a->read != b->read)
		return a->read < b->read ? -1 : 1;
	return a->kind < b->kind ? -1 : a->kind > b->kind;
}

static iris_event event_of(size_t strip, numbers *n)
{
	return (iris_event){
		.read = 1 + below(n, 4),
		.y = (uint32_t)strip * ROWS + below(n, ROWS),
		.x = below(n, 6),
		.kind = below(n, 2),
	};
}

static void check_sorted(const iris_event_store *store,
			 const iris_event *expected, size_t count)
{
	size_t i;

	CHECK(store->total == count);
	for (i = 0; i < count && i < store->total; i++)
		CHECK(compare(&store->item[i], &expected[i]) == 0);
}

static void test_order(void)
{
	static const size_t counts[STRIPS] = {7, 0, ROOM, 1, 23};
	iris_event expected[STRIPS * ROOM];
	iris_event_store store;
	numbers n = {1};
	size_t trial, strip, k, count;

	CHECK(iris_events_create(&store, STRIPS, ROOM, STRIPS * ROOM)
	      == IRIS_OK);
	for (trial = 0; trial < 50; trial++) {
		iris_events_clear(&store);
		count = 0;
		for (strip = STRIPS; strip-- > 0;) {
			for (k = 0; k < counts[(strip + trial) % STRIPS];
			     k++) {
				expected[count] = event_of(strip, &n);
				iris_events_add(&store, strip,
						&expected[count++]);
			}
		}
		qsort(expected, count, sizeof(*expected), compare);
		iris_events_pack(&store);
		check_sorted(&store, expected, count);
		iris_events_pack(&store); /* once more changes nothing */
		check_sorted(&store, expected, count);
		CHECK(store.total_lost == 0);
	}
	iris_events_destroy(&store);
}

static void test_a_full_strip_loses_its_own(void)
{
	iris_event_store store;
	numbers n = {2};
	size_t k;

	CHECK(iris_events_create(&store, 2, 4, 8) == IRIS_OK);
	iris_events_clear(&store);
	for (k = 0; k < 10; k++) {
		const iris_event e = event_of(1, &n);

		iris_events_add(&store, 1, &e);
	}
	iris_events_pack(&store);
	CHECK(store.total == 4 && store.total_lost == 6);
	iris_events_clear(&store);
	iris_events_pack(&store);
	CHECK(store.total == 0 && store.total_lost == 0);
	iris_events_destroy(&store);
}

static void test_no_more_than_the_most(void)
{
	iris_event_store store;
	numbers n = {3};
	size_t k;

	CHECK(iris_events_create(&store, 3, 5, 7) == IRIS_OK);
	iris_events_clear(&store);
	for (k = 0; k < 12; k++) {
		const iris_event e = event_of(k % 3, &n);

		iris_events_add(&store, k % 3, &e);
	}
	iris_events_pack(&store);
	CHECK(store.total == 7 && store.total_lost == 5);
	iris_events_destroy(&store);
}

static void test_insert(void)
{
	iris_event expected[20];
	iris_event_store store;
	numbers n = {4};
	size_t k;

	CHECK(iris_events_create(&store, 1, 20, 20) == IRIS_OK);
	iris_events_clear(&store);
	iris_events_pack(&store);
	for (k = 0; k < 20; k++) {
		expected[k] = event_of(0, &n);
		iris_events_insert(&store, &expected[k]);
	}
	qsort(expected, 20, sizeof(*expected), compare);
	check_sorted(&store, expected, 20);
	iris_events_insert(&store, &expected[0]);
	CHECK(store.total == 20 && store.total_lost == 1);
	iris_events_destroy(&store);
}

/* Where more may be told than there is memory for, memory decides. */
static void test_insert_into_full_memory(void)
{
	iris_event_store store;
	numbers n = {5};
	size_t k;

	CHECK(iris_events_create(&store, 2, 4, 1000) == IRIS_OK);
	iris_events_clear(&store);
	for (k = 0; k < 8; k++) {
		const iris_event e = event_of(k % 2, &n);

		iris_events_add(&store, k % 2, &e);
	}
	iris_events_pack(&store);
	CHECK(store.total == 8);
	iris_events_insert(&store, &store.item[0]);
	CHECK(store.total == 8 && store.total_lost == 1);
	iris_events_destroy(&store);
}

int main(void)
{
	test_order();
	test_a_full_strip_loses_its_own();
	test_no_more_than_the_most();
	test_insert();
	test_insert_into_full_memory();
	return failures != 0;
}
