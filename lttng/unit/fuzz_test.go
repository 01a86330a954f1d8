package unit

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// FuzzRead: any bytes give a unit file or an error, and what was accepted is written
// again as it was.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*.units.csv"))
	if err != nil || len(files) == 0 {
		f.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("start_ns,duration_ns,lost,a\n-2000000000,2000000000,18446744073709551615,0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, file); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(data, []byte("\n")) {
			data = append(data, '\n')
		}
		want := bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("(-read +written):\n%s", diff)
		}
	})
}

// FuzzCutter takes any bytes for what a process has written, in two streams that are read in two parts, as a Follower gives them out: whatever they are, no
// more is held than the limits say, and what cannot be read makes units lossy.
func FuzzCutter(f *testing.F) {
	set, err := catalogue.Load(catalogue.DefaultSet)
	if err != nil {
		f.Fatal(err)
	}
	s := newScript(true)
	seed := func(cut byte) {
		s.packet.End = s.now + 1
		first := s.trace.AppendPacket(nil, 0, &s.packet)
		s.packet.Seq++
		f.Add(first, s.trace.AppendPacket(bytes.Clone(first), 1, &s.packet), cut)
	}
	seed(0)
	s.reset(nic, "virtio-net-device")
	s.announce(nic, 1, nicVQ+stride)
	s.fill(nicVQ, 72)
	s.interrupt(nic, nicVQ)
	s.deliver("net0", 60)
	seed(128)
	s.pass(2500)
	s.announce(disk, 0, diskVQ)
	s.diskWrite(disk, 8)
	s.fill(diskVQ, 1)
	s.status(disk, 0)
	s.region("virtio-pci-common-virtio-blk", 0)
	s.packet.Discarded = 7
	seed(200)
	dir := f.TempDir()
	if err := s.trace.Write(dir); err != nil { // for its metadata
		f.Fatal(err)
	}
	const limit = 64
	f.Fuzz(func(t *testing.T, first, second []byte, cut byte) {
		c := NewSetCutter(set)
		c.LimitOpen(limit)
		c.Begin(0)
		parts := [2]map[string]ctf.Part{{}, {}}
		for name, data := range map[string][]byte{"ch_0": first, "ch_1": second} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
			at := int64(len(data)) * int64(cut) / 256
			if at > 0 {
				parts[0][name] = ctf.Part{To: at}
			}
			if at < int64(len(data)) {
				parts[1][name] = ctf.Part{From: at, To: int64(len(data))}
			}
		}
		var end int64
		for i, some := range parts {
			err := c.ReadParts(dir, some)
			if len(c.open) > limit || len(c.losses) > 2*limit {
				t.Fatalf("%d units are open, and losses noted at %d", len(c.open), len(c.losses))
			}
			units := c.Advance(int64(i+1) * 2 * width)
			if i == 1 {
				units = append(units, c.End(int64(i+1)*2*width+1)...)
			}
			if len(units) < 2 || len(units) > 3 {
				t.Fatalf("%d units", len(units))
			}
			for _, u := range units {
				if u.Start != end || u.Duration <= 0 || u.Duration > width || len(u.Counts) != len(c.Features()) {
					t.Errorf("unit %+v; the one before ends at %d", u, end)
				}
				end = u.Start + u.Duration
			}
			for _, u := range units[:2] {
				if err != nil && u.Lost == 0 {
					t.Errorf("unit %+v after %v: not lossy", u, err)
				}
			}
		}
		if last, ok := c.LastTime(); ok && last >= (limit+4)*width {
			t.Errorf("the last time is %d", last)
		}
	})
}
