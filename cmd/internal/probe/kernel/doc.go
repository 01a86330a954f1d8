// Package kernel counts what the host's kernel sees of a domain, by eBPF programs. Nothing is pinned: all of it ends with the
// process that attached it.
//
// A source adds a program in C (bpf/), which includes bpf/unit.bpf.h and calls count with the number of a column; its columns, in package
// probe; and a function that attaches it. Units are cut by the kernel's own clock, see bpf/unit.bpf.h: what is read late is not counted
// in the wrong unit, and what is read too late is marked as lost.
package kernel
