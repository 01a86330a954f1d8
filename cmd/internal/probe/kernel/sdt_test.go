package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// note returns an ELF note of an SDT probe.
func note(owner string, kind uint32, location, base, semaphore uint64, text string) []byte {
	le := binary.LittleEndian
	name := append([]byte(owner), 0)
	desc := le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, location), base), semaphore)
	desc = append(desc, text...)
	b := le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, uint32(len(name))), uint32(len(desc))), kind)
	for _, part := range [][]byte{name, desc} {
		b = append(b, part...)
		b = append(b, make([]byte, -len(b)&3)...)
	}
	return b
}

func TestParseSDT(t *testing.T) {
	fill := note(sdtOwner, sdtType, 0x1000, 0x5000, 0x9000, "qemu\x00virtqueue_fill\x008@%rdi 4@%edx\x00")
	bare := note(sdtOwner, sdtType, 0x2000, 0x5000, 0, "qemu\x00x\x00\x00")
	foreign := note("GNU", sdtType, 1, 2, 3, "a\x00b\x00c\x00")
	for _, tt := range []struct {
		name string
		data []byte
		base uint64
		want []sdtProbe
		err  string
	}{
		{name: "nothing"},
		{
			name: "two, and what is not ours", data: bytes.Join([][]byte{fill, foreign, bare}, nil), base: 0x5000,
			want: []sdtProbe{{"qemu", "virtqueue_fill", "8@%rdi 4@%edx", 0x1000, 0x9000}, {"qemu", "x", "", 0x2000, 0}},
		},
		{
			name: "moved", data: append(fill, bare...), base: 0x5010,
			want: []sdtProbe{{"qemu", "virtqueue_fill", "8@%rdi 4@%edx", 0x1010, 0x9010}, {"qemu", "x", "", 0x2010, 0}},
		},
		{name: "moved down", data: bare, base: 0x4ff0, want: []sdtProbe{{"qemu", "x", "", 0x1ff0, 0}}},
		{name: "no base section", data: bare, want: []sdtProbe{{"qemu", "x", "", 0x2000, 0}}},
		{name: "not filled up", data: fill[:len(fill)-1], want: []sdtProbe{{"qemu", "virtqueue_fill", "8@%rdi 4@%edx", 0x1000, 0x9000}}},
		{name: "half a header", data: fill[:11], err: "a note is cut off"},
		{name: "half a name", data: fill[:13], err: "the owner of a note is longer than its section"},
		{name: "half a note", data: fill[:40], err: "a note is longer than its section"},
		{name: "no end", data: note(sdtOwner, sdtType, 1, 2, 3, "qemu\x00x\x00y"), err: "a string in a note has no end"},
		{name: "short", data: append([]byte{8, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0}, "stapsdt\x00abcd"...), err: "a note is too short for its addresses"},
		{name: "huge", data: append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0}, "stapsdt\x00"...), err: "the owner of a note is longer than its section"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseSDT(tt.data, binary.LittleEndian, tt.base)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(sdtProbe{})); diff != "" {
				t.Errorf("probes (-want +got):\n%s", diff)
			}
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestParseSDTArgument(t *testing.T) {
	for s, want := range map[string]argument{
		"8@%rdi":        {place: placeRegister, register: 14, size: 8},
		"-4@%r9d":       {place: placeRegister, register: 8, size: 4, signed: true},
		"1@%al":         {place: placeRegister, register: 10, size: 1},
		"2@%r15w":       {place: placeRegister, size: 2},
		"-4@-20(%rbp)":  {place: placeMemory, register: 4, size: 4, signed: true, number: -20},
		"8@(%rax)":      {place: placeMemory, register: 10, size: 8},
		"8@0x10(%rsp)":  {place: placeMemory, register: 19, size: 8, number: 16},
		"4@104(%r8)":    {place: placeMemory, register: 9, size: 4, number: 104},
		"4@$3":          {place: placeConstant, size: 4, number: 3},
		"-4@$-1":        {place: placeConstant, size: 4, signed: true, number: -1},
		"8@$2147483647": {place: placeConstant, size: 8, number: 1<<31 - 1},
	} {
		got, err := parseSDTArgument(s)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "8", "8@", "@%rdi", "3@%rdi", "16@%xmm0", "8f@%xmm0", "--8@%rdi", "8@%ah", "8@%rip", "8@x(%rip)", "8@(%rax,%rbx,4)", "8@8(%rax,%rbx)",
		"8@(%eax)", "8@(%r8d)", "8@(%)", "8@(%rax", "8@$", "8@$x", "8@$2147483648", "8@2147483648(%rax)", "8@foo", "8@x+4", "8@(%rax)x",
	} {
		if got, err := parseSDTArgument(s); err == nil {
			t.Errorf("%s: %+v, want an error", s, got)
		}
	}
}

func TestSDTArgument(t *testing.T) {
	if a, err := sdtArgument("8@%rdi 8f@%xmm0  4@$3", 2); err != nil || a.number != 3 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := sdtArgument("8@%rdi 8f@%xmm0", 1); err == nil {
		t.Error("a floating-point argument is taken")
	}
	for _, n := range []int{-1, 2} {
		if _, err := sdtArgument("8@%rdi 4@$3", n); err == nil {
			t.Errorf("argument %d of two is found", n)
		}
	}
	if _, err := sdtArgument("", 0); err == nil {
		t.Error("an argument of none is found")
	}
	if _, err := parseSDTArgument("8@x(%rip)"); !errors.Is(err, errOperand) {
		t.Error(err)
	}
}

func TestCookie(t *testing.T) {
	c, err := cookie(0x123, kindQueue, argument{place: placeMemory, register: 19, size: 4, signed: true, number: -20})
	if want := uint64(0xffffffec<<32 | 1<<25 | 2<<23 | 2<<21 | 19<<16 | 3<<12 | 0x123); err != nil || c != want {
		t.Errorf("%#x, %v, want %#x", c, err, want)
	}
	for _, column := range []int{-1, maxColumn + 1} {
		if _, err := cookie(column, kindCalls, argument{}); err == nil {
			t.Errorf("column %d fits", column)
		}
	}
}

func FuzzParseSDT(f *testing.F) {
	f.Add(note(sdtOwner, sdtType, 0x1000, 0x5000, 0x9000, "qemu\x00virtqueue_fill\x008@%rdi 4@%edx\x00"), uint64(0x5000))
	f.Add(note("GNU", 1, 0, 0, 0, ""), uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, base uint64) {
		probes, err := parseSDT(data, binary.LittleEndian, base)
		if err != nil && probes != nil {
			t.Error("both probes and an error")
		}
		for _, p := range probes {
			for n := range maxSDTArguments {
				_, _ = sdtArgument(p.arguments, n)
			}
		}
	})
}

func FuzzSDTArgument(f *testing.F) {
	for _, s := range []string{"8@%rdi", "-4@-20(%rbp)", "4@$3", "8@foo+4(%rip)", "8f@%xmm0", "8@(%rax,%rdx,8)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseSDTArgument(s)
		if err != nil {
			return
		}
		if a.register > 19 || a.place == placeNowhere || a.size == 0 {
			t.Errorf("%q: %+v", s, a)
		}
		if _, err := cookie(0, kindPacket, a); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}

// FuzzExecutable takes a file for an executable. It begins with testdata/calls/calls.c, built by gcc -Os -DSDT -shared -fPIC -nostdlib -s
// -Wl,--build-id=none -Wl,-z,noseparate-code.
func FuzzExecutable(f *testing.F) {
	data, err := os.ReadFile("testdata/calls/tiny")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := readELF(bytes.NewReader(data))
		if err != nil {
			return
		}
		x := &executable{elf: e}
		for _, p := range e.Progs {
			if p.Type == elf.PT_LOAD {
				x.segments = append(x.segments, p.ProgHeader)
			}
		}
		c, err := choose(x)
		if err == nil && (len(c.sites) == 0 || len(c.sites) > maxSites) {
			t.Errorf("%d places", len(c.sites))
		}
	})
}
