package model

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// odd replaces a unit by one with counts in a feature that hardly fires otherwise.
func odd(d Dataset, at int, kind string) {
	values := slices.Clone(d.Rows[at].Values)
	switch kind {
	case "never": // seen
		values[2] = 500
	case "more": // of what is steady
		values[0] += 800
	case "none": // of anything
		clear(values)
	}
	d.Rows[at].Values = values
}

func TestTrim(t *testing.T) {
	const units = 150
	at := func(from, to int) []Span {
		return []Span{{From: int64(from+1) * int64(Width), To: int64(to+2) * int64(Width), Units: to - from + 1}}
	}
	every := func(step, from, to int) (list []int) {
		for i := from; i <= to; i += step {
			list = append(list, i)
		}
		return list
	}
	for name, tc := range map[string]struct {
		odd  []int
		kind string
		want []Span
		far  int // units of a refusal
	}{
		"nothing":             {},
		"one":                 {odd: []int{70}, kind: "never"},
		"two":                 {odd: []int{70, 71}, kind: "never"},
		"two, and one later":  {odd: []int{70, 71, 80}, kind: "never"},
		"single ones, always": {odd: every(30, 10, 149), kind: "never"},
		"three":               {odd: []int{70, 71, 72}, kind: "never", want: at(70, 72)},
		"with gaps":           {odd: []int{70, 74, 79, 80}, kind: "more", want: at(70, 80)},
		"at the beginning":    {odd: every(1, 0, 9), kind: "never", want: at(0, 9)},
		"at the end":          {odd: every(1, 140, 149), kind: "none", want: at(140, 149)},
		"across two blocks":   {odd: every(1, 93, 107), kind: "never", want: at(93, 107)},
		"too many":            {odd: every(1, 40, 59), kind: "more", far: 20},
		"twice":               {odd: slices.Concat(every(1, 20, 25), every(1, 110, 115)), kind: "never"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(5, 0.5)
			d := g.dataset(units)
			for _, i := range tc.odd {
				odd(d, i, tc.kind)
			}
			p, err := Train(smo{}, d, Options{Trim: TrimShare})
			var far *FarOutError
			if tc.far > 0 {
				if !errors.As(err, &far) || far.Units != tc.far || far.Of != units || !strings.Contains(err.Error(), "from 00:01:22 to 00:02:02 UTC") {
					t.Errorf("%v (%+v)", err, far)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, p.Training.Trimmed); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
			learnt := p.Training.Learnt(d.Rows)
			if len(learnt) != p.Training.Units || len(learnt)+p.Training.TrimmedUnits() != units {
				t.Errorf("%d learnt, %d says the profile, %d left out", len(learnt), p.Training.Units, p.Training.TrimmedUnits())
			}
			if p.Training.From != d.Rows[0].Start || p.Training.To != d.Rows[units-1].Start+int64(Width) {
				t.Errorf("learnt from %d to %d", p.Training.From, p.Training.To)
			}
			if data, err := p.Encode(); err != nil {
				t.Error(err)
			} else if _, err := Decode(strings.NewReader(string(data))); err != nil {
				t.Error(err)
			}
			// What was left out is judged as if it had not been there.
			for _, i := range tc.odd {
				if v, err := p.Judge(d.Rows[i].Values); err != nil || len(tc.want) > 0 && !v.Anomalous {
					t.Errorf("unit %d: %+v, %v", i, v, err)
				}
			}
		})
	}
}

// A load that wanders is no reason to leave units out, however long it remembers, nor is there one without any load.
func TestTrimLeavesNormalUnits(t *testing.T) {
	constant := newGuest(1, 0).dataset(100)
	for i := range constant.Rows {
		constant.Rows[i].Values = constant.Rows[0].Values
	}
	stray := Dataset{Features: constant.Features, Rows: slices.Clone(constant.Rows)}
	for _, i := range []int{40, 41, 42} {
		odd(stray, i, "never")
		stray.Rows[i].Values[2] = 1
	}
	sets := map[string]Dataset{"constant": constant, "constant, with stray hits": stray}
	for _, units := range []int{30, 90, 300} {
		for _, memory := range []float64{0, 0.9, 0.98} {
			for seed := range uint64(4) {
				sets[fmt.Sprintf("%d units, memory %v, %d", units, memory, seed)] = newGuest(seed, memory).dataset(units)
			}
		}
	}
	for name, d := range sets {
		o, err := Options{Trim: TrimShare}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if spans, _, err := trim(smo{}, d.Rows, o); err != nil || len(spans) > 0 {
			t.Errorf("%s: %v, %v", name, spans, err)
		}
	}
}

func TestTrimRefuses(t *testing.T) {
	for _, share := range []float64{-0.1, 0.5} {
		if _, err := Train(smo{}, newGuest(1, 0).dataset(40), Options{Trim: share}); err == nil {
			t.Errorf("a share of %v is taken", share)
		}
	}
	p, _ := trained(t, 1, 60)
	for name, spans := range map[string][]Span{
		"before":       {{From: 0, To: p.Training.From + 1, Units: 1}},
		"after":        {{From: p.Training.To, To: p.Training.To + 1, Units: 1}},
		"empty":        {{From: p.Training.From, To: p.Training.From + 1}},
		"backwards":    {{From: p.Training.From + 2, To: p.Training.From + 1, Units: 1}},
		"out of order": {{From: p.Training.From + 9, To: p.Training.From + 10, Units: 1}, {From: p.Training.From, To: p.Training.From + 1, Units: 1}},
		"many":         slices.Repeat([]Span{{From: p.Training.From, To: p.Training.From + 1, Units: 1}}, MaxTrimmed+1),
	} {
		q := *p
		q.Training.Trimmed = spans
		if err := q.check(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// swingRows reads the units of a recording of the lab's guest, on a clock of their own.
func swingRows(t *testing.T, name string) Dataset {
	t.Helper()
	f, err := unit.ReadFile(filepath.Join("../testdata/units/swing", name+".csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	d := Dataset{Features: f.Features}
	for _, u := range f.Units {
		if u.Full() && u.Lost == 0 {
			values := make([]float64, len(u.Counts))
			for j, n := range u.Counts {
				values[j] = float64(n)
			}
			d.Rows = append(d.Rows, Row{Values: values})
		}
	}
	return d
}

// inARow sets the times of units that follow on each other.
func inARow(groups ...[]Row) []Row {
	rows := slices.Concat(groups...)
	for i := range rows {
		rows[i].Start = int64(i) * int64(Width)
	}
	return rows
}

// Weak attacks of some units amid the training of a guest whose load swings are found, and nothing of normal units is, the warming
// up after a boot included.
func TestTrimSwing(t *testing.T) {
	o, err := Options{Trim: TrimShare}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	normal := swingRows(t, "normal-1")
	for _, span := range [][2]int{{0, 90}, {0, 300}, {149, 449}} {
		if spans, _, err := trim(smo{}, inARow(normal.Rows[span[0]:span[1]]), o); err != nil || len(spans) > 0 {
			t.Errorf("normal units %v: %v, %v", span, spans, err)
		}
	}
	base := normal.Rows[100:400]
	for _, attack := range []string{"synflood", "portscan", "bruteforce", "slowhttp"} {
		for _, side := range []string{"target", "source"} {
			bad := swingRows(t, "weak-"+attack+"_"+side)
			for _, k := range []int{3, 12, 20} {
				if attack == "slowhttp" && k == 3 {
					continue // one drop of it, or two
				}
				spans, _, err := trim(smo{}, inARow(base[:150], bad.Rows[:k], base[150:]), o)
				// A span begins and ends with a far unit; between drops of a slow attack there are usual ones.
				if n := (Training{Trimmed: spans}).TrimmedUnits(); err != nil || len(spans) != 1 || n > k || n < k-4 || spans[0].From < 150*int64(Width) || spans[0].To > int64(150+k)*int64(Width) {
					t.Errorf("%d units of %s_%s: %v, %v", k, attack, side, spans, err)
				}
			}
		}
	}
}

// Six units of an attack in three hundred hide it, unless they are left out.
func TestTrimFinds(t *testing.T) {
	normal, bad := swingRows(t, "normal-1"), swingRows(t, "weak-portscan_target")
	rows := inARow(slices.Concat(normal.Rows[100:250], bad.Rows[:6], normal.Rows[250:400]))
	for share, want := range map[float64]bool{0: false, TrimShare: true} {
		p, err := Train(smo{}, Dataset{Features: normal.Features, Rows: rows}, Options{Trim: share})
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, r := range bad.Rows[6:] {
			v, err := p.Judge(r.Values)
			if err != nil {
				t.Fatal(err)
			}
			found += int(count(v.Anomalous))
		}
		if n := len(bad.Rows) - 6; want && found < n || !want && found > n/10 {
			t.Errorf("up to %v left out: %d of %d units found", share, found, n)
		}
	}
}
