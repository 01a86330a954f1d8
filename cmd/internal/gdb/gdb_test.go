package gdb

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/cmd/internal/gdb/gdbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect connects to a stub that has its guest stopped.
func connect(t *testing.T, s *gdbtest.Stub) *Conn {
	t.Helper()
	c := NewConn(gdbtest.New(s))
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Hello(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFrame(t *testing.T) {
	if got := string(frame("vCont;c")); got != "$vCont;c#a8" {
		t.Errorf("frame = %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "text"))
		r := bufio.NewReader(bytes.NewReader(frame(text)[1:]))
		got, err := readPacket(r)
		if err != nil || got != text {
			t.Fatalf("readPacket(frame(%q)) = %q, %v", text, got, err)
		}
	})
}

func TestReadPacket(t *testing.T) {
	for text, want := range map[string]string{
		"OK#9a": "OK", "0* #7a": "0000", "}\x03#80": "#", "#00": "",
	} {
		if got, err := readPacket(bufio.NewReader(strings.NewReader(text))); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"OK#9b": errChecksum, "OK#zz": errChecksum, "OK": io.ErrUnexpectedEOF, "OK#9": io.ErrUnexpectedEOF, "}": io.ErrUnexpectedEOF,
		"*!#4b": ErrProtocol, "0*\x1c#00": ErrProtocol, strings.Repeat("a", maxPacket+1) + "#00": ErrProtocol,
		"a" + strings.Repeat("*~", maxPacket): ErrProtocol,
	} {
		if _, err := readPacket(bufio.NewReader(strings.NewReader(text))); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", text, err, want)
		}
	}
}

func TestParseStop(t *testing.T) {
	for text, want := range map[string]Stop{
		"S05": {Signal: 5}, "T02thread:01;": {2, "01"}, "T05thread:p01.02;": {5, "p01.02"}, "T05hwbreak:;thread:3;": {5, "3"},
	} {
		if got, err := parseStop(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "T0", "W00", "T0x", "T05thread:;", "T05thread:1#00$D;", "T05thread:p1;", "T05thread:1.2;", "T05thread:" + strings.Repeat("1", 30)} {
		if got, err := parseStop(text); !errors.Is(err, ErrProtocol) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for thread, want := range map[string]int{"": 0, "01": 0, "0a": 9, "p01.04": 3, "0": 0, "ffffffffffffffff": 0} {
		if got := (Stop{Thread: thread}).CPU(); got != want {
			t.Errorf("CPU of %q = %d, want %d", thread, got, want)
		}
	}
}

func TestConn(t *testing.T) {
	s := &gdbtest.Stub{Memory: func(address uint64, size int) ([]byte, bool) {
		if address >= 0x2000 {
			return nil, false
		}
		return bytes.Repeat([]byte{byte(address >> 8)}, size), true
	}}
	s.Set(gdbtest.RIP, 0x1122334455667788)
	c := connect(t, s)
	target, err := c.Describe()
	if err != nil {
		t.Fatal(err)
	}
	if target.Architecture != "i386:x86-64" || target.Registers["k_gs_base"] != (Register{Number: gdbtest.KernelGSBase, Offset: 68, Size: 8}) {
		t.Errorf("Describe = %+v", target)
	}
	block, err := c.Registers()
	if v, has := target.Value(block, "rip"); err != nil || !has || v != 0x1122334455667788 {
		t.Errorf("rip = %#x, %v, %v", v, has, err)
	}
	if _, has := target.Value(block[:10], "rip"); has {
		t.Error("rip is found in a block that is too short")
	}
	if err := c.SetRegisters(Write{gdbtest.RAX, 0x0102030405060708}, Write{gdbtest.RDI, 9}); err != nil || s.Get(gdbtest.RAX) != 0x0102030405060708 || s.Get(gdbtest.RDI) != 9 {
		t.Errorf("SetRegisters: %v, %#x", err, s.Get(gdbtest.RAX))
	}
	if m, err := c.Memory(0x1000, 3000); err != nil || len(m) != 3000 || m[0] != 0x10 {
		t.Errorf("Memory = %d bytes, %v", len(m), err)
	}
	var refused *Error
	if _, err := c.Memory(0x3000, 8); !errors.As(err, &refused) || refused.Code != "E14" {
		t.Errorf("Memory of what is not mapped: %v", err)
	}
	if _, err := c.Command("vMustReplyEmpty"); !errors.As(err, &refused) || refused.Code != "" {
		t.Errorf("an unknown command: %v", err)
	}
	if err := c.Select("01"); err != nil {
		t.Error(err)
	}
	if err := c.SetBreak(0x1000); err != nil {
		t.Error(err)
	}
	if err := c.Continue(); err != nil || c.Stopped() {
		t.Errorf("Continue: %v, stopped %v", err, c.Stopped())
	}
	<-s.Resumed()
	if _, err := c.Wait(time.Now()); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Wait of a guest that runs: %v", err)
	}
	if err := c.Interrupt(); err != nil {
		t.Error(err)
	}
	if stop, err := c.Wait(time.Now().Add(time.Minute)); err != nil || stop.Signal != SignalInterrupt || !c.Stopped() {
		t.Errorf("Wait after an interrupt: %+v, %v", stop, err)
	}
	if err := c.ClearBreak(0x1000); err != nil {
		t.Error(err)
	}
	if err := c.Detach(); err != nil {
		t.Error(err)
	}
	if running, detached, breaks := s.Running(); !running || !detached || breaks != 0 {
		t.Errorf("after Detach: running %v, detached %v, %d breaks", running, detached, breaks)
	}
	_ = s.Stop(SignalTrap)
	if err := errors.Join(c.SetBreak(0x1000), c.Forget()); err != nil {
		t.Error(err)
	}
	if _, _, breaks := s.Running(); breaks != 0 {
		t.Errorf("%d breaks are not forgotten", breaks)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestHostile: a stub that answers anything else than what is asked for makes errors, and none is an endless wait.
func TestHostile(t *testing.T) {
	for command, answers := range map[string][]string{
		"m":    {"zz", "0", "00" + strings.Repeat("11", 4096), "OK", "T05thread:01;"},
		"P":    {"E22", "no", ""},
		"g":    {"1", "OK"},
		"qX":   {"", "x", "m", "E00", "l<target", "l" + `<target><xi:include href="../../etc/passwd"/></target>`, "m" + strings.Repeat("a", 1000)},
		"Z1":   {"E22", "no", ""},
		"qSup": {"PacketSize=ffffffffffffffffff", "PacketSize=0", "x"},
		"D":    {"no", "E22"},
	} {
		for _, answer := range answers {
			s := &gdbtest.Stub{Answer: func(c string) (string, bool) { return answer, strings.HasPrefix(c, command) }}
			conn := gdbtest.New(s)
			c := NewConn(conn)
			err := c.Hello()
			if command != "qSup" {
				if err != nil {
					t.Fatal(err)
				}
				switch command {
				case "m":
					if answer == "T05thread:01;" { // no answer: only the stub's end ends the wait early
						_ = conn.SetDeadline(time.Now())
						_ = c.Close()
					}
					_, err = c.Memory(0, 4)
				case "P":
					err = c.SetRegisters(Write{})
				case "g":
					_, err = c.Registers()
				case "qX":
					_, err = c.Describe()
				case "Z1":
					err = c.SetBreak(0)
				case "D":
					err = c.Detach()
				}
				if err == nil {
					t.Errorf("%s answered by %.40q: no error", command, answer)
				}
			} else if err != nil || c.most < 16 || c.most > 1024 {
				t.Errorf("qSupported answered by %q: %v, %d bytes of memory at a time", answer, err, c.most)
			}
			_ = c.Close()
		}
	}
}

// TestAsksAgain: a packet with a wrong checksum is asked for again, and a command that the stub did not understand is sent again.
func TestAsksAgain(t *testing.T) {
	near, far := gdbtest.Pair()
	defer func() { _ = near.Close() }()
	done := make(chan string)
	go func() {
		defer close(done)
		r := bufio.NewReader(far)
		read := func() string { s, _ := r.ReadString('#'); sum := make([]byte, 2); _, _ = io.ReadFull(r, sum); return s }
		first := read()
		_, _ = far.Write([]byte("-"))
		again := read()
		_, _ = far.Write([]byte("+$41#00"))
		nack, _ := r.ReadByte()
		_, _ = far.Write([]byte("$41#65"))
		ack, _ := r.ReadByte()
		_ = far.Close()
		done <- first + again + string(nack) + string(ack)
	}()
	c := NewConn(near)
	c.most = 16
	if b, err := c.Memory(0, 1); err != nil || b[0] != 0x41 {
		t.Errorf("Memory = %v, %v", b, err)
	}
	if got := <-done; got != "$m0,1#$m0,1#-+" {
		t.Errorf("the stub has read %q", got)
	}
	<-done
	if _, err := c.Wait(time.Now().Add(time.Minute)); !errors.Is(err, io.EOF) {
		t.Errorf("Wait for a stub that has gone: %v", err)
	}
}

func TestPlace(t *testing.T) {
	number := func(n int) *int { return &n }
	for name, list := range map[string][]regMember{
		"no size":    {{Name: "a"}},
		"odd size":   {{Name: "a", Bits: 7}},
		"huge":       {{Name: "a", Bits: 1 << 20}},
		"twice":      {{Name: "a", Bits: 8}, {Name: "a", Bits: 8}},
		"going back": {{Name: "a", Bits: 8}, {Name: "b", Bits: 8, Number: number(0)}},
	} {
		target := Target{Registers: map[string]Register{}}
		if err := target.place(list); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	target := Target{Registers: map[string]Register{}}
	if err := target.place([]regMember{{Name: "a", Bits: 8}, {Name: "b", Bits: 8, Number: number(5)}}); err != nil || len(target.Registers) != 1 {
		t.Errorf("a hole: %v, %v", target, err)
	}
}

// FuzzStub: whatever a stub says, the client ends with what it asked for or an error.
func FuzzStub(f *testing.F) {
	f.Add([]byte("+$T05thread:01;#07+$PacketSize=1000#19+$OK#9a"))
	f.Add([]byte("+$S05#b8+$#00+$l<target/>#00"))
	f.Add([]byte("$T05thread:p01.01;#8b$0* #7a$E14#aa"))
	f.Fuzz(func(t *testing.T, said []byte) {
		near, far := gdbtest.Pair()
		var end = make(chan struct{})
		go func() {
			defer close(end)
			go func() { _, _ = io.Copy(io.Discard, far) }()
			_, _ = far.Write(said)
			_ = far.Close()
		}()
		c := NewConn(near)
		if c.Hello() == nil {
			_, _ = c.Describe()
			_, _ = c.Registers()
			_, _ = c.Memory(0xffffffff81000000, 64)
			_, _ = c.Wait(time.Now().Add(time.Second))
			_ = c.Detach()
		}
		_ = c.Close()
		<-end
	})
}

// FuzzDescription: a target description is placed within bounds, or refused.
func FuzzDescription(f *testing.F) {
	f.Add(gdbtest.Description)
	f.Add(`<feature><reg name="rax" bitsize="64"/><reg name="cs" bitsize="32" regnum="1"/></feature>`)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > maxDescription {
			return
		}
		d, err := parseDescription(text)
		if err != nil {
			return
		}
		target := Target{Registers: map[string]Register{}}
		if target.place(d.registers()) != nil {
			return
		}
		for name, r := range target.Registers {
			if r.Offset < 0 || r.Size <= 0 || r.Number >= maxRegisters {
				t.Errorf("register %q at %+v", name, r)
			}
			_, _ = target.Value(make([]byte, 64), name)
		}
	})
}
