// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause
//
// Counting in units of two seconds.
//
// COLUMNS, the number of things that a source counts, is defined by the program that includes this. A per-CPU array has an entry with a
// count for each column for each of SLOTS units; the unit with number n counts into entry n % SLOTS. Counts only grow, and user space takes
// differences: so an increment that comes late is never lost. User space reads an entry when its unit has ended, and then raises the
// limit, the first unit whose entry it still needs. From the limit on nothing is counted there: what is lost is counted in one more entry,
// for unit n in column n % COLUMNS.
#ifndef UNIT_BPF_H
#define UNIT_BPF_H

#include "types.h"
#include <bpf/bpf_helpers.h>

#define WIDTH 2000000000ULL // of a unit, nanoseconds
#define SLOTS 4

// Some helpers are for programs under the GPL only. The programs may be had under it as well as under this project's licence.
char _license[] SEC("license") = "Dual BSD/GPL";

struct counts {
	__u64 n[COLUMNS];
};

// A struct, not a pair of arguments, since the sources that share one program for all domains keep one of each in a map.
struct meter {
	__u64 limit;  // number of the first unit that must not be counted; 0: nothing is counted yet, nor lost
	__u64 offset; // of the clock of units from CLOCK_MONOTONIC, nanoseconds
};

static __always_inline void increment(struct counts *c, __u32 column)
{
	__u64 at = column;
	asm volatile("" : "+r"(at)); // so that the verifier sees the comparison that the compiler may know to be needless
	if (at < COLUMNS)
		__sync_fetch_and_add(&c->n[at], 1); // on the same CPU another task's program may be in the midst of it
}

// counts_now_in returns the counts of the unit that is now, whose number it stores. It returns 0 when that is not to be counted; a hit
// is then counted as lost.
static __always_inline struct counts *counts_now_in(void *map, const volatile struct meter *m, __u64 *unit)
{
	__u64 limit = m->limit;
	if (!limit)
		return 0;
	__u64 number = (bpf_ktime_get_ns() + m->offset) / WIDTH;
	__u32 slot = number < limit ? number % SLOTS : SLOTS;
	struct counts *c = bpf_map_lookup_elem(map, &slot);
	if (!c)
		return 0;
	*unit = number;
	if (slot != SLOTS)
		return c;
	increment(c, number % COLUMNS);
	return 0;
}

#ifndef SHARED
// For a source with programs of its own for each domain.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS + 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

volatile struct meter meter;

// count counts a hit of a column in the unit that is now.
static __always_inline void count(__u32 column)
{
	__u64 unit;
	struct counts *c = counts_now_in(&counts, &meter, &unit);
	if (c)
		increment(c, column);
}
#endif

#endif
