package cost

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

const (
	// draws is how many bootstrap samples give the intervals.
	draws = 200
	// foldDraws is the same where a part is held out to see how far the intervals err.
	foldDraws = 50
	// mostFolds bounds how often a fit is made anew with a part held out.
	mostFolds = 12
	// huber is where Huber's weights begin to fall, in standard deviations: 95 % efficient where errors are normal (Huber, Robust Statistics, 1981).
	huber = 1.345
	// noise is the least standard error that an observation of a guest's overhead is believed to have, and share that of a large one, as part of it.
	noise = 0.005
	share = 0.1
	// reweighed is how often weights are found anew at most: they settle within some steps, or all but swing between two sets.
	reweighed = 12
	// sampleReweighed is the same for a sample, of which there are many, and whose own scatter is far greater than what the last steps change.
	sampleReweighed = 4
	// leastRate is how many events a second of a kind must have been observed, with some workload, to say what one costs. Of fewer, the noise of a guest that
	// hardly has any would be taken for their price.
	leastRate = 100
	// level is that of intervals.
	level = 0.90
)

// Coefficient is what was fitted of one.
type Coefficient struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"` // seconds for each event, or seconds a second
	Low   float64 `json:"low"`   // of its interval of 90 %, by bootstrap
	High  float64 `json:"high"`
	// Known says that there were observations that this is a part of.
	Known bool `json:"known"`
}

// Calibration is what things cost on one host. It does not change, and several goroutines may use it.
type Calibration struct {
	scheme       Scheme
	observed     Observations
	coefficients []Coefficient
	names        []string    // of coefficients
	samples      [][]float64 // of the coefficients, by bootstrap
	widen        float64     // by how many times spread intervals go beyond the bootstrap's
	ratios       []ratio
	most         Rates // highest rates that were observed
}

// Fit fits the coefficients of a scheme to observations that are not held out, and finds how far predictions err where a workload or a combination of sources
// is new. Errors name what is missing; the same observations give the same calibration.
func Fit(s Scheme, o Observations) (*Calibration, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("fit costs: %w", err)
	}
	for i := range o.List {
		if err := o.List[i].check(); err != nil {
			return nil, fmt.Errorf("fit costs: observation %d: %w", i+1, err)
		}
		if err := s.known(o.List[i].Sources); err != nil {
			return nil, fmt.Errorf("fit costs: observation %d: %w", i+1, err)
		}
		if err := s.measured(&o.List[i]); err != nil {
			return nil, fmt.Errorf("fit costs: observation %d: %w", i+1, err)
		}
	}
	list, _ := o.Split()
	if len(list) < 3 {
		return nil, fmt.Errorf("fit costs: %d observations that are not held out, want 3 at least: calibrate for longer", len(list))
	}
	c := &Calibration{scheme: s, observed: o, names: s.Coefficients(), most: make(Rates)}
	all := c.problem(list)
	values, err := all.solve(reweighed)
	if err != nil {
		return nil, fmt.Errorf("fit costs: %w", err)
	}
	if c.samples, err = all.bootstrap(draws); err != nil {
		return nil, fmt.Errorf("fit costs: %w", err)
	}
	for j, name := range c.names {
		low, high := c.between(func(sample []float64) float64 { return sample[j] })
		c.coefficients = append(c.coefficients, Coefficient{
			Name: name, Value: values[j], Low: min(low, values[j]), High: max(high, values[j]),
			Known: all.known()[j],
		})
	}
	if c.widen, err = c.conform(list); err != nil {
		return nil, fmt.Errorf("fit costs: %w", err)
	}
	for _, x := range list {
		for kind, rate := range x.Rates {
			c.most[kind] = max(c.most[kind], rate)
		}
	}
	c.ratios = ratios(list)
	return c, nil
}

// measured refuses an observation of which it is not known how many events there were that its sources see.
func (s Scheme) measured(o *Observation) error {
	for _, kind := range s.Kinds(o.Sources...) {
		if _, ok := o.Rates[kind]; !ok {
			return fmt.Errorf("%w: workload %s has no rate of kind %q, which %v see", ErrUnknownRate, o.Workload, kind, o.Sources)
		}
	}
	return nil
}

// Learn fits again with observations that were made since, such as the measured price of an action. Rates that are not known are estimated, as Predict does. Of
// what was learnt so, the oldest goes where there would be too much; what the host was calibrated with stays. It takes a second or so.
func (c *Calibration) Learn(more ...Observation) (*Calibration, error) {
	o := c.observed
	o.List = slices.Clone(o.List)
	for i, x := range more {
		rates, _, _, _, err := c.complete(x.Rates, c.scheme.Kinds(x.Sources...))
		if err != nil {
			return nil, fmt.Errorf("learn costs: observation %d: %w", i+1, err)
		}
		x.Rates, x.Learnt = rates, true
		o.List = append(o.List, x)
	}
	learnt := 0
	for _, x := range o.List {
		if x.Learnt {
			learnt++
		}
	}
	o.List = slices.DeleteFunc(o.List, func(x Observation) bool {
		drop := x.Learnt && learnt > maxLearnt
		if drop {
			learnt--
		}
		return drop
	})
	return Fit(c.scheme, o)
}

// maxLearnt is how many observations a calibration keeps as it learns.
const maxLearnt = 200

// problem is one of least squares.
type problem struct {
	rows     [][]float64
	overhead []float64
	weight   []float64 // 1 over the standard error
	group    []string  // observations of one group are not independent of each other
	workload []string
	cols     int
	least    []float64 // of each column: what a row must have at least that anything follows of the column
}

func (c *Calibration) problem(list []Observation) *problem {
	p := &problem{cols: len(c.names), least: make([]float64, len(c.names))}
	for _, t := range c.scheme {
		if at, ok := slices.BinarySearch(c.names, t.Coefficient); ok && t.Kind != "" {
			p.least[at] = leastRate
		}
	}
	for _, x := range list {
		sources := slices.Sorted(slices.Values(x.Sources))
		p.rows = append(p.rows, c.scheme.row(c.names, x.Rates, sources))
		p.overhead = append(p.overhead, x.Overhead)
		p.weight = append(p.weight, 1/math.Sqrt(noise*noise+x.Error*x.Error+square(share*max(x.Overhead, 0))))
		p.group = append(p.group, x.Workload+"\x00"+strings.Join(sources, "\x00"))
		p.workload = append(p.workload, x.Workload)
	}
	return p
}

func square(x float64) float64 { return x * x }

// pick is the problem with some of the rows, of which one may be there several times.
func (p *problem) pick(at []int) *problem {
	q := &problem{cols: p.cols, least: p.least}
	for _, i := range at {
		q.rows, q.overhead, q.weight = append(q.rows, p.rows[i]), append(q.overhead, p.overhead[i]), append(q.weight, p.weight[i])
		q.group, q.workload = append(q.group, p.group[i]), append(q.workload, p.workload[i])
	}
	return q
}

// known are the columns of which anything follows.
func (p *problem) known() []bool {
	known := make([]bool, p.cols)
	for _, row := range p.rows {
		for j, v := range row {
			known[j] = known[j] || v > 0 && v >= p.least[j]
		}
	}
	return known
}

// solve finds the coefficients by non-negative least squares with Huber's weights, found anew until they stay, in so many steps at most.
func (p *problem) solve(steps int) ([]float64, error) {
	robust := make([]float64, len(p.rows))
	for i := range robust {
		robust[i] = 1
	}
	var x []float64
	known := p.known()
	for range steps {
		a, b := mat.NewDense(len(p.rows), p.cols, nil), make([]float64, len(p.rows))
		for i, row := range p.rows {
			w := p.weight[i] * math.Sqrt(robust[i])
			for j, v := range row {
				if known[j] {
					a.Set(i, j, w*v)
				}
			}
			b[i] = w * p.overhead[i]
		}
		next, err := nnls(a, b)
		if err != nil {
			return nil, err
		}
		settled := x != nil
		for j := range next {
			settled = settled && math.Abs(next[j]-x[j]) <= 1e-4*(math.Abs(next[j])+1e-12)
		}
		if x = next; settled {
			break
		}
		p.reweigh(robust, x)
	}
	return x, nil
}

// reweigh sets Huber's weights by the residuals, in units of their robust standard deviation.
func (p *problem) reweigh(robust, x []float64) {
	residuals := make([]float64, len(p.rows))
	for i, row := range p.rows {
		residuals[i] = math.Abs(p.weight[i] * (p.overhead[i] - dot(row, x)))
	}
	sorted := slices.Sorted(slices.Values(residuals))
	deviation := max(1.4826*stat.Quantile(0.5, stat.Empirical, sorted, nil), 0.5)
	for i, r := range residuals {
		robust[i] = 1
		if r > huber*deviation {
			robust[i] = huber * deviation / r
		}
	}
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// bootstrap fits to samples of the observations, drawn with replacement by groups.
func (p *problem) bootstrap(n int) ([][]float64, error) {
	groups := make(map[string][]int)
	var names []string
	for i, g := range p.group {
		if groups[g] == nil {
			names = append(names, g)
		}
		groups[g] = append(groups[g], i)
	}
	random := rand.New(rand.NewPCG(1, uint64(len(p.rows)))) //nolint:gosec // a sample, and the same each time
	list := make([][]float64, 0, n)
	for range n {
		var at []int
		for range names {
			of := groups[names[random.IntN(len(names))]]
			for range of {
				at = append(at, of[random.IntN(len(of))])
			}
		}
		x, err := p.pick(at).solve(sampleReweighed)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, nil
}

// between is the interval of what samples of the coefficients give.
func (c *Calibration) between(of func(sample []float64) float64) (low, high float64) {
	return quantiles(c.samples, of)
}

func quantiles(samples [][]float64, of func(sample []float64) float64) (low, high float64) {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return stat.Quantile((1-level)/2, stat.Empirical, values, nil), stat.Quantile((1+level)/2, stat.Empirical, values, nil)
}

// spread is what an interval is widened in steps of: the same for prices that are small, and in proportion for those that are not.
func spread(overhead float64) float64 { return noise + share*max(overhead, 0) }

// errFolds says that nothing can be held out.
var errFolds = errors.New("too few workloads and combinations of sources to hold any out: calibrate with more")

// conform finds by how many times spread the bootstrap's intervals must be widened so that, of observations of workloads and combinations that were held out,
// as many lie inside as should (conformalised quantile regression: Romano, Patterson, Candès, Advances in Neural Information Processing Systems 32, 2019; here
// with folds, as Vovk's cross-conformal predictors have them).
func (c *Calibration) conform(list []Observation) (float64, error) {
	p := c.problem(list)
	var scores []float64
	for _, by := range [][]string{p.workload, p.group} {
		folds := foldsOf(by)
		if len(folds) < 2 {
			continue
		}
		for _, held := range folds {
			found, err := p.misses(held)
			if err != nil {
				return 0, err
			}
			scores = append(scores, found...)
		}
	}
	if len(scores) == 0 {
		return 0, errFolds
	}
	slices.Sort(scores)
	at := int(math.Ceil(level*float64(len(scores)+1))) - 1
	return max(0, scores[min(at, len(scores)-1)]), nil
}

// foldsOf are the indices of each group's members, in at most mostFolds parts.
func foldsOf(by []string) [][]int {
	names := slices.Compact(slices.Sorted(slices.Values(by)))
	folds := make([][]int, min(len(names), mostFolds))
	for i, name := range by {
		at, _ := slices.BinarySearch(names, name)
		folds[at%len(folds)] = append(folds[at%len(folds)], i)
	}
	return folds
}

// misses fits without some of the rows, and says how far beyond its bootstrap interval each of these is, in units of spread; less than 0: within.
// What depends on coefficients that the rest says nothing of is left out: no prediction would be made of it.
func (p *problem) misses(held []int) ([]float64, error) {
	var rest []int
	for i := range p.rows {
		if !slices.Contains(held, i) {
			rest = append(rest, i)
		}
	}
	q := p.pick(rest)
	known := q.known()
	value, err := q.solve(reweighed)
	if err != nil {
		return nil, err
	}
	samples, err := q.bootstrap(foldDraws)
	if err != nil {
		return nil, err
	}
	var list []float64
	for _, i := range held {
		// What is below 0 is noise and counts as 0, as it does where predictions are judged.
		row, y := p.rows[i], max(0, p.overhead[i])
		ok := true
		for j, v := range row {
			ok = ok && (v == 0 || known[j])
		}
		if !ok {
			continue
		}
		low, high := quantiles(samples, func(s []float64) float64 { return dot(row, s) })
		center := dot(row, value)
		low, high = min(low, center), max(high, center)
		list = append(list, max(low-y, y-high)/spread(center))
	}
	return list, nil
}

// Coefficients returns what was fitted, by name. The slice is the caller's.
func (c *Calibration) Coefficients() []Coefficient {
	list := slices.Clone(c.coefficients)
	slices.SortFunc(list, func(a, b Coefficient) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Observations returns what was fitted to, and what was held out. The caller must not change it.
func (c *Calibration) Observations() Observations { return c.observed }

// Scheme returns the terms. The caller must not change them.
func (c *Calibration) Scheme() Scheme { return c.scheme }

// Widened returns how far intervals go beyond the bootstrap's: so many times half a point and a tenth of the overhead.
func (c *Calibration) Widened() float64 { return c.widen }
