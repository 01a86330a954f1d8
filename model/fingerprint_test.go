package model

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestFingerprintDiff(t *testing.T) {
	learnt := Fingerprint{
		QEMUBuild: "a1", MachineType: "pc-q35-7.2", Accelerator: "kvm",
		Devices: []string{"virtio-blk-pci", "virtio-net-pci"}, Catalogue: "3", Source: "ust",
	}
	for _, tc := range []struct {
		name string
		edit func(f *Fingerprint)
		want []string
	}{
		{"same", func(*Fingerprint) {}, nil},
		{"order of devices", func(f *Fingerprint) { slices.Reverse(f.Devices) }, nil},
		{"build", func(f *Fingerprint) { f.QEMUBuild = "b2" }, []string{"QEMU build is b2, was a1"}},
		{"machine", func(f *Fingerprint) { f.MachineType = "pc" }, []string{"machine type is pc, was pc-q35-7.2"}},
		{"accelerator", func(f *Fingerprint) { f.Accelerator = "tcg" }, []string{"accelerator is tcg, was kvm"}},
		{"catalogue", func(f *Fingerprint) { f.Catalogue = "4" }, []string{"feature catalogue is 4, was 3"}},
		{"source", func(f *Fingerprint) { f.Source = "" }, []string{"source is unknown, was ust"}},
		{"second card", func(f *Fingerprint) { f.Devices = append(f.Devices, "virtio-net-pci") }, []string{"device virtio-net-pci is new"}},
		{
			"other card", func(f *Fingerprint) { f.Devices[1] = "e1000" },
			[]string{"device e1000 is new", "device virtio-net-pci is gone"},
		},
		{
			"nothing known", func(f *Fingerprint) { *f = Fingerprint{} },
			[]string{
				"QEMU build is unknown, was a1", "machine type is unknown, was pc-q35-7.2", "accelerator is unknown, was kvm",
				"feature catalogue is unknown, was 3", "source is unknown, was ust",
				"device virtio-blk-pci is gone", "device virtio-net-pci is gone",
			},
		},
	} {
		now := learnt
		now.Devices = slices.Clone(learnt.Devices)
		tc.edit(&now)
		if diff := cmp.Diff(tc.want, learnt.Diff(now)); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
	if d := (Fingerprint{}).Diff(Fingerprint{}); d != nil {
		t.Errorf("unknown and unknown: %v", d)
	}
}

// A fingerprint differs from another exactly as much as the other one from it.
func TestFingerprintDiffIsSymmetric(t *testing.T) {
	word := rapid.SampledFrom([]string{"", "a", "b"})
	draw := func(t *rapid.T) Fingerprint {
		return Fingerprint{
			QEMUBuild: word.Draw(t, "build"), MachineType: word.Draw(t, "machine"), Source: word.Draw(t, "source"),
			Devices: rapid.SliceOfN(word, 0, 4).Draw(t, "devices"),
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t), draw(t)
		if x, y := a.Diff(b), b.Diff(a); len(x) != len(y) {
			t.Errorf("%v, but %v", x, y)
		}
	})
}

func TestFingerprintRefused(t *testing.T) {
	for name, f := range map[string]Fingerprint{
		"control":      {Source: "a\x1b[0m"},
		"no text":      {Devices: []string{"\xff"}},
		"many devices": {Devices: make([]string, maxDevices+1)},
	} {
		p, err := Train(smo{}, newGuest(1, 0).dataset(40), Options{Fingerprint: f})
		if err == nil {
			t.Errorf("%s: accepted as %+v", name, p.Fingerprint)
		}
	}
	unsorted := Fingerprint{Devices: []string{"b", "a"}}
	if err := unsorted.check(); err == nil {
		t.Error("devices out of order: accepted")
	}
}

// What a training set can have wrong or odd has one clear answer each.
func TestTrainAnswers(t *testing.T) {
	var few *TooFewError
	var many *TooManyFeaturesError
	for _, tc := range []struct {
		name string
		edit func(d *Dataset)
		want error // errors.Is; nil: a profile, unless as
		as   any   // errors.As
	}{
		{"no units", func(d *Dataset) { d.Rows = nil }, nil, &few},
		{"too few units", func(d *Dataset) { d.Rows = d.Rows[:29] }, nil, &few},
		{"too many features", widen(maxFeatures + 1), ErrDataset, &many},
		{"constant columns", each(func(_, j int, v float64) float64 {
			if j > 0 {
				return 7
			}
			return v
		}), nil, nil},
		{"all equal", each(func(int, int, float64) float64 { return 7 }), nil, nil},
		{"all zero", each(func(int, int, float64) float64 { return 0 }), nil, nil},
		{"one differs", each(func(i, _ int, _ float64) float64 { return count(i == 20) }), nil, nil},
		{"huge", each(func(_, _ int, v float64) float64 { return v * 1e300 }), nil, nil},
		{"one feature", func(d *Dataset) { widen(1)(d) }, nil, nil},
	} {
		d := newGuest(1, 0).dataset(40)
		tc.edit(&d)
		p, err := Train(smo{}, d, Options{})
		if tc.as != nil && !errors.As(err, tc.as) || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.as != nil || tc.want != nil {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if _, err := p.Judge(d.Rows[0].Values); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// each returns an edit of every value: unit i, feature j.
func each(f func(i, j int, v float64) float64) func(d *Dataset) {
	return func(d *Dataset) {
		for i, r := range d.Rows {
			for j, v := range r.Values {
				r.Values[j] = f(i, j, v)
			}
		}
	}
}

// widen returns an edit that leaves n features.
func widen(n int) func(d *Dataset) {
	return func(d *Dataset) {
		d.Features = nil
		for j := range n {
			d.Features = append(d.Features, string(rune('a'+j)))
		}
		for i := range d.Rows {
			d.Rows[i].Values = make([]float64, n)
		}
	}
}
