package judging

import (
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvmgo"
)

// steady is a profile of a guest that sends some twenty packets a unit.
func steady(t *testing.T) *model.Profile {
	t.Helper()
	d := model.Dataset{Features: []string{"tap_send"}}
	for i := range 60 {
		d.Rows = append(d.Rows, model.Row{Start: int64(i) * int64(model.Width), Values: []float64{float64(18 + i*7%5)}})
	}
	p, err := model.Train(libsvmgo.Engine{}, d, model.Options{Catalogue: "counts/1", Created: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newJudge(t *testing.T) *Judge {
	t.Helper()
	set, err := catalogue.Load("counts")
	if err != nil {
		t.Fatal(err)
	}
	j, err := New(model.DeciderConfig{}, set)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestStates(t *testing.T) {
	p := steady(t)
	const u, n, s, a, l = Unjudged, Normal, Suspect, Anomalous, Unknown
	for _, tc := range []struct {
		name, units string // q: usual, a: unusual, l: lossy, A: lossy and unusual, |: a gap, 0: a reset, 9: quiet after nine from now on
		want        []State
	}{
		{"usual", "qq", []State{n, n}},
		{"losses alone say nothing", "lllll", []State{u, u, l, l, l}},
		{"losses after a usual unit", "qllllq", []State{n, n, n, l, l, n}},
		{"a flood shows through losses", "AAAqqqqq", []State{n, s, a, a, a, a, a, a}},
		{"an alarm stands in losses", "aaallll", []State{n, s, a, a, a, a, a}},
		{"nothing is known after a gap", "qq|lq", []State{n, n, u, u, n}},
		{"losses before a gap do not count", "qll|ll", []State{n, n, n, u, u, u}},
		{"an alarm stands in a gap", "aaa|qqqqq", []State{n, s, a, a, a, a, a, a, a}},
		{"a suspicion does, too", "aa|a", []State{n, s, s, a}},
		{"a reset forgets", "aaa0q", []State{n, s, a, u, n}},
		{"other numbers do not", "aaaqqq9qqqqqq", []State{n, s, a, a, a, a, a, a, a, a, a, a, a}},
	} {
		j := newJudge(t)
		if j.State() != Unjudged || j.Seen() != 0 {
			t.Errorf("%s: %s before any unit", tc.name, j.State())
		}
		for i, unit := range tc.units {
			switch unit {
			case '|':
				j.Gap()
			case '0':
				j.Reset()
			case '9':
				if err := j.Configure(model.DeciderConfig{Quiet: 9}); err != nil {
					t.Fatal(err)
				}
			default:
				r := control.UnitReport{}
				values := []float64{20}
				switch unit {
				case 'a':
					values[0] = 900
				case 'l':
					values[0], r.Lost = 3, 20
				case 'A':
					values[0], r.Lost = 900, 20
				}
				if err := j.Observe(p, values, nil, &r); err != nil || !r.Judged || r.Anomalous != (len(r.Explain) == 1) || r.Anomalous != (r.Sentence != "") {
					t.Fatalf("%s: %+v, %v", tc.name, r, err)
				}
			}
			if got := j.State(); got != tc.want[i] {
				t.Errorf("%s: %s after %s, want %s", tc.name, got, tc.units[:i+1], tc.want[i])
			}
		}
	}
}

// What cannot be judged counts for nothing.
func TestBadUnit(t *testing.T) {
	p, j := steady(t), newJudge(t)
	for _, lost := range []uint64{0, 1} {
		r := control.UnitReport{Lost: lost}
		if err := j.Observe(p, []float64{1, 2}, nil, &r); err == nil || r.Judged || j.State() != Unjudged || j.Lossy() != 0 {
			t.Errorf("a unit of two counts: %+v, %v, state %s", r, err, j.State())
		}
	}
	if _, err := New(model.DeciderConfig{Window: -1}, nil); err == nil {
		t.Error("a window of -1 units is taken")
	}
	if err := j.Configure(model.DeciderConfig{Window: -1}); err == nil {
		t.Error("a window of -1 units is taken later")
	}
}
