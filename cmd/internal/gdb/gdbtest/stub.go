// Package gdbtest is a gdb stub for tests, with one virtual CPU of thirteen registers; it speaks as QEMU's does.
package gdbtest

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Numbers of the registers in Description.
const (
	RAX          = 0
	RSI          = 4
	RDI          = 5
	RIP          = 6
	CS           = 7
	GSBase       = 8
	KernelGSBase = 9
	R8           = 10
	R9           = 11
	R10          = 12
)

// Description is the target description; the stub splits it in two files as QEMU does.
const Description = `<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>i386:x86-64</architecture>` +
	`<xi:include href="i386-64bit.xml"/></target>`

const registers = `<?xml version="1.0"?><feature name="org.gnu.gdb.i386.core">
<reg name="rax" bitsize="64" type="int64"/><reg name="rbx" bitsize="64"/><reg name="rcx" bitsize="64"/><reg name="rdx" bitsize="64"/>
<reg name="rsi" bitsize="64"/><reg name="rdi" bitsize="64"/><reg name="rip" bitsize="64" type="code_ptr"/><reg name="cs" bitsize="32"/>
<reg name="gs_base" bitsize="64"/><reg name="k_gs_base" bitsize="64"/>
<reg name="r8" bitsize="64"/><reg name="r9" bitsize="64"/><reg name="r10" bitsize="64"/></feature>`

var sizes = []int{8, 8, 8, 8, 8, 8, 8, 4, 8, 8, 8, 8, 8}

// Stub is a stub with one virtual CPU.
type Stub struct {
	// Memory answers reads; false: not mapped.
	Memory func(address uint64, size int) ([]byte, bool)
	// Answer, if it is there and says so, answers a command instead of the stub.
	Answer func(command string) (answer string, does bool)

	mu        sync.Mutex // guards the fields below
	conn      net.Conn
	registers [13]uint64
	breaks    map[string]bool
	running   bool
	detached  bool
	resumed   chan struct{}
}

// Pair is a pair of connected sockets.
func Pair() (near, far net.Conn) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		panic(err) // a test cannot go on
	}
	ends := make([]net.Conn, 2)
	for i, fd := range pair {
		f := os.NewFile(uintptr(fd), "stub")
		if ends[i], err = net.FileConn(f); err != nil {
			panic(err)
		}
		_ = f.Close()
	}
	return ends[0], ends[1]
}

// New makes a stub and serves it at one end of a connection, of which the other one is returned. It ends with that.
func New(s *Stub) net.Conn {
	near, far := Pair()
	s.conn, s.breaks, s.resumed = far, map[string]bool{}, make(chan struct{}, 64)
	go s.serve()
	return near
}

// Set sets a register.
func (s *Stub) Set(n int, v uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registers[n] = v
}

// Get reads a register.
func (s *Stub) Get(n int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registers[n]
}

// Running says whether the guest runs; detached, whether it was let go; breaks, how many breakpoints there are.
func (s *Stub) Running() (running, detached bool, breaks int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running, s.detached, len(s.breaks)
}

// Resumed delivers a value each time that the guest is let run.
func (s *Stub) Resumed() <-chan struct{} { return s.resumed }

// Stop stops the guest by a signal, if it runs, and says whether it did.
func (s *Stub) Stop(signal int) bool {
	s.mu.Lock()
	if !s.running {
		s.mu.Unlock()
		return false
	}
	s.running = false
	s.mu.Unlock()
	s.say(fmt.Sprintf("T%02xthread:01;", signal))
	return true
}

func (s *Stub) say(text string) {
	sum := byte(0)
	for i := range len(text) {
		sum += text[i]
	}
	_, _ = fmt.Fprintf(s.conn, "$%s#%02x", text, sum)
}

func (s *Stub) serve() {
	defer func() { _ = s.conn.Close() }()
	in := bufio.NewReader(s.conn)
	for {
		c, err := in.ReadByte()
		if err != nil {
			return
		}
		switch c {
		case 3:
			s.Stop(2)
		case '$':
			text, err := in.ReadString('#')
			if err != nil {
				return
			}
			if _, err := in.Discard(2); err != nil {
				return
			}
			if _, err := s.conn.Write([]byte{'+'}); err != nil {
				return
			}
			s.command(strings.TrimSuffix(text, "#"))
		}
	}
}

func (s *Stub) command(c string) {
	if s.Answer != nil {
		if answer, does := s.Answer(c); does {
			s.say(answer)
			return
		}
	}
	s.mu.Lock()
	answer := s.answer(c)
	resumed := answer == "run"
	s.mu.Unlock()
	if resumed {
		s.resumed <- struct{}{}
		return
	}
	s.say(answer)
}

func (s *Stub) answer(c string) string {
	switch {
	case c == "?":
		clear(s.breaks)
		return "T05thread:01;"
	case strings.HasPrefix(c, "qSupported"):
		return "PacketSize=1000;qXfer:features:read+;multiprocess+"
	case strings.HasPrefix(c, "qXfer:features:read:"):
		return file(c)
	case c == "g":
		return s.block()
	case c == "D":
		s.running, s.detached = true, true
		clear(s.breaks)
		return "OK"
	case c == "vCont;c":
		s.running = true
		return "run"
	case strings.HasPrefix(c, "Hc") && c != "Hc1":
		return "E22" // there is one virtual CPU
	case strings.HasPrefix(c, "H"):
		return "OK"
	case strings.HasPrefix(c, "Z1,"):
		s.breaks[c[1:]] = true
		return "OK"
	case strings.HasPrefix(c, "z1,"):
		delete(s.breaks, c[1:])
		return "OK"
	case strings.HasPrefix(c, "P"):
		return s.write(c[1:])
	case strings.HasPrefix(c, "m"):
		return s.memory(c[1:])
	}
	return ""
}

func file(c string) string {
	parts := strings.Split(strings.TrimPrefix(c, "qXfer:features:read:"), ":")
	text := Description
	if parts[0] == "i386-64bit.xml" {
		text = registers
	}
	var from, size int
	if _, err := fmt.Sscanf(parts[1], "%x,%x", &from, &size); err != nil || from > len(text) {
		return "E00"
	}
	if rest := text[from:]; len(rest) > size {
		return "m" + rest[:size]
	}
	return "l" + text[from:]
}

func (s *Stub) block() string {
	var all []byte
	for i, size := range sizes {
		all = append(all, binary.LittleEndian.AppendUint64(nil, s.registers[i])[:size]...)
	}
	return hex.EncodeToString(all)
}

func (s *Stub) write(text string) string {
	number, value, _ := strings.Cut(text, "=")
	n, err := strconv.ParseUint(number, 16, 8)
	b, hexErr := hex.DecodeString(value)
	if err != nil || hexErr != nil || int(n) >= len(sizes) || len(b) != 8 {
		return "E22"
	}
	s.registers[n] = binary.LittleEndian.Uint64(b)
	return "OK"
}

func (s *Stub) memory(text string) string {
	var at uint64
	var size int
	if _, err := fmt.Sscanf(text, "%x,%x", &at, &size); err != nil || s.Memory == nil {
		return "E22"
	}
	b, mapped := s.Memory(at, size)
	if !mapped {
		return "E14"
	}
	return hex.EncodeToString(b)
}
