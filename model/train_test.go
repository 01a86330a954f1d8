package model

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const testUUID = "0b4e3d2c-7a91-4f0e-8a55-1c2d3e4f5a6b"

// trained returns a profile of a simulated guest, and the guest.
func trained(t testing.TB, seed uint64, units int) (*Profile, *guest) {
	t.Helper()
	g := newGuest(seed, 0.5)
	p, err := Train(smo{}, g.dataset(units), Options{
		Domain:    Domain{UUID: testUUID, Name: "web"},
		Catalogue: "test 1", Created: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Dropped: 2,
		Fingerprint: Fingerprint{
			QEMUBuild: "a1b2c3", MachineType: "pc-q35-7.2", Accelerator: "kvm",
			Devices: []string{"virtio-net-pci", "virtio-blk-pci"}, Source: "ust",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, g
}

func TestTrainDescribes(t *testing.T) {
	p, g := trained(t, 1, 90)
	want := Training{From: int64(Width), To: g.now + int64(Width), Units: 90, Dropped: 2}
	if diff := cmp.Diff(want, p.Training); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(guestFeatures(), p.Features); diff != "" {
		t.Error(diff)
	}
	if scores := p.Views[0].Calibration.Scores; p.Machine().Engine != "smo" || len(scores) != 90 || p.Catalogue != "test 1" {
		t.Errorf("engine %q, %d scores, catalogue %q", p.Machine().Engine, len(scores), p.Catalogue)
	}
	fingerprint := Fingerprint{
		QEMUBuild: "a1b2c3", MachineType: "pc-q35-7.2", Accelerator: "kvm",
		Devices: []string{"virtio-blk-pci", "virtio-net-pci"}, Catalogue: "test 1", Source: "ust",
	}
	if diff := cmp.Diff(fingerprint, p.Fingerprint); diff != "" {
		t.Error(diff)
	}
	if u := p.Usual()[0]; u.Low != 200 || u.Typical != 200 || u.High != 200 {
		t.Errorf("timer is usually %+v", u)
	}
}

func TestTrainIsDeterministic(t *testing.T) {
	a, _ := trained(t, 7, 120)
	b, _ := trained(t, 7, 120)
	x, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Encode()
	if err != nil || !bytes.Equal(x, y) {
		t.Errorf("two trainings differ (%v)", err)
	}
}

type failing struct{ err error }

func (failing) Name() string { return "failing" }

func (f failing) OneClass([][]float64, float64, float64) (Solution, error) {
	return Solution{Index: []int{0}, Alpha: []float64{1}, Rho: 1}, f.err
}

func TestTrainRefuses(t *testing.T) {
	broken := errors.New("broken")
	good := func() Dataset { return newGuest(1, 0).dataset(40) }
	for _, tc := range []struct {
		name   string
		engine Engine
		edit   func(d *Dataset)
		o      Options
		want   error // nil: any
	}{
		{"NaN", smo{}, func(d *Dataset) { d.Rows[3].Values[2] = math.NaN() }, Options{}, ErrDataset},
		{"infinite", smo{}, func(d *Dataset) { d.Rows[3].Values[2] = math.Inf(1) }, Options{}, ErrDataset},
		{"negative", smo{}, func(d *Dataset) { d.Rows[3].Values[2] = -1 }, Options{}, ErrDataset},
		{"short row", smo{}, func(d *Dataset) { d.Rows[3].Values = d.Rows[3].Values[1:] }, Options{}, ErrDataset},
		{"out of order", smo{}, func(d *Dataset) { d.Rows[3].Start = d.Rows[2].Start }, Options{}, ErrDataset},
		{"no features", smo{}, func(d *Dataset) { d.Features = nil }, Options{}, ErrDataset},
		{"feature twice", smo{}, func(d *Dataset) { d.Features[1] = d.Features[0] }, Options{}, ErrDataset},
		{"nameless feature", smo{}, func(d *Dataset) { d.Features[1] = "" }, Options{}, ErrDataset},
		{"no engine", nil, nil, Options{}, nil},
		{"engine fails", failing{broken}, nil, Options{}, broken},
		{"engine lies", failing{}, nil, Options{}, ErrUncertified},
		{"nu", smo{}, nil, Options{Nu: 1}, nil},
		{"gamma", smo{}, nil, Options{Gamma: -1}, nil},
		{"level", smo{}, nil, Options{Level: math.NaN()}, nil},
		{"folds", smo{}, nil, Options{Folds: 1}, nil},
		{"least units", smo{}, nil, Options{MinUnits: 1}, nil},
		{"dropped", smo{}, nil, Options{Dropped: -1}, nil},
		{"guard leaves nothing", smo{}, nil, Options{Guard: 100}, nil},
	} {
		d := good()
		if tc.edit != nil {
			tc.edit(&d)
		}
		_, err := Train(tc.engine, d, tc.o)
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	var few *TooFewError
	_, err := Train(smo{}, newGuest(1, 0).dataset(29), Options{})
	if !errors.As(err, &few) || few.Have != 29 || few.Need != 30 {
		t.Errorf("29 units: %v", err)
	}
}

// Any counts make a certified profile that can be stored, and that judges its own
// training units as ordinary on the whole.
func TestTrainAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := countRows(t)
		d := Dataset{}
		for j := range rows[0] {
			d.Features = append(d.Features, fmt.Sprint(j))
		}
		for i := range 30 + len(rows) { // with duplicates
			d.Rows = append(d.Rows, Row{Start: int64(i) * int64(Width), Values: rows[i%len(rows)]})
		}
		p, err := Train(smo{}, d, Options{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		q, err := Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		wrong := 0
		for _, r := range d.Rows {
			a, err := p.Judge(r.Values)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := q.Judge(r.Values); err != nil || a != b {
				t.Fatalf("%+v, read back %+v, %v", a, b, err)
			}
			wrong += int(count(a.Anomalous))
		}
		if wrong > len(d.Rows)/5 {
			t.Errorf("%d of %d training units are anomalous", wrong, len(d.Rows))
		}
	})
}

func TestJudge(t *testing.T) {
	p, g := trained(t, 1, 90)
	// A load is the one thing that a guest is expected to vary in, so that a multiple
	// of all its features at once must be a large one.
	for factor, want := range map[float64]bool{1: false, 16: true, 1000: true, 1e12: true} {
		wrong := 0
		for range 500 {
			v, err := p.Judge(g.unit(factor).Values)
			if err != nil || math.IsNaN(v.Score) || math.IsInf(v.Score, 0) || v.Decision < -p.Machine().Rho {
				t.Fatalf("%+v, %v", v, err)
			}
			wrong += int(count(v.Anomalous != want))
		}
		if wrong > 10 {
			t.Errorf("factor %v: %d of 500 units judged wrong", factor, wrong)
		}
	}
	for _, values := range [][]float64{nil, make([]float64, 3), append(make([]float64, 13), -1)} {
		if _, err := p.Judge(values); !errors.Is(err, ErrUnit) {
			t.Errorf("%v: %v", values, err)
		}
	}
}

// The score orders units as the decision value does, and still does where that is
// saturated.
func TestScoreDoesNotSaturate(t *testing.T) {
	p, g := trained(t, 2, 90)
	u := g.unit(1).Values
	last, lastDecision := math.Inf(1), math.Inf(1)
	for range 12 {
		v, err := p.Judge(u)
		if err != nil {
			t.Fatal(err)
		}
		if v.Score >= last || v.Decision > lastDecision {
			t.Errorf("score %v after %v, decision %v after %v", v.Score, last, v.Decision, lastDecision)
		}
		if (v.Score < 0) != (v.Decision < 0) {
			t.Errorf("score %v, decision %v", v.Score, v.Decision)
		}
		last, lastDecision = v.Score, v.Decision
		u[12] = u[12]*8 + 1000
	}
	if lastDecision != -p.Machine().Rho {
		t.Errorf("decision value %v is not saturated at %v", lastDecision, -p.Machine().Rho)
	}
}

// False alarms of the default settings over simulated hours: none a day to speak
// of for a load that is independent from unit to unit; a load that remembers a
// minute costs some, and fewer the longer the training.
func TestFalseAlarms(t *testing.T) {
	for _, tc := range []struct {
		memory float64
		units  int
		most   float64 // a day
	}{
		{0, 90, 0.5}, {0, 300, 0.5},
		{0.9, 90, 15}, {0.9, 600, 3},
		{0.98, 90, 25},
	} {
		const runs, hours = 12, 4
		alarms, false1 := 0, 0
		for seed := range uint64(runs) {
			a, f := watch(t, newGuest(seed+100, tc.memory), tc.units, hours*1800)
			alarms, false1 = alarms+a, false1+f
		}
		perDay := float64(alarms) * 24 / (runs * hours)
		t.Logf("memory %.2f, %d units: %.1f alarms a day, %.2f %% of units",
			tc.memory, tc.units, perDay, float64(false1)*100/(runs*hours*1800))
		if perDay > tc.most {
			t.Errorf("memory %v, %d units: %v alarms a day, want at most %v", tc.memory, tc.units, perDay, tc.most)
		}
	}
}

// watch trains on a guest, lets it run, and counts alarms and anomalous units.
func watch(t *testing.T, g *guest, train, units int) (alarms, anomalous int) {
	t.Helper()
	p, err := Train(smo{}, g.dataset(train), Options{})
	if err != nil {
		t.Fatal(err)
	}
	decider, err := NewDecider(DeciderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	sequence := p.Sequence(0)
	for range units {
		u := g.unit(1)
		v, err := sequence.Judge(u.Start, u.Values, nil)
		if err != nil {
			t.Fatal(err)
		}
		before := decider.State()
		if decider.Observe(v.Anomalous, false) == Anomalous && before != Anomalous {
			alarms++
		}
		anomalous += int(count(v.Anomalous))
	}
	return alarms, anomalous
}

func TestThin(t *testing.T) {
	rows := make([][]float64, 10)
	for i := range rows {
		rows[i] = []float64{float64(i)}
	}
	var got []float64
	for _, r := range thin(rows, 4) {
		got = append(got, r[0])
	}
	if !slices.Equal(got, []float64{0, 2, 5, 7}) {
		t.Errorf("kept %v", got)
	}
}

func TestAlign(t *testing.T) {
	m := Align([]string{"a", "b", "c"}, []string{"c", "x", "a"})
	got := m.Apply(nil, []uint64{1, 2, 3})
	if diff := cmp.Diff([]float64{3, 0, 1}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]float64{0, 0, 7}, m.Apply(got, []uint64{7})); diff != "" {
		t.Errorf("short unit: %s", diff)
	}
	if strings.Join(m.Extra, " ") != "b" || strings.Join(m.Missing, " ") != "x" {
		t.Errorf("extra %v, missing %v", m.Extra, m.Missing)
	}
}

// benchmarkProfile is one of 30 features and 500 support vectors.
func benchmarkProfile(b *testing.B) (*Profile, []float64) {
	b.Helper()
	g := newGuest(1, 0.5)
	d := Dataset{}
	for j := range 30 {
		d.Features = append(d.Features, fmt.Sprint("feature ", j))
	}
	for i := range 1000 {
		r := Row{Start: int64(i) * int64(Width)}
		for len(r.Values) < 30 {
			r.Values = append(r.Values, g.unit(1).Values[4:]...)
		}
		d.Rows = append(d.Rows, r)
	}
	p, err := Train(smo{}, d, Options{Nu: 0.49})
	if err != nil {
		b.Fatal(err)
	}
	if n := len(p.Machine().Alpha); n < 480 || n > 530 {
		b.Fatalf("%d support vectors", n)
	}
	return p, d.Rows[0].Values
}

func BenchmarkJudge(b *testing.B) {
	p, values := benchmarkProfile(b)
	b.ReportAllocs()
	sequence := p.Sequence(0)
	for start := int64(0); b.Loop(); start += int64(Width) {
		if _, err := sequence.Judge(start, values, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// A unit so far from everything that its kernel sum underflows.
func BenchmarkJudgeFar(b *testing.B) {
	p, values := benchmarkProfile(b)
	for j := range values {
		values[j] = float64(j%2) * 1e9
	}
	scaling := p.Views[0].Scaling
	z := make([]float64, scaling.size())
	scaling.apply(z, values)
	if s := p.Machine().kernelSum(z, make([]float64, len(p.Machine().Alpha))); s > 0 {
		b.Fatalf("not far: %v", s)
	}
	b.ReportAllocs()
	sequence := p.Sequence(0)
	for start := int64(0); b.Loop(); start += int64(Width) {
		if _, err := sequence.Judge(start, values, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func TestJudgeMakesNoGarbage(t *testing.T) {
	p, g := trained(t, 1, 300)
	u := g.unit(1).Values
	sequence, start := p.Sequence(0), int64(0)
	judge := func() {
		start += int64(Width)
		if _, err := sequence.Judge(start, u, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range maxWindow { // room for the longest window
		judge()
	}
	if n := testing.AllocsPerRun(100, judge); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
