package unit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// tempDir lends a test's directory to a script within a property; each chunk has one of its own.
type tempDir struct {
	*rapid.T
	root string
}

func (d tempDir) TempDir() string {
	dir, err := os.MkdirTemp(d.root, "chunk")
	if err != nil {
		d.Fatal(err)
	}
	return dir
}

// play draws an event with arguments out of a few addresses, so that they meet, or out of everything.
func play(t *rapid.T, s *script) {
	addr := func(what string) int {
		return rapid.OneOf(rapid.SampledFrom([]int{nic, nicVQ, nicVQ + stride, disk, diskVQ, 0, -1}), rapid.Int()).Draw(t, what)
	}
	size := func(what string) int {
		return rapid.OneOf(rapid.IntRange(0, 100), rapid.SampledFrom([]int{1 << 16, 1<<31 - 1, 1 << 31, -1}), rapid.Int()).Draw(t, what)
	}
	name := func() string {
		return rapid.SampledFrom([]string{"", "virtio-pci-common-virtio-net", "virtio-pci-common-virtio-", "virtio-net-device", "-device", "hostnet0", "apic-msi"}).Draw(t, "name")
	}
	switch rapid.IntRange(0, 9).Draw(t, "event") {
	case 0, 1, 2:
		s.fill(addr("vq"), size("len"))
	case 3:
		s.announce(addr("vdev"), rapid.IntRange(-2, 1025).Draw(t, "n"), addr("vq"))
	case 4:
		s.interrupt(addr("vdev"), addr("vq"))
	case 5:
		s.deliver(name(), size("size"))
	case 6:
		s.region(name(), rapid.IntRange(0, 3).Draw(t, "value"))
	case 7:
		s.status(addr("vdev"), rapid.IntRange(0, 3).Draw(t, "value"))
	case 8:
		s.reset(addr("obj"), name())
	case 9:
		s.diskWrite(addr("vdev"), size("sectors"))
	}
	s.pass(uint64(rapid.IntRange(0, 3000).Draw(t, "ms")))
}

// Whatever the traced process writes, each hit is in one column of an entry that covers all queues and sizes, and cutting in chunks
// gives the same sums in the same units.
func TestSetCountsEveryHit(t *testing.T) {
	root := t.TempDir()
	set, err := catalogue.Load("testdata/families.toml")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		dir := tempDir{t, root}
		s := newScript(rapid.Bool().Draw(t, "patched"))
		s.pass(1)
		c := NewSetCutter(set)
		c.Begin(0)
		plain := NewCutter([]string{"virtqueue_fill", "virtio_queue_notify", "virtio_blk_handle_write", "memory_region_ops_write"})
		plain.Begin(0)
		var units, want []Unit
		for range rapid.IntRange(1, 4).Draw(t, "chunks") {
			for range rapid.IntRange(0, 30).Draw(t, "events") {
				if play(t, s); !s.patched && len(s.packet.Events) > 0 {
					if n := len(s.packet.Events) - 1; int(s.packet.Events[n].ID) >= len(s.trace.Events) {
						s.packet.Events = s.packet.Events[:n] // this QEMU lacks the event
					}
				}
			}
			at := s.dir(dir)
			if err := c.ReadTrace(at); err != nil {
				t.Fatal(err)
			}
			if err := plain.ReadTrace(at); err != nil {
				t.Fatal(err)
			}
			os.RemoveAll(filepath.Clean(at))
			units = append(units, c.Advance(int64(s.now))...)
			want = append(want, plain.Advance(int64(s.now))...)
		}
		units = append(units, c.End(int64(s.now)+1)...)
		want = append(want, plain.End(int64(s.now)+1)...)
		if diff := cmp.Diff(want, total(set, plain.Features(), units)); diff != "" {
			t.Fatalf("(-events +columns):\n%s", diff)
		}
		if len(c.set.pending) != 0 || c.set.pendingKeys != 0 {
			t.Fatalf("%d units with %d counts still wait", len(c.set.pending), c.set.pendingKeys)
		}
	})
}

// total adds up the columns of each event's first entry.
func total(set *catalogue.Set, events []string, units []Unit) []Unit {
	out := make([]Unit, 0, len(units))
	entries := set.Entries()
	for _, u := range units {
		counts := make([]uint64, len(events))
		for i, event := range events {
			for j, e := range entries {
				if e.Event != event {
					continue
				}
				end := set.Pairs().Base
				if j+1 < len(entries) {
					end = entries[j+1].Base
				}
				for _, n := range u.Counts[e.Base:end] {
					counts[i] += n
				}
				break
			}
		}
		u.Counts = counts
		out = append(out, u)
	}
	return out
}
