package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Training is meant to see a guest's normal operation only, but nobody promises that nothing else happened in those ten
// minutes. What stands far out from all the rest of them, for several units near each other, is left out
// (Options.Trim): each unit is scored by machines that learnt from units at least a block away, so that an attack
// cannot vouch for itself, and is far out if its score lies more than farOut spreads under the median. Median and
// spread (median less lower quartile) are those of the bulk and do not move with a few units, however strange.
//
//   - One or two far units in a row, or apart, stay: what a cron job does in one unit of a hundred and fifty is
//     normal, if rare, and machine and threshold are made for single odd units.
//   - Three or more, of which each is at most trimReach units after the one before, are a span, from the first to
//     the last: what would raise an alarm if it happened later.
//   - What happens again elsewhere in the training is not far out: the other time vouches for it. So a job that runs
//     twice is learnt, and so is an attack that comes twice.
//   - More than the share that Options.Trim allows, or more than MaxTrimmed spans, are not a few units that got among
//     normal ones: nothing is learnt then.
const (
	// farOut is how many spreads under the median a score is far out. Of recordings of a guest whose load swings fourfold,
	// with a warming up after boot in it, the lowest score of any normal unit is at 21, and the highest of those that tell of a weak
	// attack at 60.
	farOut = 40
	// strayFar is the least distance of a far score, in costs of a single hit of what never was: a guest whose units
	// are all the same has no spread.
	strayFar = 10
	// seldomOut is how many spreads under the median a score is that a sample should know more of.
	seldomOut = 10
	// trimReach is how far apart in units far ones are that belong to one span.
	trimReach = 5
	// trimLeast is the number of far units that make a span.
	trimLeast = 3
	// trimBlocks is the number of blocks held out in turn. They are few and long, and held out once more shifted
	// by half a block, so that what lasts half a block is in one of them as a whole.
	trimBlocks = 3
)

const (
	// TrimShare is a reasonable Options.Trim: what lasts a minute of ten.
	TrimShare = 0.1
	// MaxTrimmed is the most spans that are left out of one training.
	MaxTrimmed = 16
)

// Span is a time on the trace's clock with the units of a training set in it.
type Span struct {
	From  int64 `json:"from_ns"` // start of the first unit
	To    int64 `json:"to_ns"`   // end of the last unit
	Units int   `json:"units"`
}

// String gives the span's times in UTC.
func (s Span) String() string {
	at := func(ns int64) string { return time.Unix(0, ns).UTC().Format("15:04:05") }
	return fmt.Sprintf("%s to %s UTC", at(s.From), at(s.To))
}

// FarOutError says that more of a training set stands far out from the rest of it than may be left out.
type FarOutError struct {
	Units int     // far out
	Of    int     // all units
	Share float64 // that may be left out
	Spans []Span  // in the order of time, at most MaxTrimmed of them
}

// Error implements error; it says when they were, and what can be done.
func (e *FarOutError) Error() string {
	return fmt.Sprintf("%d of %d units (%.0f %%; up to %.0f %% may be left out) stand far out from the rest, from %s: this is no time to learn from; learn again "+
		"when the guest does only what it should, or, if that was normal, learn over a longer time, in which it happens more than once",
		e.Units, e.Of, 100*float64(e.Units)/float64(e.Of), 100*e.Share, Span{From: e.Spans[0].From, To: e.Spans[len(e.Spans)-1].To})
}

// TrimmedUnits is the number of units that were left out of training because they stood far out.
func (t Training) TrimmedUnits() int {
	n := 0
	for _, s := range t.Trimmed {
		n += s.Units
	}
	return n
}

// Learnt returns those of the rows given to [Train] that were learnt from.
func (t Training) Learnt(rows []Row) []Row {
	if len(t.Trimmed) == 0 {
		return rows
	}
	var learnt []Row
	for _, r := range rows {
		if !slices.ContainsFunc(t.Trimmed, func(s Span) bool { return r.Start >= s.From && r.Start < s.To }) {
			learnt = append(learnt, r)
		}
	}
	return learnt
}

// checkTrimmed verifies the spans of a profile that came from outside.
func (t Training) checkTrimmed() error {
	if len(t.Trimmed) > MaxTrimmed {
		return fmt.Errorf("%d spans were left out, at most %d", len(t.Trimmed), MaxTrimmed)
	}
	end := t.From
	for _, s := range t.Trimmed {
		if s.From < end || s.To <= s.From || s.To > t.To || s.Units < 1 {
			return fmt.Errorf("%d units were left out from %d to %d", s.Units, s.From, s.To)
		}
		end = s.To
	}
	return nil
}

// TrainTrimmed is [Train] that leaves out what stands far out, up to [TrimShare] unless Options.Trim says otherwise. It is for units that were said to be
// normal: where more than that stands far out, and the daemon would refuse, all of them are learnt from.
func TrainTrimmed(engine Engine, d Dataset, o Options) (*Profile, error) {
	setDefault(&o.Trim, TrimShare)
	profile, err := Train(engine, d, o)
	if far := (*FarOutError)(nil); errors.As(err, &far) {
		o.Trim = 0
		profile, err = Train(engine, d, o)
	}
	return profile, err
}

// trim finds the spans of rows that are to be left out, and the starts of those of which samples should know more (see [draw]). The error is a
// *[FarOutError], or an engine's.
func trim(engine Engine, rows []Row, o Options) (left []Span, seldom map[int64]bool, err error) {
	if o.Trim <= 0 {
		return nil, nil, nil
	}
	scores, limit, seldom, err := distant(engine, rows, o)
	if err != nil {
		return nil, nil, fmt.Errorf("look for units that stand far out: %w", err)
	}
	spans := farSpans(rows, func(i int) bool { return scores[i] < limit })
	units := Training{Trimmed: spans}.TrimmedUnits()
	if float64(units) > o.Trim*float64(len(rows)) || len(spans) > MaxTrimmed {
		last := spans[len(spans)-1]
		spans = spans[:min(len(spans), MaxTrimmed)]
		spans[len(spans)-1] = last
		return nil, nil, &FarOutError{Units: units, Of: len(rows), Share: o.Trim, Spans: spans}
	}
	return spans, seldom, nil
}

// farSpans groups the far ones of rows.
func farSpans(rows []Row, far func(i int) bool) []Span {
	var spans []Span
	first, last, count := 0, 0, 0
	end := func() {
		if count >= trimLeast {
			spans = append(spans, Span{From: rows[first].Start, To: rows[last].Start + int64(Width), Units: last - first + 1})
		}
		count = 0
	}
	for i, r := range rows {
		if !far(i) {
			continue
		}
		if count > 0 && r.Start-rows[last].Start > trimReach*int64(Width) {
			end()
		}
		if count == 0 {
			first = i
		}
		last, count = i, count+1
	}
	end()
	return spans
}

// distant scores single units by machines that learnt from none near them, and tells under which score one is far. Of a unit's scores with
// either set of blocks the lower one counts. Where machines learn from samples, it also tells the starts of units that these should have.
func distant(engine Engine, rows []Row, o Options) (scores []float64, limit float64, seldom map[int64]bool, err error) {
	n, stray := len(rows), 0.0 // the largest cost of a single hit of what never was
	scores, seldom = make([]float64, n), map[int64]bool{}
	for i := range scores {
		scores[i] = math.Inf(1)
	}
	for half := range 2 {
		for b := range trimBlocks {
			from, to := (2*b+half)*n/(2*trimBlocks), min((2*b+half+2)*n/(2*trimBlocks), n)
			train := slices.Concat(rows[:max(from-o.Guard, 0)], rows[min(to+o.Guard, n):])
			if len(train) < 2 {
				return nil, 0, nil, &TooFewError{Have: len(train), Need: 2}
			}
			view, err := coarseView(engine, train, o, seldom)
			if err != nil {
				return nil, 0, nil, err
			}
			stray = max(stray, view.strayCost())
			for i, s := range view.scores(rows[from:to]) {
				scores[from+i] = min(scores[from+i], s)
			}
		}
	}
	return scores, farUnder(scores, farOut, stray), seldom, nil
}

// coarseView learns from rows, to score units that are not among them. A sample of rows may lack what happened seldom, and the other time that would vouch for
// what happens twice: what the rows have that is far out from the sample goes into another one, and into seldom.
func coarseView(engine Engine, rows []Row, o Options, seldom map[int64]bool) (v View, err error) {
	if v.Scaling, v.Machine, err = fit(engine, rows, 1, o); err != nil || len(rows) <= o.MaxRows {
		return v, err
	}
	scores := v.scores(rows)
	limit := farUnder(scores, seldomOut, v.strayCost())
	o.seldom = map[int64]bool{}
	for i, r := range rows {
		if scores[i] < limit {
			o.seldom[r.Start], seldom[r.Start] = true, true
		}
	}
	if len(o.seldom) > 0 {
		v.Scaling, v.Machine, err = fit(engine, rows, 1, o)
	}
	return v, err
}

// scores are those of rows.
func (v *View) scores(rows []Row) []float64 {
	scores, z := make([]float64, len(rows)), make([]float64, v.room())
	for i, r := range rows {
		scores[i] = v.score(z, r.Values)
	}
	return scores
}

// farUnder is the score that is so many spreads under the median.
func farUnder(scores []float64, spreads, stray float64) float64 {
	sorted := slices.Sorted(slices.Values(scores))
	median, quartile := sorted[len(sorted)/2], sorted[len(sorted)/4]
	return median - max(spreads*(median-quartile), strayFar*stray)
}
