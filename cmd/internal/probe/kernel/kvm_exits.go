package kernel

import "github.com/virtsentry/virtsentry/cmd/internal/probe"

// Instruction sets for virtual machines, as the kernel numbers them.
const (
	isaVMX = 1
	isaSVM = 2
)

// span is a range of numbers of reasons, the ends included.
type span struct{ from, to uint32 }

// exitReasons has the numbers of the reasons: arch/x86/include/uapi/asm/vmx.h and svm.h of Linux. What is in no span is "other".
var exitReasons = map[string]struct{ vmx, svm []span }{
	"io":                 {[]span{{30, 30}}, []span{{0x7b, 0x7b}}},
	"hlt":                {[]span{{12, 12}}, []span{{0x78, 0x78}, {0xa6, 0xa6}}},
	"external_interrupt": {[]span{{1, 1}}, []span{{0x60, 0x60}}},
	"interrupt_window":   {[]span{{7, 8}}, []span{{0x64, 0x64}, {0x74, 0x74}}},
	"page_fault":         {[]span{{48, 48}}, []span{{0x400, 0x400}}},
	"ept_misconfig":      {[]span{{49, 49}}, nil},
	"msr":                {[]span{{31, 32}, {84, 85}}, []span{{0x7c, 0x7c}}},
	"cpuid":              {[]span{{10, 10}}, []span{{0x72, 0x72}}},
	"cr":                 {[]span{{28, 28}}, []span{{0x00, 0x1f}, {0x65, 0x65}, {0x90, 0x9f}}},
	"dr":                 {[]span{{29, 29}}, []span{{0x20, 0x3f}}},
	"exception":          {[]span{{0, 0}}, []span{{0x40, 0x5f}, {0x61, 0x61}}},
	"hypercall":          {[]span{{18, 18}}, []span{{0x81, 0x81}}},
	"pause":              {[]span{{40, 40}}, []span{{0x77, 0x77}}},
	"mwait":              {[]span{{36, 36}, {39, 39}, {67, 68}}, []span{{0x8a, 0x8c}}},
	"preemption_timer":   {[]span{{52, 52}}, nil},
	"apic":               {[]span{{43, 44}, {56, 56}}, []span{{0x401, 0x402}}},
	"eoi":                {[]span{{45, 45}}, nil},
	"tsc":                {[]span{{16, 16}, {51, 51}}, []span{{0x6e, 0x6e}, {0x87, 0x87}}},
	"rdpmc":              {[]span{{15, 15}}, []span{{0x6f, 0x6f}}},
	"random":             {[]span{{57, 57}, {61, 61}}, nil},
	"cache":              {[]span{{13, 14}, {54, 54}, {58, 58}}, []span{{0x76, 0x76}, {0x79, 0x79}, {0x89, 0x89}, {0xa2, 0xa2}}},
	"xsetbv":             {[]span{{55, 55}}, []span{{0x8d, 0x8d}}},
	"descriptor_table":   {[]span{{46, 47}}, []span{{0x66, 0x6d}}},
	"task_switch":        {[]span{{9, 9}}, []span{{0x7d, 0x7d}}},
	"nested":             {[]span{{19, 27}, {50, 50}, {53, 53}, {59, 59}}, []span{{0x7a, 0x7a}, {0x80, 0x80}, {0x82, 0x86}}},
	"dirty_log_full":     {[]span{{62, 62}}, nil},
	"bus_lock":           {[]span{{74, 74}}, []span{{0xa5, 0xa5}}},
	"debug_step":         {[]span{{37, 37}}, nil},
	"shutdown":           {[]span{{2, 2}}, []span{{0x7f, 0x7f}}},
	"encrypted":          {[]span{{77, 77}}, []span{{0x403, 0x403}}},
}

// Sizes of the table of reasons: REASONS of bpf/kvm.bpf.c.
const (
	vmxReasons  = 128
	svmReasons  = 256
	svmFrom     = 0x400 // where a second range of SVM begins
	svmMore     = 16
	exitEntries = vmxReasons + svmReasons + svmMore + 1
)

// exitEntry returns a reason's entry in the table: entry of bpf/kvm.bpf.c.
func exitEntry(isa, reason uint32) int {
	switch {
	case isa == isaVMX && reason&0xffff < vmxReasons:
		return int(reason & 0xffff)
	case isa == isaSVM && reason < svmReasons:
		return vmxReasons + int(reason)
	case isa == isaSVM && reason >= svmFrom && reason < svmFrom+svmMore:
		return vmxReasons + svmReasons + int(reason-svmFrom)
	}
	return exitEntries - 1
}

// exitTable returns the column of each entry.
func exitTable() [exitEntries]uint8 {
	var table [exitEntries]uint8
	for i := range table {
		table[i] = uint8(len(probe.KVMExits) - 1) // other
	}
	for column, e := range probe.KVMExits {
		for isa, spans := range map[uint32][]span{isaVMX: exitReasons[e.Name].vmx, isaSVM: exitReasons[e.Name].svm} {
			for _, s := range spans {
				for reason := s.from; reason <= s.to; reason++ {
					table[exitEntry(isa, reason)] = uint8(column)
				}
			}
		}
	}
	return table
}
