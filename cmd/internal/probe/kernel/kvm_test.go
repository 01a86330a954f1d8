package kernel

import (
	"errors"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// TestKVMCounts runs a small guest in this process, and counts what it does.
func TestKVMCounts(t *testing.T) {
	withTracefs(t)
	if _, err := os.Stat(kvmDevice); err != nil {
		t.Skipf("this machine runs no guests: %v", err)
	}
	counter := attachOrSkip(t, probe.KVM, Target{PID: os.Getpid()})
	other := attachOrSkip(t, probe.KVM, Target{PID: 1})
	t.Log(counter.Detail())
	const outs, ins, writes = 1000, 300, 70
	asked := runGuest(t, guestCode(outs, ins, writes))
	if diff := cmp.Diff(map[uint32]int{kvmExitIO: outs + ins, kvmExitMMIO: writes, kvmExitHLT: 1}, asked); diff != "" {
		t.Fatalf("the guest did something else (-want +got):\n%s", diff)
	}
	got := named(t, probe.KVM, counter)
	t.Log(got)
	want := map[string]uint64{"pio:out": outs, "pio:in": ins, "mmio:write": writes, "userspace_exit": outs + ins + writes + 1}
	if _, err := os.Stat("/sys/module/kvm_pvm"); err == nil {
		// PVM plays what a guest does in real mode and at privilege 0; at privilege 3 it runs on the processor, whose exits PVM of Linux 6.18 handles
		// without kvm_entry and kvm_exit.
		t.Log("this machine's KVM is PVM, which says nothing of exits")
		want["emulate_insn"] = got["emulate_insn"]
	} else {
		want["exit:io"], want["exit:hlt"] = outs+ins, 1
	}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s: %d, want %d", name, got[name], n)
		}
	}
	if got := named(t, probe.KVM, other); len(got) > 0 {
		t.Errorf("another process has %v", got)
	}
}

// TestKVMExits attaches the program of kvm_exit to a system call whose first arguments play reason and instruction set.
func TestKVMExits(t *testing.T) {
	withTracefs(t)
	was := kvmPool
	defer func() { kvmPool = was }()
	kvmPool = &pool{source: probe.KVM,
		read: func() (*ebpf.CollectionSpec, error) {
			spec, err := kvmSpec()
			if err != nil {
				return nil, err
			}
			// What a program sees of a system call: a pointer, the number, the arguments.
			return spec, errors.Join(spec.Variables["reason_offset"].Set(uint32(16)), spec.Variables["isa_offset"].Set(uint32(24)))
		},
		attach: func(c *ebpf.Collection) ([]link.Link, error) {
			l, err := link.Tracepoint("syscalls", "sys_enter_getpriority", c.Programs[kvmExitProgram], nil)
			return []link.Link{l}, err
		},
	}
	counter := attachOrSkip(t, probe.KVM, Target{PID: os.Getpid()})
	want := make(map[string]uint64)
	for _, isa := range []uint32{0, isaVMX, isaSVM, 3} {
		for _, reasons := range []span{{0, 0x120}, {0x3f0, 0x420}, {1<<16 - 1, 1<<16 + 200}, {1 << 31, 1<<31 + 40}, {math.MaxUint32, math.MaxUint32}} {
			for reason := uint64(reasons.from); reason <= uint64(reasons.to); reason++ {
				_, _, _ = unix.RawSyscall(unix.SYS_GETPRIORITY, uintptr(reason), uintptr(isa), 0) // refused, or harmless
				want["exit:"+probe.KVMExits[exitTable()[exitEntry(isa, uint32(reason))]].Name]++
			}
		}
	}
	if diff := cmp.Diff(want, named(t, probe.KVM, counter)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// TestKVMWithoutTracefs says what is missing.
func TestKVMWithoutTracefs(t *testing.T) {
	if _, err := readFormat(t.TempDir(), kvmGroup, kvmExitProgram); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "module kvm") {
		t.Error(err)
	}
	if root, err := tracefs(); err != nil {
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "mount -t tracefs") {
			t.Error(err)
		}
	} else {
		var s unix.Statfs_t
		if err := unix.Statfs(root, &s); err != nil {
			t.Error(err)
		}
	}
}

func TestParseFormat(t *testing.T) {
	f, err := os.Open("testdata/kvm/kvm_exit.format")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fields, err := parseFormat(f)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]field{"exit_reason": {8, 4}, "isa": {24, 4}, "info1": {32, 8}, "common_pid": {4, 4}} {
		if fields[name] != want {
			t.Errorf("%s: %+v, want %+v", name, fields[name], want)
		}
	}
	for _, s := range []string{"field:", "field:u32 isa;", "field:u32 isa;offset:8;", "field:u32 isa;offset:x;size:4;", "field:u32 isa;offset:70000;size:4;", "field:;offset:1;size:4;"} {
		if got, err := parseFormat(strings.NewReader(s)); err == nil {
			t.Errorf("%q: %v, want an error", s, got)
		}
	}
}

func FuzzParseFormat(f *testing.F) {
	f.Add("\tfield:u32 isa;\toffset:24;\tsize:4;\tsigned:0;\n")
	f.Fuzz(func(t *testing.T, s string) {
		if fields, err := parseFormat(strings.NewReader(s)); err != nil && fields != nil {
			t.Error("both fields and an error")
		}
	})
}

// TestExitNames holds our names of reasons against the kernel's: testdata/kvm/exits.golden has a line for each that the kernel can name.
func TestExitNames(t *testing.T) {
	format, err := os.ReadFile("testdata/kvm/kvm_exit.format")
	if err != nil {
		t.Fatal(err)
	}
	vmx, svm, ok := strings.Cut(string(format[strings.Index(string(format), "isa == 1"):]), ": __print_symbolic")
	if !ok {
		t.Fatal("no reasons in the format")
	}
	svm, _, _ = strings.Cut(svm, "})") // flags are after it
	table := exitTable()
	var lines []string
	for _, set := range []struct {
		name    string
		isa     uint32
		reasons string
	}{{"vmx", isaVMX, vmx}, {"svm", isaSVM, svm}} {
		for _, m := range regexp.MustCompile(`\{ ([-\w+ ]+), "([^"]+)" \}`).FindAllStringSubmatch(set.reasons, -1) {
			var reason uint32
			for part := range strings.SplitSeq(m[1], " + ") {
				n, err := strconv.ParseInt(part, 0, 64)
				if err != nil {
					t.Fatal(err)
				}
				reason += uint32(n)
			}
			lines = append(lines, set.name+" "+m[2]+" "+probe.KVMExits[table[exitEntry(set.isa, reason)]].Name)
		}
	}
	const golden = "testdata/kvm/exits.golden"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), lines); diff != "" {
		t.Errorf("reasons (-want +got), UPDATE_GOLDEN=1 writes them:\n%s", diff)
	}
}

// TestExitTable holds the table against the columns' names.
func TestExitTable(t *testing.T) {
	var names []string
	for _, e := range probe.KVMExits {
		names = append(names, e.Name)
		if _, ok := exitReasons[e.Name]; !ok && e.Name != "other" {
			t.Errorf("%s has no reasons", e.Name)
		}
	}
	taken := make(map[int]string)
	for name, r := range exitReasons {
		if !slices.Contains(names, name) {
			t.Errorf("%s has no column", name)
		}
		for isa, spans := range map[uint32][]span{isaVMX: r.vmx, isaSVM: r.svm} {
			for _, s := range spans {
				for reason := s.from; reason <= s.to; reason++ {
					e := exitEntry(isa, reason)
					if before, ok := taken[e]; ok || e == exitEntries-1 {
						t.Errorf("reason %#x of %s: entry %d has %q", reason, name, e, before)
					}
					taken[e] = name
				}
			}
		}
	}
	if names[len(names)-1] != "other" || probe.KVM.Columns()[len(names)].Name != "kvm:pio:in" {
		t.Error("the columns are not in the order that bpf/kvm.bpf.c has")
	}
	for isa, reasons := range map[uint32][]uint32{isaVMX: {127, 128, 0xffff}, isaSVM: {0x3ff, 0x410, 0xffffffff}, 0: {30}, 3: {1}} {
		for _, reason := range reasons {
			if got := exitTable()[exitEntry(isa, reason)]; probe.KVMExits[got].Name != "other" {
				t.Errorf("reason %#x of %d: %s", reason, isa, probe.KVMExits[got].Name)
			}
		}
	}
	if got := exitTable()[exitEntry(isaVMX, 1<<31|30)]; probe.KVMExits[got].Name != "io" {
		t.Error("a flag of VMX is taken for a reason")
	}
}
