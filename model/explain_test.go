package model

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRatio(t *testing.T) {
	for _, tc := range []struct {
		observed, low, typical, high float64
		want                         string
	}{
		{50, 30, 50, 61, "as usual"},
		{2040, 30, 51, 61, "40 times the usual"},
		{204000, 30, 51, 61, "4,000 times the usual"},
		{130, 30, 50, 61, "2.6 times the usual"},
		{100, 30, 50, 61, "2 times the usual"},
		{70, 30, 50, 61, "40 % more than usual"},
		{62, 30, 61, 61, "2 % more than usual"},
		{29, 30, 50, 61, "43 % less than usual"},
		{25, 30, 50, 61, "1/2 of the usual"},
		{1, 30, 50, 61, "1/50 of the usual"},
		{0, 30, 50, 61, "none"},
		{7, 0, 0, 0, "usually none"},
		{90, 0, 0, 3, "30 times the usual"},
	} {
		c := Contribution{Observed: tc.observed, UsualLow: tc.low, Typical: tc.typical, UsualHigh: tc.high}
		if got := c.Ratio(); got != tc.want {
			t.Errorf("%v of %v to %v: %q, want %q", tc.observed, tc.low, tc.high, got, tc.want)
		}
	}
}

func TestSentence(t *testing.T) {
	received := Contribution{Feature: "tap_send", Observed: 2040, Typical: 51, UsualLow: 30, UsualHigh: 61, Share: 0.7}
	flush := Contribution{Feature: "flush", Observed: 0, Typical: 4, UsualLow: 2, UsualHigh: 9, Share: 0.2}
	reset := Contribution{Feature: "reset", Observed: 3, Share: 0.1}
	usual := Contribution{Feature: "usual", Observed: 5, Typical: 5, UsualLow: 5, UsualHigh: 5, Share: 0.3}
	describe := func(feature string) (string, string) {
		if feature == "tap_send" {
			return "network", "packets received by the guest"
		}
		return "", ""
	}
	for _, tc := range []struct {
		name     string
		list     []Contribution
		limit    int
		describe Describe
		want     string
	}{
		{"in words", []Contribution{received}, 3, describe,
			"network: packets received by the guest, 2,040 instead of 30 to 61 (40 times the usual)"},
		{"without words", []Contribution{flush, usual, reset}, 3, nil,
			"flush, 0 instead of 2 to 9; reset, 3 instead of 0"},
		{"limited", []Contribution{flush, received}, 1, describe, "flush, 0 instead of 2 to 9"},
		{"as a whole", []Contribution{{Feature: "x", Share: 0.1}, usual}, 1, describe,
			"unusual combination of usual 5 (usually 5)"},
		{"nothing", nil, 3, describe, ""},
		{"none wanted", []Contribution{received}, 0, describe, ""},
	} {
		if diff := cmp.Diff(tc.want, Sentence(tc.list, tc.limit, tc.describe)); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

// Each subsystem is named once before any is named twice, but not for a trifle.
func TestSentenceSpreadsOut(t *testing.T) {
	var list []Contribution
	for _, c := range []struct {
		feature   string
		deviation float64
	}{{"a1", 90}, {"a2", -80}, {"b1", 40}, {"a3", 35}, {"c1", 10}} {
		list = append(list, Contribution{Feature: c.feature, Observed: 1, Deviation: c.deviation})
	}
	describe := func(feature string) (string, string) { return feature[:1], feature }
	if got, want := Sentence(list, 9, describe), "a: a1, 1 instead of 0; b: b1, 1 instead of 0; "+
		"a: a2, 1 instead of 0; a: a3, 1 instead of 0; c: c1, 1 instead of 0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What an attack multiplies leads the explanation.
func TestExplainNamesTheCause(t *testing.T) {
	p, g := trained(t, 4, 300)
	u := g.unit(1).Values
	u[4] *= 30 // driven_0
	u[2] = 40  // never_a
	list, err := p.Explain(u)
	if err != nil {
		t.Fatal(err)
	}
	first := list[0].Feature + " " + list[1].Feature
	if !strings.Contains(first, "driven_0") {
		t.Errorf("first come %s", first)
	}
	if s := Sentence(list, 2, nil); !strings.Contains(s, "driven_0, ") || !strings.Contains(s, "never_a, 40 instead of 0") {
		t.Errorf("sentence %q", s)
	}
}

// Each feature occurs once, ordered, with the observed value; shares add up to 1.
func TestExplainProperties(t *testing.T) {
	p, g := trained(t, 5, 90)
	rapid.Check(t, func(t *rapid.T) {
		values := g.unit(1).Values
		for j := range values {
			values[j] = math.Floor(values[j] * rapid.SampledFrom([]float64{0, 1, 1, 3, 1e6}).Draw(t, "factor"))
		}
		list, err := p.Explain(values)
		if err != nil {
			t.Fatal(err)
		}
		observed := map[string]float64{}
		sum := 0.0
		for i, c := range list {
			observed[c.Feature] = c.Observed
			sum += c.Share
			if i > 0 && math.Abs(c.Deviation) > math.Abs(list[i-1].Deviation) {
				t.Fatalf("%s deviates more than %s before it", c.Feature, list[i-1].Feature)
			}
		}
		for j, name := range p.Features {
			if observed[name] != values[j] {
				t.Fatalf("%s: observed %v, explained %v", name, values[j], observed[name])
			}
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Fatalf("shares add up to %v", sum)
		}
	})
}

func TestExplainRefuses(t *testing.T) {
	p, _ := trained(t, 5, 30)
	if _, err := p.Explain([]float64{1}); !errors.Is(err, ErrUnit) {
		t.Errorf("wrong length: %v", err)
	}
}
