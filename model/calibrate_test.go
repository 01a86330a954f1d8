package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPValue(t *testing.T) {
	c := newCalibration([]float64{3, 1, 2, 2}, 1)
	for _, tc := range []struct{ score, want float64 }{
		{0.5, 0.2}, {1, 0.4}, {1.5, 0.4}, {2, 0.8}, {2.5, 0.8}, {3, 1}, {9, 1}, {math.Inf(-1), 0.2},
	} {
		if got := c.PValue(tc.score); got != tc.want {
			t.Errorf("score %v: %v, want %v", tc.score, got, tc.want)
		}
	}
}

// Both estimates lie in (0, 1] and never grow as the score falls; the tail never
// ends, and joins the p-value at the knee.
func TestTailIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores := rapid.SliceOfN(rapid.Float64Range(-50, 3), 1, 300).Draw(t, "scores")
		gamma := rapid.Float64Range(1e-3, 1).Draw(t, "gamma")
		c := newCalibration(scores, gamma)
		at := append(slices.Clone(c.Scores), c.knee-1e-9, c.knee-1, c.Scores[0]-1, -1e3, -1e6)
		slices.Sort(at)
		lastP, lastT := 0.0, 0.0
		for _, s := range at {
			p, tail := c.PValue(s), c.Tail(s)
			if !(p >= lastP && p <= 1 && tail >= lastT && tail > 0 && tail <= 1) {
				t.Fatalf("at %v: p %v after %v, tail %v after %v", s, p, lastP, tail, lastT)
			}
			if s >= c.knee && tail != p {
				t.Fatalf("at %v above the knee: tail %v, p %v", s, tail, p)
			}
			lastP, lastT = p, tail
		}
	})
}

// For scores from one distribution, a p-value or tail under a level is as rare as
// the level says, down to where the p-value cannot follow.
func TestTailRates(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 0))
	for _, tc := range []struct {
		name string
		draw func() float64
	}{
		{"exponential", func() float64 { return -random.ExpFloat64() }},
		{"squared normal", func() float64 {
			s := 0.0
			for range 10 {
				x := random.NormFloat64()
				s -= x * x
			}
			return s
		}},
	} {
		const rounds, probes = 300, 300
		for _, n := range []int{30, 90, 400} {
			var p, tail, deep float64
			for range rounds {
				scores := make([]float64, n)
				for i := range scores {
					scores[i] = tc.draw()
				}
				c := newCalibration(scores, 1e-3)
				for range probes {
					s := tc.draw()
					p += count(c.PValue(s) <= 0.1)
					tail += count(c.Tail(s) <= 0.01)
					deep += count(c.Tail(s) <= 0.002)
				}
			}
			all := float64(rounds * probes)
			if p/all > 0.11 || p/all < 0.06 {
				t.Errorf("%s, %d scores: p-value ≤ 0.1 in %.4f", tc.name, n, p/all)
			}
			if tail/all > 0.017 || tail/all < 0.003 {
				t.Errorf("%s, %d scores: tail ≤ 0.01 in %.4f", tc.name, n, tail/all)
			}
			if deep/all > 0.006 {
				t.Errorf("%s, %d scores: tail ≤ 0.002 in %.4f", tc.name, n, deep/all)
			}
		}
	}
}

func count(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// One odd unit among those held out does not move the threshold far.
func TestTailOfOneOutlier(t *testing.T) {
	scores := make([]float64, 90)
	for i := range scores {
		scores[i] = -float64(i) / 90
	}
	clean := newCalibration(slices.Clone(scores), 0.05)
	scores[89] = -40
	dirty := newCalibration(scores, 0.05)
	at := func(c *Calibration) float64 {
		s := 0.0
		for c.Tail(s) > 0.002 {
			s -= 0.01
		}
		return s
	}
	if a, b := at(&clean), at(&dirty); math.Abs(a-b) > 0.25*math.Abs(a) {
		t.Errorf("threshold %v, with an outlier %v", a, b)
	}
}

// A guest whose units are all the same is not anomalous at a stray hit, but is
// at a burst of what it never did.
func TestStillGuest(t *testing.T) {
	d := Dataset{Features: []string{"tick", "never"}}
	for i := range 90 {
		d.Rows = append(d.Rows, Row{Start: int64(i) * int64(Width), Values: []float64{200, 0}})
	}
	p, err := Train(smo{}, d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		values []float64
		want   bool
	}{
		{[]float64{200, 0}, false},
		{[]float64{200, 1}, false},
		{[]float64{201, 0}, false},
		{[]float64{200, 50}, true},
		{[]float64{0, 0}, true},
		{[]float64{1e15, 1e15}, true},
	} {
		v, err := p.Judge(tc.values)
		if err != nil || v.Anomalous != tc.want {
			t.Errorf("%v: %+v, %v", tc.values, v, err)
		}
	}
}

// spy records which units each call of the engine was given, by the first feature.
type spy struct {
	smo
	rows *[]int
}

func (s spy) OneClass(x [][]float64, nu, gamma float64) (Solution, error) {
	*s.rows = append(*s.rows, len(x))
	return s.smo.OneClass(x, nu, gamma)
}

func TestGuardRespectsGaps(t *testing.T) {
	g := newGuest(3, 0)
	d := g.dataset(50)
	for i := range d.Rows {
		if i >= 30 { // the gap falls on the border of blocks three and four
			d.Rows[i].Start += 60 * int64(Width)
		}
	}
	var rows []int
	if _, err := Train(spy{rows: &rows}, d, Options{}); err != nil {
		t.Fatal(err)
	}
	// Blocks of ten; a neighbour on each side is left out, but not across the gap.
	want := []int{39, 38, 39, 39, 39, 50}
	if !slices.Equal(rows, want) {
		t.Errorf("engine was given %v rows, want %v", rows, want)
	}
}

// A training falls into pieces where time passed; what is too short belongs to the one before, and nothing is lost.
func TestPieces(t *testing.T) {
	for _, tc := range []struct {
		name string
		gaps map[int]time.Duration // before the row
		want []int
	}{
		{"one", nil, []int{200}},
		{"a short gap", map[int]time.Duration{100: time.Minute}, []int{200}},
		{"marked later", map[int]time.Duration{120: time.Hour}, []int{120, 80}},
		{"too short", map[int]time.Duration{180: time.Hour}, []int{200}},
		{"short ones between", map[int]time.Duration{60: time.Hour, 70: time.Hour, 80: time.Hour}, []int{80, 120}},
		{"the first is short", map[int]time.Duration{10: time.Hour}, []int{10, 190}},
	} {
		rows, now := make([]Row, 200), int64(0)
		for i := range rows {
			now += int64(Width) + int64(tc.gaps[i])
			rows[i].Start = now
		}
		var got []int
		first := 0
		for _, p := range pieces(rows) {
			got = append(got, len(p))
			if p[0].Start != rows[first].Start {
				t.Errorf("%s: a piece does not begin where the one before ended", tc.name)
			}
			first += len(p)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: pieces of %v units, want %v", tc.name, got, tc.want)
		}
	}
}

// Of many scores some are kept, and say nearly what all would: never that a unit is more improbable than it is.
func TestFewerScores(t *testing.T) {
	for _, n := range []int{1, 2, 100, 2 * finest, 2*finest + 1, 5000, 200_000} {
		scores := make([]float64, n)
		random := rand.New(rand.NewPCG(uint64(n), 0))
		for i := range scores {
			scores[i] = random.NormFloat64()
		}
		all := slices.Sorted(slices.Values(scores))
		c := newCalibration(scores, 1)
		if most := 2*finest + 2 + int(finest*math.Log(max(1, float64(n)/finest))); len(c.Scores) > most {
			t.Errorf("%d of %d scores are kept", len(c.Scores), n)
		}
		if kept := len(c.Scores); n <= 2*finest && kept != n {
			t.Errorf("%d of %d scores are kept", kept, n)
		}
		for range 1000 {
			s := 1.5 * random.NormFloat64()
			at, _ := slices.BinarySearch(all, s)
			want := float64(1+at) / float64(n+1)
			if got := c.PValue(s); got < want || got > want*(1+1./finest)+1e-12 {
				t.Fatalf("%d scores: p-value of %v is %v, of all %v", n, s, got, want)
			}
		}
		var read Calibration
		read.Units, read.Scores = c.Units, c.Scores
		if err := read.check(1); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, read, cmp.AllowUnexported(Calibration{})); diff != "" {
			t.Error(diff)
		}
		read.Units++
		if n <= finest { // of more, the next one may be between two that are kept
			if err := read.check(1); err == nil {
				t.Error("a score less than there are units is taken")
			}
		}
	}
}
