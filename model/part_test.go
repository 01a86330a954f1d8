package model

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ofParts is a guest's units, the first half of whose features come from one source, and the rest from another.
func ofParts(t *testing.T, units int) (Dataset, *guest) {
	t.Helper()
	g := newGuest(6, 0.5)
	d := g.dataset(units)
	for j := range d.Features {
		part := "tap"
		if j >= len(d.Features)/2 {
			part = "functions"
		}
		d.Features[j] = fmt.Sprintf("%s:f%d", part, j)
	}
	return d, g
}

func TestParts(t *testing.T) {
	for _, tc := range []struct {
		features string
		want     []string
	}{
		{"virtqueue_fill:net.rx:len=64-71 tap_send", nil},
		{"tap:sent:len<32 tap:sent:syn", nil},
		{"virtqueue_fill tap:sent:len<32 syscalls:vcpu:read tap:received:len<32", []string{"ust", "tap", "syscalls"}},
	} {
		if diff := cmp.Diff(tc.want, parts(strings.Fields(tc.features))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.features, diff)
		}
	}
}

// Features of several sources are looked at together, and those of each by themselves.
func TestViewsOfParts(t *testing.T) {
	d, g := ofParts(t, 300)
	p, err := Train(smo{}, d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range p.Views {
		got = append(got, fmt.Sprintf("%s %d", v.Part, v.Units))
	}
	want := []string{" 1", " 6", " 18", "tap 1", "tap 6", "tap 18", "functions 1", "functions 6", "functions 18"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	q, err := Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	first, second := p.Sequence(0), q.Sequence(0)
	for i := range 60 {
		u := g.unit(1)
		u.Values[i%len(u.Values)] *= float64(1 + i%3)
		a, err := first.Judge(u.Start, u.Values, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := second.Judge(u.Start, u.Values, nil); err != nil || a != b {
			t.Fatalf("unit %d: %+v, read back %+v, %v", i, a, b, err)
		}
		if list := first.Explain(a, u.Values); len(list) != len(p.Features) {
			t.Fatalf("%d features are explained, of %d", len(list), len(p.Features))
		}
	}
	// What is far out for one source is seen where the other one has lost all of it.
	half := len(p.Features) / 2
	for _, lost := range []Columns{{From: 0, To: half}, {From: half, To: len(p.Features)}} {
		u := g.unit(1).Values
		for j := range u {
			u[j] *= 50
		}
		clear(u[lost.From:lost.To])
		if v, err := p.Sequence(0).Judge(0, u, []Columns{lost}); err != nil || !v.Anomalous {
			t.Errorf("columns %v lost: %+v, %v", lost, v, err)
		}
	}
}

func TestViewsOfPartsRefused(t *testing.T) {
	d, _ := ofParts(t, 300)
	for name, change := range map[string]func(*Profile){
		"no such part":      func(p *Profile) { p.Views[3].Part = "kvm" },
		"of another part":   func(p *Profile) { p.Views[3].Part = "functions" },
		"first":             func(p *Profile) { p.Views[0].Part = "tap" },
		"twice":             func(p *Profile) { p.Views[4] = p.Views[3] },
		"without the whole": func(p *Profile) { p.Views = append(p.Views[:2:2], p.Views[5]) },
	} {
		p, err := Train(smo{}, d, Options{})
		if err != nil {
			t.Fatal(err)
		}
		change(p)
		if err := p.check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
