package bench

import (
	"math"

	"gonum.org/v1/gonum/stat"
)

// line is y = Start + Each·x, by least squares.
type line struct {
	Start, Each float64
	R2          float64 // share of the variance that it explains
}

func fitLine(x, y []float64) line {
	var l line
	l.Start, l.Each = stat.LinearRegression(x, y, nil, false)
	l.R2 = stat.RSquared(x, y, nil, l.Start, l.Each)
	return l
}

func (l line) at(x float64) float64 { return l.Start + l.Each*x }

// reaches is the x at which the line has a value; infinite where it never does.
func (l line) reaches(y float64) float64 {
	if l.Each <= 0 {
		return math.Inf(1)
	}
	return (y - l.Start) / l.Each
}

// byDomains is a line over the number of domains.
func byDomains(points []ScalePoint, value func(ScalePoint) float64) line {
	x, y := make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		x[i], y[i] = float64(p.Domains), value(p)
	}
	return fitLine(x, y)
}

// byEvents is a line of the CPU time of all daemons (ms for each domain and unit) over events (of each domain and unit), at one number of domains.
func byEvents(points []ScalePoint) line {
	x, y := make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		x[i], y[i] = float64(p.Hits)/(float64(p.Domains)*p.Units), milliseconds(p.All())
	}
	return fitLine(x, y)
}

// hostUnit is the CPU time, ms, of some processes for a unit of all domains.
func hostUnit(f func(ScalePoint) Usage) func(ScalePoint) float64 {
	return func(p ScalePoint) float64 { return milliseconds(f(p).CPU) / p.Units }
}

// resource is something that a host has only so much of.
type resource struct {
	name  string
	unit  string // that line and limit are in, after a blank; empty: a number
	line  line   // over the number of domains
	limit float64
	why   string // it is the limit
}

const (
	// lttngFiles is what LTTng-tools 2.13 asks for as its daemons' limit of open files (set_ulimit in lttng-sessiond and lttng-consumerd).
	lttngFiles = 65535
	// totalBuffers is lttng.total_buffer_bytes as virtsentryd has it by itself.
	totalBuffers = 1 << 30
)

// resources are what more domains take more of.
func (s Scale) resources(m Machine) []resource {
	web := s.web()
	const core = 2000 // ms of one processor in a unit
	files := func(f func(ScalePoint) Usage) line {
		return byDomains(web, func(p ScalePoint) float64 { return float64(f(p).Files) })
	}
	mib := func(f func(ScalePoint) uint64) line {
		return byDomains(web, func(p ScalePoint) float64 { return float64(f(p)) / (1 << 20) })
	}
	memory := float64(m.Memory) / (1 << 20)
	return []resource{
		{"CPU time of lttng-sessiond for a unit", " ms", byDomains(web, hostUnit(sessiondOf)), core, "one processor"},
		{"CPU time of lttng-consumerd for a unit", " ms", byDomains(web, hostUnit(consumerdOf)), core, "one processor: one thread writes the data"},
		{"CPU time of virtsentryd for a unit", " ms", byDomains(web, hostUnit(daemonOf)), core * float64(m.CPUs), "all processors of this machine"},
		{"CPU time of all three for a unit", " ms", byDomains(web, func(p ScalePoint) float64 { return milliseconds(p.All()) * float64(p.Domains) }),
			core * float64(m.CPUs), "all processors of this machine"},
		{"files of lttng-sessiond", "", files(sessiondOf), lttngFiles, "the limit that it asks for"},
		{"files of lttng-consumerd", "", files(consumerdOf), lttngFiles, "the limit that it asks for"},
		{"files of virtsentryd", "", files(daemonOf), lttngFiles, "a limit as LTTng's"},
		{"memory of lttng-sessiond and lttng-consumerd", " MiB", mib(func(p ScalePoint) uint64 { return p.Sessiond.PSS + p.Consumerd.PSS }), memory, "all memory of this machine"},
		{"memory of virtsentryd", " MiB", mib(func(p ScalePoint) uint64 { return p.Daemon.RSS }), memory, "all memory of this machine"},
		{"ring buffers", " MiB", mib(func(p ScalePoint) uint64 { return p.Buffers }), totalBuffers >> 20, "lttng.total_buffer_bytes as it is by itself"},
	}
}

func sessiondOf(p ScalePoint) Usage  { return p.Sessiond }
func consumerdOf(p ScalePoint) Usage { return p.Consumerd }
func daemonOf(p ScalePoint) Usage    { return p.Daemon }
