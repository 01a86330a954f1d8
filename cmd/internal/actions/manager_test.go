package actions

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a host whose observations see one hit in each unit, and then what a test wants.
type lab struct {
	refuse error
	slow   time.Duration // that a collection takes, or its context
	fail   error         // of the collections after the second
	late   time.Duration // that it takes to begin

	mu       sync.Mutex
	begun    int
	finished int
}

type watchedDomain struct {
	l     *lab
	from  int64
	calls int
}

func (l *lab) Observe(ctx context.Context, _ Subject, _ string, _ []string) (Observation, error) {
	if l.refuse != nil {
		return nil, l.refuse
	}
	if l.late > 0 {
		select {
		case <-time.After(l.late):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun++
	return &watchedDomain{l: l, from: place(time.Now().UnixNano())}, nil
}

func (w *watchedDomain) units() (list []Unit) {
	for to := place(time.Now().UnixNano()); w.from < to; w.from++ {
		list = append(list, Unit{Start: w.from * int64(unit.Width), Duration: int64(unit.Width), Counts: map[string]uint64{"hit": 1}})
	}
	return list
}

func (w *watchedDomain) Collect(ctx context.Context) ([]Unit, error) {
	if w.l.slow > 0 {
		select {
		case <-time.After(w.l.slow):
		case <-ctx.Done():
		}
	}
	if w.calls++; w.calls > 2 && w.l.fail != nil {
		return w.units(), w.l.fail
	}
	return w.units(), nil
}

func (w *watchedDomain) Finish(context.Context) ([]Unit, error) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	w.l.finished++
	return w.units(), nil
}

func (*watchedDomain) Describe(f string) string { return "words of " + f }
func (*watchedDomain) Remark() string           { return "all of it" }

// meter says after some units that an action costs more than was said.
type meter struct {
	after  int
	closed int
	additive
}

type gauge struct {
	m    *meter
	seen int
}

func (m *meter) Appraise(Subject, []string, []string) Gauge { return &gauge{m: m} }
func (g *gauge) Close()                                     { g.m.closed++ }

func (g *gauge) Measure(e Evidence) control.ActionPrice {
	p := control.ActionPrice{Known: true, Slowdown: 0.03, Low: 0.02, High: 0.04}
	if g.seen++; g.seen > g.m.after {
		p = control.ActionPrice{Known: true, Slowdown: 0.5, Low: 0.4, High: 0.6}
	}
	if e.Seconds <= 0 || e.Counts["hit"] != 1 || e.Start.IsZero() {
		p = control.ActionPrice{Why: "no evidence"}
	}
	return p
}

func silent() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func anyName(string) bool { return true }

func TestManager(t *testing.T) {
	for name, tc := range map[string]struct {
		lab    *lab
		budget float64
		hourly time.Duration // of the guest's time
		stop   time.Duration // somebody stops it then; 0: nobody
		close  time.Duration // the daemon ends then
		code   string
		why    string
		took   time.Duration // about
	}{
		"time is up":            {code: control.EndedTime, why: "", took: 30 * time.Second},
		"stopped":               {stop: 7 * time.Second, code: control.EndedStopped, why: "an operator", took: 7 * time.Second},
		"the daemon ends":       {close: 5 * time.Second, code: control.EndedDaemon, took: 5 * time.Second},
		"dearer than it may be": {budget: 0.1, code: control.EndedDear, why: "measured to cost 50.0 %", took: 13 * time.Second},
		"dearer than the hour":  {hourly: 4 * time.Second, code: control.EndedDear, why: "guest_seconds_per_hour", took: 9 * time.Second},
		"the domain has gone":   {lab: &lab{fail: ErrGone}, code: control.EndedDomain, why: "has ended", took: 6 * time.Second},
		"a source ends":         {lab: &lab{fail: errors.New("the helper is gone")}, code: control.EndedFailed, why: "helper is gone", took: 6 * time.Second},
		"collections that hang": {lab: &lab{slow: time.Hour}, code: control.EndedTime, took: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := tc.lab
				if l == nil {
					l = &lab{}
				}
				price := &meter{after: 4, additive: prices}
				m := NewManager(l, price, price, silent())
				begin := time.Now()
				allowed := limits(tc.budget)
				allowed.Allowance = tc.hourly
				a, err := m.Start(t.Context(), web, []string{Syscalls}, 0, allowed, anyName)
				if err != nil || a.State != control.ActionRunning || a.Why != "all of it" || !a.Price.Known {
					t.Fatalf("Start = %+v, %v", a, err)
				}
				if tc.stop > 0 {
					time.Sleep(tc.stop)
					if a, err := m.Stop(t.Context(), a.ID[:4], "an operator"); err != nil || a.State != control.ActionEnded {
						t.Errorf("Stop = %+v, %v", a, err)
					}
				}
				if tc.close > 0 {
					time.Sleep(tc.close)
					m.Close()
				}
				for a, err = m.Get(a.ID); err == nil && !a.Over(); a, err = m.Get(a.ID) {
					time.Sleep(100 * time.Millisecond)
				}
				took := a.Until.Sub(begin)
				if err != nil || a.Code != tc.code || !strings.Contains(a.Why, tc.why) || (took-tc.took).Abs() > 3*time.Second {
					t.Errorf("after %v: %+v, %v", took, a, err)
				}
				if a.Hits == 0 || a.Totals[0].Words != "words of hit" || a.Units != len(a.Line) {
					t.Errorf("%+v", a)
				}
				if after, err := m.Stop(t.Context(), a.ID, ""); err != nil || after.Code != tc.code {
					t.Errorf("Stop of one that is over = %+v, %v", after, err)
				}
				m.Close()
				if _, err := m.Start(t.Context(), web, []string{Syscalls}, 0, limits(0), anyName); !errors.Is(err, control.ErrRefused) {
					t.Errorf("Start after Close = %v", err)
				}
				if l.begun != 1 || l.finished != 1 || price.closed != 1 {
					t.Errorf("%d begun, %d finished, %d gauges closed", l.begun, l.finished, price.closed)
				}
			})
		})
	}
}

func TestCannotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{refuse: errors.New("nobody listens")}
		m := NewManager(l, nil, nil, silent())
		defer m.Close()
		a, err := m.Start(t.Context(), web, []string{Syscalls}, 0, limits(0), anyName)
		if !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "nobody listens") {
			t.Errorf("Start = %v", err)
		}
		if a, err := m.Get(a.ID); err != nil || a.State != control.ActionRefused || a.Why != "nobody listens" || a.Price.Known {
			t.Errorf("%+v, %v", a, err)
		}
		l.refuse, l.late = nil, time.Hour
		if _, err := m.Start(t.Context(), web, []string{KVM}, 0, limits(0), anyName); !errors.Is(err, control.ErrRefused) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Start that hangs = %v", err)
		}
		if _, err := m.Start(t.Context(), web, []string{KVM}, 0, limits(0.1), anyName); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "virtsentry cost calibrate") {
			t.Errorf("Start without prices = %v", err)
		}
		if _, err := m.Start(t.Context(), web, []string{"x"}, 0, limits(0), func(string) bool { return false }); !errors.Is(err, control.ErrRefused) {
			t.Errorf("Start of nothing = %v", err)
		}
		if _, err := m.Stop(t.Context(), "none", ""); !errors.Is(err, control.ErrNoAction) {
			t.Errorf("Stop of none = %v", err)
		}
	})
}

// The daemon ends while an action is being attached.
func TestCloseWhileAttaching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{late: 3 * time.Second}
		m := NewManager(l, nil, nil, silent())
		go func() { _, _ = m.Start(t.Context(), web, []string{Syscalls}, 0, limits(0), anyName) }()
		time.Sleep(time.Second)
		list := m.List()
		if len(list) != 1 || list[0].State != control.ActionAsked {
			t.Fatalf("%+v", list)
		}
		if _, err := m.Stop(t.Context(), list[0].ID, ""); !errors.Is(err, control.ErrRefused) {
			t.Errorf("Stop of one that is being attached = %v", err)
		}
		m.Close()
		if a, err := m.Get(list[0].ID); err != nil || a.Code != control.EndedDaemon || l.finished != 1 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// Every action ends by itself, soon after its time is up, whatever its sources do.
func TestEveryActionEnds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := &lab{
			slow: time.Duration(rapid.IntRange(0, 20).Draw(r, "slow")) * time.Second,
			late: time.Duration(rapid.IntRange(0, 20).Draw(r, "late")) * time.Second,
		}
		if rapid.Bool().Draw(r, "fails") {
			l.fail = errors.New("it fails")
		}
		lengths := rapid.SliceOfN(rapid.IntRange(4, 700), 1, 3).Draw(r, "seconds")
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			m := NewManager(l, nil, nil, silent())
			for i, s := range lengths {
				_, _ = m.Start(t.Context(), web, []string{[]string{Syscalls, KVM, Tap}[i]}, time.Duration(s)*time.Second, limits(0), anyName)
			}
			// Those that were begun first have waited for those after them.
			time.Sleep(time.Duration(slices.Max(lengths))*time.Second + collectLimit + time.Minute)
			for _, a := range m.List() {
				if !a.Over() || a.State == control.ActionEnded && a.Until.After(a.Started.Add(time.Duration(a.Seconds*float64(time.Second)))) {
					problems = append(problems, a.State)
				}
			}
			if l.begun != l.finished {
				problems = append(problems, "not finished")
			}
			m.Close()
		})
		if len(problems) > 0 {
			r.Fatalf("%v", problems)
		}
	})
}
