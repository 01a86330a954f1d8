package unit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/ctf/ctftest"
)

const second = 1_000_000_000

// events makes events of one class at the times given in tenths of a second.
func events(id uint16, tenths ...uint64) []ctftest.Event {
	var out []ctftest.Event
	for _, t := range tenths {
		out = append(out, ctftest.Event{ID: id, Time: t * second / 10})
	}
	return out
}

// write writes a trace into a fresh directory, named as LTTng would name it, and
// returns the directory above.
func write(t *testing.T, tr ctftest.Trace) string {
	t.Helper()
	root := t.TempDir()
	if err := tr.Write(filepath.Join(root, "ust", "pid", "app-1-x")); err != nil {
		t.Fatal(err)
	}
	return root
}

// rows shows units as start and duration in tenths of a second, lost, counts.
func rows(units []Unit) [][]uint64 {
	out := [][]uint64{}
	for _, u := range units {
		row := []uint64{uint64(u.Start) * 10 / second, uint64(u.Duration) * 10 / second, u.Lost}
		out = append(out, append(row, u.Counts...))
	}
	return out
}

func one(packets ...ctftest.Packet) ctftest.Trace {
	return ctftest.Trace{Events: []string{"qemu:a", "qemu:b", "other:c"}, Streams: []ctftest.Stream{{Packets: packets}}}
}

// packet begins and ends at times in tenths of a second.
func packet(begin, end, seq, discarded uint64, events []ctftest.Event) ctftest.Packet {
	return ctftest.Packet{Begin: begin * second / 10, End: end * second / 10, Seq: seq, Discarded: discarded, Events: events}
}

func TestReplay(t *testing.T) {
	tests := []struct {
		name  string
		trace ctftest.Trace
		names []string
		want  [][]uint64
	}{
		{"within one unit", one(packet(3, 15, 0, 0, events(0, 3, 4, 15))), []string{"a"}, [][]uint64{{3, 12, 0, 3}}},
		{"one instant", one(packet(20, 20, 0, 0, events(1, 20))), []string{"b"}, [][]uint64{{20, 0, 0, 1}}},
		{"boundaries and an empty unit", one(packet(15, 85, 0, 0, events(0, 15, 19, 20, 39, 80))), []string{"a"},
			[][]uint64{{15, 5, 0, 2}, {20, 20, 0, 2}, {40, 20, 0, 0}, {60, 20, 0, 0}, {80, 5, 0, 1}}},
		{"ends on the grid", one(packet(0, 40, 0, 0, events(0, 0, 40))), []string{"a"}, [][]uint64{{0, 20, 0, 1}, {20, 20, 0, 1}}},
		{"names", one(packet(0, 10, 0, 0, append(events(2, 1), events(0, 2)...))), []string{"a", "other:c"}, [][]uint64{{0, 10, 0, 1, 1}}},
		{"loss touches all units between two ends", one(packet(0, 10, 0, 0, nil), packet(10, 50, 1, 7, nil), packet(50, 90, 2, 7, nil)), []string{},
			[][]uint64{{0, 20, 7}, {20, 20, 7}, {40, 20, 7}, {60, 20, 0}, {80, 10, 0}}},
		{"two losses in one unit add up", one(packet(0, 10, 0, 3, nil), packet(10, 15, 1, 8, nil), packet(15, 25, 2, 8, nil)), []string{},
			[][]uint64{{0, 20, 8}, {20, 5, 0}}},
		{"gap in the sequence", one(packet(0, 10, 0, 0, nil), packet(30, 50, 3, 0, nil)), []string{},
			[][]uint64{{0, 20, 1}, {20, 20, 1}, {40, 10, 0}}},
		{"empty trace", one(), []string{}, [][]uint64{}},
		{"two streams", ctftest.Trace{Events: []string{"qemu:a"}, Streams: []ctftest.Stream{
			{Instance: 0, Packets: []ctftest.Packet{packet(10, 30, 0, 0, events(0, 12, 22))}},
			{Instance: 1, Packets: []ctftest.Packet{packet(25, 45, 0, 2, events(0, 26))}}}}, []string{"a"},
			// the second stream's loss may be from any time since the observation began
			[][]uint64{{10, 10, 2, 1}, {20, 20, 2, 2}, {40, 5, 2, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Cut(write(t, tt.trace), Counts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.names, f.Features); diff != "" {
				t.Errorf("features (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, rows(f.Units)); diff != "" {
				t.Errorf("units (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplayRefuses(t *testing.T) {
	tests := []struct {
		name  string
		trace ctftest.Trace
		want  error
		text  string
	}{
		{"packet read twice", one(packet(0, 10, 1, 0, nil), packet(10, 20, 1, 0, nil)), errOrder, "byte 512"},
		{"end before begin", one(packet(10, 5, 0, 0, nil)), errBackwards, "ch_0"},
		{"end in the far future", one(packet(0, 1<<40, 0, 0, nil)), ErrRange, "ch_0"},
		{"event in the far future", one(packet(0, 10, 0, 0, events(0, 1<<40))), ErrRange, "ch_0"},
		{"event before the observation", one(packet(20, 30, 0, 0, nil), packet(10, 40, 1, 0, events(0, 11))), nil, "older"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Cut(write(t, tt.trace), Counts)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
	if _, err := Cut(t.TempDir(), Counts); !errors.Is(err, errNoTrace) {
		t.Errorf("empty directory: %v", err)
	}
	if _, err := Cut(t.TempDir(), "nonsense"); !errors.Is(err, ErrFeatureSet) {
		t.Errorf("unknown set: %v", err)
	}
}

func TestLiveChunks(t *testing.T) {
	c := NewCutter(nil)
	c.Begin(5 * second / 10)
	read := func(dir string) {
		t.Helper()
		if err := c.ReadTrace(dir); err != nil {
			t.Fatal(err)
		}
	}
	check := func(got []Unit, want ...[]uint64) {
		t.Helper()
		if want == nil {
			want = [][]uint64{}
		}
		if diff := cmp.Diff(want, rows(got)); diff != "" {
			t.Errorf("units (-want +got):\n%s", diff)
		}
	}
	// A packet that crosses the chunk's edge, which lies within a unit.
	read(write(t, one(packet(6, 18, 0, 0, events(0, 7)))))
	check(c.Advance(19 * second / 10))
	read(write(t, one(packet(18, 39, 1, 0, events(0, 19, 38)))))
	check(c.Advance(39*second/10), []uint64{5, 15, 0, 2})
	// A chunk without this process: nothing was recorded.
	read(t.TempDir())
	check(c.Advance(59*second/10), []uint64{20, 20, 0, 1})
	// A second stream appears late, another event occurs, and 4 events were lost.
	tr := one(packet(39, 61, 2, 4, events(1, 60)))
	tr.Streams = append(tr.Streams, ctftest.Stream{Instance: 1, Packets: []ctftest.Packet{packet(60, 61, 0, 0, events(0, 60))}})
	read(write(t, tr))
	check(c.Advance(80*second/10), []uint64{40, 20, 4, 0, 0}, []uint64{60, 20, 4, 1, 1})
	// An event from before what was given out is late and makes the next unit lossy.
	read(write(t, one(packet(61, 90, 3, 4, events(0, 62, 85)))))
	if c.Late() != 1 {
		t.Errorf("late: %d, want 1", c.Late())
	}
	check(c.End(90*second/10), []uint64{80, 10, 1, 1, 0})
	if diff := cmp.Diff([]string{"a", "b"}, c.Features()); diff != "" {
		t.Error(diff)
	}
	// After a pause the observation goes on with the same streams.
	c.Begin(130 * second / 10)
	read(write(t, one(packet(90, 135, 4, 4, events(0, 131)))))
	check(c.End(135*second/10), []uint64{130, 5, 0, 1, 0})
}

func TestRestartedProcess(t *testing.T) {
	c := NewCutter([]string{"a"})
	c.Begin(0)
	first, second := one(packet(0, 5, 0, 3, events(0, 1))), one(packet(6, 9, 0, 0, events(0, 7)))
	second.UUID[0] = 1
	for _, tr := range []ctftest.Trace{first, second} {
		if err := c.ReadTrace(write(t, tr)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([][]uint64{{0, 9, 3, 2}}, rows(c.End(900_000_000))); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
}

func TestDifferentOffsets(t *testing.T) {
	root := t.TempDir()
	for i, offset := range []int64{0, 2 * second} {
		tr := one(packet(1, 10, 0, 0, events(0, 5)))
		tr.Offset, tr.UUID[0] = offset, byte(i)
		if err := tr.Write(filepath.Join(root, string(rune('a'+i)))); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Cut(root, Counts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]uint64{{1, 19, 0, 1}, {20, 10, 0, 1}}, rows(f.Units)); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
}

func TestChunksNamedOutOfOrder(t *testing.T) {
	root := t.TempDir()
	for name, p := range map[string]ctftest.Packet{"9": packet(0, 10, 0, 0, events(0, 5)), "10": packet(10, 20, 1, 0, events(0, 15))} {
		tr := one(p)
		if err := tr.Write(filepath.Join(root, name, "app")); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Cut(root, Counts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]uint64{{0, 20, 0, 2}}, rows(f.Units)); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
}

func TestFixedFeatures(t *testing.T) {
	c := NewCutter([]string{"missing", "b"})
	c.Begin(0)
	if err := c.ReadTrace(write(t, one(packet(0, 10, 0, 0, append(events(0, 1), events(1, 2, 3)...))))); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]uint64{{0, 20, 0, 0, 2}}, rows(c.Advance(2*second))); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
}

func TestErrorMarksUnits(t *testing.T) {
	c := NewCutter(nil)
	c.LimitOpen(8)
	c.Begin(0)
	dir := write(t, one(packet(0, 10, 0, 0, events(0, 1)), packet(10, 30, 1, 0, events(0, 12))))
	data := filepath.Join(dir, "ust", "pid", "app-1-x", "ch_0")
	if err := os.Truncate(data, 900); err != nil {
		t.Fatal(err)
	}
	if err := c.ReadTrace(dir); err == nil || !strings.Contains(err.Error(), data) {
		t.Fatalf("truncated file: %v", err)
	}
	if diff := cmp.Diff([][]uint64{{0, 20, 1, 1}}, rows(c.Advance(3*second))); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]uint64{{20, 20, 1, 0}, {40, 10, 0, 0}}, rows(c.End(5*second))); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
	c.Begin(5 * second)
	c.Fail()
	if diff := cmp.Diff([][]uint64{{50, 10, 1, 0}, {60, 20, 1, 0}}, rows(c.Advance(8*second))); diff != "" {
		t.Errorf("units of which something was not read (-want +got):\n%s", diff)
	}
}

func TestMissed(t *testing.T) {
	c := NewCutter(nil)
	c.Missed(second) // nothing was observed yet
	c.Begin(0)
	c.Advance(2 * second)
	c.Missed(second)     // that unit was given out
	c.Missed(5 * second) // and again, as nothing could be read meanwhile
	c.Missed(7 * second)
	got := rows(c.Advance(4 * second))
	if diff := cmp.Diff([][]uint64{{20, 20, 1}}, got); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
	got = rows(c.End(12 * second))
	if diff := cmp.Diff([][]uint64{{40, 20, 1}, {60, 20, 1}, {80, 20, 0}, {100, 20, 0}}, got); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
}

func TestExtremeTimes(t *testing.T) {
	for _, begin := range []int64{-1 << 63, -1, 0, 1<<63 - 1} {
		c := NewCutter(nil)
		c.Begin(begin)
		c.LimitOpen(4)
		if len(c.Advance(begin)) != 0 {
			t.Errorf("begin %d: units before any time has passed", begin)
		}
		c.ReadTrace(write(t, one(packet(0, 1<<30, 0, 0, events(0, 0, 1<<20))))) //nolint:errcheck // must not panic
		c.End(begin)
	}
}

func TestNotBegun(t *testing.T) {
	if err := NewCutter(nil).ReadTrace(write(t, one(packet(0, 1, 0, 0, nil)))); err == nil {
		t.Error("no error before Begin")
	}
}

func TestMetadataIsParsedOnce(t *testing.T) {
	c := NewCutter(nil)
	c.Begin(0)
	for i := range uint64(3) {
		if err := c.ReadTrace(write(t, one(packet(i, i+1, i, 0, events(0, i))))); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.parsed) != 1 {
		t.Errorf("%d metadata kept, want 1", len(c.parsed))
	}
	for i := range byte(6) {
		tr := one(packet(0, 1, 0, 0, nil))
		tr.UUID[0] = i + 1
		if err := c.ReadTrace(write(t, tr)); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.parsed) != maxMetadata {
		t.Errorf("%d metadata kept, want %d", len(c.parsed), maxMetadata)
	}
	if !slices.ContainsFunc(c.parsed, func(p parsedMetadata) bool { return p.md.UUID[0] == 6 }) {
		t.Error("the last metadata is not kept")
	}
}

// A packet may carry an older reading of the counter of discarded events than the one before it, as traces with heavy loss do.
func TestCounterReadTooEarly(t *testing.T) {
	f, err := Cut(write(t, one(packet(0, 10, 0, 5, nil), packet(10, 20, 1, 4, nil), packet(20, 30, 2, 6, nil))), Counts)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Units) != 2 || f.Units[0].Lost != 5 || f.Units[1].Lost != 1 {
		t.Errorf("units %+v; want two, with 5 and 1 lost events", f.Units)
	}
}
