package selection

import (
	"cmp"
	"slices"
)

// Report says what features tell, and at what cost.
type Report struct {
	Score    Score   `json:"score"`    // of the selection
	Cost     Cost    `json:"cost"`     // of the selection
	Selected []Value `json:"selected"` // in the order of the selection
	Others   []Value `json:"others"`   // that vary and were not chosen, the most telling first
}

// Value is what one feature tells and costs. All scores are means over the classes.
type Value struct {
	Name    string  `json:"name"`
	Columns int     `json:"columns"` // that vary, equal ones once
	Alone   float64 `json:"alone"`   // the score of this feature alone
	Pairs   Score   `json:"pairs"`   // of this feature alone, without the held-out score
	// What the score is more with this feature than without it: among the chosen ones up to it, in their order; of a feature that was not
	// chosen, among all the chosen ones.
	Adds   float64 `json:"adds"`
	AddsTo string  `json:"adds_to,omitempty"` // the class whose score rises most by it
	JAdds  float64 `json:"j_adds"`            // the same, of J: chance is not taken off, and it is never negative
	// What the score of the selection loses without this feature; 0 for one that was not chosen.
	Loses         float64 `json:"loses"`
	JLoses        float64 `json:"j_loses"`
	HitsPerSecond float64 `json:"hits_per_second"` // of its own events, mean over the classes
	// What the selection costs for its sake, events that others have already paid for left out; as Adds.
	Cost Cost `json:"added_cost"`
}

// Report looks at a selection and at what was not chosen.
func (p *Problem) Report(features []Feature, rates Rates, chosen []int) Report {
	s := &search{p: p, features: features, rates: rates}
	r := Report{Score: p.Score(s.columns(chosen)), Cost: rates.Cost(s.events(chosen)), Selected: []Value{}, Others: []Value{}}
	for at, i := range chosen {
		v := s.value(i, chosen[:at])
		without := p.score(s.places(slices.Delete(slices.Clone(chosen), at, at+1)))
		v.Loses, v.JLoses = r.Score.Mean-without.Mean, meanJ(r.Score)-meanJ(without)
		r.Selected = append(r.Selected, v)
	}
	for i, f := range features {
		if !slices.Contains(chosen, i) && len(p.places(f.Columns)) > 0 {
			r.Others = append(r.Others, s.value(i, chosen))
		}
	}
	slices.SortStableFunc(r.Others, func(a, b Value) int { return cmp.Compare(b.Alone, a.Alone) })
	return r
}

// value says what a feature tells alone and adds to others.
func (s *search) value(feature int, to []int) Value {
	f := s.features[feature]
	at := s.p.places(f.Columns)
	v := Value{Name: f.Name, Columns: len(at), Pairs: s.p.score(at), HitsPerSecond: s.rates.Cost(f.Events).HitsPerSecond}
	v.Alone = v.Pairs.Mean
	with := append(slices.Clone(to), feature)
	before, after := s.p.score(s.places(to)), s.p.score(s.places(with))
	v.Adds, v.JAdds = after.Mean-before.Mean, meanJ(after)-meanJ(before)
	most := precision
	for i, q := range after.Pairs {
		if gain := q.Score - before.Pairs[i].Score; gain > most {
			most, v.AddsTo = gain, q.Class
		}
	}
	paid := s.events(to)
	more := slices.DeleteFunc(s.events(with), func(e string) bool { return slices.Contains(paid, e) })
	v.Cost = s.rates.Cost(more)
	return v
}

func meanJ(s Score) float64 {
	mean := 0.0
	for _, q := range s.Pairs {
		mean += q.J / float64(len(s.Pairs))
	}
	return mean
}
