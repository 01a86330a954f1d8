package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/model/evaluation"
)

// ImpactName is the name of the benchmark of what observing costs a guest.
const ImpactName = "impact"

// The ways to observe a guest that [Impact] compares with not to observe it.
const (
	ArmNothing  = "nothing"  // as if: how far apart two of the same are
	ArmSelected = "selected" // virtsentryd as it is installed, with its default feature set
	ArmSyscalls = "syscalls" // eBPF counts QEMU's system calls
	ArmAll      = "all"      // all of QEMU's trace points, read every two seconds
	ArmStrace   = "strace"   // strace -f -c
)

// ImpactArms are the ways in the order of the tables.
var ImpactArms = []string{ArmNothing, ArmSelected, ArmSyscalls, ArmAll, ArmStrace}

// armWords is what a table says of a way to observe.
var armWords = map[string]string{
	ArmNothing: "nothing, against nothing", ArmSelected: "the daemon, `default` set", ArmSyscalls: "system calls by eBPF", ArmAll: "all trace points", ArmStrace: "`strace -f -c`",
}

// hitCost is what an enabled trace point takes for a hit, in seconds: one of four fields, measured by itself.
const hitCost = 154e-9

// Impact is what observing a guest costs it.
type Impact struct {
	QEMU      string           `json:"qemu"` // what it says of itself
	Workloads []ImpactWorkload `json:"workloads"`
}

// ImpactWorkload is one sort of work that the guest did as fast as it could.
type ImpactWorkload struct {
	Name   string                `json:"name"`
	What   string                `json:"what"`
	Unit   string                `json:"unit"`   // of work
	Events []ImpactEvent         `json:"events"` // of the default set
	Rounds int                   `json:"rounds"`
	Ways   map[string]*ImpactWay `json:"ways"` // by ImpactArms
}

// ImpactEvent is how often a trace point is hit for each unit of work.
type ImpactEvent struct {
	Name string  `json:"name"`
	Hits float64 `json:"hits"`
}

// ImpactWay is what was found of one way to observe.
type ImpactWay struct {
	Pairs []ImpactPair `json:"pairs"`
	Units uint64       `json:"units,omitempty"` // that were made
	Lossy uint64       `json:"lossy,omitempty"` // of these, with events lost
}

// ImpactPair is two slices of time next to each other, in either order, the guest observed in one of them.
type ImpactPair struct{ Off, On ImpactCost }

// ImpactCost is what a unit of work took.
type ImpactCost struct {
	CPU     float64 // QEMU's CPU time, seconds
	Seconds float64
}

// MarshalText is the four numbers of a pair, of which four digits say enough: there are hundreds of pairs.
func (p ImpactPair) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%.4g %.4g %.4g %.4g", p.Off.CPU, p.Off.Seconds, p.On.CPU, p.On.Seconds), nil
}

// UnmarshalText reads what MarshalText wrote.
func (p *ImpactPair) UnmarshalText(text []byte) error {
	_, err := fmt.Sscan(string(text), &p.Off.CPU, &p.Off.Seconds, &p.On.CPU, &p.On.Seconds)
	if err != nil {
		return fmt.Errorf("pair %q: %w", text, err)
	}
	return nil
}

// Keep puts what was found of a workload to what was found before.
func (m *Impact) Keep(before ImpactWorkload, w ImpactWorkload) {
	ways := make(map[string]*ImpactWay)
	for _, arm := range ImpactArms {
		old, now := before.Ways[arm], w.Ways[arm]
		switch {
		case old == nil && now == nil:
		case old == nil:
			ways[arm] = now
		case now == nil:
			ways[arm] = old
		default:
			ways[arm] = &ImpactWay{Pairs: slices.Concat(old.Pairs, now.Pairs), Units: old.Units + now.Units, Lossy: old.Lossy + now.Lossy}
		}
	}
	w.Ways, w.Rounds = ways, before.Rounds+w.Rounds
	if i := slices.IndexFunc(m.Workloads, func(old ImpactWorkload) bool { return old.Name == w.Name }); i >= 0 {
		m.Workloads[i] = w
		return
	}
	m.Workloads = append(m.Workloads, w)
}

// Workload is what is known of one, nothing if it is not there.
func (m *Impact) Workload(name string) ImpactWorkload {
	for _, w := range m.Workloads {
		if w.Name == name {
			return w
		}
	}
	return ImpactWorkload{}
}

func secondsOf(c ImpactCost) float64 { return c.Seconds }
func cpuOf(c ImpactCost) float64     { return c.CPU }

// Cost is what a way to observe takes of a guest's work, a part of 1, with its interval of 95 %: 0.01 means 99 units of work for what had been 100.
type Cost struct{ Median, Low, High float64 }

// cost is what a way takes, and in how many pairs it was measured. ok is false where it was not.
func (w ImpactWorkload) cost(arm string, of func(ImpactCost) float64) (c Cost, pairs int, ok bool, err error) {
	way := w.Ways[arm]
	if way == nil || len(way.Pairs) == 0 {
		return c, 0, false, nil
	}
	p := evaluation.Price{Workload: w.Name, Arms: []string{evaluation.Off, arm}}
	for i, pair := range way.Pairs {
		if !(of(pair.Off) > 0 && of(pair.On) > 0) {
			return c, 0, false, fmt.Errorf("workload %q, %s: pair %d: a unit of work in no time", w.Name, arm, i+1)
		}
		p.Rates = append(p.Rates, []float64{1 / of(pair.Off), 1 / of(pair.On)})
	}
	r := p.Ratio(arm)
	return Cost{Median: 1 - r.Median, Low: 1 - r.High, High: 1 - r.Low}, len(way.Pairs), true, p.Check()
}

// bar is the most that the default set may cost, a part of 1: of QEMU's CPU time for a unit of work.
func (w ImpactWorkload) bar() float64 {
	if w.Name == "cpu" || w.Name == "database" {
		return 0.005
	}
	return 0.02
}

// ImpactSection is the Markdown of what observing costs a guest.
func ImpactSection(dir string) (string, bool, error) {
	f, ok, err := Read[Impact](dir, ImpactName)
	if !ok || err != nil {
		return "", ok, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s; begun %s. `virtsentry-lab bench %s`.%s\n\n", f.Result.QEMU, f.Machine, f.Begin.Format("2006-01-02"), ImpactName, shortWords(f.Short))
	b.WriteString("| work | observed by | QEMU's CPU time: lost of the work, % (95 % interval) | time: lost of the work, % (95 % interval) | pairs | units with lost events |\n")
	b.WriteString("|---|---|---|---|---|---|\n")
	for _, w := range f.Result.Workloads {
		for _, arm := range ImpactArms {
			cpu, pairs, ok, err := w.cost(arm, cpuOf)
			if err != nil {
				return "", true, err
			}
			wall, _, _, err := w.cost(arm, secondsOf)
			if err != nil {
				return "", true, err
			}
			if ok {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %s |\n", w.What, armWords[arm], cpu, wall, pairs, w.Ways[arm].lossy())
			}
		}
	}
	b.WriteString("\nWhat must hold: of QEMU's CPU time for a unit of work, the `default` set takes at most 0.5 % where the work is the CPU's or the data base's, and 2 % where it is the disk's or the web server's.\n\n")
	b.WriteString("| work | at most, % | measured, % | holds |\n|---|---|---|---|\n")
	for _, w := range f.Result.Workloads {
		if cpu, _, ok, err := w.cost(ArmSelected, cpuOf); ok && err == nil {
			fmt.Fprintf(&b, "| %s | %.1f | %s | %s |\n", w.Name, 100*w.bar(), cpu, holds(cpu, w.bar()))
		}
	}
	b.WriteString("\nHits of the `default` set's trace points for each unit of work, at 154 ns each: what they must take at least, whatever can be measured.\n\n")
	b.WriteString("| work | unit | QEMU's CPU time for it, µs | hits | these take, µs | % | the four with most hits |\n|---|---|---|---|---|---|---|\n")
	for _, w := range f.Result.Workloads {
		b.WriteString(w.hitsRow())
	}
	return b.String(), true, nil
}

// String is the cost in percent.
func (c Cost) String() string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", 100*c.Median, 100*c.Low, 100*c.High)
}

// holds says whether a cost is at most so much.
func holds(c Cost, most float64) string {
	switch {
	case c.Median > most:
		return "no"
	case c.High > most:
		return "yes, though the interval goes beyond it"
	}
	return "yes"
}

// lossy is how many units lost events, of all; "-" where no units were made.
func (w *ImpactWay) lossy() string {
	if w.Units == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", w.Lossy, w.Units)
}

func (w ImpactWorkload) hitsRow() string {
	var cpu []float64 // of a unit of work with nothing that observes
	for _, way := range w.Ways {
		for _, p := range way.Pairs {
			cpu = append(cpu, p.Off.CPU)
		}
	}
	if len(cpu) == 0 {
		return ""
	}
	slices.Sort(cpu)
	each := cpu[len(cpu)/2]
	all := 0.0
	for _, e := range w.Events {
		all += e.Hits
	}
	events := slices.Clone(w.Events)
	slices.SortFunc(events, func(a, b ImpactEvent) int { return cmp.Compare(b.Hits, a.Hits) })
	var most []string
	for _, e := range events[:min(4, len(events))] {
		most = append(most, fmt.Sprintf("`%s` %.3g", e.Name, e.Hits))
	}
	return fmt.Sprintf("| %s | %s | %.0f | %.3g | %.3g | %.3f | %s |\n",
		w.Name, strings.TrimSuffix(w.Unit, "s"), 1e6*each, all, 1e6*all*hitCost, 100*all*hitCost/each, strings.Join(most, ", "))
}

// shortWords says of a short run what it is.
func shortWords(short bool) string {
	if short {
		return " **A short run, which only shows that all of it works: its figures count for nothing.**"
	}
	return ""
}
