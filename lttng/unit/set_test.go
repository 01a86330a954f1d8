package unit

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
)

// qemuEvents are the events of QEMU that the tests make, with their fields as LTTng declares them.
var qemuEvents = [][2]string{
	{"virtqueue_fill", "uint64_t _vq; uint64_t _elem; uint32_t _len; uint32_t _idx;"},
	{"virtio_queue_notify", "uint64_t _vdev; int32_t _n; uint64_t _vq;"},
	{"virtio_notify", "uint64_t _vdev; uint64_t _vq;"},
	{"virtio_blk_handle_write", "uint64_t _vdev; uint64_t _req; uint64_t _sector; uint64_t _nsectors;"},
	{"virtio_set_status", "uint64_t _vdev; uint8_t _val;"},
	{"memory_region_ops_write", "int32_t _cpu_index; uint64_t _mr; uint64_t _addr; uint64_t _value; uint32_t _size; string _name;"},
	{"resettable_phase_hold_exec", "uint64_t _obj; string _objtype; int32_t _has_method;"},
	{"virtio_rng_pushed", "uint64_t _rng; uint64_t _len;"},
	{"virtio_console_flush_buf", "uint32_t _port; uint64_t _len; uint64_t _ret;"},
	{"blk_co_pwritev", "uint64_t _blk; uint64_t _bs; uint64_t _offset; uint64_t _bytes; int32_t _flags;"},
	{"qemu_deliver_packet", "string _sender; string _receiver; uint64_t _size; uint32_t _flags;"}, // last: QEMU may lack it
}

// script makes a trace of one stream out of events given one after another, one each millisecond from 1 ms on.
type script struct {
	trace   ctftest.Trace
	packet  ctftest.Packet
	now     uint64
	patched bool // with qemu_deliver_packet
}

func newScript(patched bool) *script {
	s := &script{patched: patched}
	for _, e := range qemuEvents {
		if patched || e[0] != "qemu_deliver_packet" {
			s.trace.Events = append(s.trace.Events, "qemu:"+e[0])
			s.trace.Fields = append(s.trace.Fields, e[1])
		}
	}
	return s
}

// event appends an event 10 µs after the one before; the arguments are its fields in order: ints of the declared size, and strings.
func (s *script) event(name string, args ...any) {
	s.now += 10_000
	id := slices.IndexFunc(qemuEvents, func(e [2]string) bool { return e[0] == name })
	var body []byte
	for i, decl := range strings.Split(strings.TrimSuffix(qemuEvents[id][1], ";"), ";") {
		kind, _, _ := strings.Cut(strings.TrimSpace(decl), " ")
		var v uint64
		switch a := args[i].(type) {
		case string:
			body = append(append(body, a...), 0)
			continue
		case int:
			v = uint64(a)
		case uint64:
			v = a
		}
		bits := map[string]int{"uint8_t": 1, "int32_t": 4, "uint32_t": 4, "uint64_t": 8}[kind]
		body = append(body, binary.LittleEndian.AppendUint64(nil, v)[:bits]...)
	}
	s.packet.Events = append(s.packet.Events, ctftest.Event{ID: uint16(id), Time: s.now, Body: body})
}

func (s *script) fill(vq, length int)         { s.event("virtqueue_fill", vq, 1, length, 0) }
func (s *script) announce(vdev, n, vq int)    { s.event("virtio_queue_notify", vdev, n, vq) }
func (s *script) interrupt(vdev, vq int)      { s.event("virtio_notify", vdev, vq) }
func (s *script) deliver(to string, size int) { s.event("qemu_deliver_packet", "x", to, size, 0) }
func (s *script) diskWrite(vdev, sectors int) {
	s.event("virtio_blk_handle_write", vdev, 1, 0, sectors)
}
func (s *script) status(vdev, value int) { s.event("virtio_set_status", vdev, value) }
func (s *script) region(name string, value int) {
	s.event("memory_region_ops_write", 0, 1, 2, value, 1, name)
}
func (s *script) reset(obj int, kind string) { s.event("resettable_phase_hold_exec", obj, kind, 1) }

// pass lets time go by, in milliseconds.
func (s *script) pass(ms uint64) { s.now += ms * 1_000_000 }

// dir writes what there is since the last call as a chunk, and returns its directory.
func (s *script) dir(t interface {
	Helper()
	TempDir() string
	Fatal(...any)
}) string {
	t.Helper()
	root := t.TempDir()
	s.packet.End = s.now + 1
	tr := s.trace
	tr.Streams = []ctftest.Stream{{Packets: []ctftest.Packet{s.packet}}}
	if err := tr.Write(filepath.Join(root, "ust", "pid", "app-1-x")); err != nil {
		t.Fatal(err)
	}
	s.packet = ctftest.Packet{Begin: s.now + 1, Seq: s.packet.Seq + 1}
	return root
}

// load returns a set made of features in TOML.
func load(t *testing.T, features string) *catalogue.Set {
	t.Helper()
	set, err := catalogue.Parse([]byte("name = \"test\"\nversion = 1\n" + features))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// sums returns the columns of units that are not 0, added up.
func sums(c *Cutter, units []Unit) map[string]uint64 {
	out := make(map[string]uint64)
	for _, u := range units {
		for i, n := range u.Counts {
			if n > 0 {
				out[c.Features()[i]] += n
			}
		}
	}
	return out
}

const fills = `
[[feature]]
event = "virtqueue_fill"
queues = ["*"]
subsystem = "virtio"
words = "requests in {queue}"
`

// The script's addresses: a network card with a multiple of queues, a disk, others.
const (
	nic, nicVQ     = 0x1000, 0x9010
	disk, diskVQ   = 0x2000, 0xa010
	other, otherVQ = 0x3000, 0xb010
	stride         = 0x98
)

func TestRoles(t *testing.T) {
	tests := []struct {
		name    string
		patched bool
		play    func(s *script)
		want    map[string]uint64
	}{
		{"disk", true, func(s *script) {
			s.announce(disk, 0, diskVQ)
			s.diskWrite(disk, 8)
			s.fill(diskVQ, 1)
		}, map[string]uint64{"blk": 1}},
		{"disk that is told after its first request", true, func(s *script) {
			s.fill(diskVQ, 1)
			s.announce(disk, 0, diskVQ)
			s.fill(diskVQ, 1)
			s.diskWrite(disk, 8)
		}, map[string]uint64{"blk": 2}},
		{"network card by its driver's start", false, func(s *script) {
			s.region("virtio-pci-common-virtio-net", 15)
			s.status(nic, 15)
			s.announce(nic, 0, nicVQ)
			s.announce(nic, 1, nicVQ+stride)
			s.fill(nicVQ, 72)
			s.fill(nicVQ+stride, 0)
		}, map[string]uint64{"net.rx": 1, "net.tx": 1}},
		{"status of another value", false, func(s *script) {
			s.region("virtio-pci-common-virtio-net", 15)
			s.status(nic, 11)
			s.announce(nic, 0, nicVQ)
			s.fill(nicVQ, 72)
		}, map[string]uint64{"unknown": 1}},
		{"network card by the machine's reset", false, func(s *script) {
			s.reset(nic, "virtio-net-device")
			s.reset(nic+8, "pc-dimm")
			s.announce(nic, 1, nicVQ+stride)
			s.fill(nicVQ+stride, 0)
		}, map[string]uint64{"net.tx": 1}},
		{"network card by packets received", true, func(s *script) {
			s.announce(nic, 0, nicVQ)
			s.fill(nicVQ, 72)
			s.interrupt(nic, nicVQ)
			s.deliver("net0", 60)
			s.fill(nicVQ, 72)
		}, map[string]uint64{"net.rx": 2}},
		{"packets of another size tell nothing", true, func(s *script) {
			s.announce(nic, 0, nicVQ)
			s.fill(nicVQ, 72)
			s.deliver("net0", 61)
		}, map[string]uint64{"unknown": 1}},
		{"network card by packets sent", true, func(s *script) {
			s.announce(nic, 1, nicVQ+stride)
			s.deliver("hostnet0", 60)
			s.fill(nicVQ+stride, 0)
		}, map[string]uint64{"net.tx": 1}},
		{"attached late: the receive queue is never announced", true, func(s *script) {
			s.fill(nicVQ, 90)
			s.interrupt(nic, nicVQ)
			s.deliver("net0", 90)
			s.announce(nic, 1, nicVQ+stride)
			s.fill(nicVQ+stride, 0)
			s.fill(nicVQ, 90)
		}, map[string]uint64{"net.rx": 2, "net.tx": 1}},
		{"attached late: queues by the stride of others", true, func(s *script) {
			s.announce(nic, 1, nicVQ+stride)
			s.announce(nic, 3, nicVQ+3*stride)
			s.deliver("hostnet0", 60)
			s.fill(nicVQ+stride, 0)
			for i := range 4 {
				s.interrupt(nic, nicVQ+i*stride)
			}
			s.fill(nicVQ+2*stride, 72)
			s.fill(nicVQ+3*stride, 0)
		}, map[string]uint64{"net.rx": 1, "net.tx": 2}},
		{"control queue", true, func(s *script) {
			s.reset(nic, "virtio-net-device")
			s.announce(nic, 2, nicVQ+2*stride)
			s.fill(nicVQ+2*stride, 1)
		}, map[string]uint64{"net.ctl": 1}},
		{"an old QEMU without names, by shape", false, func(s *script) {
			s.announce(nic, 1, nicVQ+stride)
			s.interrupt(nic, nicVQ)
			for range shapeFrames {
				s.fill(nicVQ, 72)
				s.fill(nicVQ+stride, 0)
			}
		}, map[string]uint64{"net.rx": shapeFrames, "net.tx": shapeFrames}},
		{"requests that are asked for have not that shape", false, func(s *script) {
			for range shapeFrames {
				s.announce(other, 0, otherVQ)
				s.fill(otherVQ, 72)
			}
		}, map[string]uint64{"unknown": shapeFrames}},
		{"serial channel", true, func(s *script) {
			s.announce(other, 5, otherVQ+5*stride)
			s.event("virtio_console_flush_buf", 1, 10, 10)
			s.fill(otherVQ+5*stride, 0)
			s.announce(other, 4, otherVQ+4*stride)
			s.fill(otherVQ+4*stride, 20)
		}, map[string]uint64{"serial.in": 1, "serial.out": 1}},
		{"random numbers, memory, and what has no role", true, func(s *script) {
			s.announce(other, 0, otherVQ)
			s.event("virtio_rng_pushed", other, 64)
			s.fill(otherVQ, 64)
			s.reset(other+8, "virtio-balloon-device")
			s.announce(other+8, 0, otherVQ+8)
			s.fill(otherVQ+8, 0)
			s.reset(other+16, "virtio-gpu-device")
			s.announce(other+16, 0, otherVQ+16)
			s.fill(otherVQ+16, 24)
		}, map[string]uint64{"rng": 1, "balloon": 1, "other": 1}},
		{"a queue's address passes to another device", true, func(s *script) {
			s.announce(disk, 0, diskVQ)
			s.diskWrite(disk, 8)
			s.fill(diskVQ, 1)
			s.reset(nic, "virtio-net-device")
			s.announce(nic, 1, diskVQ)
			s.fill(diskVQ, 0)
		}, map[string]uint64{"blk": 1, "net.tx": 1}},
		{"a device's address passes to another device", true, func(s *script) {
			s.announce(disk, 1, diskVQ)
			s.diskWrite(disk, 8)
			s.fill(diskVQ, 1)
			s.region("virtio-pci-common-virtio-net", 1)
			s.status(disk, 1)
			s.fill(diskVQ, 0)
		}, map[string]uint64{"blk": 1, "net.tx": 1}},
		{"nonsense", true, func(s *script) {
			s.announce(0, -1, 0)
			s.announce(-1, 1<<31-1, -1)
			s.announce(1, 0, 0)
			s.announce(1, 1023, 0)
			s.announce(1, 5, -8)
			s.interrupt(0, 0)
			s.interrupt(2, -1)
			s.fill(0, -1)
			s.fill(-1, 0)
		}, map[string]uint64{"unknown": 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(tt.patched)
			tt.play(s)
			c := NewSetCutter(load(t, `identity = ["virtio_notify"]`+fills))
			units, err := c.whole(s.dir(t))
			if err != nil {
				t.Fatal(err)
			}
			want := make(map[string]uint64)
			for role, n := range tt.want {
				want["virtqueue_fill:"+role] = n
			}
			if diff := cmp.Diff(want, sums(c, units)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	s := newScript(true)
	s.announce(nic, 1, nicVQ+stride)
	s.region("virtio-pci-common-virtio-net", 3)
	s.status(nic, 3)
	s.region("apic-msi", 3)
	s.region("hpet", 3)
	s.interrupt(nic, nicVQ)
	s.fill(nicVQ, 60)
	s.fill(nicVQ, 80)
	s.pass(5)
	s.fill(nicVQ, 1<<20)
	s.diskWrite(disk, 9)
	c, err := newSetCutterFile("testdata/families.toml")
	if err != nil {
		t.Fatal(err)
	}
	units, err := c.whole(s.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{
		"virtio_queue_notify:net.tx":                  1,
		"virtqueue_fill:net.rx:len=60-63":             1,
		"virtqueue_fill:net.rx:len=80-87":             1,
		"virtqueue_fill:net.rx:len>=65536":            1,
		"gap:net.rx:gap=8192-12287":                   1, // 10 µs
		"gap:net.rx:gap=4194304-6291455":              1, // 5.01 ms
		"virtio_blk_handle_write:nsectors=8-11":       1,
		"memory_region_ops_write:apic":                1,
		"memory_region_ops_write:virtio-pci-":         1,
		"memory_region_ops_write:other":               1,
		"pair:virtio_queue_notify>virtio_notify":      1,
		"pair:virtio_notify>virtqueue_fill":           1,
		"pair:virtqueue_fill>virtqueue_fill":          2,
		"pair:virtqueue_fill>virtio_blk_handle_write": 1,
	}
	if diff := cmp.Diff(want, sums(c, units)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if m := c.Missing(); m != nil {
		t.Errorf("missing: %v", m)
	}
}

// What a feature does not name goes to the rest, where there is one, whether it waited for its role or not.
func TestRest(t *testing.T) {
	s := newScript(true)
	s.fill(otherVQ, 8)
	s.fill(diskVQ, 1)
	s.announce(disk, 0, diskVQ)
	s.diskWrite(disk, 8)
	s.reset(nic, "virtio-net-device")
	s.announce(nic, 1, nicVQ+stride)
	s.fill(nicVQ+stride, 0)
	c := NewSetCutter(load(t, strings.Replace(fills, `["*"]`, `["blk", "rest"]`, 1)))
	units, err := c.whole(s.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"virtqueue_fill:blk": 1, "virtqueue_fill:rest": 2}, sums(c, units)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func newSetCutterFile(path string) (*Cutter, error) {
	set, err := catalogue.Load(path)
	if err != nil {
		return nil, err
	}
	return NewSetCutter(set), nil
}

func TestWhere(t *testing.T) {
	s := newScript(true)
	s.deliver("hostnet0", 60)
	s.deliver("net0", 61)
	s.deliver("#net094", 62)
	s.event("blk_co_pwritev", 1, 2, 3, uint64(1)<<63, 0)
	c := NewSetCutter(load(t, `
[[feature]]
name = "sent"
event = "qemu_deliver_packet"
where = { field = "receiver", is = ["hostnet", "#net"] }
subsystem = "network"
words = "sent"
[[feature]]
name = "received"
event = "qemu_deliver_packet"
where = { field = "receiver", not = ["hostnet", "#net"] }
subsystem = "network"
words = "received"
[[feature]]
event = "blk_co_pwritev"
subsystem = "disk"
words = "{range}"
buckets = { field = "flags", per_octave = 1, min = 1, max = 4 }
`))
	units, err := c.whole(s.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"sent": 2, "received": 1, "blk_co_pwritev:flags<1": 1}, sums(c, units)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A field that is negative is in the lowest bucket, and one without a sign in the highest.
func TestSigns(t *testing.T) {
	s := newScript(true)
	s.event("blk_co_pwritev", 1, 2, 3, -1, -1)
	c := NewSetCutter(load(t, `
[[feature]]
event = "blk_co_pwritev"
subsystem = "disk"
words = "{range}"
buckets = { field = "flags", per_octave = 1, min = 1, max = 4 }
[[feature]]
event = "blk_co_pwritev"
subsystem = "disk"
words = "{range}"
buckets = { field = "bytes", per_octave = 1, min = 1, max = 4 }
`))
	units, err := c.whole(s.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"blk_co_pwritev:flags<1": 1, "blk_co_pwritev:bytes>=4": 1}, sums(c, units)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Fields that an event lacks, or has with another type, cost their features and are named; all others are counted.
func TestMissingFields(t *testing.T) {
	s := newScript(true)
	s.trace.Fields[0] = "uint64_t _vq; uint64_t _elem; string _len; uint32_t _idx;"
	s.packet.Events = []ctftest.Event{{ID: 0, Time: 1, Body: append(make([]byte, 16), "12\x00\x00\x00\x00\x00"...)}}
	s.now = 2
	c := NewSetCutter(load(t, fills+`
[[feature]]
name = "size"
event = "virtqueue_fill"
subsystem = "virtio"
words = "{range}"
buckets = { field = "len", per_octave = 1, min = 1, max = 4 }
[[feature]]
name = "none"
event = "virtqueue_fill"
subsystem = "virtio"
words = "{value}"
values = { field = "vq", others = "others", list = [{ prefix = "x", words = "x" }] }
[[feature]]
name = "plain"
event = "virtqueue_fill"
subsystem = "virtio"
words = "plain"
[[feature]]
event = "no_such_event"
subsystem = "virtio"
words = "{range}"
buckets = { field = "nothing", per_octave = 1, min = 1, max = 4 }
`))
	units, err := c.whole(s.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"virtqueue_fill:unknown": 1, "plain": 1}, sums(c, units)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Missing{{"virtqueue_fill", "len"}, {"virtqueue_fill", "vq"}}, c.Missing()); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if NewCutter(nil).Missing() != nil {
		t.Error("a Cutter without a set misses something")
	}
}

// What is learnt of devices holds in the chunks to come and after a break; a unit that is closed before stays as it was.
func TestBindingsStay(t *testing.T) {
	s := newScript(true)
	c := NewSetCutter(load(t, fills))
	c.Begin(0)
	read := func() {
		t.Helper()
		if err := c.ReadTrace(s.dir(t)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(units []Unit, want map[string]uint64) {
		t.Helper()
		if diff := cmp.Diff(want, sums(c, units)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	s.fill(nicVQ, 72)
	s.pass(2100)
	read()
	expect(c.Advance(2*second), map[string]uint64{"virtqueue_fill:unknown": 1})
	s.fill(nicVQ, 72)
	read()
	s.announce(nic, 0, nicVQ)
	s.fill(nicVQ, 72)
	s.deliver("net0", 72)
	read()
	s.pass(2000)
	expect(c.Advance(4*second), map[string]uint64{"virtqueue_fill:net.rx": 2})
	expect(c.End(5*second), map[string]uint64{})
	c.Begin(5 * second)
	s.pass(2000)
	s.fill(nicVQ, 72)
	read()
	expect(c.End(7*second), map[string]uint64{"virtqueue_fill:net.rx": 1})
	if len(c.set.pending) != 0 || c.set.pendingKeys != 0 {
		t.Errorf("%d units with %d counts still wait", len(c.set.pending), c.set.pendingKeys)
	}
}

// Streams are read in the order of time: what one CPU tells of a device holds for what another one counts from then on.
func TestOrderOverStreams(t *testing.T) {
	a, b := newScript(true), newScript(true)
	a.announce(disk, 0, diskVQ)
	a.diskWrite(disk, 8)
	b.now = a.now
	b.fill(diskVQ, 1)
	a.now = b.now
	a.reset(nic, "virtio-net-device")
	a.announce(nic, 1, diskVQ)
	b.now = a.now
	b.fill(diskVQ, 0)
	tr := a.trace
	b.packet.End, a.packet.End = b.now, a.now
	tr.Streams = []ctftest.Stream{{Instance: 0, Packets: []ctftest.Packet{b.packet}}, {Instance: 1, Packets: []ctftest.Packet{a.packet}}}
	c := NewSetCutter(load(t, fills+"[pairs]\nsubsystem = \"s\"\nevents = [\"virtqueue_fill\", \"virtio_queue_notify\"]\n"))
	units, err := c.whole(write(t, tr))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"virtqueue_fill:blk": 1, "virtqueue_fill:net.tx": 1,
		"pair:virtio_queue_notify>virtqueue_fill": 2, "pair:virtqueue_fill>virtio_queue_notify": 1}
	if diff := cmp.Diff(want, sums(c, units)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// However many queues and devices a process makes up, what is remembered is bounded, and every hit is counted.
func TestBoundedInventory(t *testing.T) {
	s := newScript(true)
	const n = maxQueues + 1000
	for i := range n {
		s.announce(i*64, i%maxQueueNo, i*8)
		s.fill(i*8, i)
	}
	c := NewSetCutter(load(t, fills))
	units, err := c.whole(s.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"virtqueue_fill:unknown": n}, sums(c, units)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	v := c.set.processes[0].inventory
	if len(v.queues) != maxQueues || len(v.devices) != maxDevices {
		t.Errorf("%d queues and %d devices are remembered", len(v.queues), len(v.devices))
	}
	for i := range maxProcesses + 3 {
		tr := s.trace
		tr.UUID[0] = byte(i)
		c.Begin(0)
		if err := c.ReadTrace(write(t, tr)); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.set.processes) != maxProcesses {
		t.Errorf("%d processes are remembered", len(c.set.processes))
	}
}

// The firmware of a recorded QEMU with UST uses a disk and a network card.
func TestBootFixture(t *testing.T) {
	f, err := Cut(filepath.Join(fixtures, "boot"), catalogue.DefaultSet)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, u := range f.Units {
		for i, n := range u.Counts {
			if n > 0 && !strings.HasPrefix(f.Features[i], "memory") {
				got[f.Features[i]] += n
			}
		}
	}
	want := map[string]uint64{
		"blk_co_preadv:bytes=512-639": 2, "virtio_blk_handle_read": 1, "virtqueue_fill:blk": 1, "virtio_queue_notify:blk": 2,
		"virtio_queue_notify:net.rx": 9, "virtio_queue_notify:net.tx": 6, "virtqueue_fill:net.tx": 5,
		"virtqueue_fill:net.rx:len=120-127": 1, "virtqueue_fill:net.rx:len=576-639": 3,
		"received:size=104-111": 1, "received:size=576-639": 3,
		"sent:size=40-43": 1, "sent:size=64-71": 1, "sent:size=416-447": 2, "sent:size=448-479": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnknownSet(t *testing.T) {
	if _, err := Cut(t.TempDir(), fmt.Sprint("no", "such")); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("unknown set: %v", err)
	}
}
