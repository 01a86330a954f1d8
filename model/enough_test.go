package model

import (
	"errors"
	"strings"
	"testing"
)

func TestConverge(t *testing.T) {
	// later multiplies the driven counts of the units from so many on.
	later := func(units, from int, factor float64) Dataset {
		g := newGuest(3, 0.5)
		d := g.dataset(from)
		for len(d.Rows) < units {
			d.Rows = append(d.Rows, g.unit(factor))
		}
		return d
	}
	for name, tc := range map[string]struct {
		d      Dataset
		enough bool
		says   string
	}{
		"steady":           {later(90, 90, 1), true, "of the last 29 units, 0 would"},
		"steady, longer":   {later(300, 300, 1), true, "of the last 99 units, "},
		"news at the end":  {later(120, 95, 6), false, "unusual after learning from the first 80"},
		"news, far":        {later(120, 95, 1000), false, "25 of 120 units stand far out"},
		"no news any more": {later(360, 95, 6), true, "after learning from the first 240"},
		"a flood, left out": {func() Dataset {
			d := later(120, 120, 1)
			odd(d, 100, "never")
			odd(d, 101, "never")
			odd(d, 102, "never")
			return d
		}(), true, "from the first 78"},
		"a single odd unit":  {func() Dataset { d := later(120, 120, 1); odd(d, 100, "never"); return d }(), true, "1 would"},
		"a few more of them": {func() Dataset { d := later(120, 120, 1); odd(d, 90, "never"); odd(d, 100, "none"); return d }(), false, "2 would"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Converge(smo{}, tc.d, Options{Trim: TrimShare})
			if err != nil || c.Enough() != tc.enough || !strings.Contains(c.String(), tc.says) {
				t.Errorf("enough %v: %v, %v", c.Enough(), c, err)
			}
		})
	}
	recorded := &Convergence{Learnt: 40, Judged: 19, Unusual: 2}
	p, err := Train(smo{}, newGuest(1, 0).dataset(60), Options{Convergence: recorded})
	if err != nil || p.Training.Convergence != recorded {
		t.Errorf("%+v, %v; want what was found on record", p, err)
	}
	for _, c := range []Convergence{{}, {Learnt: 1, Judged: -1, Unusual: -1}, {Learnt: 1, Judged: 1, Unusual: 2}} {
		q := *p
		q.Training.Convergence = &c
		if err := q.check(); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	var few *TooFewError
	if _, err := Converge(smo{}, newGuest(1, 0).dataset(29), Options{}); !errors.As(err, &few) {
		t.Errorf("29 units: %v", err)
	}
	broken := errors.New("broken")
	for _, trim := range []float64{0, TrimShare} {
		if _, err := Converge(failing{broken}, newGuest(1, 0).dataset(60), Options{Trim: trim}); !errors.Is(err, broken) {
			t.Errorf("an engine that fails: %v", err)
		}
	}
}

// Where the units are said to be enough, few of those that follow are unusual, also of guests whose load wanders.
func TestConvergeHolds(t *testing.T) {
	units, unusual := 0, 0
	for _, memory := range []float64{0.5, 0.9, 0.98} {
		for seed := range uint64(8) {
			g := newGuest(seed+50, memory)
			d := g.dataset(90)
			c, err := Converge(smo{}, d, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !c.Enough() {
				continue
			}
			p, err := Train(smo{}, d, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for range 200 {
				v, err := p.Judge(g.unit(1).Values)
				if err != nil {
					t.Fatal(err)
				}
				units++
				unusual += int(count(v.Anomalous))
			}
		}
	}
	if units == 0 || float64(unusual) > MostNews*float64(units) {
		t.Errorf("%d of %d units are unusual", unusual, units)
	}
}
