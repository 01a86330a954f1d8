package selection

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// guest is units of a guest that is idle, and of one that is busy, whose counts differ by so many spreads in each column.
func guest(t *testing.T, apart ...float64) *Problem {
	t.Helper()
	random := rand.New(rand.NewPCG(11, 12))
	var idle, busy [][]float64
	for range 60 {
		x, y := make([]float64, len(apart)), make([]float64, len(apart))
		for j, d := range apart {
			x[j], y[j] = math.Round(1000+100*random.NormFloat64()), math.Round(1000+100*(d+random.NormFloat64()))
		}
		idle, busy = append(idle, x), append(busy, y)
	}
	return problem(t, Raw, idle, busy)
}

// single makes a feature of each column, of an event of its own, with these hits a second.
func single(hits ...float64) ([]Feature, Rates) {
	var list []Feature
	rates := Rates{"idle": {}, "busy": {}}
	for i, name := range letters(len(hits)) {
		list = append(list, Feature{Name: name, Columns: []int{i}, Events: []string{name}})
		rates["idle"][name], rates["busy"][name] = hits[i]/2, hits[i]*3/2
	}
	return list, rates
}

func TestSelect(t *testing.T) {
	const percent = 0.01 / 154e-9 // hits a second that cost 1 %
	for _, tc := range []struct {
		name  string
		apart []float64
		hits  []float64
		goal  Goal
		want  []int
	}{
		{"the best one", []float64{1, 3, 2}, []float64{1, 1, 1}, Goal{Size: 1}, []int{1}},
		{"the best two, best first", []float64{1, 3, 2}, []float64{1, 1, 1}, Goal{Size: 2}, []int{1, 2}},
		{"what is noise is left out", []float64{0, 3, 0, 2, 0}, []float64{1, 1, 1, 1, 1}, Goal{}, []int{1, 3}},
		{"all", []float64{1, 3, 2}, []float64{1, 1, 1}, Goal{Size: 3}, []int{1, 2, 0}},
		{"a price turns it round", []float64{2.7, 2}, []float64{percent, percent / 10}, Goal{Size: 1, Price: 0.5}, []int{1}},
		{"a small price does not", []float64{2.7, 2}, []float64{percent, percent / 10}, Goal{Size: 1, Price: 0.001}, []int{0}},
		{"a budget, of the class that costs most", []float64{3, 2}, []float64{percent, percent / 2}, Goal{Size: 1, MaxCost: 0.012}, []int{1}},
		{"a budget that suffices", []float64{3, 2}, []float64{percent, percent / 2}, Goal{Size: 1, MaxCost: 0.016}, []int{0}},
		{"two for the price of one", []float64{3, 2.7, 2.5}, []float64{percent, percent / 2, percent / 2}, Goal{Size: 2, MaxCost: 0.016}, []int{1, 2}},
		{"a budget cuts the size", []float64{3, 2, 1}, []float64{percent / 2, percent / 2, percent}, Goal{Size: 3, MaxCost: 0.016}, []int{0, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			features, rates := single(tc.hits...)
			got, err := guest(t, tc.apart...).Select(features, rates, tc.goal)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Of two features that are the same the one that fires less is taken, wherever it stands, and the other adds nothing.
func TestCheapTwin(t *testing.T) {
	var idle, busy [][]float64
	for i := range 20 {
		v := float64(100 + i*i%17)
		idle, busy = append(idle, []float64{v, v}), append(busy, []float64{v + 30, v + 30})
	}
	p := problem(t, Log, idle, busy)
	for cheap, hits := range [][]float64{{10, 1000}, {1000, 10}} {
		features, rates := single(hits...)
		for _, price := range []float64{0, 0.1} {
			got, err := p.Select(features, rates, Goal{Price: price})
			if err != nil || !slices.Equal(got, []int{cheap}) {
				t.Errorf("hits/s %v, price %v: chosen %v, %v; want %d", hits, price, got, err, cheap)
			}
		}
		r := p.Report(features, rates, []int{cheap})
		if len(r.Others) != 1 || r.Others[0].Adds != 0 || r.Others[0].JAdds != 0 || r.Others[0].Alone != r.Selected[0].Alone {
			t.Errorf("the twin: %+v", r.Others)
		}
	}
}

// Columns of one event share its cost, and what tells queues apart costs, too.
func TestSharedCost(t *testing.T) {
	rates := Rates{"idle": {"fill": 100, "notify": 50}, "busy": {"fill": 300, "notify": 150}}
	features := []Feature{
		{Name: "small", Columns: []int{0}, Events: []string{"fill"}, Needs: []string{"notify"}},
		{Name: "large", Columns: []int{1}, Events: []string{"fill"}, Needs: []string{"notify"}},
	}
	want := Cost{HitsPerSecond: 300, Share: 300 * 154e-9, WorstHitsPerSecond: 450, WorstShare: 450 * 154e-9, WorstClass: "busy"}
	if diff := cmp.Diff(want, rates.Cost(Events(features))); diff != "" {
		t.Error(diff)
	}
	r := guest(t, 3, 2).Report(features, rates, []int{0, 1})
	if diff := cmp.Diff([]Cost{want, {WorstClass: "busy"}}, []Cost{r.Selected[0].Cost, r.Selected[1].Cost}); diff != "" {
		t.Errorf("what each costs more:\n%s", diff)
	}
	if r.Selected[1].HitsPerSecond != 200 {
		t.Errorf("%+v", r.Selected[1])
	}
	if diff := cmp.Diff(Cost{}, Rates{}.Cost([]string{"fill"})); diff != "" {
		t.Errorf("without rates:\n%s", diff)
	}
}

func TestSelectRefuses(t *testing.T) {
	constant, rates := single(1, 2)
	flat := problem(t, Log, [][]float64{{5, 5}, {5, 5}}, [][]float64{{5, 5}, {5, 5}})
	half := problem(t, Log, [][]float64{{5, 5}, {5, 5}, {6, 5}}, [][]float64{{5, 5}, {9, 5}, {9, 5}})
	for _, tc := range []struct {
		name  string
		p     *Problem
		rates Rates
		goal  Goal
		kind  error
		says  []string
	}{
		{"nothing varies", flat, rates, Goal{}, ErrGoal, []string{"no feature varies", "another feature set"}},
		{"larger than what varies", half, rates, Goal{Size: 2}, ErrGoal, []string{"2 features are wanted", "1 of 2 vary", "fewer"}},
		{"negative size", half, rates, Goal{Size: -1}, ErrGoal, []string{"-1", "1 or more"}},
		{"cost above all", half, rates, Goal{MaxCost: 2}, ErrGoal, []string{"2", "0 and 1"}},
		{"cost that is no number", half, rates, Goal{MaxCost: math.NaN()}, ErrGoal, []string{"NaN"}},
		{"negative price", half, rates, Goal{Price: -1}, ErrGoal, []string{"-1"}},
		{"price that is no number", half, rates, Goal{Price: math.NaN()}, ErrGoal, []string{"NaN"}},
		{"too dear", half, rates, Goal{MaxCost: 1e-9}, ErrGoal, []string{"1e-07 %", "the cheapest, a,", "2.31e-05 %"}},
		{"noise", guest(t, 0, 0), rates, Goal{}, ErrGoal, []string{"chance", "record for longer"}},
		{"rate", half, Rates{"idle": {"a": math.NaN()}}, Goal{}, ErrClasses, []string{`"idle"`, `"a"`, "NaN"}},
	} {
		got, err := tc.p.Select(constant, tc.rates, tc.goal)
		if !errors.Is(err, tc.kind) || got != nil {
			t.Errorf("%s: %v, %v", tc.name, got, err)
			continue
		}
		for _, text := range tc.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q does not say %q", tc.name, err, text)
			}
		}
	}
}

func TestReport(t *testing.T) {
	p := guest(t, 1, 3, 2, 0)
	features, rates := single(10, 20, 30, 40)
	r := p.Report(features, rates, []int{1, 2})
	var names []string
	for _, v := range slices.Concat(r.Selected, r.Others) {
		names = append(names, v.Name)
	}
	if diff := cmp.Diff([]string{"b", "c", "a", "d"}, names); diff != "" {
		t.Fatal(diff)
	}
	b, c := r.Selected[0], r.Selected[1]
	near(t, "what the first adds", b.Adds, b.Alone)
	near(t, "what both add", b.Adds+c.Adds, r.Score.Mean)
	near(t, "what the last loses", c.Loses, c.Adds)
	near(t, "what J loses with the last", c.JLoses, c.JAdds)
	near(t, "what the selection loses without the first", b.Loses, r.Score.Mean-c.Alone)
	if b.AddsTo != "busy" || b.HitsPerSecond != 20 || r.Cost.HitsPerSecond != 50 {
		t.Errorf("%+v of %+v", b, r.Cost)
	}
}

// draw draws a problem of a few columns, some of them equal or constant.
func draw(t *rapid.T, scale Scale, factors []float64) *Problem {
	columns := len(factors)
	count := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 2000))
	var classes []Class
	for _, name := range []string{"idle", "io", "net"} {
		c := Class{Name: name}
		for range rapid.IntRange(2, 12).Draw(t, "units") {
			row := make([]float64, columns)
			for j := range row {
				row[j] = float64(count.Draw(t, "count"))
			}
			c.Units = append(c.Units, row)
		}
		classes = append(classes, c)
	}
	for j := range columns {
		switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
		case kind == 0 && j > 0: // a duplicate
			for _, c := range classes {
				for _, row := range c.Units {
					row[j] = row[j-1]
				}
			}
		case kind == 1: // constant
			for _, c := range classes {
				for _, row := range c.Units {
					row[j] = 7
				}
			}
		}
	}
	for _, c := range classes {
		for _, row := range c.Units {
			for j := range row {
				row[j] *= factors[j]
			}
		}
	}
	p, err := New(letters(columns), classes, "idle", scale)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// More columns never have less J, and all is within its bounds.
func TestMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		factors := make([]float64, rapid.IntRange(2, 8).Draw(t, "columns"))
		for j := range factors {
			factors[j] = 1
		}
		p := draw(t, rapid.SampledFrom([]Scale{Log, Raw}).Draw(t, "scale"), factors)
		order := rapid.Permutation(upTo(len(factors))).Draw(t, "order")
		last := p.Score(nil)
		for n := range order {
			s := p.Score(order[:n+1])
			for i, q := range s.Pairs {
				if q.J < last.Pairs[i].J*(1-1e-9) {
					t.Fatalf("%v with column %d, %v without it", q.J, order[n], last.Pairs[i].J)
				}
				if !(q.J >= 0 && q.Score >= 0 && q.Score <= bounded(q.J) && s.Least <= q.Score) || math.IsInf(q.J, 0) {
					t.Fatalf("%+v", s)
				}
				if h := q.HeldOut; h != nil && !(*h >= 0 && *h <= 1) {
					t.Fatalf("held out %v", *h)
				}
			}
			last = s
		}
	})
}

// The unit of a column does not matter: of counts that vary more than those of a Poisson process, multiples have the same J.
func TestScaleInvariance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const columns = 4
		ends := [][]float64{make([]float64, columns), make([]float64, columns)}
		var classes, multiplied []Class
		factors := make([]float64, columns)
		for j := range factors {
			factors[j] = float64(rapid.IntRange(1, 1000).Draw(t, "factor"))
			ends[1][j] = 90000
		}
		for _, name := range []string{"idle", "busy"} {
			units := slices.Clone(ends)
			for range rapid.IntRange(0, 10).Draw(t, "units") {
				row := make([]float64, columns)
				for j := range row {
					row[j] = float64(10000 * rapid.IntRange(0, 9).Draw(t, "count"))
				}
				units = append(units, row)
			}
			var times [][]float64
			for _, row := range units {
				m := make([]float64, columns)
				for j := range m {
					m[j] = row[j] * factors[j]
				}
				times = append(times, m)
			}
			classes, multiplied = append(classes, Class{name, units}), append(multiplied, Class{name, times})
		}
		a, err := New(letters(columns), classes, "idle", Raw)
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(letters(columns), multiplied, "idle", Raw)
		if err != nil {
			t.Fatal(err)
		}
		// Columns that were equal may be no longer; of multiples the same holds as of duplicates, up to what is shrunk.
		for j := range columns {
			if x, y := a.Score([]int{j}), b.Score([]int{j}); math.Abs(x.Mean-y.Mean) > 1e-9 || math.Abs(x.Pairs[0].J-y.Pairs[0].J) > 1e-9*(1+x.Pairs[0].J) {
				t.Fatalf("column %d: %+v, times %v: %+v", j, x, factors[j], y)
			}
		}
		if len(a.places(upTo(columns))) == columns {
			if x, y := a.Score(upTo(columns)).Pairs[0], b.Score(upTo(columns)).Pairs[0]; math.Abs(x.J-y.J) > 1e-9*(1+x.J) {
				t.Fatalf("all: %v, multiplied %v", x.J, y.J)
			}
		}
	})
}

// The search finds nothing worse than what adding alone finds, keeps to the budget, is the same each time, and cannot be bettered by one exchange.
func TestSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		factors := []float64{1, 1, 1, 1, 1, 1}
		p := draw(t, Log, factors)
		var hits []float64
		for range factors {
			hits = append(hits, float64(rapid.IntRange(0, 5000).Draw(t, "hits")))
		}
		features, rates := single(hits...)
		goal := Goal{Size: rapid.IntRange(0, 4).Draw(t, "size"), Price: rapid.SampledFrom([]float64{0, 0.1, 10}).Draw(t, "price")}
		if rapid.Bool().Draw(t, "budget") {
			goal.MaxCost = 0.0005
		}
		got, err := p.Select(features, rates, goal)
		again, _ := p.Select(features, rates, goal)
		if !slices.Equal(got, again) {
			t.Fatalf("%v, then %v", got, again)
		}
		if err != nil {
			if !errors.Is(err, ErrGoal) {
				t.Fatal(err)
			}
			return
		}
		s := &search{p: p, features: features, rates: rates, goal: goal, known: map[string]worth{}}
		w := s.worth(got)
		if !s.affordable(w) || goal.Size > 0 && len(got) > goal.Size {
			t.Fatalf("%v: %+v of %+v", got, w, goal)
		}
		if goal.Size == 0 {
			return
		}
		var open []int
		for i := range features {
			if p.Varies(i) {
				open = append(open, i)
			}
		}
		for at := range got {
			if next, x := s.bestOf(open, got, at); next != nil && better(x, w) {
				t.Fatalf("%v (%v) is better than %v (%v)", next, x.value, got, w.value)
			}
		}
		if r := p.Report(features, rates, got); len(r.Selected) != len(got) || math.Abs(r.Score.Mean-w.score) > 1e-12 {
			t.Fatalf("%+v", r)
		} else {
			for _, v := range slices.Concat(r.Selected, r.Others) {
				if v.JAdds < -1e-6*(1+v.JAdds) {
					t.Fatalf("%+v", v)
				}
			}
		}
	})
}
