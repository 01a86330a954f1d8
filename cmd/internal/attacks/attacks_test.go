package attacks

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

var update = flag.Bool("update", false, "derive the attacks' files again")

const (
	recordings = "../../../testdata/units/swing/"
	from, kept = 5, 30 // the first units, in which an attack may still begin, are left out
)

// The files are what comes of the recordings.
func TestFresh(t *testing.T) {
	read := func(name string) unit.File {
		f, err := unit.ReadFile(recordings + name + ".csv.gz")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first, second := read("normal-1"), read("normal-2")
	normal := append(whole(first, warm), whole(second, 0)...)
	for _, name := range names {
		attacked := read("weak-" + name)
		if !slices.Equal(attacked.Features, first.Features) || !slices.Equal(second.Features, first.Features) {
			t.Fatalf("%s: other features", name)
		}
		columns, added := derive(first.Features, normal, whole(attacked, 0))
		f := unit.File{}
		for _, j := range columns {
			f.Features = append(f.Features, first.Features[j])
		}
		for i, counts := range added[from : from+kept] {
			f.Units = append(f.Units, unit.Unit{Start: int64(i) * int64(unit.Width), Duration: int64(unit.Width), Counts: counts})
		}
		var text bytes.Buffer
		if err := unit.Write(&text, f); err != nil {
			t.Fatal(err)
		}
		path := name + ".csv"
		if *update {
			if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(have, text.Bytes()) {
			t.Errorf("%s is not what comes of the recordings (go generate makes it anew): %v", path, err)
		}
	}
}

func TestAdded(t *testing.T) {
	list, err := All()
	if err != nil || len(list) != 8 {
		t.Fatalf("%d attacks, %v", len(list), err)
	}
	for _, set := range []string{catalogue.DefaultSet, "counts", "paper"} {
		s, err := catalogue.Load(set)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			counts, ok := a.Added(s.Names(), slices.Repeat([]float64{1}, len(s.Names())))
			if len(counts) != kept || len(counts[0]) != len(s.Names()) || ok != (set == catalogue.DefaultSet) {
				t.Errorf("%s: %s: %d units, %v", set, a.Name, len(counts), ok)
			}
		}
	}
	// What a flood is: one received packet of the least size for every SYN, 150 of them a second, and as many answers.
	features := []string{"other", "virtqueue_fill:net.rx:len=64-71", "received:size=64-71", "sent:size=64-71", "sent:size=72-79"}
	emulated := []float64{1, 0, 1, 0, 1} // a guest without virtio
	counts, ok := list[0].Added(features, emulated)
	if !ok || counts[0][0] != 0 || counts[0][1] != 0 || counts[0][2] < 500 || counts[0][3] < 250 {
		t.Errorf("a flood adds %v, %v", counts[0], ok)
	}
	if _, ok := list[0].Added(features, []float64{1, 1, 0, 0, 0}); ok {
		t.Error("a fifth of the counts is taken for all")
	}
	if _, ok := list[0].Added([]string{"tap_send"}, []float64{1}); ok {
		t.Error("features that a flood does not touch are taken to show it")
	}
}
