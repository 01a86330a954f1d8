package monitor

import (
	"math"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// within waits until the domain's status is as f wants it.
func (b *bench) within(what string, f func(control.DomainStatus) bool) control.DomainStatus {
	b.t.Helper()
	var last control.DomainStatus
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if d, err := b.Domain(b.domain.UUID); err == nil {
			if last = d; f(d) {
				return d
			}
		}
	}
	b.t.Fatalf("%s: not in time; status %+v", what, last)
	return last
}

// balanced checks that every second of a life is accounted for.
func balanced(t *testing.T, l control.Ledger) {
	t.Helper()
	sum := l.Scored
	for _, s := range l.Reasons {
		sum += s
	}
	if math.Abs(sum-l.Life) > 1e-3 || l.Life <= 0 {
		t.Errorf("ledger %+v: %v s are accounted for", l, sum)
	}
}

// Each kind of second is in the account, under its reason.
func TestEverySecondIsAccountedFor(t *testing.T) {
	began := time.Now()
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	at := time.Now()
	attaching := at.Sub(began).Seconds() // at most
	put := func(n int, scale, lost uint64) {
		b.source.put(batch{units: load(n, at, scale, lost)})
		at = at.Add(time.Duration(n) * unit.Width)
	}
	put(60, 1, 0)  // learnt
	put(10, 1, 0)  // scored
	put(5, 1, 3)   // lost
	put(20, 20, 0) // anomalous: scored
	d := b.within("all units", func(d control.DomainStatus) bool { return d.Units.Seen == 95 })
	balanced(t, d.Ledger)
	r := d.Ledger.Reasons
	near := func(s, want float64) bool { return math.Abs(s-want) < 0.01 }
	if !near(d.Ledger.Scored, 60) || !near(r[reasonGathering], 120) || !near(r[reasonEventsLost], 10) {
		t.Errorf("ledger %+v; want 60 s scored, 120 gathering and 10 lost", d.Ledger)
	}
	if early := r[reasonBooting]; early < 995-1e-3 || early > 995+attaching { // so old was the process when it was found, and its CPUs have not run
		t.Errorf("%v s before the guest's first instruction; want 995 and at most the %v s that attaching took", early, attaching)
	}
	if len(d.Incidents) != 1 || d.Incidents[0].Kind != incidentAnomaly {
		t.Errorf("incidents %+v; want the anomaly", d.Incidents)
	}
}

// Loss that lasts is an incident, and is seen by a libvirt client.
func TestLastingLoss(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	b.source.put(batch{units: load(lossWindow, time.Now(), 1, 7)})
	b.within("the incident", func(d control.DomainStatus) bool { return len(d.Incidents) == 1 && d.Incidents[0].Kind == incidentLoss })
	b.within("it is written", func(control.DomainStatus) bool {
		s, err := b.client.State(b.domain.UUID)
		return err == nil && s != nil && len(s.Incidents) == 1 && s.Incidents[0].Kind == incidentLoss
	})
	b.source.put(batch{units: load(lossWindow, time.Now().Add(time.Hour), 1, 0)})
	b.within("its end", func(d control.DomainStatus) bool { return len(d.Incidents) == 0 })
}

// A guest that reboots within its QEMU is neither learnt nor judged until it has settled.
func TestReboot(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	b.await(stateLearning, "")
	b.source.put(batch{units: load(60, time.Now(), 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	cfg.Learning.Starting = config.Duration(time.Hour)
	b.Reload(cfg)
	b.event(t.Context(), libvirt.Event{Kind: libvirt.Rebooted, Domain: b.domain}, now())
	b.await(stateStarting, reasonBooting)
	judged := b.within("status", func(control.DomainStatus) bool { return true }).Units.Judged
	b.source.put(batch{units: load(20, time.Now().Add(time.Minute), 50, 0)}) // what booting looks like
	b.within("units of the boot", func(d control.DomainStatus) bool { return d.Ledger.Reasons[reasonBooting] >= 39 })
	if d := b.within("status", func(control.DomainStatus) bool { return true }); d.Units.Judged != judged || d.State != stateStarting {
		t.Errorf("%d units judged while it boots, state %s", d.Units.Judged-judged, d.State)
	}
	b.source.put(batch{units: load(settledUnits, time.Now().Add(2*time.Minute), 1, 0)})
	b.source.put(batch{units: load(2, time.Now().Add(3*time.Minute), 1, 0)})
	d := b.within("judged again", func(d control.DomainStatus) bool { return d.Units.Judged == judged+2 })
	balanced(t, d.Ledger)
}

// An operator's policy takes effect at once: no session is left on a domain that is not to be watched.
func TestDisabled(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	b.await(stateLearning, "")
	no := false
	off := cfg
	off.Domains = []config.Match{{UUID: b.domain.UUID, Override: config.Override{Watch: &no}}}
	if late := b.Reload(off); len(late) > 0 {
		t.Errorf("Reload wants a restart for %v", late)
	}
	if s := b.await(stateDisabled, reasonPolicy); s.Coverage != coverageNone {
		t.Errorf("coverage %s of a domain that is not watched", s.Coverage)
	}
	b.within("no session is left", func(control.DomainStatus) bool {
		b.source.mu.Lock()
		defer b.source.mu.Unlock()
		return b.source.closed
	})
	b.source.put(batch{registered: true})
	b.Reload(cfg)
	b.await(stateLearning, "")
	b.source.put(batch{units: []unit.Unit{{Start: time.Now().UnixNano(), Duration: 5, Counts: make([]uint64, len(testSet.Names()))}}})
	d := b.within("the unit", func(d control.DomainStatus) bool { return d.Units.Seen == 1 })
	balanced(t, d.Ledger)
	if d.Ledger.Reasons[reasonPolicy] <= 0 {
		t.Errorf("ledger %+v lacks the time in which it was not watched", d.Ledger)
	}
}
