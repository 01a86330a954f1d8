package selection

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// LeastGain is what a feature must add to the score, less its price, where it is left to the search how many are chosen.
const LeastGain = 0.005

// Goal says what is wanted.
type Goal struct {
	Size    int     // how many features; 0: as many as add [LeastGain]
	MaxCost float64 // share of the guest's time that the selection may cost in the class where it costs most; 0: any
	Price   float64 // the score that 1 % of the guest's time, as a mean over the classes, must be worth; 0: of equal scores the cheaper
}

// search is the state of one search.
type search struct {
	p        *Problem
	features []Feature
	rates    Rates
	goal     Goal
	known    map[string]worth // of selections that were looked at
}

// worth is how good a selection is.
type worth struct {
	score, value float64 // value: the score less the price
	cost         Cost
}

// Select returns the indices of the features that are chosen, in the order of what they add to those before. The goal's size is not reached
// where the cost forbids it. Errors are of kind [ErrGoal] or [ErrClasses].
func (p *Problem) Select(features []Feature, rates Rates, goal Goal) ([]int, error) {
	if err := goal.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGoal, err)
	}
	if err := rates.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClasses, err)
	}
	var open []int // features with a column that varies
	for i, f := range features {
		if len(p.places(f.Columns)) > 0 {
			open = append(open, i)
		}
	}
	switch {
	case len(open) == 0:
		return nil, fmt.Errorf("%w: no feature varies, over all classes: record while something happens, or use another feature set", ErrGoal)
	case goal.Size > len(open):
		return nil, fmt.Errorf("%w: %d features are wanted, and %d of %d vary: ask for fewer", ErrGoal, goal.Size, len(open), len(features))
	}
	s := &search{p: p, features: features, rates: rates, goal: goal, known: map[string]worth{}}
	chosen := s.grow(open)
	if goal.MaxCost > 0 {
		// What tells most may leave nothing for others that together tell more.
		if thrifty := s.thrifty(open); better(s.worth(thrifty), s.worth(chosen)) {
			chosen = thrifty
		}
	}
	if goal.Size == 0 {
		chosen = s.prune(chosen)
	}
	switch {
	case len(chosen) > 0:
		return s.order(chosen), nil
	case goal.MaxCost > 0 && !slices.ContainsFunc(open, func(i int) bool { return s.affordable(s.worth([]int{i})) }):
		at := slices.MinFunc(open, func(a, b int) int { return cmp.Compare(s.worst(a), s.worst(b)) })
		return nil, fmt.Errorf("%w: none costs at most %.3g %% of the guest's time: the cheapest, %s, costs %.3g %%: allow that", ErrGoal,
			100*goal.MaxCost, features[at].Name, 100*s.worst(at))
	}
	return nil, fmt.Errorf("%w: no feature that may be chosen tells the classes apart by more than chance (a score of %g after its price): "+
		"record for longer, use another feature set, or say how many are wanted", ErrGoal, LeastGain)
}

func (g Goal) check() error {
	switch {
	case g.Size < 0:
		return fmt.Errorf("%d features are wanted: want 1 or more, or 0 for as many as help", g.Size)
	case !(g.MaxCost >= 0 && g.MaxCost <= 1):
		return fmt.Errorf("a cost of at most %v of the guest's time: want a share within 0 and 1", g.MaxCost)
	case !(g.Price >= 0 && g.Price <= math.MaxFloat64):
		return fmt.Errorf("a price of %v: want 0 or more", g.Price)
	}
	return nil
}

// worth looks at a selection.
func (s *search) worth(chosen []int) worth {
	key := fmt.Sprint(slices.Sorted(slices.Values(chosen)))
	if w, ok := s.known[key]; ok {
		return w
	}
	w := worth{score: s.p.score(s.places(chosen)).Mean, cost: s.rates.Cost(s.events(chosen))}
	w.value = w.score - s.goal.Price*100*w.cost.Share
	s.known[key] = w
	return w
}

func (s *search) places(chosen []int) []int {
	return s.p.places(s.columns(chosen))
}

func (s *search) columns(chosen []int) []int {
	var columns []int
	for _, i := range chosen {
		columns = append(columns, s.features[i].Columns...)
	}
	return columns
}

func (s *search) events(chosen []int) []string {
	var list []Feature
	for _, i := range chosen {
		list = append(list, s.features[i])
	}
	return Events(list)
}

func (s *search) worst(feature int) float64 { return s.worth([]int{feature}).cost.WorstShare }

func (s *search) affordable(w worth) bool {
	return s.goal.MaxCost == 0 || w.cost.WorstShare <= s.goal.MaxCost
}

// precision is below which values are equal: solving equations in another order changes the last digits.
const precision = 1e-9

// better tells whether a is better than b: of more value, or of the same and cheaper.
func better(a, b worth) bool {
	if x, y := math.Round(a.value/precision), math.Round(b.value/precision); x != y {
		return x > y
	}
	return a.cost.Share < b.cost.Share*(1-precision)
}

// grow adds the best feature and exchanges others, until there are enough.
func (s *search) grow(open []int) []int {
	var chosen []int
	now := s.worth(nil)
	for s.wanting(open, chosen) {
		next, w := s.bestOf(open, chosen, len(chosen))
		if next == nil || s.goal.Size == 0 && w.value-now.value < LeastGain {
			break
		}
		chosen, now = s.exchange(open, next, w)
	}
	return chosen
}

// thrifty adds what tells most for its cost, and exchanges features at the end. Together with grow it finds at least a fixed share of what can be had for a
// budget, where features do not help one another (Leskovec et al., Cost-effective outbreak detection in networks, KDD 2007).
func (s *search) thrifty(open []int) []int {
	var chosen []int
	for s.wanting(open, chosen) {
		next := s.mostForCost(open, chosen)
		if next == nil {
			break
		}
		chosen = next
	}
	chosen, _ = s.exchange(open, chosen, s.worth(chosen))
	return chosen
}

func (s *search) wanting(open, chosen []int) bool {
	return len(chosen) < len(open) && (s.goal.Size == 0 || len(chosen) < s.goal.Size)
}

// bestOf returns the best selection that has another feature at an index of chosen, or one more at its end; nil if none may be taken.
func (s *search) bestOf(open, chosen []int, at int) (best []int, w worth) {
	for _, i := range open {
		if slices.Contains(chosen, i) {
			continue
		}
		next := append(slices.Clone(chosen[:at]), i)
		if at < len(chosen) {
			next = append(next, chosen[at+1:]...)
		}
		if x := s.worth(next); s.affordable(x) && (best == nil || better(x, w)) {
			best, w = next, x
		}
	}
	return best, w
}

// mostForCost returns chosen with one more feature, that which adds most for what it costs more; nil if none adds anything that may be taken.
func (s *search) mostForCost(open, chosen []int) (best []int) {
	now, most := s.worth(chosen), 0.0
	for _, i := range open {
		if slices.Contains(chosen, i) {
			continue
		}
		next := append(slices.Clone(chosen), i)
		w := s.worth(next)
		gain := (w.score - now.score) / max(w.cost.Share-now.cost.Share, 1e-12)
		if s.affordable(w) && gain > most {
			best, most = next, gain
		}
	}
	return best
}

// exchange exchanges one feature after the other for a better one, as long as there is any.
func (s *search) exchange(open, chosen []int, w worth) ([]int, worth) {
	for changed := true; changed; {
		changed = false
		for at := range chosen {
			if next, x := s.bestOf(open, chosen, at); next != nil && better(x, w) {
				chosen, w, changed = next, x, true
			}
		}
	}
	return chosen, w
}

// prune leaves out what adds less than LeastGain to the others, the least first.
func (s *search) prune(chosen []int) []int {
	for len(chosen) > 0 {
		var best []int
		var w worth
		for at := range chosen {
			next := slices.Delete(slices.Clone(chosen), at, at+1)
			if x := s.worth(next); best == nil || better(x, w) {
				best, w = next, x
			}
		}
		if s.worth(chosen).value-w.value >= LeastGain {
			break
		}
		chosen = best
	}
	return chosen
}

// order puts the best feature first, then the one that adds most to it, and so on.
func (s *search) order(chosen []int) []int {
	var ordered []int
	for len(ordered) < len(chosen) {
		var w worth
		best := -1
		for _, i := range chosen {
			if slices.Contains(ordered, i) {
				continue
			}
			if x := s.worth(append(slices.Clone(ordered), i)); best < 0 || better(x, w) {
				best, w = i, x
			}
		}
		ordered = append(ordered, best)
	}
	return ordered
}
