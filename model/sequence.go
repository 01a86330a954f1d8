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
	level   []float64 // of each view
	last    int64     // start of the newest unit
	past    []kept    // units in a row up to the newest, at most as many as the longest window; the newest is last
	spare   []kept    // to be used again
	longest int       // units of the longest window
	base    []int     // for each view, the one of as many units that looks at all features by themselves
	least   []float64 // for each view, the least evidence that it can tell
	near    []int     // for each view, the support vector that was the nearest when it looked last
	view    int       // that found the newest unit least probable
	sights  []*sight  // of each view, shared by those of as many units: the newest unit, or sums of its window, or of past while that is shorter
	without []*sight  // the same without the oddest unit in it
	z       []float64
}

// kept is a unit that windows have in them.
type kept struct {
	values []float64
	hits   hits
	score  float64 // by itself
}

// Sequence returns a judge of units to come, given the false alarms a day that are accepted (0: [AlarmsPerDay]).
func (p *Profile) Sequence(alarmsPerDay float64) *Sequence {
	setDefault(&alarmsPerDay, AlarmsPerDay)
	n := len(p.Views)
	s := &Sequence{
		profile: p, level: make([]float64, n), base: make([]int, n), near: make([]int, n), least: make([]float64, n), longest: 1,
		sights: p.newSights(), without: p.newSights(),
	}
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
		s.longest = max(s.longest, units)
		s.least[i] = math.Log(leastTail / s.level[i])
		if s.base[i] == i && units > 1 {
			for _, g := range []*sight{s.sights[i], s.without[i]} {
				g.fine.values, g.fine.hits = make([]float64, len(p.Features)), makeHits(len(p.Features))
			}
		}
	}
	s.z = make([]float64, size)
	return s
}

// Forget has the next unit judged by itself, as one that does not follow on those before.
func (s *Sequence) Forget() {
	s.spare = append(s.spare, s.past...)
	s.past = s.past[:0]
	for i := range s.profile.Views {
		if s.base[i] == i && s.profile.Views[i].Units > 1 {
			clear(s.sights[i].fine.values)
		}
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
	s.keep(values)
	v := s.judgeAlone()
	s.past[len(s.past)-1].score = v.Score
	for k := range s.profile.Views {
		// The others have less to say after the one that had most to say of the unit before.
		i := (s.view + k) % len(s.profile.Views)
		if n := s.profile.Views[i].Units; n > 1 && n <= len(s.past) {
			s.window(i, &v)
		}
	}
	s.view = v.view
	return s.finish(v), nil
}

// judgeLossy judges the most ordinary unit that the one with these counts may have been. That is so for single units, feature
// by feature, only; and of a source that has lost nothing, for its own part.
func (s *Sequence) judgeLossy(values []float64, lossy []Columns) (Verdict, error) {
	completed, err := s.profile.Complete(values, lossy)
	if err != nil {
		return Verdict{}, err
	}
	z, room := s.profile.Views[0].scale(s.z, completed)
	v := s.profile.judgeFine(z, room)
	v.evidence = math.Log(s.profile.Views[0].Calibration.Tail(v.Score) / s.level[0])
	for i := range s.profile.Views {
		view := &s.profile.Views[i]
		if view.Units > 1 || view.Octaves || view.Part == "" || s.profile.loses(view.Part, lossy) {
			continue
		}
		v.hear(i, math.Log(view.Calibration.Tail(view.score(s.z, values))/s.level[i]))
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

// keep remembers a unit, and has all views look at what is up to it.
func (s *Sequence) keep(values []float64) {
	var unit kept
	switch {
	case len(s.past) >= s.longest:
		unit = s.past[0] // no view has it in its window any more, once it is taken from the sums below
	case len(s.spare) > 0:
		unit = s.spare[len(s.spare)-1]
		s.spare = s.spare[:len(s.spare)-1]
	default:
		unit.hits = makeHits(len(values))
	}
	for i := range s.profile.Views {
		if units := s.profile.Views[i].Units; units > 1 && s.base[i] == i && len(s.past) >= units {
			s.sights[i].take(&s.past[len(s.past)-units])
		}
	}
	if len(s.past) >= s.longest {
		copy(s.past, s.past[1:])
		s.past = s.past[:len(s.past)-1]
	}
	unit.values = append(unit.values[:0], values...)
	unit.hits.read(values)
	s.past = append(s.past, unit)
	for i := range s.profile.Views {
		if s.base[i] != i {
			continue
		}
		g, units := s.sights[i], s.profile.Views[i].Units
		if g.changed(); units == 1 {
			g.fine.values, g.fine.hits = unit.values, unit.hits
			continue
		}
		g.add(&unit)
		clear(g.fine.hits)
		for _, k := range s.past[max(0, len(s.past)-units):] {
			for w, word := range k.hits {
				g.fine.hits[w] |= word
			}
		}
	}
	for _, g := range s.without {
		g.missing = -1
	}
}

// window looks at the newest units through a view of several.
func (s *Sequence) window(i int, v *Verdict) {
	view := &s.profile.Views[i]
	g := s.sights[i]
	tail, ok := s.tailUnder(i, g, v)
	if !ok {
		return
	}
	if tail <= leaveOut {
		odd := len(s.past) - view.Units
		for k := odd; k < len(s.past); k++ {
			if s.past[k].score < s.past[odd].score {
				odd = k
			}
		}
		s.without[i].leave(odd, &s.past[odd], g, float64(view.Units)/float64(view.Units-1))
		without, ok := s.tailUnder(i, s.without[i], v)
		if !ok {
			return
		}
		tail = max(tail, without)
	}
	v.hear(i, math.Log(tail/s.level[i]))
}

// hear takes what a view says; of two that say the same the first one of the profile counts.
func (v *Verdict) hear(view int, evidence float64) {
	if evidence < v.evidence || evidence == v.evidence && view < v.view {
		v.evidence, v.view = evidence, view
	}
}

// tailUnder is how improbable a sight is in a view. ok is false where that is no news beside v, which mostly shows without a look at each support
// vector.
func (s *Sequence) tailUnder(i int, g *sight, v *Verdict) (tail float64, ok bool) {
	if s.least[i] > v.evidence || s.least[i] == v.evidence && i >= v.view {
		return 0, false
	}
	view := &s.profile.Views[i]
	most := s.level[i] * math.Exp(v.evidence) * (1 + 1e-9) // so that rounding hides none that says the same
	z, room := s.profile.see(view, g.of(s.profile, view), s.z)
	if view.Calibration.Tail(view.Machine.leastScore(z, s.near[i])) > most {
		return 0, false
	}
	score, nearest := view.Machine.scoreNear(z, room)
	s.near[i] = nearest
	tail = view.Calibration.Tail(score)
	return tail, tail <= most
}

// Judge gives the verdict on one unit's counts, in the order of Features, by itself. The
// error wraps [ErrUnit] if values has another length or a value is no count.
func (p *Profile) Judge(values []float64) (Verdict, error) {
	return p.Sequence(0).Judge(0, values, nil)
}

// judgeFine judges a unit feature by feature, as it is scaled. room has a place for each support vector.
func (p *Profile) judgeFine(scaled, room []float64) Verdict {
	view := &p.Views[0]
	score := view.Machine.scoreIn(scaled, room)
	return Verdict{
		Decision: view.Machine.Rho * math.Expm1(score),
		Score:    score,
		PValue:   view.Calibration.PValue(score),
	}
}

// judgeAlone judges the newest unit by itself through all views of single ones.
func (s *Sequence) judgeAlone() Verdict {
	p, g := s.profile, s.sights[0]
	v := p.judgeFine(p.see(&p.Views[0], &g.fine, s.z))
	v.evidence = math.Log(p.Views[0].Calibration.Tail(v.Score) / s.level[0])
	for i := 1; i < len(p.Views); i++ {
		if p.Views[i].Units != 1 {
			continue
		}
		if tail, ok := s.tailUnder(i, g, &v); ok {
			v.hear(i, math.Log(tail/s.level[i]))
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
		values = s.sights[fine].fine.values
	}
	return s.profile.explain(fine, values)
}
