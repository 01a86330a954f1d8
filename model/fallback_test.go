package model

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFallback(t *testing.T) {
	broken, lies := failing{errors.New("broken\x1b\n?")}, failing{}
	x := cloud(1, 40, 3)
	for _, tc := range []struct {
		name   string
		engine Engine
		solver string
		failed string // what the reason begins with
		want   []error
	}{
		{"first", Fallback{smo{}, lies}, "smo", "", nil},
		{"first fails", Fallback{broken, smo{}}, "smo", "broken  ?", nil},
		{"first lies", Fallback{lies, smo{}}, "smo", "solution not certified: ", nil},
		{"both lie", Fallback{lies, lies}, "", "", []error{ErrUnsolved, ErrUncertified}},
		{"one fails, one lies", Fallback{broken, lies}, "", "", []error{ErrUnsolved, ErrUncertified, broken.err}},
		{"three", Fallback{lies, Fallback{broken, smo{}}}, "smo", "solution not certified: ", nil},
	} {
		m, err := newMachine(tc.engine, x, 0.3, 0.2)
		for _, want := range tc.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", tc.name, err, want)
			}
		}
		if tc.want != nil {
			continue
		}
		if err != nil || m.Engine != tc.solver || (m.Failed != nil) != (tc.failed != "") {
			t.Errorf("%s: solved by %q after %+v, %v", tc.name, m.Engine, m.Failed, err)
		}
		if m.Failed != nil && (m.Failed.Engine != "failing" || !strings.HasPrefix(m.Failed.Reason, tc.failed)) {
			t.Errorf("%s: failed %+v", tc.name, m.Failed)
		}
		if err := m.check(3); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// What is no problem for one engine is none for the other.
func TestFallbackOfNoProblem(t *testing.T) {
	_, err := Fallback{failing{ErrProblem}, smo{}}.OneClass(cloud(1, 9, 2), 0.5, 1)
	if !errors.Is(err, ErrProblem) || errors.Is(err, ErrUnsolved) {
		t.Error(err)
	}
}

func TestPrintable(t *testing.T) {
	long := strings.Repeat("a", maxText-1) + "éé"
	for in, want := range map[string]string{
		"":                "",
		"a b é":           "a b é",
		"a\nb\x1b[2J\x7f": "a b [2J ",
		"\xff":            "?",
		long:              long[:maxText-1],
	} {
		got := printable(in)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.20q: %s", in, diff)
		}
		if err := checkText("text", got); err != nil {
			t.Error(err)
		}
		if err := checkText("text", in); (err == nil) != (in == got) {
			t.Errorf("%.20q: %v", in, err)
		}
	}
}
