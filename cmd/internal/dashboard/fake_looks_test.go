package dashboard

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// fakePrices are what each action costs a fake's domains, and what it counts in a unit.
var fakePrices = []struct {
	name, words, whyNot string
	price               float64
	counts              map[string]uint64
}{
	{"probes:block", "trace points of QEMU's block code, with their arguments", "", 0.012, map[string]uint64{"bdrv_co_preadv:bytes4096-8191": 120, "bdrv_co_pwritev:bytes512-1023": 31}},
	{"probes:network", "trace points of QEMU's network code, with their arguments", "", 0.034, map[string]uint64{"tap_send:len60-63": 4100}},
	{"probes:all", "all trace points of QEMU", "", 0.131, map[string]uint64{"virtqueue_fill": 48000, "kvm_run_exit:reason2": 900}},
	{"functions", "functions of QEMU: requests of virtio queues and disks by size, interrupts", "its QEMU has no symbols (install qemu-system-x86-dbgsym)", 0, nil},
	{"guest-syscalls", "the guest's own system calls: each of them stops it for a moment", "virtsentry-keeper does not answer", 0, nil},
	{"kvm", "what KVM does for the guest: exits by reason", "", 0.021, map[string]uint64{
		"kvm:exit:hlt": 2100, "kvm:exit:io": 190, "kvm:exit:external_interrupt": 480, "kvm:exit:msr_write": 1200, "kvm:inj_virq": 900, "kvm:msi_set_irq": 700,
	}},
	{"syscalls", "system calls of the QEMU process, by number and kind of thread", "", 0.028, map[string]uint64{
		"syscalls:vcpu:ioctl": 2600, "syscalls:main:ppoll": 800, "syscalls:main:write": 640, "syscalls:main:read": 610, "syscalls:iothread:io_submit": 90, "syscalls:iothread:futex": 70,
		"syscalls:worker:pwrite64": 44, "syscalls:worker:futex": 66, "syscalls:vcpu:futex": 12, "syscalls:vcpu:write": 300, "syscalls:main:recvmsg": 8, "syscalls:main:sendmsg": 8,
		"syscalls:main:clock_gettime": 3, "syscalls:worker:fdatasync": 5, "syscalls:worker:other": 1,
	}},
	{"tap", "packets of the guest's interfaces, by size and direction", "", 0.004, map[string]uint64{"tap:received:len64-71": 3000, "tap:sent:len1024-1151": 210}},
	{"tap-headers", "packets of the guest's interfaces, by size, direction, TCP flags, ports and peers", "", math.NaN(), map[string]uint64{"tap:received:syn": 40}},
}

const fakeBudget = 0.1

// priceOf is that of several actions together.
func priceOf(names []string) control.ActionPrice {
	sum := 0.0
	for _, name := range names {
		for _, a := range fakePrices {
			if a.name == name {
				sum += a.price
			}
		}
	}
	if math.IsNaN(sum) {
		return control.ActionPrice{Why: "this host was not calibrated with tap-headers (virtsentry cost calibrate)"}
	}
	return control.ActionPrice{Known: true, Slowdown: sum, Low: 0.7 * sum, High: 1.45 * sum}
}

// earlier gives a domain two closer looks that are over, one that was refused and one that runs.
func (f *fake) earlier(d control.DomainStatus) {
	f.look(d, []string{"kvm", "syscalls"}, f.now.Add(-4*time.Minute), 30*time.Second, control.ActionEnded, control.EndedTime, "")
	f.look(d, []string{"probes:network"}, f.now.Add(-17*time.Minute), 62*time.Second, control.ActionEnded, control.EndedDear, "it was measured to cost 13.1 % (11.0 to 15.2 %); the budget is 10.0 %")
	f.look(d, []string{"probes:all"}, f.now.Add(-20*time.Minute), 0, control.ActionRefused, "", "probes:all costs 13.1 % (9.2 to 19.0 %) of the speed of "+d.Name+"; its budget is 10.0 % (actions.overhead_percent)")
	f.look(d, []string{"tap"}, time.Now().Add(-20*time.Second), time.Minute, control.ActionRunning, "", "")
}

// look notes an action. The caller holds mu, or is alone.
func (f *fake) look(d control.DomainStatus, names []string, from time.Time, length time.Duration, state, code, why string) control.Action {
	budget := fakeBudget
	a := control.Action{
		ID: fmt.Sprintf("look%04d", len(f.looks)), UUID: d.UUID, Name: d.Name, Actions: names, State: state, Code: code, Why: why, Asked: from, Until: from.Add(length), Seconds: length.Seconds(),
		Price: priceOf(names), Measured: control.ActionPrice{Why: "nothing was measured yet"}, Budget: &budget,
	}
	if state != control.ActionRefused {
		a.Started = from
	}
	f.looks = append(f.looks, a)
	return a
}

// seen fills in what an action has seen by now.
func (f *fake) seen(a control.Action) (control.Action, []control.ActionUnit) {
	if a.State == control.ActionRunning && !time.Now().Before(a.Until) {
		a.State, a.Code = control.ActionEnded, control.EndedTime
	}
	if a.State == control.ActionRefused {
		return a, nil
	}
	end := a.Until
	if a.State == control.ActionRunning {
		end = time.Now()
	}
	totals := map[string]uint64{}
	var line []control.ActionUnit
	for at := a.Started.Truncate(2 * time.Second); at.Add(2 * time.Second).Before(end); at = at.Add(2 * time.Second) {
		u := control.ActionUnit{Start: at, Duration: 2, State: "normal", Judged: true, Score: 0.2 + 0.1*math.Sin(float64(at.Unix())), PValue: 0.3, Counts: map[string]uint64{}}
		for _, p := range fakePrices {
			for feature, n := range p.counts {
				if slices.Contains(a.Actions, p.name) {
					n += uint64(float64(n) * 0.3 * (1 + math.Sin(float64(at.Unix())/3+float64(len(feature)))))
					u.Counts[feature] = n
					totals[feature] += n
					u.Hits += n
				}
			}
		}
		a.Hits, a.Units = a.Hits+u.Hits, a.Units+1
		line = append(line, u)
	}
	for feature, n := range totals {
		a.Totals = append(a.Totals, control.Tally{Feature: feature, Words: "words of " + feature, Hits: n})
	}
	slices.SortFunc(a.Totals, func(x, y control.Tally) int { return int(y.Hits) - int(x.Hits) })
	if a.Code == control.EndedDear {
		a.Measured = control.ActionPrice{Known: true, Slowdown: 0.131, Low: 0.11, High: 0.152}
	} else if a.Units > 2 && a.Price.Known {
		a.Measured = control.ActionPrice{Known: true, Slowdown: 0.92 * a.Price.Slowdown, Low: 0.8 * a.Price.Slowdown, High: 1.05 * a.Price.Slowdown}
	}
	return a, line
}

func (f *fake) ActionOptions(_ context.Context, ref string) (control.ActionOptions, error) {
	d, err := f.Domain(ref)
	if err != nil {
		return control.ActionOptions{}, err
	}
	budget, left := fakeBudget, 12.5
	o := control.ActionOptions{UUID: d.UUID, Name: d.Name, Budget: &budget, Left: &left, Usual: 30, Longest: 600}
	for _, p := range fakePrices {
		a := control.ActionOption{Name: p.name, Words: p.words, WhyNot: p.whyNot, Price: priceOf([]string{p.name})}
		for _, l := range f.ListActions() {
			if l.UUID == d.UUID && !l.Over() && slices.Contains(l.Actions, p.name) {
				a.Running = l.ID
			}
		}
		o.Options = append(o.Options, a)
	}
	return o, nil
}

func (f *fake) StartAction(_ context.Context, ref string, r control.ActionRequest) (control.Action, error) {
	d, err := f.Domain(ref)
	if err != nil {
		return control.Action{}, err
	}
	if !(r.Seconds >= 0 && r.Seconds <= 3600) || len(r.Actions) == 0 {
		return control.Action{}, fmt.Errorf("%w: no action is named, or %v seconds", control.ErrRefused, r.Seconds)
	}
	price, budget := priceOf(r.Actions), fakeBudget
	why := ""
	switch {
	case !price.Known:
		why = "the price of " + strings.Join(r.Actions, ", ") + " is not known, and " + d.Name + " has a budget (actions.allow_unpriced): " + price.Why
	case price.High > fakeBudget:
		why = fmt.Sprintf("%s costs %.1f %% (%.1f to %.1f %%) of the speed of %s; its budget is 10.0 %% (actions.overhead_percent)", strings.Join(r.Actions, ", "), 100*price.Slowdown, 100*price.Low, 100*price.High, d.Name)
	}
	length := min(r.Seconds, 600)
	if length == 0 {
		length = 30
	}
	if r.DryRun {
		a := control.Action{UUID: d.UUID, Name: d.Name, Actions: r.Actions, State: control.ActionAsked, Asked: time.Now(), Seconds: length, Price: price, Budget: &budget}
		if r.Seconds > length {
			a.Wanted = r.Seconds
		}
		if why != "" {
			a.State, a.Why = control.ActionRefused, why
		}
		return a, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if why != "" {
		return f.look(d, r.Actions, time.Now(), 0, control.ActionRefused, "", why), fmt.Errorf("%w: %s", control.ErrRefused, why)
	}
	return f.look(d, r.Actions, time.Now(), time.Duration(length*float64(time.Second)), control.ActionRunning, "", "it sees all"), nil
}

func (f *fake) ListActions() []control.Action {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []control.Action{}
	for _, a := range slices.Backward(f.looks) {
		a, _ = f.seen(a)
		a.Totals = nil
		list = append(list, a)
	}
	return list
}

func (f *fake) found(id string) (int, error) {
	i := slices.IndexFunc(f.looks, func(a control.Action) bool { return a.ID == id })
	if i < 0 {
		return i, fmt.Errorf("%w %.60q is known", control.ErrNoAction, id)
	}
	return i, nil
}

func (f *fake) Action(id string) (control.Action, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.found(id)
	if err != nil {
		return control.Action{}, err
	}
	a, _ := f.seen(f.looks[i])
	return a, nil
}

func (f *fake) ActionUnits(id string) ([]control.ActionUnit, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.found(id)
	if err != nil {
		return nil, err
	}
	_, line := f.seen(f.looks[i])
	return line, nil
}

func (f *fake) StopAction(_ context.Context, id string) (control.Action, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.found(id)
	if err != nil {
		return control.Action{}, err
	}
	if a := &f.looks[i]; !a.Over() {
		a.State, a.Code, a.Until = control.ActionEnded, control.EndedStopped, time.Now()
	}
	a, _ := f.seen(f.looks[i])
	return a, nil
}
