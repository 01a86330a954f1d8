package unit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
)

// drawStream draws packets that follow one another with events in between, as LTTng
// writes them: an event's time is within its packet, losses and gaps happen.
func drawStream(t *rapid.T, instance uint64) ctftest.Stream {
	s := ctftest.Stream{Instance: instance}
	now := uint64(rapid.Int64Range(0, 3*second).Draw(t, "begin"))
	seq, discarded := uint64(0), uint64(0)
	for range rapid.IntRange(0, 8).Draw(t, "packets") {
		now += uint64(rapid.Int64Range(0, 2*second).Draw(t, "idle"))
		p := ctftest.Packet{Begin: now, Seq: seq}
		for range rapid.IntRange(0, 6).Draw(t, "events") {
			now += uint64(rapid.Int64Range(0, 6*second).Draw(t, "step"))
			p.Events = append(p.Events, ctftest.Event{ID: uint16(rapid.IntRange(0, 2).Draw(t, "id")), Time: now})
		}
		now += uint64(rapid.Int64Range(0, 4*second).Draw(t, "rest"))
		discarded += uint64(rapid.SampledFrom([]int{0, 0, 0, 1, 5}).Draw(t, "discarded"))
		seq += uint64(rapid.SampledFrom([]int{1, 1, 1, 1, 3}).Draw(t, "seq"))
		p.End, p.Discarded = now, discarded
		s.Packets = append(s.Packets, p)
	}
	return s
}

// model computes the units anew from the drawn streams, as the documentation says.
func model(tr ctftest.Trace, begin, end int64) []Unit {
	var units []Unit
	for from := begin; from < end; {
		to := min((slot(from)+1)*width, end)
		units = append(units, Unit{Start: from, Duration: to - from, Counts: make([]uint64, len(tr.Events))})
		from = to
	}
	if len(units) == 0 {
		units = append(units, Unit{Start: begin, Counts: make([]uint64, len(tr.Events))})
	}
	atLeastOne := make([]bool, len(units))
	touch := func(from, to int64, f func(i int)) {
		for i, u := range units {
			if slot(u.Start) >= slot(from) && slot(u.Start) <= slot(to) {
				f(i)
			}
		}
	}
	for _, s := range tr.Streams {
		last := ctftest.Packet{End: uint64(begin), Seq: ^uint64(0)}
		for _, p := range s.Packets {
			if p.Seq != last.Seq+1 {
				touch(int64(last.End), int64(p.Begin), func(i int) { atLeastOne[i] = true })
			}
			touch(int64(last.End), int64(p.End), func(i int) { units[i].Lost += p.Discarded - last.Discarded })
			for _, e := range p.Events {
				i := len(units) - 1
				for i > 0 && units[i].Start > int64(e.Time) {
					i--
				}
				units[i].Counts[e.ID]++
			}
			last = p
		}
	}
	for i := range units {
		if atLeastOne[i] && units[i].Lost == 0 {
			units[i].Lost = 1
		}
	}
	return units
}

func TestUnitsAgreeWithModel(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		tr := ctftest.Trace{Events: []string{"a", "b", "c"}}
		begin, end := int64(-1), int64(0)
		for i := range rapid.IntRange(1, 3).Draw(t, "streams") {
			s := drawStream(t, uint64(i))
			tr.Streams = append(tr.Streams, s)
			for _, p := range s.Packets {
				if begin < 0 || int64(p.Begin) < begin {
					begin = int64(p.Begin)
				}
				end = max(end, int64(p.End))
			}
		}
		if begin < 0 {
			return // no packet at all
		}
		n++
		root := filepath.Join(dir, fmt.Sprint(n), "app")
		if err := tr.Write(root); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(filepath.Dir(root))
		whole := NewCutter(tr.Events)
		units, err := whole.whole(root)
		if err != nil {
			t.Fatal(err)
		}
		want := model(tr, begin, end)
		last := &want[len(want)-1]
		if len(units) == 0 && last.Duration == 0 && cmp.Equal(last.Counts, make([]uint64, 3)) {
			want = nil // an observation of no duration without events has no unit
		}
		if diff := cmp.Diff(want, units); diff != "" {
			t.Fatalf("whole trace (-model +got):\n%s", diff)
		}
		if diff := cmp.Diff(units, inChunks(t, tr, root, begin, end)); diff != "" {
			t.Fatalf("chunks (-whole +chunks):\n%s", diff)
		}
	})
}

// inChunks reads the trace in rotated chunks: each stream's packets that end before a
// chunk's end are in it. Advance is told a time up to which everything has been read.
func inChunks(t *rapid.T, tr ctftest.Trace, whole string, begin, end int64) []Unit {
	c := NewCutter(tr.Events)
	c.Begin(begin)
	dir := filepath.Dir(whole)
	next := make([]int, len(tr.Streams))
	var units []Unit
	for now, n := begin, 0; now < end; n++ {
		now = min(now+rapid.Int64Range(1, 5*second).Draw(t, "chunk"), end)
		chunk := tr
		chunk.Streams = nil
		complete := now
		for i, s := range tr.Streams {
			from := next[i]
			for next[i] < len(s.Packets) && int64(s.Packets[next[i]].End) <= now {
				next[i]++
			}
			if next[i] > from {
				chunk.Streams = append(chunk.Streams, ctftest.Stream{Instance: s.Instance, Packets: s.Packets[from:next[i]]})
			}
			// What comes later may tell of losses since the last packet read.
			switch {
			case next[i] == len(s.Packets):
			case next[i] == 0:
				complete = begin
			default:
				complete = min(complete, int64(s.Packets[next[i]-1].End))
			}
		}
		sub := filepath.Join(dir, "chunk"+fmt.Sprint(n), "app")
		if err := chunk.Write(sub); err != nil {
			t.Fatal(err)
		}
		if err := c.ReadTrace(sub); err != nil {
			t.Fatal(err)
		}
		units = append(units, c.Advance(complete)...)
	}
	if begin == end { // a trace of no duration is one chunk
		if err := c.ReadTrace(whole); err != nil {
			t.Fatal(err)
		}
	}
	units = append(units, c.End(end)...)
	if c.Late() != 0 {
		t.Fatalf("%d late events", c.Late())
	}
	return units
}

func TestUnitFileRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := File{Features: rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z_:]{1,8}`), 0, 5, rapid.ID[string]).Draw(t, "features")}
		at := rapid.Int64Range(-1<<40, 1<<60).Draw(t, "start")
		for range rapid.IntRange(0, 5).Draw(t, "units") {
			room := (slot(at)+1)*width - at
			u := Unit{Start: at, Duration: rapid.Int64Range(0, room).Draw(t, "duration"), Lost: rapid.Uint64().Draw(t, "lost"),
				Counts: rapid.SliceOfN(rapid.Uint64(), len(f.Features), len(f.Features)).Draw(t, "counts")}
			at += room
			f.Units = append(f.Units, u)
		}
		var b bytes.Buffer
		if err := Write(&b, f); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		got, err := Read(&b)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if diff := cmp.Diff(f, got); diff != "" {
			t.Fatalf("(-written +read):\n%s", diff)
		}
	})
}
