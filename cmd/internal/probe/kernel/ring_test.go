package kernel

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// machine does what the programs and their maps do, on two CPUs, by a clock of its own.
type machine struct {
	now     int64
	meter   meter
	entries [slots + 1][]uint64 // those of CPU 0, then those of CPU 1
	columns int
}

func newMachine(columns int) *machine {
	m := &machine{columns: columns}
	for i := range m.entries {
		m.entries[i] = make([]uint64, 2*columns)
	}
	return m
}

func (m *machine) LookupBytes(key any) ([]byte, error) {
	var b []byte
	for _, n := range m.entries[key.(uint32)] {
		b = binary.NativeEndian.AppendUint64(b, n)
	}
	return b, nil
}

// hit counts as bpf/unit.bpf.h does.
func (m *machine) hit(cpu, column int) {
	if m.meter.Limit == 0 {
		return
	}
	n := uint64(m.now / width)
	if n < m.meter.Limit {
		m.entries[n%slots][cpu*m.columns+column]++
	} else {
		m.entries[slots][cpu*m.columns+int(n%uint64(m.columns))]++
	}
}

func (m *machine) ring(t interface{ Fatal(...any) }) *ring {
	r, err := newRing(instrument{counts: m, set: func(v meter) error { m.meter = v; return nil }}, m.columns, 0, func() int64 { return m.now })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRingUnits(t *testing.T) {
	m := newMachine(3)
	m.now = 5*width + width/4
	m.hit(0, 0) // before it begins
	r := m.ring(t)
	m.hit(0, 1)
	m.hit(1, 1)
	m.now = 6*width + settle - 1
	m.hit(0, 2)
	if u, err := r.collect(); err != nil || len(u) != 0 {
		t.Fatalf("before it has settled: %v, %v", u, err)
	}
	m.now += 1
	got, err := r.collect()
	if err != nil {
		t.Fatal(err)
	}
	want := []unit.Unit{{Start: 5*width + width/4, Duration: width - width/4, Counts: []uint64{0, 2, 0}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	m.now = 7*width + 1
	if got, err = r.rest(); err != nil {
		t.Fatal(err)
	}
	want = []unit.Unit{{Start: 6 * width, Duration: width, Counts: []uint64{0, 0, 1}}, {Start: 7 * width, Duration: 1, Counts: []uint64{0, 0, 0}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRingLate reads minutes too late: what there was no place for is lost, in the units that it belongs to.
func TestRingLate(t *testing.T) {
	m := newMachine(64)
	m.now = 10 * width
	r := m.ring(t)
	for n := range int64(30) {
		m.now = (10 + n) * width
		if n != 20 { // a quiet one
			m.hit(int(n%2), 7)
		}
	}
	got, err := r.collect()
	if err != nil {
		t.Fatal(err)
	}
	m.hit(0, 7) // there is place again: the unit has lost one, and counts one
	m.now += width + settle
	more, err := r.collect()
	if err != nil {
		t.Fatal(err)
	}
	var counts, lost []uint64
	for i, u := range append(got, more...) {
		if u.Start != int64(10+i)*width || u.Duration != width {
			t.Errorf("unit %d: %d, %d", i, u.Start, u.Duration)
		}
		counts, lost = append(counts, u.Counts[7]), append(lost, u.Lost)
	}
	wantCounts, wantLost := make([]uint64, 30), make([]uint64, 30)
	for n := range 30 {
		switch {
		case n < slots:
			wantCounts[n] = 1
		case n != 20:
			wantLost[n] = 1
		}
	}
	wantCounts[29] = 1
	if diff := cmp.Diff(wantCounts, counts); diff != "" {
		t.Error("counts: " + diff)
	}
	if diff := cmp.Diff(wantLost, lost); diff != "" {
		t.Error("lost: " + diff)
	}
}

// TestRingProperty compares with the truth, whenever it is read: no gaps; what a unit has not counted, it has lost; and what it says
// to have lost is exact as long as fewer units than columns are read at once.
func TestRingProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 12).Draw(t, "columns")
		m := newMachine(columns)
		m.now = rapid.Int64Range(1, 100*width).Draw(t, "begin")
		r := m.ring(t)
		begin := r.next
		truth := map[int64][]uint64{}
		var got []unit.Unit
		exact := true
		collect := func(read func() ([]unit.Unit, error)) {
			units, err := read()
			if err != nil {
				t.Fatal(err)
			}
			exact = exact && len(units)+1 < columns
			got = append(got, units...)
		}
		t.Repeat(map[string]func(*rapid.T){
			"wait":  func(t *rapid.T) { m.now += rapid.Int64Range(1, width).Draw(t, "ns") },
			"sleep": func(t *rapid.T) { m.now += rapid.Int64Range(width, 9*width).Draw(t, "ns") },
			"hit": func(t *rapid.T) {
				column := rapid.IntRange(0, columns-1).Draw(t, "column")
				n := m.now / width
				if truth[n] == nil {
					truth[n] = make([]uint64, columns)
				}
				truth[n][column]++
				m.hit(rapid.IntRange(0, 1).Draw(t, "cpu"), column)
			},
			"collect": func(*rapid.T) { collect(r.collect) },
		})
		collect(r.rest)
		next := r.began
		for i, u := range got {
			if u.Start != next || u.Duration <= 0 {
				t.Fatalf("unit %d begins at %d, not at %d; it lasts %d", i, u.Start, next, u.Duration)
			}
			next = u.Start + u.Duration
			missing := uint64(0)
			for c, n := range truth[begin+int64(i)] {
				if u.Counts[c] > n {
					t.Fatalf("unit %d, column %d: %d of %d", i, c, u.Counts[c], n)
				}
				missing += n - u.Counts[c]
			}
			if u.Lost < missing || exact && u.Lost != missing {
				t.Fatalf("unit %d: lost %d, not %d", i, u.Lost, missing)
			}
		}
		if next != m.now {
			t.Fatalf("the last unit ends at %d, not at %d", next, m.now)
		}
	})
}

func TestRingRefuses(t *testing.T) {
	m := newMachine(2)
	if _, err := newRing(instrument{counts: m, set: func(meter) error { return nil }}, 2, -5, func() int64 { return -5 }); err == nil {
		t.Error("a clock before 0 is accepted")
	}
	m.now = width
	broken := errors.New("broken")
	if _, err := newRing(instrument{counts: m, set: func(meter) error { return broken }}, 2, 0, func() int64 { return m.now }); !errors.Is(err, broken) {
		t.Errorf("the meter cannot be set: %v", err)
	}
	r := m.ring(t)
	r.columns = 5 // as if the programs were others
	m.now = 3 * width
	if _, err := r.collect(); err == nil {
		t.Error("counts of another size are accepted")
	}
}
