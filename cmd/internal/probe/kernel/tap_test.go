package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// ways are those by which a tap device is observed.
var ways = []struct {
	name string
	way  tapWay
}{{"tcx", byTCX}, {"packet socket", byPacketSocket}}

// attachBy attaches to tap devices by one way.
func attachBy(t testing.TB, way tapWay, o Options, devices ...TapDevice) *Counter {
	t.Helper()
	in, err := attachTaps(Target{Taps: devices}, o, 1, way)
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCounter(in, probe.Tap, o)
	return closing(t, c, err)
}

// rest ends the counting and returns the sums of all columns that are not 0, and of what was lost.
func rest(t testing.TB, c *Counter, source probe.Source) (counts map[string]uint64, lost uint64) {
	t.Helper()
	units, err := c.Collect(true)
	if err != nil {
		t.Fatal(err)
	}
	counts = make(map[string]uint64)
	columns := source.Columns()
	for _, u := range units {
		lost += u.Lost
		for i, n := range u.Counts {
			if n > 0 {
				counts[columns[i].Name] += n
			}
		}
	}
	return counts, lost
}

// lengthColumn returns the name of a packet's column.
func lengthColumn(direction string, length int) string {
	return "tap:" + direction + ":len" + probe.TapLengths.Label(probe.TapLengths.Index(uint64(length)))
}

func TestTapLengths(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			newNetwork(t)
			a, b := newTap(t, "a0"), newTap(t, "b0")
			ip(t, "link set a0 mtu 65521")
			c := attachBy(t, way.way, Options{}, a.TapDevice, b.TapDevice)
			want := make(map[string]uint64)
			for _, length := range []int{14, 31, 32, 33, 35, 36, 60, 63, 64, 71, 72, 255, 256, 1000, 1513, 1514} {
				for range length%7 + 1 {
					b.send(t, frame{}.pad(length))
					want[lengthColumn("sent", length)]++
				}
				a.receive(t, frame{}.pad(length))
				want[lengthColumn("received", length)]++
			}
			for length := 1515; length < 65535; length += 977 {
				a.send(t, frame{}.pad(length))
				want[lengthColumn("sent", length)]++
				a.receive(t, frame{}.pad(length))
				want[lengthColumn("received", length)]++
			}
			a.send(t, frame{}.pad(65535))
			want[lengthColumn("sent", 65535)]++
			if got := c.Detail(); got != "a0, b0" {
				t.Errorf("detail %q", got)
			}
			got, lost := rest(t, c, probe.Tap)
			if diff := cmp.Diff(want, got); diff != "" || lost != 0 {
				t.Errorf("lost %d, %s", lost, diff)
			}
		})
	}
}

func TestTapColumns(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range probe.Tap.Columns() {
		if seen[c.Name] {
			t.Errorf("%s twice", c.Name)
		}
		seen[c.Name] = true
		if s, w, ok := probe.Describe(c.Name); !ok || s != "network" || w == "" {
			t.Errorf("%s is described as %q, %q", c.Name, s, w)
		}
	}
	if len(seen) != 192 {
		t.Errorf("%d columns", len(seen))
	}
}

func TestTapHeaders(t *testing.T) {
	const tcp, udp = 6, 17
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			newNetwork(t)
			g := newTap(t, "a0")
			c := attachBy(t, way.way, Options{Headers: true}, g.TapDevice)
			sent := []frame{
				{protocol: tcp, flags: flagSYN, src: 1, dst: 2, port: 80},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 3, port: 80, options: 8},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 3, port: 81, vlans: 1},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 3, port: 81, vlans: 2, v6: true},
				{protocol: tcp, flags: flagSYN | flagACK, src: 1, dst: 4, port: 82, v6: true},
				{protocol: tcp, flags: flagRST | flagACK, src: 1, dst: 4, port: 83, v6: true, options: 16},
				{protocol: tcp, flags: flagFIN | flagACK, src: 1, dst: 4, port: 84, options: 40},
				{protocol: udp, flags: flagSYN, src: 1, dst: 5, port: 53},
				{protocol: udp, flags: flagSYN, src: 1, dst: 5, port: 53, v6: true},
				// peers only
				{protocol: 1, flags: flagSYN, src: 1, dst: 6, port: 1},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 7, port: 1000, fragment: 3},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 7, port: 1001, fragment: 0x1f00},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 7, port: 1002, fragment: 3, v6: true},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 7, port: 1003, truncated: 36},
				// nothing
				{protocol: tcp, flags: flagSYN, src: 1, dst: 8, port: 1004, vlans: 4},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 9, port: 1005, truncated: 33},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 10, port: 1006, v6: true, truncated: 53},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 10, port: 1006, truncated: 14},
				{protocol: tcp, flags: flagSYN, src: 1, dst: 10, port: 1006, vlans: 1, truncated: 16},
			}
			for _, f := range sent {
				g.send(t, f.bytes())
			}
			g.receive(t, frame{protocol: tcp, flags: flagSYN, src: 77, dst: 1, port: 80}.bytes())
			g.receive(t, frame{protocol: tcp, flags: flagRST, src: 78, dst: 1, port: 80}.bytes())
			// A port without flags: what is cut off is not read.
			g.receive(t, frame{protocol: tcp, flags: flagSYN, src: 78, dst: 1, port: 81, truncated: 38}.bytes())
			got, _ := rest(t, c, probe.Tap)
			for name := range got {
				if strings.Contains(name, ":len") {
					delete(got, name)
				}
			}
			want := map[string]uint64{
				"tap:sent:syn": 4, "tap:sent:synack": 1, "tap:sent:rst": 1, "tap:sent:fin": 1, "tap:sent:ports": 6, "tap:sent:peers": 10,
				"tap:received:syn": 1, "tap:received:rst": 1, "tap:received:ports": 2, "tap:received:peers": 2,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTapOverflow has the programs find no place for what they see.
func TestTapOverflow(t *testing.T) {
	newNetwork(t)
	g := newTap(t, "a0")
	c := attachBy(t, byTCX, Options{Headers: true}, g.TapDevice)
	g.send(t, frame{}.pad(100))
	// As if the reader was late by as many units as there are entries.
	c.ring.limit = c.ring.clock() / width
	if err := c.in.set(meter{Limit: uint64(c.ring.limit), Offset: 0}); err != nil {
		t.Fatal(err)
	}
	for range 7 {
		g.send(t, frame{}.pad(100))
	}
	_, lost := rest(t, c, probe.Tap)
	if lost != 7 {
		t.Errorf("lost %d of 7", lost)
	}
}

// TestTapGone takes devices away.
func TestTapGone(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			newNetwork(t)
			a, b := newTap(t, "a0"), newTap(t, "b0")
			c := attachBy(t, way.way, Options{}, a.TapDevice, b.TapDevice)
			a.remove()
			if _, err := c.Collect(false); err != nil {
				t.Fatal(err)
			}
			if got := c.Detail(); got != "b0; gone: a0" {
				t.Errorf("detail %q", got)
			}
			b.send(t, frame{}.pad(100))
			b.remove()
			units, err := c.Collect(false)
			if !errors.Is(err, ErrGone) || !strings.Contains(fmt.Sprint(err), "a0, b0") {
				t.Errorf("both are gone: %v", err)
			}
			sum := uint64(0)
			for _, u := range units {
				for _, n := range u.Counts {
					sum += n
				}
			}
			if sum != 1 {
				t.Errorf("counted %d of 1", sum)
			}
			if units, err := c.Collect(true); err != nil || len(units) != 0 {
				t.Errorf("afterwards: %v, %v", units, err)
			}
		})
	}
}

// TestTapNothingStays looks at the device afterwards.
func TestTapNothingStays(t *testing.T) {
	newNetwork(t)
	g := newTap(t, "a0")
	attached := func() (n int) {
		for _, way := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			r, err := link.QueryPrograms(link.QueryOptions{Target: g.Index, Attach: way})
			if errors.Is(err, ebpf.ErrNotSupported) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			n += len(r.Programs)
		}
		return n
	}
	c, err := Attach(probe.Tap, Target{Taps: []TapDevice{g.TapDevice}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := attached(); n != 2 {
		t.Errorf("%d programs are attached", n)
	}
	if _, err := c.Collect(true); err != nil {
		t.Error(err)
	}
	if n := attached(); n != 0 {
		t.Errorf("%d programs are attached after the last units", n)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Collect(false); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if hits, ns := c.Stats(); hits != 0 || ns != 0 || c.Detail() != "" {
		t.Error("a closed counter has something to say")
	}
	// One of two that is not there: nothing is attached to the other.
	_, err = Attach(probe.Tap, Target{Taps: []TapDevice{g.TapDevice, {"none0", 999999}}}, Options{})
	if !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "none0") {
		t.Errorf("no such device: %v", err)
	}
	if _, err := Attach(probe.Tap, Target{}, Options{}); !errors.Is(err, ErrGone) {
		t.Errorf("no device: %v", err)
	}
	if n := attached(); n != 0 {
		t.Errorf("%d programs stay attached", n)
	}
}

// TestTapMacvtap has a guest with a macvtap device send and receive.
func TestTapMacvtap(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			newNetwork(t)
			ip(t, "link add v0 type veth peer name v1")
			ip(t, "link set v0 up")
			ip(t, "link set v1 up")
			g := newMacvtap(t, "m0", "v0")
			c := attachBy(t, way.way, Options{}, g.TapDevice)
			toAll := func(length int) []byte {
				b := frame{}.pad(length)
				copy(b, bytes.Repeat([]byte{0xff}, 6))
				return b
			}
			for range 3 {
				g.send(t, toAll(100))
			}
			s := packetSocket(t, device(t, "v1").Index)
			defer func() { _ = unix.Close(s) }()
			for range 5 {
				if _, err := unix.Write(s, toAll(200)); err != nil {
					t.Fatal(err)
				}
			}
			// Broadcasts are handed on by a worker of the kernel.
			buf, got := make([]byte, 1000), 0
			for tries := 0; got < 5 && tries < 2000; tries++ {
				if _, err := unix.Read(g.fd, buf); err == nil {
					got++
				} else {
					time.Sleep(time.Millisecond)
				}
			}
			counts, _ := rest(t, c, probe.Tap)
			want := map[string]uint64{lengthColumn("sent", 100): 3, lengthColumn("received", 200): 5}
			if diff := cmp.Diff(want, counts); diff != "" {
				t.Errorf("the guest got %d: %s", got, diff)
			}
		})
	}
}

// TestTapFirst attaches where another program drops all packets: they are counted before.
func TestTapFirst(t *testing.T) {
	newNetwork(t)
	g := newTap(t, "a0")
	const drop = 2 // TCX_DROP
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, drop), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	for _, side := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		l, err := link.AttachTCX(link.TCXOptions{Interface: g.Index, Program: p, Attach: side})
		if err != nil {
			t.Skip(err)
		}
		defer func() { _ = l.Close() }()
	}
	c := attachBy(t, byTCX, Options{}, g.TapDevice)
	g.send(t, frame{}.pad(100))
	s := packetSocket(t, g.Index)
	defer func() { _ = unix.Close(s) }()
	_, _ = unix.Write(s, frame{}.pad(200)) // it is told that the packet was dropped
	got, _ := rest(t, c, probe.Tap)
	if diff := cmp.Diff(map[string]uint64{lengthColumn("sent", 100): 1, lengthColumn("received", 200): 1}, got); diff != "" {
		t.Error(diff)
	}
}
