package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/model"
)

// AlarmName is the benchmark of how soon an attack is told.
const AlarmName = "alarm"

// alarmMost is what the median of each attack may be, seconds.
const alarmMost = 6

// Alarms is what the benchmark found. Its times are in seconds.
type Alarms struct {
	Units   int           `json:"units"`   // that the guest was learnt from
	Window  float64       `json:"window"`  // in which an alarm must come
	Attacks []AlarmAttack `json:"attacks"` // in the order in which they are told
	Early   int           `json:"early"`   // times in which the guest was anomalous before the attack's first packet, and which were done again
}

// AlarmAttack is one kind of attack, told as often as it was made.
type AlarmAttack struct {
	Name    string  `json:"name"`
	Rate    int     `json:"rate"`
	Unit    string  `json:"unit"` // of the rate
	Samples []Alarm `json:"samples"`
}

// Alarm is one attack and what a libvirt client heard of it. Times follow one another: the three parts' sum is the whole.
type Alarm struct {
	Phase   float64 `json:"phase"`             // of the first packet in its unit: 0 at the unit's begin
	Units   int     `json:"units,omitempty"`   // from the first packet's own to the one whose verdict made the alarm, both counted
	Decide  float64 `json:"decide,omitempty"`  // from the first packet on the tap device to the end of that unit
	Collect float64 `json:"collect,omitempty"` // until the daemon has got that unit, judged it, and says so
	Tell    float64 `json:"tell,omitempty"`    // from the daemon's word to METADATA_CHANGE at the client
	Missed  bool    `json:"missed,omitempty"`
}

// Total is the time from the first packet to the client's event, infinite where none came in time.
func (a Alarm) Total() float64 {
	if a.Missed {
		return math.Inf(1)
	}
	return a.Decide + a.Collect + a.Tell
}

// alarmOf works out an alarm from its four times: the attack's first packet on the tap device, the begin of the unit whose verdict made the alarm, when the daemon
// wrote the state, and when a client heard of it.
func alarmOf(packet, unit, written, heard time.Time) Alarm {
	first := packet.Truncate(model.Width)
	end := unit.Add(model.Width)
	return Alarm{
		Phase: packet.Sub(first).Seconds(), Units: int(unit.Sub(first).Round(model.Width)/model.Width) + 1,
		Decide: end.Sub(packet).Seconds(), Collect: written.Sub(end).Seconds(), Tell: heard.Sub(written).Seconds(),
	}
}

// AlarmSection is the benchmark's table.
func AlarmSection(dir string) (string, bool, error) {
	f, ok, err := Read[Alarms](dir, AlarmName)
	if !ok || err != nil {
		return "", ok, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From the first packet of an attack on the guest's tap device to METADATA_CHANGE with the state `anomalous` at a libvirt client, seconds:\n\n")
	b.WriteString("| attack | times | median | quartiles | most | missed | deciding | collecting | telling | deciding unit |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	worst := 0.0
	for _, a := range f.Result.Attacks {
		total := a.each(Alarm.Total)
		worst = max(worst, alarmQuantile(total, 0.5))
		heard := AlarmAttack{Samples: slices.DeleteFunc(slices.Clone(a.Samples), func(s Alarm) bool { return s.Missed })}
		part := func(f func(Alarm) float64) string { return alarmSeconds(alarmQuantile(heard.each(f), 0.5)) }
		fmt.Fprintf(&b, "| %s, %d %s | %d | **%s** | %s – %s | %s | %d | %s | %s | %s | %s |\n", a.Name, a.Rate, a.Unit, len(a.Samples),
			alarmSeconds(alarmQuantile(total, 0.5)), alarmSeconds(alarmQuantile(total, 0.25)), alarmSeconds(alarmQuantile(total, 0.75)), alarmSeconds(alarmQuantile(total, 1)), len(a.Samples)-len(heard.Samples),
			part(func(s Alarm) float64 { return s.Decide }), part(func(s Alarm) float64 { return s.Collect }), part(func(s Alarm) float64 { return s.Tell }), heard.units())
	}
	holds := "holds"
	if worst > alarmMost {
		holds = "**does not hold**"
	}
	fmt.Fprintf(&b, "\nDeciding, collecting and telling are medians of the three parts of that time. The median of the whole must be at most %d s for each attack: this %s.", alarmMost, holds)
	if f.Short {
		b.WriteString(" This was a short run, which only shows that all of it works: its figures count for nothing.")
	}
	fmt.Fprintf(&b, " The guest was learnt from %d units of normal load, which went on; attacks began at a random time within a unit, each after %d usual ones and with a daemon "+
		"of its own that had the same profile (anomalous before the first packet, and so done again: %d). An attack counts as missed after %.0f s.\n\n", f.Result.Units, alarmCalm, f.Result.Early, f.Result.Window)
	fmt.Fprintf(&b, "`virtsentry-lab bench alarm`, %s, %s.\n", f.Begin.Format(time.DateOnly), f.Machine)
	return b.String(), true, nil
}

// each is a figure of all samples.
func (a AlarmAttack) each(f func(Alarm) float64) []float64 {
	list := make([]float64, len(a.Samples))
	for i, s := range a.Samples {
		list[i] = f(s)
	}
	return list
}

// units says how often which unit made the alarm, the attack's first one counted.
func (a AlarmAttack) units() string {
	times := make(map[int]int)
	most := 0
	for _, s := range a.Samples {
		times[s.Units]++
		most = max(most, s.Units)
	}
	var parts []string
	for n := 0; n <= most; n++ {
		if times[n] > 0 {
			parts = append(parts, fmt.Sprintf("%d (%d×)", n, times[n]))
		}
	}
	return strings.Join(parts, ", ")
}

// alarmQuantile is that of a share of values, on a line between the two nearest; NaN of none.
func alarmQuantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := share * float64(len(sorted)-1)
	low, part := math.Modf(at)
	if part == 0 || sorted[int(low)] == sorted[int(low)+1] { // infinity has no lines
		return sorted[int(low)]
	}
	return sorted[int(low)] + part*(sorted[int(low)+1]-sorted[int(low)])
}

// alarmSeconds writes a time for a table.
func alarmSeconds(s float64) string {
	switch {
	case math.IsNaN(s):
		return ""
	case math.IsInf(s, 1):
		return "none"
	}
	return fmt.Sprintf("%.2f", s)
}
