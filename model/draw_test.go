package model

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestDraw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, limit := rapid.IntRange(1, 3000).Draw(t, "rows"), rapid.IntRange(minUnits, 800).Draw(t, "limit")
		units := rapid.SampledFrom(windows).Draw(t, "units")
		rows := newGuest(rapid.Uint64().Draw(t, "seed"), 0.9).dataset(n).Rows
		seldom := map[int64]bool{}
		for range rapid.IntRange(0, 20).Draw(t, "seldom") {
			seldom[rows[rapid.IntRange(0, n-1).Draw(t, "at")].Start] = true
		}
		got := draw(rows, units, limit, seldom)
		if !slices.Equal(got, draw(rows, units, limit, seldom)) {
			t.Fatal("another sample of the same rows")
		}
		if len(got) > limit || len(got) < min(n, limit/2) {
			t.Fatalf("%d of %d rows, at most %d", len(got), n, limit)
		}
		for i, at := range got {
			if at < 0 || at >= n || i > 0 && at <= got[i-1] {
				t.Fatalf("place %d is %d of %d", i, at, n)
			}
		}
		if len(seldom) > int(seldomShare*float64(limit)) {
			return
		}
		for _, at := range got {
			delete(seldom, rows[at].Start)
		}
		if len(seldom) > 0 {
			t.Fatalf("%d seldom rows are not in the sample", len(seldom))
		}
	})
}

// Each stretch of time has its share of a sample, and so has each level of load, whole blocks of them.
func TestDrawIsSpread(t *testing.T) {
	rows := make([]Row, 40_000)
	for i := range rows {
		load := 100.
		if i%2000 < 100 { // one in twenty
			load = 900
		}
		rows[i] = Row{Start: int64(i) * int64(Width), Values: []float64{load + float64(i*7919%50)}}
	}
	got := draw(rows, 1, 4096, nil)
	high, hours, alone := 0, make([]int, 10), 0
	for k, at := range got {
		hours[at*len(hours)/len(rows)]++
		if rows[at].Values[0] > 500 {
			high++
		}
		if (k == 0 || got[k-1] != at-1) && (k == len(got)-1 || got[k+1] != at+1) {
			alone++
		}
	}
	if n := float64(len(got)); n < 4000 || math.Abs(float64(high)-n/20) > n/80 || alone > 0 {
		t.Errorf("%v rows, %d of high load, %d by themselves", n, high, alone)
	}
	if slices.Max(hours)-slices.Min(hours) > 64 {
		t.Errorf("stretches of time have %v rows", hours)
	}
}

// What is left of a machine with too many support vectors is the certified solution of a smaller problem.
func TestMostVectors(t *testing.T) {
	d := newGuest(4, 0.5).dataset(900)
	for _, o := range []Options{{MaxVectors: 20}, {MaxVectors: 64, Nu: 0.5}, {MaxVectors: 10, MaxRows: 10, Nu: 0.9}} {
		p, err := Train(smo{}, d, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range p.Views {
			if n := len(v.Machine.Alpha); n > o.MaxVectors {
				t.Errorf("%+v: %d support vectors", o, n)
			}
			if v.Calibration.Units < 800 {
				t.Errorf("%+v: calibrated on %d units", o, v.Calibration.Units)
			}
		}
		data, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(bytes.NewReader(data)); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, o := range []Options{{MaxVectors: 9}, {MaxVectors: -1}, {MaxRows: 9}} {
		if _, err := Train(smo{}, d, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// What lasts a while and comes twice is learnt, also where only a sample is; what comes once is left out.
func TestSampleKeepsWhatComesTwice(t *testing.T) {
	const length = 12
	for _, times := range [][]int{{1300}, {400, 1700}, {500, 1200, 1900}} {
		d := newGuest(3, 0.9).dataset(2400)
		for _, from := range times {
			for i := range length {
				d.Rows[from+i].Values[2] = 500 // never otherwise
			}
		}
		p, err := Train(smo{}, d, Options{MaxRows: 128, Trim: TrimShare})
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if len(times) == 1 {
			want = length
		}
		if got := p.Training.TrimmedUnits(); got != want {
			t.Errorf("of what happens at %v, %d units were left out, want %d", times, got, want)
		}
		v, err := p.Judge(d.Rows[times[0]+length/2].Values)
		if err != nil || v.Score > -20 == (len(times) == 1) {
			t.Errorf("what happens at %v: %+v, %v", times, v, err)
		}
	}
}
