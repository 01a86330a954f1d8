// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause
//
// For a source whose program sees all processes of the host: one program serves all domains, so that a process that is none of them pays
// for one look-up, however many domains there are. COLUMNS is defined as for unit.bpf.h.
#ifndef SHARED_BPF_H
#define SHARED_BPF_H

#define SHARED
#include "unit.bpf.h"

#define DOMAINS 1024

// The place of each observed process (thread group).
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DOMAINS);
	__type(key, __u32);
	__type(value, __u32);
} places SEC(".maps");

// By place.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DOMAINS);
	__type(key, __u32);
	__type(value, struct meter);
} meters SEC(".maps");

struct domain_counts {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS + 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct counts)); // clang does not write down the type of a value there
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, DOMAINS);
	__type(key, __u32);
	__array(values, struct domain_counts);
} counts_of SEC(".maps");

// place_of returns the place of a process, 0 if it is not observed.
static __always_inline __u32 *place_of(__u32 tgid)
{
	return bpf_map_lookup_elem(&places, &tgid);
}

// count_at counts a hit of a column for the domain at a place.
static __always_inline void count_at(__u32 *place, __u32 column)
{
	__u64 unit;
	struct meter *m = bpf_map_lookup_elem(&meters, place);
	void *map = bpf_map_lookup_elem(&counts_of, place);
	if (!m || !map)
		return;
	struct counts *c = counts_now_in(map, m, &unit);
	if (c)
		increment(c, column);
}

#endif
