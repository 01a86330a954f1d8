package cost

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Prediction is what sources will cost a guest.
type Prediction struct {
	// Slowdown is the part of its speed that the guest will lose, 0 to 1, with its interval of 90 %.
	Slowdown float64 `json:"slowdown"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	// Parts are what it is made of, the dearest first.
	Parts []Part `json:"parts,omitempty"`
	// Estimated are the kinds of events whose rates were not known: they were estimated by those that were, as it was when the host was calibrated.
	Estimated []string `json:"estimated,omitempty"`
	// Beyond are the kinds of events whose rates are far above those that were seen at the calibration.
	Beyond []string `json:"beyond,omitempty"`
}

// Part is one coefficient's part in a prediction.
type Part struct {
	Coefficient string  `json:"coefficient"`
	Events      float64 `json:"events_per_second,omitempty"` // 0: it is a fixed one
	Overhead    float64 `json:"overhead"`                    // that it adds, as a part of the time that work takes
}

// farAbove is how many times the highest rate that was observed a rate is beyond what a calibration says much about.
const farAbove = 3

// Predict says what a guest with these rates will lose while sources observe it, beyond what it loses to the sources that run already: what they share costs
// nothing more. Rates are the guest's now. Errors: ErrUnknownSource, ErrUncalibrated, ErrUnknownRate.
func (c *Calibration) Predict(rates Rates, with []string, running ...string) (Prediction, error) {
	if err := rates.check(); err != nil {
		return Prediction{}, fmt.Errorf("predict cost: %w", err)
	}
	all := slices.Concat(running, with)
	if err := c.scheme.known(all); err != nil {
		return Prediction{}, fmt.Errorf("predict cost: %w", err)
	}
	typical, least, most, estimated, err := c.complete(rates, c.scheme.Kinds(with...))
	if err != nil {
		return Prediction{}, fmt.Errorf("predict cost of %v: %w", with, err)
	}
	// Of those that run, only how far they slow the guest already depends on the rates: what cannot be estimated there is no reason to say nothing.
	for _, kind := range c.scheme.Kinds(running...) {
		if _, ok := typical[kind]; ok {
			continue
		}
		if more, _, _, _, err := c.complete(rates, []string{kind}); err == nil {
			typical[kind], least[kind], most[kind] = more[kind], more[kind], more[kind]
		}
	}
	row := c.added(typical, running, all)
	for j, v := range row {
		if k := c.coefficients[j]; v > 0 && !k.Known {
			return Prediction{}, fmt.Errorf("predict cost of %v: %w: nothing was measured of %q on this host: calibrate with it", with, ErrUncalibrated, k.Name)
		}
	}
	if !slices.ContainsFunc(row, func(v float64) bool { return v > 0 }) {
		return Prediction{}, nil // all of it runs already, or there is nothing to count: no price, for certain
	}
	p := Prediction{Estimated: estimated}
	for _, kind := range c.scheme.Kinds(with...) {
		if typical[kind] > farAbove*c.most[kind] {
			p.Beyond = append(p.Beyond, kind)
		}
	}
	overhead := c.overhead(row)
	low, _ := c.between(func(s []float64) float64 { return dot(c.added(least, running, all), s) })
	_, high := c.between(func(s []float64) float64 { return dot(c.added(most, running, all), s) })
	low, high = min(low, overhead), max(high, overhead)
	wide := c.widen * spread(overhead)
	low, high = max(0, low-wide), high+wide
	// The sources that run have slowed the guest already: it is its speed now of which a part is lost.
	base := 1 + c.overhead(c.scheme.row(c.names, typical, running))
	p.Slowdown, p.Low, p.High = overhead/(base+overhead), low/(base+low), high/(base+high)
	p.Parts = c.parts(row, c.added(fixedOnly(typical), running, all))
	return p, nil
}

func fixedOnly(r Rates) Rates {
	zero := make(Rates, len(r))
	for kind := range r {
		zero[kind] = 0
	}
	return zero
}

// added is the row of all sources without what those that run have.
func (c *Calibration) added(rates Rates, running, all []string) []float64 {
	row := c.scheme.row(c.names, rates, all)
	for j, v := range c.scheme.row(c.names, rates, running) {
		row[j] = max(0, row[j]-v)
	}
	return row
}

func (c *Calibration) overhead(row []float64) (sum float64) {
	for j, v := range row {
		sum += v * c.coefficients[j].Value
	}
	return sum
}

func (c *Calibration) parts(row, fixed []float64) []Part {
	var list []Part
	for j, v := range row {
		if o := v * c.coefficients[j].Value; o > 0 {
			list = append(list, Part{Coefficient: c.names[j], Events: v - fixed[j], Overhead: o})
		}
	}
	slices.SortFunc(list, func(a, b Part) int {
		return cmp.Or(cmp.Compare(b.Overhead, a.Overhead), cmp.Compare(a.Coefficient, b.Coefficient))
	})
	return list
}

// ratio is how many events of one kind there were for each of another, in the workloads of the calibration.
type ratio struct {
	of, per            string
	least, usual, most float64
}

// oneEvent is added to rates before they are divided, so that what is idle has a ratio: events a second.
const oneEvent = 1

// ratios are those of all kinds that were observed together.
func ratios(list []Observation) []ratio {
	type pair struct{ of, per string }
	values := make(map[pair][]float64)
	seen := make(map[string]bool)
	for _, x := range list {
		if seen[x.Workload] { // its rates are the same, whatever observed it
			continue
		}
		seen[x.Workload] = true
		for of, a := range x.Rates {
			for per, b := range x.Rates {
				if of != per {
					values[pair{of, per}] = append(values[pair{of, per}], (a+oneEvent)/(b+oneEvent))
				}
			}
		}
	}
	var all []ratio
	for p, v := range values {
		if len(v) < 2 { // of one workload nothing follows for another
			continue
		}
		slices.Sort(v)
		least, most := v[0], v[len(v)-1]
		all = append(all, ratio{p.of, p.per, least, math.Sqrt(least * most), most})
	}
	slices.SortFunc(all, func(a, b ratio) int { return cmp.Or(cmp.Compare(a.of, b.of), cmp.Compare(a.per, b.per)) })
	return all
}

// complete adds rates of the kinds that are needed and not known, by the known one with which the kind went along best, and the least and most that they may be.
func (c *Calibration) complete(rates Rates, needed []string) (typical, least, most Rates, estimated []string, err error) {
	typical, least, most = maps.Clone(rates), maps.Clone(rates), maps.Clone(rates)
	if typical == nil {
		typical, least, most = Rates{}, Rates{}, Rates{}
	}
	for _, kind := range needed {
		if _, ok := rates[kind]; ok {
			continue
		}
		best := -1
		for i, r := range c.ratios {
			if _, ok := rates[r.per]; ok && r.of == kind && (best < 0 || r.most/r.least < c.ratios[best].most/c.ratios[best].least) {
				best = i
			}
		}
		if best < 0 {
			return nil, nil, nil, nil, fmt.Errorf("%w: events a second of kind %q (give it, or observe the guest by something that was calibrated with it)", ErrUnknownRate, kind)
		}
		r := c.ratios[best]
		scale := func(by float64) float64 { return min(max(0, by*(rates[r.per]+oneEvent)-oneEvent), maxRate) }
		typical[kind], least[kind], most[kind] = scale(r.usual), scale(r.least), scale(r.most)
		estimated = append(estimated, kind)
	}
	return typical, least, most, estimated, nil
}
