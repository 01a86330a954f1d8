// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause
// Packets on the tap devices of a domain, by length and direction, and what their headers tell. No packet is changed, dropped or delayed,
// and no payload is read.
#define LENGTHS 90 // buckets: below 32, 8 for each octave from 32 to 65535, and the rest
#define HEADERS 6
#define COLUMNS (2 * LENGTHS + 2 * HEADERS)

#include "unit.bpf.h"
#include <bpf/bpf_endian.h>

// struct __sk_buff as far as it is used.
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark, queue_mapping, protocol;
	__u32 vlan_present;
};

enum direction { RECEIVED, SENT }; // by the guest
enum { SYN, SYNACK, RST, FIN };    // columns after the lengths, for each direction; two more are filled from the sketch

#define TCX_NEXT (-1)
#define PACKET_OUTGOING 4

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define TCP 6
#define UDP 17

const volatile __u32 headers; // whether to look at headers
const volatile __u32 seed;    // of the hashes, so that nobody outside can make values collide

// A sketch holds a bit for each hash of a value that was seen in a unit: bits 0 to 4095 for ports, the rest for peers.
#define SKETCH_BITS 4096
struct sketch {
	__u64 unit;
	__u64 bits[2][2 * SKETCH_BITS / 64]; // by direction
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS); // 1 without headers
	__type(key, __u32);
	__type(value, struct sketch);
} sketches SEC(".maps");

// bucket returns that of a length: catalogue.Buckets{PerOctave: 8, Min: 32, Max: 65536}.
static __always_inline __u32 bucket(__u32 len)
{
	if (len < 32)
		return 0;
	if (len >= 65536)
		return LENGTHS - 1;
	__u32 octave = 5, v = len >> 5;
	if (v >= 1 << 8) {
		v >>= 8;
		octave += 8;
	}
	if (v >= 1 << 4) {
		v >>= 4;
		octave += 4;
	}
	if (v >= 1 << 2) {
		v >>= 2;
		octave += 2;
	}
	if (v >= 1 << 1)
		octave += 1;
	return 1 + (octave - 5) * 8 + (len >> (octave - 3)) - 8;
}

// mix is the last step of MurmurHash3.
static __always_inline __u32 mix(__u32 h)
{
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	h *= 0xc2b2ae35;
	return h ^ h >> 16;
}

static __always_inline struct sketch *sketch_of(__u64 unit)
{
	__u32 slot = unit % SLOTS;
	struct sketch *s = bpf_map_lookup_elem(&sketches, &slot);
	if (s && s->unit != unit) {
		volatile __u64 *word = &s->bits[0][0]; // volatile: there is no memset to call
#pragma clang loop unroll(disable)
		for (int i = 0; i < 2 * 2 * SKETCH_BITS / 64; i++)
			word[i] = 0;
		s->unit = unit;
	}
	return s;
}

static __always_inline void note(struct sketch *s, enum direction d, __u32 first, __u32 hash)
{
	__u32 bit = first + (hash & (SKETCH_BITS - 1));
	s->bits[d][bit / 64] |= 1ULL << bit % 64;
}

// transport counts what the ports and flags at an offset tell.
static __always_inline void transport(struct __sk_buff *skb, enum direction d, __u32 at, __u8 protocol, struct counts *c, struct sketch *s)
{
	__be16 ports[2];
	__u8 flags;
	if ((protocol != TCP && protocol != UDP) || bpf_skb_load_bytes(skb, at, ports, sizeof(ports)))
		return;
	note(s, d, 0, mix(ports[1] ^ seed));
	if (protocol != TCP || bpf_skb_load_bytes(skb, at + 13, &flags, 1))
		return;
	__u32 base = 2 * LENGTHS + d * HEADERS;
	if (flags & 0x02)
		increment(c, base + (flags & 0x10 ? SYNACK : SYN));
	if (flags & 0x04)
		increment(c, base + RST);
	if (flags & 0x01)
		increment(c, base + FIN);
}

static __always_inline void ipv4(struct __sk_buff *skb, enum direction d, __u32 at, struct counts *c, struct sketch *s)
{
	__u8 h[20];
	__be32 peer;
	if (bpf_skb_load_bytes(skb, at, h, sizeof(h)) || h[0] >> 4 != 4 || (h[0] & 15) < 5)
		return;
	__builtin_memcpy(&peer, d == RECEIVED ? h + 12 : h + 16, sizeof(peer));
	note(s, d, SKETCH_BITS, mix(mix(peer ^ seed)));
	if (!(h[6] & 0x1f) && !h[7]) // the first fragment, or all
		transport(skb, d, at + 4 * (h[0] & 15), h[9], c, s);
}

static __always_inline void ipv6(struct __sk_buff *skb, enum direction d, __u32 at, struct counts *c, struct sketch *s)
{
	__u32 h[10], hash = seed;
	if (bpf_skb_load_bytes(skb, at, h, sizeof(h)) || ((__u8 *)h)[0] >> 4 != 6)
		return;
	for (int i = 0; i < 4; i++)
		hash = mix(hash ^ h[(d == RECEIVED ? 2 : 6) + i]);
	note(s, d, SKETCH_BITS, hash);
	__u8 next = ((__u8 *)h)[6], e[4];
	at += sizeof(h);
	for (int i = 0; i < 4; i++) { // extension headers
		if (next != 0 && next != 43 && next != 44 && next != 60)
			break;
		if (bpf_skb_load_bytes(skb, at, e, sizeof(e)))
			return;
		if (next == 44 && (e[2] || e[3] & 0xf8))
			return; // not the first fragment
		at += next == 44 ? 8 : 8 * (e[1] + 1);
		next = e[0];
	}
	transport(skb, d, at, next, c, s);
}

static __always_inline void look(struct __sk_buff *skb, enum direction d, struct counts *c, __u64 unit)
{
	struct sketch *s = sketch_of(unit);
	__be16 type;
	__u32 at = 14;
	if (!s || bpf_skb_load_bytes(skb, 12, &type, sizeof(type)))
		return;
	for (int i = 0; i < 2; i++) { // tags within the packet; those that were taken off it are no matter
		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if (bpf_skb_load_bytes(skb, at + 2, &type, sizeof(type)))
			return;
		at += 4;
	}
	if (type == bpf_htons(ETH_P_IP))
		ipv4(skb, d, at, c, s);
	else if (type == bpf_htons(ETH_P_IPV6))
		ipv6(skb, d, at, c, s);
}

static __always_inline void packet(struct __sk_buff *skb, enum direction d)
{
	__u64 unit;
	struct counts *c = counts_now_in(&counts, &meter, &unit);
	if (!c)
		return;
	// A tag that was taken off the packet on its way is put on it again before the guest gets it.
	increment(c, d * LENGTHS + bucket(skb->len + (skb->vlan_present ? 4 : 0)));
	if (headers)
		look(skb, d, c, unit);
}

// What enters the host by a tap device is what the guest has sent. With macvtap it is the other way round: what the guest sends leaves the
// host by that device.
SEC("tcx/ingress")
int sent(struct __sk_buff *skb)
{
	packet(skb, SENT);
	return TCX_NEXT;
}

SEC("tcx/egress")
int received(struct __sk_buff *skb)
{
	packet(skb, RECEIVED);
	return TCX_NEXT;
}

// For kernels without tcx: the filter of a packet socket, which takes nothing.
SEC("socket")
int both(struct __sk_buff *skb)
{
	packet(skb, skb->pkt_type == PACKET_OUTGOING ? RECEIVED : SENT);
	return 0;
}

SEC("socket")
int both_macvtap(struct __sk_buff *skb)
{
	packet(skb, skb->pkt_type == PACKET_OUTGOING ? SENT : RECEIVED);
	return 0;
}
