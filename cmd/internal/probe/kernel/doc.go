// Package kernel counts what the host's kernel sees of a domain, by eBPF programs. Nothing is pinned: all of it ends with the
// process that attached it.
//
// A source adds a program in C (bpf/), which includes bpf/unit.bpf.h and calls count with the number of a column; its columns, in package
// probe; and a function that attaches it. Units are cut by the kernel's own clock, see bpf/unit.bpf.h: what is read late is not counted
// in the wrong unit, and what is read too late is marked as lost.
//
// # Packets
//
// [probe.Tap] sees a packet as guest and host hand it to each other: with its Ethernet header and VLAN tags, and with GSO several segments as one.
// What enters the host by a tap device the guest has sent. With macvtap it is the other way round: what the guest sends leaves the host by that
// device, and both directions are seen as well. Packets to the guest are counted before queueing disciplines, so that those that the
// host then drops are among them, by tcx; after them, by the packet socket that serves older kernels.
//
// # Privileges
//
// CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN suffice, on kernels without tcx CAP_NET_RAW besides. Process IDs are those of the initial PID
// namespace, which programs see; interfaces those of this process's network namespace.
package kernel
