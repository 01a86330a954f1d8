package kernel

// Built with the compiler of Debian 12, so that what is built is the same everywhere. bpf2go turns paths into relative ones.
//
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -no-global-types tap bpf/tap.bpf.c -- -O2 -mcpu=v2 -Wall -Wextra -Werror
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -no-global-types syscalls bpf/syscalls.bpf.c -- -O2 -mcpu=v2 -Wall -Wextra -Werror
