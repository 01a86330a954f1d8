package evaluation

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/virtsentry/virtsentry/model"
)

// quiet is how many units in a row must be quiet to end an alarm, as the daemon has it.
const quiet = 60

// decided is the daemon's state machine as a rule.
type decided struct{ *model.Decider }

func newDecided(c model.DeciderConfig) decided {
	d, err := model.NewDecider(c)
	if err != nil {
		panic(err) // the numbers are this package's own
	}
	return decided{d}
}

func ours() model.Rule { return newDecided(model.DeciderConfig{}) }

// Observe implements model.Rule.
func (d decided) Observe(v model.Verdict, lossy bool) model.State {
	return d.Decider.Observe(v.Anomalous, lossy)
}

// unitRule takes a unit's verdict for the state.
type unitRule struct{}

// Reset implements model.Rule.
func (*unitRule) Reset() {}

// Observe implements model.Rule.
func (*unitRule) Observe(v model.Verdict, _ bool) model.State {
	if v.Anomalous {
		return model.Anomalous
	}
	return model.Normal
}

// votes is k of n by the units' own verdicts.
type votes struct {
	need, of int
	recent   []bool
	hold     hold
}

// Reset implements model.Rule.
func (r *votes) Reset() { r.recent, r.hold = nil, hold{} }

// Observe implements model.Rule.
func (r *votes) Observe(v model.Verdict, lossy bool) model.State {
	if lossy && !v.Anomalous {
		return r.hold.state()
	}
	r.recent = append(r.recent, v.Anomalous)
	r.recent = r.recent[max(0, len(r.recent)-r.of):]
	count := 0
	for _, anomalous := range r.recent {
		if anomalous {
			count++
		}
	}
	return r.hold.observe(count >= r.need, v.Anomalous)
}

// hold keeps an alarm up until so many units in a row were quiet.
type hold struct {
	on    bool
	quiet int
}

func (h *hold) observe(alarm, anomalous bool) model.State {
	switch {
	case alarm:
		h.on, h.quiet = true, 0
	case anomalous:
		h.quiet = 0
	default:
		h.quiet++
	}
	if h.on && h.quiet >= quiet {
		*h = hold{}
	}
	return h.state()
}

func (h *hold) state() model.State {
	if h.on {
		return model.Anomalous
	}
	return model.Normal
}

// statistic is what a rule watches: it is high where units are improbable.
type statistic interface {
	reset()
	// add takes -ln p of the next unit. A statistic need not go on beyond limit, from which on there is an alarm, and below it need not be
	// told but where the limit is infinite.
	add(x, limit float64) float64
}

// most is the -ln p above which a unit counts no more in a sum: that of a unit at the profile's level, so that
// one odd unit by itself is no alarm.
var most = -math.Log(0.002)

// last is the unit itself.
type last struct{}

func (last) reset()                   {}
func (last) add(x, _ float64) float64 { return x }

// kth is the k-th largest -ln p among the last n units: k of n are anomalous at that level.
type kth struct {
	k, n   int
	recent []float64
	sorted []float64
}

func (s *kth) reset() { s.recent = s.recent[:0] }

func (s *kth) add(x, limit float64) float64 {
	if len(s.recent) == s.n {
		copy(s.recent, s.recent[1:])
		s.recent = s.recent[:s.n-1]
	}
	s.recent = append(s.recent, x)
	count := 0
	for _, x := range s.recent {
		if x >= limit {
			count++
		}
	}
	if len(s.recent) < s.k || count < s.k && !math.IsInf(limit, 1) {
		return 0 // below the limit is all that is asked
	}
	s.sorted = append(s.sorted[:0], s.recent...)
	slices.Sort(s.sorted)
	return s.sorted[len(s.sorted)-s.k]
}

// cusum is Page's cumulative sum ("Continuous inspection schemes", Biometrika 41, 1954) of -ln p, which is exponential of mean 1
// for a normal guest's independent units, against one of a greater mean m: the reference is m ln m / (m - 1).
type cusum struct{ mean, sum float64 }

func (s *cusum) reset() { s.sum = 0 }

func (s *cusum) add(x, limit float64) float64 {
	s.sum = max(0, s.sum+min(x, most)-s.mean*math.Log(s.mean)/(s.mean-1))
	s.sum = min(s.sum, limit) // so that an alarm can end
	return s.sum
}

// ewma is Roberts' moving average ("Control chart tests based on geometric moving averages", Technometrics 1, 1959) of -ln p.
type ewma struct{ weight, mean float64 }

func (s *ewma) reset() { s.mean = 1 }

func (s *ewma) add(x, _ float64) float64 {
	s.mean += s.weight * (min(x, most) - s.mean)
	return s.mean
}

// above is a rule: a statistic over a limit.
type above struct {
	statistic
	limit float64
	hold  hold
	peak  float64 // the greatest value so far, resets included
}

// Reset implements model.Rule.
func (r *above) Reset() {
	r.reset()
	r.hold = hold{}
}

// Observe implements model.Rule.
func (r *above) Observe(v model.Verdict, lossy bool) model.State {
	if lossy && !v.Anomalous {
		return r.hold.state()
	}
	s := r.add(-math.Log(v.Tail), r.limit)
	r.peak = max(r.peak, s)
	return r.hold.observe(s >= r.limit, v.Anomalous)
}

// unitsPerDay is the number of units in a day.
const unitsPerDay = 43200

// simulatedDays is how long a limit is tried unless Data says otherwise.
const simulatedDays = 100

// limitFor finds the limit at which a statistic over independent p-values, uniform in (0, 1), raises
// one alarm a day in so many days; it begins anew after each.
func limitFor(s statistic, days int) float64 {
	low, high := 0.0, 60.0
	for range 14 {
		middle := (low + high) / 2
		if moreAlarms(s, middle, days) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// moreAlarms says whether there are more alarms than days.
func moreAlarms(s statistic, limit float64, days int) bool {
	random := rand.New(rand.NewPCG(2026, 11))
	alarms := 0
	s.reset()
	for range days * unitsPerDay {
		if s.add(random.ExpFloat64(), limit) < limit {
			continue
		}
		if alarms++; alarms > days {
			return true
		}
		s.reset()
	}
	return false
}
