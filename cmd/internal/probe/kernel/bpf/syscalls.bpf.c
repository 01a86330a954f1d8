// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause
//
// System calls of the observed processes, by number and role of the thread.
#define KINDS 96 // of system calls, "other" being the last
#define ROLES 4
#define COLUMNS (ROLES * KINDS)

#include "shared.bpf.h"

enum role { VCPU, IOTHREAD, MAIN, WORKER };

#define NUMBERS 512
const volatile __u8 kinds[NUMBERS]; // by number

// The roles of threads that are vCPUs or iothreads.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} roles SEC(".maps");

struct arguments {
	__u64 registers, number;
};

SEC("raw_tracepoint/sys_enter")
int entered(struct arguments *a)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, tid = id, role = MAIN;
	__u32 *place = place_of(tgid);
	if (!place)
		return 0;
	if (tid != tgid) {
		__u32 *known = bpf_map_lookup_elem(&roles, &tid);
		role = known ? *known : WORKER;
	}
	__u64 number = a->number;
	__u32 kind = number < NUMBERS ? kinds[number] : KINDS - 1;
	count_at(place, role * KINDS + kind);
	return 0;
}
