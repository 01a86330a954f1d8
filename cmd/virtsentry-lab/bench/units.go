package bench

import (
	"fmt"
	"slices"
	"strings"
)

// UnitsName is the name of the benchmark of what a unit takes to obtain.
const UnitsName = "units"

// The ways to obtain a unit that [Units] compares.
const (
	WaySelected = "selected" // virtsentryd, with its default feature set
	WayAll      = "all"      // all of QEMU's trace points
	WayStrace   = "strace"   // strace -f -c, one for each guest
)

// UnitsWays are in the order of tables.
var UnitsWays = []string{WaySelected, WayAll, WayStrace}

var wayWords = map[string]string{WaySelected: "selected probes (virtsentryd)", WayAll: "all probes", WayStrace: "strace for each guest"}

// Units is what it takes to obtain a unit of several guests at once.
type Units struct {
	QEMU   string       `json:"qemu"` // what it says of itself
	Trials []UnitsTrial `json:"trials"`
}

// UnitsTrial is one measurement.
type UnitsTrial struct {
	Guests  int     `json:"guests"`
	Way     string  `json:"way"`
	Round   int     `json:"round"`
	CPU     float64 `json:"cpu_seconds"`     // for a unit of all guests, of all that observes
	Elapsed float64 `json:"elapsed_seconds"` // after the end of a unit, until those of all guests were there; median
	Units   int     `json:"units"`           // that were there of all guests
	Lossy   int     `json:"lossy,omitempty"`
}

// Rounds is how many rounds there are.
func (u Units) Rounds() int {
	n := 0
	for _, t := range u.Trials {
		n = max(n, t.Round+1)
	}
	return n
}

func (u Units) counts() []int {
	var list []int
	for _, t := range u.Trials {
		list = append(list, t.Guests)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// spread is the median, the least and the most of what trials have.
func (u Units) spread(way string, guests int, of func(UnitsTrial) float64) (s [3]float64, ok bool) {
	var list []float64
	for _, t := range u.Trials {
		if t.Way == way && t.Guests == guests {
			list = append(list, of(t))
		}
	}
	if len(list) == 0 {
		return s, false
	}
	slices.Sort(list)
	n := len(list)
	return [3]float64{(list[n/2] + list[(n-1)/2]) / 2, list[0], list[n-1]}, true
}

func unitCPU(t UnitsTrial) float64     { return 1000 * t.CPU }
func unitElapsed(t UnitsTrial) float64 { return 1000 * t.Elapsed }

// UnitsSection is the Markdown of what it takes to obtain a unit.
func UnitsSection(dir string) (string, bool, error) {
	f, ok, err := Read[Units](dir, UnitsName)
	if !ok || err != nil {
		return "", ok, err
	}
	u := f.Result
	counts := u.counts()
	if len(counts) == 0 {
		return "", true, fmt.Errorf("%s: no measurement: run the benchmark again", UnitsName)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s; begun %s. `virtsentry-lab bench %s`. Medians of %d rounds, and the least and the most.%s\n\n", u.QEMU, f.Machine, f.Begin.Format("2006-01-02"), UnitsName, u.Rounds(), shortWords(f.Short))
	b.WriteString("| guests | observed by | CPU time for a unit of all guests, ms | for a guest and unit, ms | from a unit's end until it is there of all guests, ms | with lost events |\n|---|---|---|---|---|---|\n")
	for _, n := range counts {
		for _, way := range UnitsWays {
			cpu, ok := u.spread(way, n, unitCPU)
			if !ok {
				continue
			}
			late, _ := u.spread(way, n, unitElapsed)
			fmt.Fprintf(&b, "| %d | %s | %.1f (%.1f to %.1f) | %.2f | %.0f (%.0f to %.0f) | %s |\n",
				n, wayWords[way], cpu[0], cpu[1], cpu[2], cpu[0]/float64(n), late[0], late[1], late[2], u.lossy(way, n))
		}
	}
	b.WriteString("\nWhat must hold: what a guest and unit cost falls as guests are added (the paper's Fig. 5), and all that observes takes at most 5 ms for a unit of one guest.\n\n")
	b.WriteString(u.verdict())
	return b.String(), true, nil
}

func (u Units) lossy(way string, guests int) string {
	lossy, units := 0, 0
	for _, t := range u.Trials {
		if t.Way == way && t.Guests == guests {
			lossy, units = lossy+t.Lossy, units+t.Units*t.Guests
		}
	}
	if way == WayStrace {
		return "-"
	}
	return fmt.Sprintf("%d of %d", lossy, units)
}

// verdict compares the fewest guests with the most.
func (u Units) verdict() string {
	counts := u.counts()
	few, many := counts[0], counts[len(counts)-1]
	var b strings.Builder
	fmt.Fprintf(&b, "| observed by | ms for a guest and unit with %d guest(s) | with %d | ratio | falls |\n|---|---|---|---|---|\n", few, many)
	for _, way := range UnitsWays {
		low, okLow := u.spread(way, few, unitCPU)
		high, okHigh := u.spread(way, many, unitCPU)
		if !okLow || !okHigh || low[0] <= 0 {
			continue
		}
		one, each := low[0]/float64(few), high[0]/float64(many)
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f | %s |\n", wayWords[way], one, each, each/one, map[bool]string{true: "yes", false: "no"}[each < one])
	}
	if one, ok := u.spread(WaySelected, 1, unitCPU); ok {
		fmt.Fprintf(&b, "\n%s of one guest: %.1f ms; at most 5: %s.\n", wayWords[WaySelected], one[0], map[bool]string{true: "yes", false: "no"}[one[0] <= 5])
	}
	return b.String()
}
