package bench

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// recorded is what is taken of testdata/units.
type recorded struct {
	profiles []recordedData
	corpora  []recordedCorpus
}

// recordedData are units to learn from.
type recordedData struct {
	name string
	data model.Dataset
}

// recordedCorpus is what a guest is learnt from, and judged by.
type recordedCorpus struct {
	name          string
	train, normal []model.Recording
	attacks       []model.Scenario
}

// readRecorded reads recordings: swing (449 units), the plan's (598), and everyday, of which the first two thirds are learnt and the last one judged, with the
// plan's attacks; and the units of several sources of one guest.
func readRecorded(dir string) (r recorded, err error) {
	read := func(parts ...string) model.Recording {
		if err != nil {
			return model.Recording{}
		}
		path := filepath.Join(append([]string{dir}, parts...)...)
		var f unit.File
		if f, err = unit.ReadFile(path + ".csv.gz"); err != nil {
			return model.Recording{}
		}
		recording := model.Recording{Name: parts[len(parts)-1], Features: f.Features}
		for _, u := range f.Units {
			recording.Units = append(recording.Units, model.Observation{Start: u.Start, Counts: u.Counts, Partial: !u.Full(), Lossy: u.Lost > 0})
		}
		return recording
	}
	attacks := func(name func(attack string) []string) (list []model.Scenario) {
		for _, a := range []string{"synflood", "bruteforce", "slowhttp", "portscan"} {
			for _, side := range []string{"target", "source"} {
				list = append(list, model.Scenario{Name: a + "_" + side, Recordings: []model.Recording{read(name("weak-" + a + "_" + side)...)}})
			}
		}
		return list
	}
	plan := attacks(func(a string) []string { return []string{"evaluation", a, "default"} })
	everyday := read("everyday", "everyday")
	if err != nil {
		return r, err
	}
	early, late := everyday, everyday
	cut := len(everyday.Units) * 2 / 3
	early.Units, late.Units = everyday.Units[:cut], everyday.Units[cut:]
	r.corpora = []recordedCorpus{
		{name: "swing", train: []model.Recording{read("swing", "normal-1")}, normal: []model.Recording{read("swing", "normal-2")}, attacks: attacks(func(a string) []string { return []string{"swing", a} })},
		{name: "plan", train: []model.Recording{read("evaluation", "train", "default")}, normal: []model.Recording{read("evaluation", "judge-1", "default"), read("evaluation", "judge-2", "default")}, attacks: plan},
		{name: "everyday", train: []model.Recording{early}, normal: []model.Recording{late}, attacks: plan},
	}
	if err != nil {
		return r, err
	}
	r.profiles = []recordedData{{name: "recordings: swing", data: joined(r.corpora[0].train...)}, {name: "recordings: everyday", data: joined(everyday)}}
	for _, lab := range []struct {
		name    string
		sources []string
	}{{"ust", []string{"default"}}, {"ust", []string{"default", "tap"}}, {"stock", []string{"tap", "functions"}}} {
		var parts []model.Recording
		for _, s := range lab.sources {
			parts = append(parts, read("sources", lab.name, "train", s))
		}
		r.profiles = append(r.profiles, recordedData{name: "recordings: sources/" + lab.name + ", " + strings.Join(lab.sources, " + "), data: joined(parts...)})
	}
	return r, err
}

// joined puts the columns of recordings of the same time side by side, those units that can be learnt from in all of them.
func joined(parts ...model.Recording) (d model.Dataset) {
	rows := map[int64][]float64{}
	for i, p := range parts {
		before := len(d.Features)
		d.Features = append(d.Features, p.Features...)
		for _, u := range p.Units {
			row := rows[u.Start]
			if u.Lossy || u.Partial || i > 0 && len(row) != before {
				continue
			}
			for j := range p.Features {
				n := 0.
				if j < len(u.Counts) {
					n = float64(u.Counts[j])
				}
				row = append(row, n)
			}
			rows[u.Start] = row
		}
	}
	for start, row := range rows {
		if len(row) == len(d.Features) {
			d.Rows = append(d.Rows, model.Row{Start: start, Values: row})
		}
	}
	slices.SortFunc(d.Rows, func(a, b model.Row) int { return int((a.Start - b.Start) / int64(model.Width)) })
	return d
}

// judge learns the corpus within limits, and judges it.
func (c recordedCorpus) judge(engine model.Engine, limits model.Options) (TrainLimit, error) {
	e, err := model.Evaluate(engine, model.MethodDefault, c.train, c.normal, c.attacks, model.EvalOptions{Train: limits})
	if err != nil {
		return TrainLimit{}, fmt.Errorf("%s: %w", c.name, err)
	}
	l := TrainLimit{
		Corpus: c.name, Units: e.TrainingUnits, Rows: limits.MaxRows, Vectors: limits.MaxVectors,
		FalsePositives: e.FalsePositives, FalseAlarms: e.FalseAlarms, Normal: e.NormalUnits,
	}
	for to, found := range map[*float64]*float64{&l.F: e.MedianFMeasure, &l.Worst: e.MinFMeasure, &l.Sequence: e.MedianSequenceFMeasure} {
		if found == nil {
			return l, fmt.Errorf("%s: nothing was judged", c.name)
		}
		*to = *found
	}
	p, err := model.TrainTrimmed(engine, joined(c.train...), limits)
	if err != nil {
		return l, fmt.Errorf("%s: %w", c.name, err)
	}
	size, err := profileSize(c.name, p)
	l.Largest = size.Largest
	return l, err
}
