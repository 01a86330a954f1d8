// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause
//
// Counts calls of functions that a QEMU exports, and hits of its SDT probes. One program serves all of them: the cookie says what to count.

#define COLUMNS 496 // functionsColumns() in package probe
#include "unit.bpf.h"

// A cookie, see functions_cookie.go.
#define COLUMN(cookie) ((cookie) & 0xfff)
#define KIND(cookie) ((cookie) >> 12 & 0xf)
#define REGISTER(cookie) ((cookie) >> 16 & 0x1f)
#define PLACE(cookie) ((cookie) >> 21 & 3)
#define SIZE(cookie) ((cookie) >> 23 & 3) // logarithm of bytes
#define SIGNED(cookie) ((cookie) >> 25 & 1)
#define NUMBER(cookie) ((__s64)(cookie) >> 32) // displacement or constant

enum kind {
	CALLS,    // counted in the column
	PACKET,   // by the argument, the length of a packet
	REQUEST,  // by the argument, the bytes of a disk request
	QUEUE,    // by the argument, what a virtio device has written into the buffers of a request
	ACCOUNT,  // of block_acct_start: by bytes, and the type of the disk request, which is the next argument
	WRITE,    // of memory_region_dispatch_write: by the argument, whose last bits are the logarithm of the bytes
	VECTOR,   // of qemu_net_queue_send_iov: by the length of a packet, from an array of struct iovec whose length is the next argument
};

enum place {
	NOWHERE,
	IN_REGISTER,
	IN_MEMORY,
	IN_COOKIE,
};

struct iovec {
	__u64 base;
	__u64 len;
};

#define VECTORS 20 // pieces of a packet that are looked at: a header, and as many as Linux and virtio-net make of one

// at reads a word of struct pt_regs. The verifier wants a constant offset from the context, which the compiler would make a variable.
#define at(value, offset) asm volatile("%0 = *(u64 *)(%1 + " #offset ")" : "=r"(value) : "r"(ctx))

// Offsets in struct pt_regs of what carries the fourth and the fifth argument on x86-64.
#define RCX 88
#define R8 72
#define word(value, offset) at(value, offset) // with the offset's number

static __always_inline __u64 reg(void *ctx, __u32 number)
{
	__u64 v = 0;
	switch (number) {
	case 0: at(v, 0); break;
	case 1: at(v, 8); break;
	case 2: at(v, 16); break;
	case 3: at(v, 24); break;
	case 4: at(v, 32); break;
	case 5: at(v, 40); break;
	case 6: at(v, 48); break;
	case 7: at(v, 56); break;
	case 8: at(v, 64); break;
	case 9: at(v, 72); break;
	case 10: at(v, 80); break;
	case 11: at(v, 88); break;
	case 12: at(v, 96); break;
	case 13: at(v, 104); break;
	case 14: at(v, 112); break;
	case 19: at(v, 152); break;
	}
	return v;
}

// argument returns the value that the cookie points to; a negative one is 0, and so is one that cannot be read.
static __always_inline __u64 argument(void *ctx, __u64 cookie)
{
	__u64 v = 0;
	switch (PLACE(cookie)) {
	case IN_REGISTER:
		v = reg(ctx, REGISTER(cookie));
		break;
	case IN_MEMORY:
		if (bpf_probe_read_user(&v, sizeof(v), (void *)(reg(ctx, REGISTER(cookie)) + NUMBER(cookie))))
			return 0;
		break;
	case IN_COOKIE:
		v = NUMBER(cookie);
	}
	__u32 unused = 64 - (8 << SIZE(cookie));
	v <<= unused;
	if (!SIGNED(cookie))
		return v >> unused;
	__s64 s = (__s64)v >> unused;
	return s < 0 ? 0 : s;
}

static __always_inline __u32 log2(__u64 v)
{
	__u32 r = 0;
	if (v >> 32) { v >>= 32; r += 32; }
	if (v >> 16) { v >>= 16; r += 16; }
	if (v >> 8) { v >>= 8; r += 8; }
	if (v >> 4) { v >>= 4; r += 4; }
	if (v >> 2) { v >>= 2; r += 2; }
	return r + (v >> 1 & 1);
}

// bucket is catalogue.Buckets.Index for 1 << parts parts an octave from 1 << min to 1 << max.
static __always_inline __u32 bucket(__u64 v, __u32 parts, __u32 min, __u32 max)
{
	__u32 octave = log2(v);
	if (!v || octave < min)
		return 0;
	if (octave >= max)
		return 1 + ((max - min) << parts);
	return 1 + ((octave - min) << parts) + (__u32)(v >> (octave - parts)) - (1 << parts);
}

#define packet_bucket(v) bucket(v, 3, 5, 16)
#define request_bucket(v) bucket(v, 2, 9, 22)
#define REQUEST_BUCKETS 54

// queue returns which of the columns of virtqueue_fill it is: 0 nothing was written into the buffers, 1 a disk has written, 2 a disk has read,
// 3 and up a packet was received.
static __always_inline __u32 queue(__u64 len)
{
	__u32 rest = len & 511;
	if (!len)
		return 0;
	if (len == 1)
		return 1;
	if (rest == 1 || (rest == 108 && len > 512)) // the status of virtio-blk, or the response of virtio-scsi, after sectors
		return 2;
	return 3 + packet_bucket(len);
}

// account returns which of the columns of block_acct_start it is. The types' numbers are those of QEMU 2.0 and later.
static __always_inline __u32 account(void *ctx, __u64 bytes)
{
	__u64 type;
	word(type, RCX);
	switch ((__u32)type) {
	case 1:
		return request_bucket(bytes);
	case 2:
		return REQUEST_BUCKETS + request_bucket(bytes);
	case 3:
		return 2 * REQUEST_BUCKETS;
	}
	return 2 * REQUEST_BUCKETS + 1;
}

// total returns the bytes that an array of struct iovec has. What cannot be read has none.
static __always_inline __u64 total(void *ctx, __u64 array)
{
	struct iovec v[VECTORS];
	__u64 n, sum = 0;
	word(n, R8);
	n = (__u32)n;
	if (n > VECTORS)
		n = VECTORS;
	if (!n || bpf_probe_read_user(v, n * sizeof(v[0]), (void *)array))
		return 0;
#pragma unroll
	for (__u32 i = 0; i < VECTORS; i++)
		if (i < n)
			sum += v[i].len;
	return sum;
}

SEC("uprobe.multi")
int functions_hit(void *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u32 column = COLUMN(cookie), kind = KIND(cookie);
	if (kind != CALLS) {
		__u64 v = argument(ctx, cookie);
		switch (kind) {
		case PACKET: column += packet_bucket(v); break;
		case REQUEST: column += request_bucket(v); break;
		case QUEUE: column += queue(v); break;
		case ACCOUNT: column += account(ctx, v); break;
		case WRITE: column += v & 3; break;
		case VECTOR: column += packet_bucket(total(ctx, v)); break;
		}
	}
	count(column);
	return 0;
}
