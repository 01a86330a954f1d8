package kernel

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -no-global-types kvm bpf/kvm.bpf.c -- -O2 -mcpu=v2 -Wall -Wextra -Werror

// Names in bpf/kvm.bpf.c and in the kernel.
const (
	kvmGroup       = "kvm"
	kvmExitProgram = "kvm_exit"
)

// kvmPool observes the guests of all domains.
var kvmPool = &pool{source: probe.KVM, read: kvmSpec, attach: linkKVM}

// attachKVM attaches the programs of [probe.KVM]. The process ID must be that of the initial PID namespace, where programs see it. What is done for
// the guest by others than its QEMU's threads, such as interrupts from the kernel's workers, is not counted.
func attachKVM(t Target, _ Options) (instrument, error) {
	if t.PID <= 0 {
		return instrument{}, fmt.Errorf("process %d: %w", t.PID, ErrGone)
	}
	m, err := kvmPool.join(t.PID)
	if err != nil {
		return instrument{}, err
	}
	detail := kvmDetail(len(m.at.links), len(m.at.programs))
	in := m.instrument()
	in.detail = func() string { return detail }
	return in, nil
}

// kvmSpec returns the programs, which know the layout of the kernel's records.
func kvmSpec() (*ebpf.CollectionSpec, error) {
	root, err := tracefs()
	if err != nil {
		return nil, err
	}
	fields, err := readFormat(root, kvmGroup, kvmExitProgram)
	if err != nil {
		return nil, err
	}
	spec, err := loadKvm()
	if err != nil {
		return nil, err
	}
	for name, variable := range map[string]string{"exit_reason": "reason_offset", "isa": "isa_offset"} {
		f, ok := fields[name]
		if !ok || f.size != 4 {
			return nil, fmt.Errorf("the trace point %s:%s has no %s of 4 bytes: %w", kvmGroup, kvmExitProgram, name, ErrUnsupported)
		}
		if err := spec.Variables[variable].Set(f.offset); err != nil {
			return nil, fmt.Errorf("set %s: %w", variable, err)
		}
	}
	return spec, spec.Variables["exits"].Set(exitTable())
}

// linkKVM attaches each program to its trace point. Those that the kernel does not have are left out, but for kvm_exit.
func linkKVM(c *ebpf.Collection) (links []link.Link, err error) {
	for name, program := range c.Programs {
		var l link.Link
		if name == kvmExitProgram {
			l, err = link.Tracepoint(kvmGroup, name, program, nil)
		} else {
			l, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: name, Program: program})
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		if err != nil {
			return nil, errors.Join(explain("trace point "+name, err), closeLinks(links))
		}
		links = append(links, l)
	}
	return links, nil
}

// kvmDetail says for people how many trace points of those that are wanted are observed.
func kvmDetail(n, wanted int) string {
	s := fmt.Sprintf("%d trace points", n)
	if n < wanted {
		s += fmt.Sprintf("; this kernel does not have %d others", wanted-n)
	}
	return s
}
