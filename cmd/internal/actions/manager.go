package actions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

const (
	attachLimit  = 15 * time.Second // to begin to observe
	collectLimit = 5 * time.Second
	finishLimit  = 10 * time.Second
	// collectDelay is how long after a unit's end it is collected: behind the domain's own.
	collectDelay = 700 * time.Millisecond
)

// Manager runs actions. Each has a goroutine of its own, which ends when its time is up, whatever else happens. It is safe for concurrent use.
type Manager struct {
	Registry
	host      Host
	log       logrus.FieldLogger
	pricer    Pricer
	appraiser Appraiser

	mu      sync.Mutex // guards the fields below
	ended   bool
	running map[string]*task // by id
	tasks   sync.WaitGroup
}

// task is the goroutine of one action.
type task struct {
	stop chan order    // why it is to end; holds one
	done chan struct{} // closed when it has
}

// order is why an action is to end.
type order struct{ code, why string }

// NewManager returns a manager. Without a pricer, no price is known, and without an appraiser, none is measured.
func NewManager(h Host, p Pricer, a Appraiser, log logrus.FieldLogger) *Manager {
	return &Manager{host: h, pricer: p, appraiser: a, log: log, running: map[string]*task{}}
}

// unpriced is the price where nobody knows prices.
var unpriced = control.ActionPrice{Why: "this host was not calibrated (virtsentry cost calibrate)"}

// Quotes tell what actions will cost a domain, beside others.
func (m *Manager) Quotes(d Subject) Quotes {
	if m.pricer == nil {
		return func([]string, []string) control.ActionPrice { return unpriced }
	}
	return m.pricer.Quotes(d)
}

// Start begins an action and returns when it runs. want is how long it is to run; 0: as is usual. known says which names there are. Errors: control.ErrRefused.
func (m *Manager) Start(ctx context.Context, d Subject, names []string, want time.Duration, l Limits, known func(string) bool) (control.Action, error) {
	if err := check(names, known); err != nil {
		return control.Action{}, err
	}
	quotes := m.Quotes(d)
	t := &task{stop: make(chan order, 1), done: make(chan struct{})}
	m.mu.Lock()
	if m.ended {
		m.mu.Unlock()
		return control.Action{}, fmt.Errorf("%w: the daemon ends", control.ErrRefused)
	}
	m.tasks.Add(1) // before Close waits
	m.mu.Unlock()
	started := false
	defer func() {
		if !started {
			m.tasks.Done()
		}
	}()
	a, err := m.Ask(time.Now(), d, names, want, l, quotes)
	log := m.log.WithFields(logrus.Fields{"domain": d.Name, "uuid": d.UUID, "action": a.ID, "actions": strings.Join(names, ",")})
	if err != nil {
		log.WithError(err).Info("an action was refused")
		return a, err
	}
	attaching, cancel := context.WithTimeout(ctx, attachLimit)
	defer cancel()
	o, err := m.host.Observe(attaching, d, a.ID, a.Actions)
	if err != nil {
		m.Refuse(time.Now(), a.ID, err.Error())
		log.WithError(err).Info("an action cannot run")
		return a, fmt.Errorf("%w: %w", control.ErrRefused, err)
	}
	now := time.Now()
	m.Begin(now, a.ID, o.Remark())
	m.mu.Lock()
	m.running[a.ID] = t
	if m.ended { // meanwhile
		t.stop <- order{control.EndedDaemon, ""}
	}
	m.mu.Unlock()
	log.WithField("seconds", a.Seconds).Info("an action runs")
	started = true
	until := now.Add(time.Duration(a.Seconds * float64(time.Second)))
	go func() {
		defer m.tasks.Done()
		m.run(t, a, d, o, until, log)
	}()
	return m.Get(a.ID)
}

// Try says what would come of starting an action now: one that is asked, or refused and why, with its price. Nothing is noted. known says which names there are.
func (m *Manager) Try(d Subject, names []string, want time.Duration, l Limits, known func(string) bool) control.Action {
	if err := check(names, known); err != nil {
		return control.Action{UUID: d.UUID, Name: d.Name, Actions: names, State: control.ActionRefused, Why: reason(err), Budget: l.Budget}
	}
	return m.Registry.Try(time.Now(), d, names, want, l, m.Quotes(d))
}

// run collects until it is to end.
func (m *Manager) run(t *task, a control.Action, d Subject, o Observation, until time.Time, log logrus.FieldLogger) {
	var gauge Gauge
	if m.appraiser != nil {
		gauge = m.appraiser.Appraise(d, a.Actions, m.beside(a.ID))
	}
	why := m.collect(t, a.ID, o, gauge, until)
	ended := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), finishLimit)
	defer cancel()
	units, err := o.Finish(ctx)
	m.take(a.ID, units, o, gauge)
	if gauge != nil {
		gauge.Close()
	}
	if err != nil && !errors.Is(err, ErrGone) {
		log.WithError(err).Warn("an action did not end as it should")
		if why.why == "" {
			why.why = err.Error()
		}
	}
	m.End(ended, a.ID, why.code, why.why)
	log.WithFields(logrus.Fields{"code": why.code, "why": why.why}).Info("an action has ended")
	m.mu.Lock()
	delete(m.running, a.ID)
	m.mu.Unlock()
	close(t.done)
}

// collect takes in units until the action is to end, and says why that is.
func (m *Manager) collect(t *task, id string, o Observation, gauge Gauge, until time.Time) order {
	up := time.NewTimer(time.Until(until))
	defer up.Stop()
	for {
		next := time.NewTimer(untilNext(time.Now()))
		select {
		case why := <-t.stop:
			next.Stop()
			return why
		case <-up.C:
			next.Stop()
			return order{control.EndedTime, ""}
		case <-next.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), min(collectLimit, time.Second+time.Until(until)))
		units, err := o.Collect(ctx)
		cancel()
		over := m.take(id, units, o, gauge)
		switch {
		case errors.Is(err, ErrGone):
			return order{control.EndedDomain, err.Error()}
		case err != nil && !time.Now().Before(until): // there was little time left for it
			return order{control.EndedTime, ""}
		case err != nil:
			return order{control.EndedFailed, err.Error()}
		case over != "":
			return order{control.EndedDear, over}
		}
	}
}

// untilNext is the time until shortly after the end of a unit.
func untilNext(now time.Time) time.Duration {
	return unit.Width - (time.Duration(now.UnixNano())-collectDelay)%unit.Width
}

// take takes in units, and says in words that they have shown the action to be too dear.
func (m *Manager) take(id string, units []Unit, o Observation, gauge Gauge) (over string) {
	m.Add(id, units, o.Describe)
	for _, u := range units {
		if gauge == nil || u.Duration <= 0 {
			continue
		}
		price := gauge.Measure(Evidence{Start: time.Unix(0, u.Start), Seconds: time.Duration(u.Duration).Seconds(), Counts: u.Counts, Lost: u.Lost, Held: time.Duration(u.Held).Seconds()})
		if text := m.Measured(time.Now(), id, price); text != "" {
			over = text
		}
	}
	return over
}

// Stop ends an action and returns when it has ended, or ctx has. One that is over stays as it is. Errors: control.ErrNoAction, control.ErrRefused, those of ctx.
func (m *Manager) Stop(ctx context.Context, id, by string) (control.Action, error) {
	a, err := m.Get(id)
	if err != nil {
		return a, err
	}
	m.mu.Lock()
	t := m.running[a.ID]
	m.mu.Unlock()
	if t == nil {
		if a.State == control.ActionAsked {
			return a, fmt.Errorf("%w: action %s is being attached just now: stop it when it runs", control.ErrRefused, a.ID)
		}
		return a, nil
	}
	t.order(control.EndedStopped, by)
	select {
	case <-t.done:
	case <-ctx.Done():
		return a, ctx.Err()
	}
	return m.Get(a.ID)
}

// order has an action end. The first one counts.
func (t *task) order(code, why string) {
	select {
	case t.stop <- order{code, why}:
	default:
	}
}

// Close ends all actions, lets none begin, and returns when they have ended.
func (m *Manager) Close() {
	m.mu.Lock()
	m.ended = true
	for _, t := range m.running {
		t.order(control.EndedDaemon, "")
	}
	m.mu.Unlock()
	m.tasks.Wait()
}
