package dashboard

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt/about"
)

// fake is a backend with a day of made-up history of so many domains. Only what the page asks for is there.
type fake struct {
	control.Backend // nil
	now             time.Time
	domains         []control.DomainStatus
	incidents       []control.IncidentRecord

	mu      sync.Mutex // guards what was asked for
	labels  map[string]string
	relearn []control.RelearnRequest
	looks   []control.Action // in the order in which they were asked for
}

// states are those of the domains, in turn: the first one is that of a page on its own.
var states = []string{
	"anomalous", "normal", "normal", "blind", "normal", "learning", "suspect", "normal", "unknown", "paused", "normal", "starting", "normal", "normal", "disabled",
}

var reasons = map[string]*control.Reason{
	"anomalous": {Code: "anomaly", Text: "5 of the last 5 units were unusual: 41 times more virtqueue_fill, 18 times more tap_rx_packets"},
	"blind":     {Code: "no-trace-points", Text: "its QEMU was built without trace points, and virtsentry-probe does not answer"},
	"learning":  {Code: "gathering", Text: "gathering 300 units of two seconds"},
	"suspect":   {Code: "suspicion", Text: "2 of the last 5 units were unusual"},
	"unknown":   {Code: "events-lost", Text: "events were lost in the last 12 units"},
	"paused":    {Code: "paused", Text: "the guest's CPUs do not run"},
	"starting":  {Code: "booting", Text: "a starting guest is neither learnt nor judged until it has settled"},
	"disabled":  {Code: "policy", Text: "the operator does not want it watched"},
}

func newFake(n int) *fake {
	f := &fake{now: time.Now().Truncate(2 * time.Second), labels: map[string]string{}}
	roles := []string{"web", "db", "mail", "build", "cache"}
	for i := range n {
		state := states[i%len(states)]
		if i >= 2*len(states) && state != "normal" && i%4 != 0 {
			state = "normal" // most are well
		}
		d := control.DomainStatus{
			UUID: fmt.Sprintf("c7a5fdbd-cdaf-9455-926a-%012x", i), Name: fmt.Sprintf("%s-%03d", roles[i%len(roles)], i), ID: i + 1, PID: 1000 + i, State: state,
			Since: f.now.Add(-time.Duration(137*(i+1)) * time.Second), Reason: reasons[state], Coverage: "full", Profile: state != "learning",
			LearntUnits: 900, WantedUnits: 300, Support: 57, BufferBytes: 4 << 20, CPUSeconds: 130 + float64(i), Units: control.Units{Seen: 43000, Judged: 42000, Lossy: 12},
			Ledger:  control.Ledger{Life: 90000, Scored: 84000, Reasons: map[string]float64{"booting": 120, "gathering": 600, "events-lost": 24, "late-attach": 5256}},
			Sources: []control.Source{{Name: "ust", Detail: "QEMU's trace points"}, {Name: "tap", Detail: "vnet3"}},
			Trained: new(f.now.Add(-20 * time.Hour)), Promise: &control.Promise{Accepted: 1, Hours: 23, Alarms: 1, Bound: new(4.9), Provisional: i%7 == 0},
		}
		if i%9 == 3 {
			d.Coverage, d.Unseen = "partial", []control.Unseen{{Kind: "hostdev", Name: "pci_0000_03_00_0", Why: "passed through"}}
		}
		switch state {
		case "blind":
			d.Coverage, d.Sources, d.Profile, d.Promise = "none", nil, false, nil
		case "learning":
			d.Learning, d.Promise = &control.Learning{Units: 210, Wanted: 300, Most: 900, Seconds: 180}, nil
		case "anomalous":
			f.alarm(&d)
		}
		d.Last = &control.UnitReport{Start: f.now.Add(-2 * time.Second), Judged: state == "normal" || state == "anomalous" || state == "suspect", Score: 0.21, PValue: 0.43}
		f.domains = append(f.domains, d)
	}
	if n > 0 {
		f.earlier(f.domains[0])
	}
	return f
}

// alarm gives a domain an open incident, and an old one.
func (f *fake) alarm(d *control.DomainStatus) {
	explain := []control.Variable{
		{Feature: "virtqueue_fill", Seconds: 2, Subsystem: "virtio", Words: "buffers handed back to the guest", Observed: 48211, Typical: 1170, UsualLow: 210, UsualHigh: 2410, Deviation: 20.8},
		{Feature: "tap_rx_packets", Seconds: 2, Subsystem: "network", Words: "packets to the guest", Observed: 20114, Typical: 900, UsualLow: 110, UsualHigh: 1900, Deviation: 10.1},
		{Feature: "qcow2_writev_done_req", Seconds: 10, Subsystem: "storage", Words: "writes that were done", Observed: 0, Typical: 120, UsualLow: 40, UsualHigh: 310, Deviation: -1.4},
	}
	since := f.now.Add(-6 * time.Minute)
	sentence := "41 times more buffers handed back to the guest, 18 times more packets to the guest, and no writes that were done."
	d.Alarm = &control.UnitReport{Start: since, Judged: true, Anomalous: true, Score: -2.31, PValue: 0.00021, Explain: explain, Sentence: sentence}
	open := control.IncidentRecord{
		ID: "01M" + d.UUID[24:], UUID: d.UUID, Name: d.Name, Host: "kvm07", Kind: "anomaly", Since: since, Updated: f.now, Text: d.Reason.Text, From: since.Add(-8 * time.Second),
		To: f.now.Add(-4 * time.Second), Units: 171, Scored: 340, Unscored: map[string]float64{"events-lost": 20},
		Peak:         &control.Peak{Start: since, Score: -2.31, PValue: 0.00021, Sentence: sentence, Explain: explain},
		Surroundings: f.around(),
	}
	old := open
	old.ID, old.Since, old.Until, old.From, old.To = "01L"+d.UUID[24:], f.now.Add(-7*time.Hour), f.now.Add(-7*time.Hour+9*time.Minute), f.now.Add(-7*time.Hour), f.now.Add(-7*time.Hour+7*time.Minute)
	old.Closed, old.Label, old.Text = control.ClosedOver, control.LabelFalse, "the nightly backup: 12 times more qcow2_writev_start_req"
	f.incidents = append(f.incidents, open, old)
	d.Incidents = []control.Incident{{ID: open.ID, Kind: "anomaly", Since: open.Since, Text: open.Text}}
}

func (f *fake) around() *control.Surroundings {
	return &control.Surroundings{
		Looked: f.now,
		About: about.About{
			Owner:      &about.Owner{Manager: about.Nova, Name: "shop-frontend", Project: &about.Party{Name: "shop"}, User: &about.Party{Name: "maria"}, Flavor: "m1.small"},
			Interfaces: []about.Interface{{Name: "vnet3", MAC: "52:54:00:6b:3c:58", Kind: "bridge", Source: "br0", Addresses: []about.Address{{IP: "10.0.3.17", Source: about.FromLease}}}},
			Disks:      []about.Disk{{Target: "vda", Bus: "virtio", Kind: "file", Source: "/var/lib/libvirt/images/shop.qcow2"}},
		},
		Events: []control.Happening{{At: f.now.Add(-9 * time.Minute), What: "devices changed", Detail: "interface net1 added"}},
	}
}

func (f *fake) Domains() []control.DomainStatus { return f.domains }

func (f *fake) Domain(ref string) (control.DomainStatus, error) {
	i := slices.IndexFunc(f.domains, func(d control.DomainStatus) bool { return d.UUID == ref || d.Name == ref })
	if i < 0 {
		return control.DomainStatus{}, fmt.Errorf("%.40s: %w", ref, control.ErrNoDomain)
	}
	d := f.domains[i]
	d.Surroundings = f.around()
	return d, nil
}

func (f *fake) Subscribe(ctx context.Context) <-chan control.UnitReport {
	units := make(chan control.UnitReport)
	go func() {
		defer close(units)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if len(f.domains) == 0 {
				continue
			}
			d := f.domains[i%len(f.domains)]
			select {
			case units <- control.UnitReport{Domain: d.UUID, Name: d.Name, State: d.State, Start: f.now, Judged: true, Score: 0.3, PValue: 0.5}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return units
}

var letters = map[string]byte{
	"normal": 'n', "learning": 'l', "starting": 't', "disabled": 'x', "paused": 'p', "unknown": 'k', "blind": 'b', "suspect": 's', "anomalous": 'a',
}

func (f *fake) Ribbons() map[string]control.Ribbon {
	all := map[string]control.Ribbon{}
	for i, d := range f.domains {
		dice := rand.New(rand.NewPCG(uint64(i), 7))
		states, unusual := []byte(strings.Repeat("n", 60)), make([]byte, 60)
		for k := range unusual {
			unusual[k] = '1' + byte(dice.IntN(4))
			if i%5 == 1 && k < 20 {
				states[k], unusual[k] = '.', '.'
			}
			if i%6 == 2 && k > 30 && k < 36 {
				states[k], unusual[k] = 'k', '.'
			}
		}
		from := 54 - i%20
		for k := from; d.State != "normal" && k < 60; k++ {
			states[k], unusual[k] = letters[d.State], '.'
			if d.State == "anomalous" || d.State == "suspect" {
				unusual[k] = '8'
			}
		}
		all[d.UUID] = control.Ribbon{States: string(states), Unusual: string(unusual)}
	}
	return all
}

var trackStates = []string{"normal", "learning", "starting", "disabled", "paused", "unknown", "blind", "suspect", "anomalous"}

func (f *fake) track(d control.DomainStatus, steps int, width time.Duration, each int) control.Track {
	dice := rand.New(rand.NewPCG(uint64(d.ID), uint64(steps)))
	t := control.Track{Start: f.now.Add(-time.Duration(steps) * width).Truncate(width), Step: width.Seconds(), States: trackStates, Reasons: []string{"events-lost", "paused", "gathering", "no-trace-points"}}
	for i := range steps {
		age := time.Duration(steps-i) * width
		state, reason, scored := 0, -1, each
		score, p := 0.35-0.1*math.Log2(float64(each))+0.12*dice.NormFloat64()+0.1*math.Sin(float64(i)/90), max(0.00045, 1-math.Pow(dice.Float64(), 1/float64(each)))
		unusual := p < 0.002
		switch {
		case age < 6*time.Minute && d.State == "anomalous", age < 7*time.Hour && age > 7*time.Hour-7*time.Minute:
			state, score, p, unusual = 8, -1.6+0.4*dice.NormFloat64(), 0.0002+0.0006*dice.Float64(), true
		case age < 6*time.Minute && d.State == "blind":
			state, reason, scored = 6, 3, 0
		case age > 12*time.Minute && age < 13*time.Minute+30*time.Second:
			state, reason, scored = 5, 0, 0
		case age > 3*time.Hour && age < 3*time.Hour+25*time.Minute:
			state, reason, scored = 4, 1, 0
		case age > 11*time.Hour && age < 12*time.Hour:
			state, scored = -1, 0
		case unusual && i%5 == 0:
			state = 7
		}
		t.State, t.Reason, t.Scored = append(t.State, state), append(t.Reason, reason), append(t.Scored, scored)
		t.Unusual, t.Score, t.PValue = append(t.Unusual, unusual && scored > 0), append(t.Score, score), append(t.PValue, p)
	}
	return t
}

func (f *fake) Timeline(ref string) (control.Timeline, error) {
	d, err := f.Domain(ref)
	if err != nil {
		return control.Timeline{}, err
	}
	return control.Timeline{UUID: d.UUID, Level: 0.002, Units: f.track(d, 870, 2*time.Second, 1), Minutes: f.track(d, 1440, time.Minute, 30)}, nil
}

func (f *fake) Counts(ref string, span control.CountsSpan) (control.Counts, error) {
	d, err := f.Domain(ref)
	if err != nil {
		return control.Counts{}, err
	}
	if span.From.IsZero() {
		span.From, span.To = f.now.Add(-time.Hour), f.now
	}
	step := max(2*time.Second, (span.To.Sub(span.From) / time.Duration(span.Columns)).Truncate(2*time.Second))
	n := int(span.To.Sub(span.From) / step)
	c := control.Counts{Start: span.From, Step: step.Seconds(), Units: make([]int, n), Total: n * 10, Oldest: f.now.Add(-time.Hour), Profile: d.Profile}
	if !d.Profile {
		return c, nil
	}
	for i := range n {
		age := f.now.Sub(span.From) - time.Duration(i)*step
		if c.Units[i] = 10; age > 12*time.Minute && age < 13*time.Minute+30*time.Second {
			c.Units[i] = 0
		}
	}
	dice := rand.New(rand.NewPCG(1, uint64(d.ID)))
	for k, name := range []string{
		"virtqueue_fill", "tap_rx_packets", "qcow2_writev_done_req", "virtio_notify", "kvm_vcpu_ioctl", "cpu_in", "cpu_out", "virtio_blk_handle_read", "virtio_blk_handle_write",
		"bdrv_co_preadv", "bdrv_co_pwritev", "thread_pool_submit", "thread_pool_complete", "e1000_receiver_overrun", "kvm_set_irq", "memory_region_ops_read",
		"memory_region_ops_write", "tap_tx_packets", "tap_tx_bytes:1024-1518", "tap_rx_bytes:40-64", "virtqueue_pop", "virtqueue_flush", "paio_submit", "file_paio_submit", "qemu_mutex_lock", "kvm_exit:io",
	} {
		usual := 30 * float64(1+k*k)
		row := control.CountsRow{UsualCounts: control.UsualCounts{Feature: name, Subsystem: "virtio", Words: "buffers handed back to the guest", Low: 0.6 * usual, Typical: usual, High: 1.5 * usual}}
		for i := range n {
			age := f.now.Sub(span.From) - time.Duration(i)*step
			v := usual * (1 + 0.18*dice.NormFloat64())
			if d.State == "anomalous" && age < 6*time.Minute {
				switch {
				case k < 2:
					v *= 25
				case k == 2 || k == 8:
					v = 0
				case k < 8:
					v *= 2.2
				}
			}
			row.Values = append(row.Values, math.Round(max(0, v)))
			row.Mean += v / float64(n)
		}
		c.Rows = append(c.Rows, row)
	}
	return c, nil
}

func (f *fake) ListIncidents(filter control.IncidentFilter) ([]control.IncidentRecord, error) {
	if err := filter.Check(); err != nil {
		return nil, err
	}
	var list []control.IncidentRecord
	for _, i := range f.incidents {
		if filter.Chooses(i) {
			list = append(list, i)
		}
	}
	return list, nil
}

func (f *fake) Incident(id string) (control.IncidentRecord, error) {
	for _, i := range f.incidents {
		if i.ID == id {
			return i, nil
		}
	}
	return control.IncidentRecord{}, fmt.Errorf("%.40s: %w", id, control.ErrNoIncident)
}

func (f *fake) IncidentUnits(id string) (control.IncidentUnits, error) {
	i, err := f.Incident(id)
	var units control.IncidentUnits
	for k := range 100 {
		u := control.KeptUnit{Start: i.From.Add(time.Duration(2*k-40) * time.Second), Duration: 2, State: "normal", Judged: true, Score: 0.3, PValue: 0.4}
		if k >= 20 {
			u.State, u.Anomalous, u.Score, u.PValue = "anomalous", true, -1.5-0.01*float64(k%17), 0.0004
		}
		if k > 60 && k < 70 {
			u.Judged, u.Reason, u.State = false, "events-lost", "unknown"
		}
		units.Units = append(units.Units, u)
	}
	return units, err
}

func (f *fake) LabelIncident(id string, r control.LabelRequest) (control.IncidentRecord, error) {
	i, err := f.Incident(id)
	if err != nil {
		return i, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.labels[id] = r.Label
	i.Label, i.Note = r.Label, r.Note
	return i, nil
}

func (f *fake) AckIncident(id string, _ control.AckRequest) (control.IncidentRecord, error) {
	return f.LabelIncident(id, control.LabelRequest{Label: "acknowledged"})
}

func (f *fake) Relearn(ref string, r control.RelearnRequest) (control.Relearnt, error) {
	if _, err := f.Domain(ref); err != nil {
		return control.Relearnt{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.relearn = append(f.relearn, r)
	return control.Relearnt{DryRun: r.DryRun, Profile: control.ProfileInfo{Units: 980}, Effect: control.Effect{
		Attacks: []control.AttackEffect{{Name: "slow HTTP", Simulated: true, Before: 0.98, After: 0.96}},
		Marked:  control.Verdicts{Units: 80, Before: 78, After: 2}, Reference: control.Verdicts{Units: 900, Before: 2, After: 1}, Remembered: control.Verdicts{Units: 1600, Before: 90, After: 88},
	}}, nil
}

func (f *fake) HistoryStatus() control.HistoryStatus {
	return control.HistoryStatus{File: "history.db"}
}
