package selection

// Score says how well some columns tell the classes from the reference.
type Score struct {
	Pairs []PairScore `json:"classes"`
	Mean  float64     `json:"mean"`  // of the pairs' scores
	Least float64     `json:"least"` // of the pairs' scores
}

// PairScore says how well some columns tell one class from the reference.
type PairScore struct {
	Class string  `json:"name"`
	J     float64 `json:"j"`     // Fisher's criterion, 0 or more
	Score float64 `json:"score"` // that of J less chance: within 0 and 1
	// HeldOut is the score of the direction that is learnt from the first half of both classes' units, on their second half, and the other
	// way round: the mean. nil where a class has fewer than 4 units, or it was not asked for.
	HeldOut *float64 `json:"held_out,omitempty"`
}

// Score returns how well the columns, by their indices, tell the classes apart.
func (p *Problem) Score(columns []int) Score {
	at := p.places(columns)
	s := p.score(at)
	for i, q := range p.pairs {
		if len(q.halves) == 0 {
			continue
		}
		first := q.halves[0].direction(at)
		second := q.halves[1].direction(at)
		mean := (bounded(q.halves[1].along(at, first)) + bounded(q.halves[0].along(at, second))) / 2
		s.Pairs[i].HeldOut = &mean
	}
	return s
}

// score is Score without the held-out one.
func (p *Problem) score(at []int) Score {
	s := Score{Least: 1}
	for _, q := range p.pairs {
		j, sure := q.whole.best(at)
		r := PairScore{Class: q.class, J: j, Score: bounded(sure)}
		s.Pairs = append(s.Pairs, r)
		s.Mean += r.Score / float64(len(p.pairs))
		s.Least = min(s.Least, r.Score)
	}
	return s
}

// bounded turns J into a score.
func bounded(j float64) float64 { return j / (j + 2) }
