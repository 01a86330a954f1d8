package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// What must hold.
const (
	mostAlone     = 5 * time.Millisecond // of CPU time of all daemons for one domain and unit
	mostHundred   = time.Millisecond     // with 100 domains
	mostMemory    = 64 << 20             // bytes, of virtsentryd
	memoryEach    = 256 << 10            // and for each domain
	projected     = 1000                 // domains
	manyDomains   = 100
	unitsAnHour   = 1800
	scaleTableTop = "| domains | load | events/s each | lttng-sessiond | lttng-consumerd | virtsentryd | all | memory, MiB | files | verdict after, ms | units | lost | late |\n" +
		"|--:|---|--:|--:|--:|--:|--:|---|---|--:|--:|--:|--:|\n"
)

// ScaleSection is the benchmark's tables.
func ScaleSection(dir string) (string, bool, error) {
	f, ok, err := Read[Scale](dir, ScaleName)
	if !ok || err != nil {
		return "", ok, err
	}
	s := f.Result
	web := s.web()
	if len(web) < 2 {
		return "", true, fmt.Errorf("%s: less than two measurements with players: run virtsentry-lab bench scale again", ScaleName)
	}
	var b strings.Builder
	b.WriteString("CPU time is in ms for each domain and unit of two seconds. Memory and files are those of lttng-sessiond / lttng-consumerd / virtsentryd " +
		"(PSS of the first two, which share the ring buffers with what they trace; all resident memory of the last). A verdict comes so long after a unit's end: median, and 99 % of them. " +
		"Units are those that came, and how many of those that were to come did not; lost are units in which events were lost, late those whose verdict came more than a unit later.\n\n")
	if s.Program > 0 {
		fmt.Fprintf(&b, "Where players are watched, the memory of virtsentryd is that of its stand-in, and %.0f MiB that it has more when neither has a domain to watch.\n\n", float64(s.Program)/(1<<20))
	}
	if f.Short {
		b.WriteString("**This was a short run, which only shows that all of it works: its figures count for nothing.**\n\n")
	}
	fmt.Fprintf(&b, "Players:\n\n%s", scaleTableTop)
	for _, p := range s.Players {
		b.WriteString(p.row())
	}
	if len(s.Guests) > 0 {
		fmt.Fprintf(&b, "\nReal guests:\n\n%s", scaleTableTop)
		for _, p := range s.Guests {
			b.WriteString(p.row())
		}
		for _, p := range s.Guests {
			if p.Unusual > 0 {
				fmt.Fprintf(&b, "\nWith %d guests, %d were suspect or anomalous in the end. While a domain is suspect, each of its units takes a rotation.\n", p.Domains, p.Unusual)
			}
		}
	}
	b.WriteString("\n![CPU time](figures/scale-cpu.svg)\n\n![memory](figures/scale-memory.svg)\n\n| must hold | found | |\n|---|---|---|\n")
	for _, c := range s.checks() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.what, c.found, holdsWord(c.holds))
	}
	b.WriteString("\n" + s.growth(f.Machine))
	fmt.Fprintf(&b, "\n`virtsentry-lab bench scale`, %s, %s.\n", f.Begin.Format(time.DateOnly), f.Machine)
	return b.String(), true, nil
}

func holdsWord(holds bool) string {
	if holds {
		return "holds"
	}
	return "**does not hold**"
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// row is a line of the table.
func (p ScalePoint) row() string {
	load, rate := p.Load, "–"
	if p.Churned > 0 {
		load += fmt.Sprintf(", %d end and %[1]d begin", p.Churned)
	}
	if p.Hits > 0 {
		rate = fmt.Sprintf("%.0f", p.Rate()/float64(p.Domains))
		if p.Rate() < 10*float64(p.Domains) {
			rate = fmt.Sprintf("%.1f", p.Rate()/float64(p.Domains))
		}
	}
	mib := func(bytes uint64) string { return fmt.Sprintf("%.0f", float64(bytes)/(1<<20)) }
	return fmt.Sprintf("| %d | %s | %s | %.2f | %.2f | %.2f | **%.2f** | %s / %s / %s | %d / %d / %d | %.0f; %.0f | %d, %d missing | %d | %d |\n",
		p.Domains, load, rate, milliseconds(p.Each(p.Sessiond)), milliseconds(p.Each(p.Consumerd)), milliseconds(p.Each(p.Daemon)), milliseconds(p.All()),
		mib(p.Sessiond.PSS), mib(p.Consumerd.PSS), mib(p.Daemon.RSS), p.Sessiond.Files, p.Consumerd.Files, p.Daemon.Files,
		milliseconds(p.Latency.Median), milliseconds(p.Latency.P99), p.Verdicts, p.Missing, p.Lossy, p.Late)
}

// check is something that must hold.
type check struct {
	what, found string
	holds       bool
}

func (s Scale) checks() (list []check) {
	web := s.web()
	for _, p := range web {
		most := time.Duration(0)
		switch p.Domains {
		case 1:
			most = mostAlone
		case manyDomains:
			most = mostHundred
		default:
			continue
		}
		list = append(list, check{
			fmt.Sprintf("all daemons take at most %v for each domain and unit with %d", most, p.Domains), fmt.Sprintf("%.2f ms", milliseconds(p.All())), p.All() <= most,
		})
	}
	falls, memory := check{what: "it falls as domains are added", holds: true}, check{what: "virtsentryd's memory is at most 64 MiB and 256 KiB for each domain", holds: true}
	for i, p := range web {
		falls.found += fmt.Sprintf("%.2f, ", milliseconds(p.All()))
		falls.holds = falls.holds && (i == 0 || p.All() <= web[i-1].All())
		most := uint64(mostMemory + memoryEach*p.Domains)
		memory.found += fmt.Sprintf("%.0f of %.0f, ", float64(p.Daemon.RSS)/(1<<20), float64(most)/(1<<20))
		memory.holds = memory.holds && p.Daemon.RSS <= most
	}
	falls.found, memory.found = strings.TrimSuffix(falls.found, ", ")+" ms", strings.TrimSuffix(memory.found, ", ")+" MiB"
	list = append(list, falls, memory)
	for _, p := range s.Players {
		if p.Load != loadWeb || p.Domains != manyDomains {
			continue
		}
		what := "no unit is missing, lost or late with 100 domains"
		if p.Churned > 0 {
			what += ", some of which end while others begin"
		}
		list = append(list, check{
			what, fmt.Sprintf("%d, %d and %d of %d", p.Missing, p.Lossy, p.Late, p.Verdicts), p.Missing == 0 && p.Lossy == 0 && p.Late == 0,
		})
	}
	return list
}

// growth is how cost grows, and what breaks first.
func (s Scale) growth(m Machine) string {
	var b strings.Builder
	web := s.web()
	l := byDomains(web, func(p ScalePoint) float64 { return milliseconds(p.All()) * float64(p.Domains) })
	fmt.Fprintf(&b, "By least squares, the daemons take %.2f ms + %.3f ms × domains of CPU time for a unit of all domains (R² %.4f, web load)", l.Start, l.Each, l.R2)
	var many []ScalePoint
	for _, p := range s.Players {
		if p.Domains == manyDomains && p.Churned == 0 {
			many = append(many, p)
		}
	}
	if len(many) > 1 {
		e := byEvents(many)
		fmt.Fprintf(&b, ", and with 100 domains %.3f ms + %.3f µs × events for each (R² %.4f, all loads)", e.Start, 1e3*e.Each, e.R2)
	}
	last := web[len(web)-1]
	fmt.Fprintf(&b, ". What lives in virtsentryd's memory grew by %.0f bytes for each domain and unit with %d domains; it keeps units of an hour, %d of them.\n\n",
		float64(last.Growth)/(float64(last.Domains)*last.Units), last.Domains, unitsAnHour)
	fmt.Fprintf(&b, "With %d domains on this machine's %d processors, each with web load, the lines give:\n\n| what | with %[1]d | for each | limit | reached at |\n|---|--:|--:|---|--:|\n", projected, m.CPUs)
	first := resource{}
	least := math.Inf(1)
	for _, r := range s.resources(m) {
		at := r.line.reaches(r.limit)
		if at < least {
			first, least = r, at
		}
		fmt.Fprintf(&b, "| %s | %.0f%s | %.2f | %.0f%[3]s: %[6]s | %[7]s |\n", r.name, r.line.at(projected), r.unit, r.line.Each, r.limit, r.why, domainsWord(at))
	}
	fmt.Fprintf(&b, "\nWhat breaks first: %s, at %s domains.\n", first.name, domainsWord(least))
	if many := slices.DeleteFunc(web, func(p ScalePoint) bool { return p.Domains < fewDomains }); len(many) > 2 {
		b.WriteString(square(many))
	}
	return b.String()
}

// fewDomains are those with which what is taken without any domain still counts for each.
const fewDomains = 10

// square says what becomes of lttng-consumerd: the thread that writes the data polls the streams of all domains each time that one of them has
// something, so that what a domain costs grows with their number, and the whole with its square.
func square(points []ScalePoint) string {
	l := byDomains(points, func(p ScalePoint) float64 { return milliseconds(p.Each(p.Consumerd)) })
	if l.Each <= 0 {
		return ""
	}
	const core = 2000
	full := (math.Sqrt(l.Start*l.Start+4*l.Each*core) - l.Start) / (2 * l.Each) // Start·n + Each·n² = core
	return fmt.Sprintf("\nThe straight line flatters lttng-consumerd: one thread polls the streams of all domains whenever one has something. From %d domains on, a unit of each takes "+
		"%.3f ms + %.5f ms × domains (R² %.3f), which with %d is %.0f ms for a unit of all; its processor is full at %.0f domains.\n",
		points[0].Domains, l.Start, l.Each, l.R2, projected, l.at(projected)*projected, full)
}

func domainsWord(n float64) string {
	if math.IsInf(n, 1) || n > 1e6 {
		return "never"
	}
	return fmt.Sprintf("%.0f", n)
}
