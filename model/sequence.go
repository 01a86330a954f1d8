package model

import (
	"math"
	"slices"
	"time"
)

// AlarmsPerDay is how many false alarms a day and domain are accepted unless an operator says otherwise.
const AlarmsPerDay = 1

// perDay is the number of units in a day.
const perDay = float64(24 * time.Hour / Width)

// windowShare is the share of the accepted false alarms that windows of several units may raise; the rest is the
// [Decider]'s.
const windowShare = 0.5

// leaveOut is how improbable a window must be for a closer look at it. It only saves work: no level is above it.
const leaveOut = 0.05

// Sequence judges a guest's units in the order of time, each with those before it: what is weak and lasts, such
// as a body sent in drops every five seconds, does not show in two seconds but over half a minute.
//
// Single units are held against the profile's Level. Windows overlap, so that one that is improbable by chance is
// so for as many units, and raises an alarm: their levels are such that by chance there are as many of these a
// day as are accepted, divided evenly among the views. One odd unit is no alarm (the paper's 5.1), so that a window is only as
// improbable as it is without the unit in it that is the oddest by itself.
//
// Sequence is not safe for concurrent use.
type Sequence struct {
	profile *Profile
	level   []float64   // of each view
	last    int64       // start of the newest unit
	past    []Row       // units in a row up to the newest, at most as many as the longest window; the newest is last
	score   []float64   // of each of past by itself
	spare   []Row       // rows to be used again
	base    []int       // for each view, the one of as many units that looks at all features by themselves
	sums    [][]float64 // of each view of several units, feature by feature: those of its window, or of past while that is shorter
	z       []float64
	coarse  []float64
	without []float64
}

// Sequence returns a judge of units to come, given the false alarms a day that are accepted (0: [AlarmsPerDay]).
func (p *Profile) Sequence(alarmsPerDay float64) *Sequence {
	setDefault(&alarmsPerDay, AlarmsPerDay)
	s := &Sequence{profile: p, level: make([]float64, len(p.Views)), base: make([]int, len(p.Views)), sums: make([][]float64, len(p.Views))}
	single := 0.0
	for i := range p.Views {
		if p.Views[i].Units == 1 {
			single++
		}
	}
	size := 0
	for i := range p.Views {
		v := &p.Views[i]
		size = max(size, v.room())
		if v.Units == 1 {
			s.level[i] = p.Level / single
			continue
		}
		independent := perDay / float64(v.Units)
		s.level[i] = min(alarmsPerDay*windowShare/(float64(len(p.Views))-single)/independent, leaveOut)
	}
	for i := range p.Views {
		units := p.Views[i].Units
		s.base[i] = slices.IndexFunc(p.Views, func(v View) bool { return v.Units == units })
		if units > 1 && s.base[i] == i {
			s.sums[i] = make([]float64, len(p.Features))
		}
	}
	s.z, s.without = make([]float64, size), make([]float64, len(p.Features))
	return s
}

// Forget has the next unit judged by itself, as one that does not follow on those before.
func (s *Sequence) Forget() {
	s.spare = append(s.spare, s.past...)
	s.past, s.score = s.past[:0], s.score[:0]
	for _, sums := range s.sums {
		clear(sums)
	}
}

// mostSummed is where counts are cut off in sums, which are exact so. No guest gets there in two seconds.
const mostSummed = 1 << 40

// Judge gives the verdict on the next unit, which starts at a time on the trace's clock; one that does not follow on the unit before is
// judged by itself. In lossy columns counts are lower bounds: a unit with such is anomalous only if it was so by itself whatever it
// lost ([Profile.Complete]), and no window has it in it. The error is that of [Profile.Judge], and the unit has then not been.
func (s *Sequence) Judge(start int64, values []float64, lossy []Columns) (Verdict, error) {
	if err := s.profile.checkUnit(values); err != nil {
		return Verdict{}, err
	}
	if len(lossy) > 0 {
		s.Forget()
		return s.judgeLossy(values, lossy)
	}
	if len(s.past) > 0 && start-s.last != int64(Width) {
		s.Forget()
	}
	s.last = start
	v := s.profile.judgeAlone(s, values)
	s.keep(start, values, v.Score)
	for i := range s.profile.Views {
		if n := s.profile.Views[i].Units; n > 1 && n <= len(s.past) {
			s.window(i, &v)
		}
	}
	return s.finish(v), nil
}

// judgeLossy judges the most ordinary unit that the one with these counts may have been. That is so for single units, feature
// by feature, only; and of a source that has lost nothing, for its own part.
func (s *Sequence) judgeLossy(values []float64, lossy []Columns) (Verdict, error) {
	completed, err := s.profile.Complete(values, lossy)
	if err != nil {
		return Verdict{}, err
	}
	v := s.profile.judgeFine(s.z, completed)
	v.evidence = math.Log(s.profile.Views[0].Calibration.Tail(v.Score) / s.level[0])
	for i := range s.profile.Views {
		view := &s.profile.Views[i]
		if view.Units > 1 || view.Octaves || view.Part == "" || s.profile.loses(view.Part, lossy) {
			continue
		}
		if evidence := math.Log(s.tail(view, values) / s.level[i]); evidence < v.evidence {
			v.evidence, v.view = evidence, i
		}
	}
	return s.finish(v), nil
}

// finish fills in what follows from the evidence: how far the least probable view is under its level.
func (s *Sequence) finish(v Verdict) Verdict {
	v.evidence += math.Log(s.profile.Level)
	v.Tail = math.Exp(min(v.evidence, 0))
	v.Anomalous = v.evidence <= math.Log(s.profile.Level)
	v.Units = s.profile.Views[v.view].Units
	return v
}

// keep remembers a unit.
func (s *Sequence) keep(start int64, values []float64, score float64) {
	longest := 1
	for i := range s.profile.Views {
		units := s.profile.Views[i].Units
		longest = max(longest, units)
		sums := s.sums[i]
		if sums == nil {
			continue
		}
		if len(s.past) < units {
			for j, x := range values {
				sums[j] += min(x, mostSummed)
			}
			continue
		}
		for j, x := range s.past[len(s.past)-units].Values {
			sums[j] += min(values[j], mostSummed) - min(x, mostSummed)
		}
	}
	var row Row
	switch {
	case len(s.past) >= longest:
		row = s.past[0]
		copy(s.past, s.past[1:])
		copy(s.score, s.score[1:])
		s.past, s.score = s.past[:len(s.past)-1], s.score[:len(s.score)-1]
	case len(s.spare) > 0:
		row = s.spare[len(s.spare)-1]
		s.spare = s.spare[:len(s.spare)-1]
	}
	row.Start, row.Values = start, append(row.Values[:0], values...)
	s.past, s.score = append(s.past, row), append(s.score, score)
}

// window looks at the newest units through a view of several.
func (s *Sequence) window(i int, v *Verdict) {
	view := &s.profile.Views[i]
	from := len(s.past) - view.Units
	sums := s.sums[s.base[i]]
	tail := s.tail(view, sums)
	if tail <= leaveOut {
		odd := from
		for k := from; k < len(s.past); k++ {
			if s.score[k] < s.score[odd] {
				odd = k
			}
		}
		stretch := float64(view.Units) / float64(view.Units-1)
		for j, x := range s.past[odd].Values {
			s.without[j] = (sums[j] - min(x, mostSummed)) * stretch
		}
		tail = max(tail, s.tail(view, s.without))
	}
	if evidence := math.Log(tail / s.level[i]); evidence < v.evidence {
		v.evidence, v.view = evidence, i
	}
}

// tail is how improbable sums are in a view.
func (s *Sequence) tail(view *View, sums []float64) float64 {
	if view.Octaves {
		s.coarse = gather(s.coarse, s.profile.groups, sums)
		sums = s.coarse
	}
	return view.Calibration.Tail(view.score(s.z, sums))
}

// Judge gives the verdict on one unit's counts, in the order of Features, by itself. The
// error wraps [ErrUnit] if values has another length or a value is no count.
func (p *Profile) Judge(values []float64) (Verdict, error) {
	return p.Sequence(0).Judge(0, values, nil)
}

// judgeFine judges a unit feature by feature.
func (p *Profile) judgeFine(z, values []float64) Verdict {
	view := &p.Views[0]
	score := view.score(z, values)
	return Verdict{
		Decision: view.Machine.Rho * math.Expm1(score),
		Score:    score,
		PValue:   view.Calibration.PValue(score),
	}
}

// judgeAlone judges a unit by itself through all views of single ones.
func (p *Profile) judgeAlone(s *Sequence, values []float64) Verdict {
	v := p.judgeFine(s.z, values)
	v.evidence = math.Log(p.Views[0].Calibration.Tail(v.Score) / s.level[0])
	for i := 1; i < len(p.Views); i++ {
		if p.Views[i].Units != 1 {
			continue
		}
		if evidence := math.Log(s.tail(&p.Views[i], values) / s.level[i]); evidence < v.evidence {
			v.evidence, v.view = evidence, i
		}
	}
	return v
}

// Explain says how far each feature is from the usual in the units that the newest verdict is about: the unit
// itself, or the window of several that finds it least probable. The most telling comes first; equally telling ones in the
// profile's order. values are the newest unit's counts.
func (s *Sequence) Explain(v Verdict, values []float64) []Contribution {
	fine := s.base[v.view]
	if s.profile.Views[fine].Units > 1 {
		values = s.sums[fine]
	}
	return s.profile.explain(fine, values)
}
