package actions

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// Registry knows all actions and decides which may run. It has no clock and starts nothing: each method that needs the time is told. It is safe for concurrent
// use; the zero value is ready.
type Registry struct {
	mu   sync.Mutex // guards all below, those of the runs too
	runs []*run     // in the order in which they were asked for
}

// run is one action.
type run struct {
	control.Action
	limits  Limits
	beside  []string // what ran when it was asked for
	counted tallies
	dear    int // measurements in a row that were over the budget
}

// mostDear is how many measurements in a row must be over the budget until an action ends for that: one may be a mishap.
const mostDear = 2

func (r *run) live() bool { return !r.Over() }

// cost is what it takes of the guest, as a part of its speed; an unknown price counts as nothing.
func (r *run) cost() float64 {
	cost := 0.0
	if r.Price.Known {
		cost = r.Price.High
	}
	if r.Measured.Known {
		cost = max(cost, r.Measured.Slowdown)
	}
	return cost
}

// span is for how long it runs, or may run, or has run.
func (r *run) span() time.Duration {
	switch {
	case r.live():
		return time.Duration(r.Seconds * float64(time.Second))
	case r.Started.IsZero():
		return 0
	}
	return r.Until.Sub(r.Started)
}

// Ask asks for an action. It is noted in any case, and with an error as refused; without one it is to be begun or refused. price may not use the registry.
// Errors: control.ErrRefused, with the figures.
func (r *Registry) Ask(now time.Time, d Subject, names []string, want time.Duration, l Limits, price Quotes) (control.Action, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.ask(now, d, names, want, l, price)
	n.ID = strings.ToLower(rand.Text()[:8])
	r.runs = append(r.runs, n)
	r.forget()
	return n.Action, err
}

// Try says what would come of asking for an action now, without an id and without noting it: whether it is refused, why, and its price. price may not use the
// registry.
func (r *Registry) Try(now time.Time, d Subject, names []string, want time.Duration, l Limits, price Quotes) control.Action {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, _ := r.ask(now, d, names, want, l, price) // it says itself that it is refused
	return n.Action
}

func (r *Registry) ask(now time.Time, d Subject, names []string, want time.Duration, l Limits, price Quotes) (*run, error) {
	n := &run{limits: l, Action: control.Action{
		UUID: d.UUID, Name: d.Name, Actions: slices.Clone(names), State: control.ActionAsked, Asked: now, Budget: l.Budget,
	}}
	err := r.consider(now, n, want, price)
	if err != nil {
		n.State, n.Why, n.Until = control.ActionRefused, reason(err), now
	}
	return n, err
}

// reason is why something was refused.
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), control.ErrRefused.Error()+": ")
}

// consider fills in what an action may take and cost, or says why it may not run.
func (r *Registry) consider(now time.Time, n *run, want time.Duration, price Quotes) error {
	l := n.limits
	if want < 0 || want > 0 && want < Shortest {
		return fmt.Errorf("%w: %v is too short: an action takes at least %v", control.ErrRefused, want, Shortest)
	}
	if want == 0 {
		want = l.Usual
	}
	length := min(want, l.Longest, Longest)
	all := 0
	var same []*run
	for _, o := range r.runs {
		if o.live() {
			all++
			if o.UUID == n.UUID {
				same = append(same, o)
			}
		}
	}
	for _, o := range same {
		n.beside = append(n.beside, o.Actions...)
		for _, name := range o.Actions {
			if slices.Contains(n.Actions, name) {
				return fmt.Errorf("%w: %s runs for %s already: %s", control.ErrRefused, name, n.Name, o.ID)
			}
		}
	}
	if all >= MostRunning || len(same) >= MostOfOne {
		return fmt.Errorf("%w: %d actions run, %d of them for %s; at most %d and %d may", control.ErrRefused, all, len(same), n.Name, MostRunning, MostOfOne)
	}
	n.Price = price(n.Actions, n.beside)
	if err := r.afford(n, same, price); err != nil {
		return err
	}
	if l.Allowance > 0 && n.Price.Known && n.Price.High > 0 {
		left := r.left(now, n.UUID, l.Allowance)
		if most := float64(left) / n.Price.High; most < float64(length) { // more than a Duration holds, where it costs next to nothing
			length = time.Duration(most).Truncate(time.Second)
		}
		if length < Shortest {
			return fmt.Errorf("%w: %s of the %v that actions may take from %s within an hour are left, and %s takes up to %s %% of its time (actions.guest_seconds_per_hour)",
				control.ErrRefused, left.Round(100*time.Millisecond), l.Allowance, n.Name, strings.Join(n.Actions, ", "), percent(n.Price.High))
		}
	}
	if n.Seconds = length.Seconds(); length < want {
		n.Wanted = want.Seconds()
	}
	return nil
}

// afford says whether the budget allows an action beside those that run for the domain.
func (r *Registry) afford(n *run, same []*run, price Quotes) error {
	l := n.limits
	together := n.Price
	if len(n.beside) > 0 {
		together = price(slices.Concat(n.Actions, n.beside), nil)
	}
	if !n.Price.Known || !together.Known {
		if l.free() {
			return nil
		}
		why := n.Price.Why
		if n.Price.Known {
			why = together.Why
		}
		return fmt.Errorf("%w: the price of %s is not known, and %s has a budget (actions.allow_unpriced): %s", control.ErrRefused, strings.Join(n.Actions, ", "), n.Name, why)
	}
	if l.Budget == nil {
		return nil
	}
	high := together.High
	for _, o := range same { // what turns out dearer than it was said to be leaves less for others
		if o.Measured.Known && o.Price.Known {
			high += max(0, o.Measured.Slowdown-o.Price.High)
		}
	}
	if high <= *l.Budget {
		return nil
	}
	beside := ""
	if len(n.beside) > 0 {
		beside = fmt.Sprintf(", and together with what runs (%s) up to %s %%", strings.Join(n.beside, ", "), percent(high))
	}
	return fmt.Errorf("%w: %s costs %s of the speed of %s%s; its budget is %s %% (actions.overhead_percent)",
		control.ErrRefused, strings.Join(n.Actions, ", "), Words(n.Price), n.Name, beside, percent(*l.Budget))
}

// left is how much of a guest's time actions may still take within this hour.
func (r *Registry) left(now time.Time, uuid string, allowance time.Duration) time.Duration {
	for _, o := range r.runs {
		if o.UUID == uuid && (o.live() || now.Sub(o.Until) < hour) {
			allowance -= time.Duration(o.cost() * float64(o.span()))
		}
	}
	return max(0, allowance)
}

// Left is how much of a guest's time actions may still take within this hour, of so much that is allowed.
func (r *Registry) Left(now time.Time, uuid string, allowance time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left(now, uuid, allowance)
}

// forget drops the oldest of those that are over. What an hour's allowance rests on is kept.
func (r *Registry) forget() {
	over := 0
	for _, o := range r.runs {
		if !o.live() {
			over++
		}
	}
	newest := r.runs[len(r.runs)-1].Asked
	r.runs = slices.DeleteFunc(r.runs, func(o *run) bool {
		if over <= mostKept || o.live() {
			return false
		}
		if o.Started.IsZero() || o.limits.Allowance == 0 || newest.Sub(o.Until) >= hour {
			over--
			return true
		}
		return false
	})
}

// Begin notes that an action runs from now on, for the time that it was granted.
func (r *Registry) Begin(now time.Time, id, remark string) {
	r.with(id, func(n *run) {
		if n.State == control.ActionAsked {
			n.State, n.Started, n.Why = control.ActionRunning, now, remark
			n.Until = now.Add(n.span())
		}
	})
}

// Refuse notes that an action cannot run, and why.
func (r *Registry) Refuse(now time.Time, id, why string) {
	r.with(id, func(n *run) {
		if n.State == control.ActionAsked {
			n.State, n.Until, n.Why = control.ActionRefused, now, why
		}
	})
}

// End notes that an action has ended, by one of the codes of control.Action. The first one counts.
func (r *Registry) End(now time.Time, id, code, why string) {
	r.with(id, func(n *run) {
		if n.State == control.ActionRunning {
			n.State, n.Code, n.Why = control.ActionEnded, code, why
			if n.Until.After(now) {
				n.Until = now
			}
		}
	})
}

// Add takes in what an action has seen.
func (r *Registry) Add(id string, units []Unit, describe func(string) string) {
	r.with(id, func(n *run) {
		for _, u := range units {
			n.counted.add(u, describe)
			n.Hits, n.Lost = n.counted.hits, n.counted.lost
		}
		n.Units = len(n.counted.line)
	})
}

// Measured notes what an action was found to cost, and says in words that the domain's budget does not allow that, once it is sure of that, or that actions have
// taken what they may of the domain's time within this hour; empty: it may go on.
func (r *Registry) Measured(now time.Time, id string, p control.ActionPrice) (over string) {
	r.with(id, func(n *run) {
		n.Measured = p
		if over = r.tooDear(n); over == "" {
			over = r.usedUp(now, n)
		}
	})
	return over
}

// tooDear says that an action costs more than the budget at a time, by its last measurements. What counts is what it most likely costs: the least that it may is
// next to nothing where a host's calibration is poor, and then no action would ever be too dear.
func (r *Registry) tooDear(n *run) (over string) {
	p := n.Measured
	if n.Budget == nil || !p.Known {
		n.dear = 0
		return ""
	}
	all := 0.0
	for _, o := range r.runs {
		if o.live() && o.UUID == n.UUID && o.Measured.Known {
			all += o.Measured.Slowdown
		}
	}
	if n.dear++; all <= *n.Budget {
		n.dear = 0
	}
	if n.dear < mostDear {
		return ""
	}
	over = fmt.Sprintf("it was measured to cost %s; the budget is %s %%, predicted was %s", Words(p), percent(*n.Budget), Words(n.Price))
	if all > p.Slowdown {
		over = fmt.Sprintf("together with what runs beside it, %s %%: %s", percent(all), over)
	}
	return over
}

// usedUp says that an action has taken, with all that ran within an hour, what may be taken of the domain's time: one is granted for so long that it takes no more
// than is left, at what it was said to cost, and this one takes more.
func (r *Registry) usedUp(now time.Time, n *run) (over string) {
	allowance := n.limits.Allowance
	if allowance <= 0 || n.State != control.ActionRunning {
		return ""
	}
	var taken time.Duration
	for _, o := range r.runs {
		switch {
		case o.UUID != n.UUID || o.Started.IsZero():
		case o.live():
			taken += time.Duration(o.cost() * float64(min(now.Sub(o.Started), o.span())))
		case now.Sub(o.Until) < hour:
			taken += time.Duration(o.cost() * float64(o.span()))
		}
	}
	// What is allowed may be taken to the end: to the nanosecond it is the rounding that decides.
	if taken <= allowance+time.Millisecond {
		return ""
	}
	return fmt.Sprintf("actions have taken %v of its time within an hour, and may take %v (actions.guest_seconds_per_hour): it was measured to cost %s, predicted was %s",
		taken.Round(100*time.Millisecond), allowance, Words(n.Measured), Words(n.Price))
}

// Judged notes what was thought of a domain in a unit, beside what its actions have seen in the same one.
func (r *Registry) Judged(u control.UnitReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.runs {
		if n.UUID == u.Domain && !n.Started.IsZero() && u.Start.Before(n.Until) {
			n.counted.judge(u)
		}
	}
}

// List lists all, the newest first, without what they have seen in detail.
func (r *Registry) List() []control.Action {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []control.Action{}
	for _, n := range slices.Backward(r.runs) {
		list = append(list, n.Action)
	}
	return list
}

// Get finds one by its id, which may be cut short, with what it has seen. Errors: control.ErrNoAction, and control.ErrRefused where several begin so.
func (r *Registry) Get(id string) (control.Action, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.find(id)
	if err != nil {
		return control.Action{}, err
	}
	a := n.Action
	a.Totals, a.Line = n.counted.totals(), n.counted.brief()
	return a, nil
}

// Units returns the units of one with all counts. Errors: those of Get.
func (r *Registry) Units(id string) ([]control.ActionUnit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.find(id)
	if err != nil {
		return nil, err
	}
	return n.counted.full(), nil
}

// Running are the actions that run for a domain, or are about to, and the ids of what they are parts of.
func (r *Registry) Running(uuid string) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string]string{}
	for _, n := range r.runs {
		if n.live() && n.UUID == uuid {
			for _, name := range n.Actions {
				found[name] = n.ID
			}
		}
	}
	return found
}

func (r *Registry) find(id string) (*run, error) {
	var found []*run
	for _, n := range r.runs {
		if n.ID == id {
			return n, nil
		}
		if id != "" && strings.HasPrefix(n.ID, id) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%w %.60q is known (virtsentry look list shows those that run and ended of late)", control.ErrNoAction, id)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%w: the ids of %d actions begin with %s", control.ErrRefused, len(found), id)
}

// beside is what ran when an action was asked for.
func (r *Registry) beside(id string) (list []string) {
	r.with(id, func(n *run) { list = n.beside })
	return list
}

// with calls f with the action of exactly that id, if there is one.
func (r *Registry) with(id string, f func(*run)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.runs, func(n *run) bool { return n.ID == id }); i >= 0 {
		f(r.runs[i])
	}
}

// Words say a price: "3.1 % (1.9 to 4.6 %)".
func Words(p control.ActionPrice) string {
	if !p.Known {
		return "nobody knows what"
	}
	return fmt.Sprintf("%s %% (%s to %s %%)", percent(p.Slowdown), percent(p.Low), percent(p.High))
}

// percent is a part of 1 in percent.
func percent(v float64) string { return fmt.Sprintf("%.1f", 100*v) }

// place is the number of a unit's place on the grid.
func place(start int64) int64 {
	p := start / int64(unit.Width)
	if start%int64(unit.Width) < 0 {
		p--
	}
	return p
}
