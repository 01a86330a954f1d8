package bench

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench/standin"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

func TestObserve(t *testing.T) {
	const width = int64(unit.Width)
	begin, end := time.Unix(0, 100*width-1), time.Unix(0, 103*width+1)
	full := func(uuid string, n int64, after time.Duration) standin.Verdict {
		return standin.Verdict{UUID: uuid, Start: n * width, Duration: width, After: after, Judged: true}
	}
	lossy := full("b", 101, time.Second)
	lossy.Lost = 7
	list := []standin.Verdict{
		full("a", 99, time.Second), // began before
		full("a", 100, time.Second), full("a", 101, 3*time.Second), full("a", 102, time.Second), full("a", 103, time.Second),
		full("b", 100, time.Second), lossy,
		{UUID: "c", Start: 100*width + 5, Duration: width - 5}, full("c", 101, time.Second),
	}
	var got ScalePoint
	got.observe(list, map[string]bool{"a": true, "b": true}, begin, end)
	want := ScalePoint{
		Wanted: 6, Missing: 1, Verdicts: 7, Judged: 6, Lossy: 1, Late: 1, Latency: Spread{Median: time.Second, P99: 3 * time.Second, Most: 3 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A verdict and an answer are told from what is neither.
func TestVerdictLines(t *testing.T) {
	d := &daemonProcess{answers: make(chan standin.Status, 2)}
	d.read(strings.NewReader(fmt.Sprintf(standin.Form, "u-1", int64(4e9), int64(15e8), 3, true, int64(16e8)) + "u garbled\n" + `{"domains": 4}` + "\nno JSON\n"))
	want := []standin.Verdict{{UUID: "u-1", Start: 4e9, Duration: 15e8, Lost: 3, Judged: true, After: 1600 * time.Millisecond}}
	if diff := cmp.Diff(want, d.take()); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if a := <-d.answers; a.Domains != 4 || a.Error != "" {
		t.Errorf("answer %+v", a)
	}
	if a := <-d.answers; a.Error == "" {
		t.Errorf("answer to garbage %+v", a)
	}
}

func TestFit(t *testing.T) {
	l := fitLine([]float64{1, 2, 4}, []float64{5, 7, 11})
	if math.Abs(l.Start-3)+math.Abs(l.Each-2)+math.Abs(l.R2-1) > 1e-9 || math.Abs(l.reaches(203)-100) > 1e-9 || math.Abs(l.at(10)-23) > 1e-9 {
		t.Errorf("line %+v", l)
	}
	if flat := fitLine([]float64{1, 2}, []float64{5, 5}); !math.IsInf(flat.reaches(6), 1) {
		t.Errorf("a flat line reaches %v", flat.reaches(6))
	}
}

func point(n int, load string, ms float64, churned int) ScalePoint {
	u := Usage{CPU: time.Duration(ms * float64(n) * 10 / 3 * 1e6), PSS: 10 << 20, RSS: 50<<20 + uint64(n)<<18, Files: 50 + 20*n}
	return ScalePoint{
		Domains: n, Load: load, Churned: churned, Units: 10, Hits: uint64(1000 * n), Sessiond: u, Consumerd: u, Daemon: u, Buffers: uint64(n) << 20,
		Wanted: 10 * n, Verdicts: 10 * n, Judged: 10 * n, Latency: Spread{Median: time.Second, P99: time.Second, Most: time.Second},
	}
}

func TestScaleSection(t *testing.T) {
	dir := t.TempDir()
	if _, ok, err := ScaleSection(dir); ok || err != nil {
		t.Errorf("no file: %v, %v", ok, err)
	}
	s := Scale{Players: []ScalePoint{
		point(1, loadWeb, 4, 0), point(10, loadWeb, 2, 0), point(100, loadWeb, 0.8, 0), point(100, loadWeb, 0.9, 3), point(100, "busy", 2, 0),
	}}
	s.Players[3].Lossy = 1
	f := File[Scale]{Name: ScaleName, Result: s, Machine: Machine{CPUs: 2, Memory: 8 << 30}}
	if err := Write(dir, f); err != nil {
		t.Fatal(err)
	}
	text, ok, err := ScaleSection(dir)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, want := range []string{
		"| 100 | web, 3 end and 3 begin | 50 |", "4.00, 2.00, 0.80 ms | holds", "0, 1 and 0 of 1000 | **does not hold**", "What breaks first: ring buffers, at 1024 domains.",
		"at most 5ms for each domain and unit with 1 | 4.00 ms | holds",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	figures := t.TempDir()
	if err := DrawScale(s, figures); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"scale-cpu.svg", "scale-memory.svg"} {
		if info, err := os.Stat(figures + "/" + name); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTransportSection(t *testing.T) {
	dir := t.TempDir()
	var result Transport
	for _, way := range []string{WayOwn, WayShared, WayPlace} {
		for round := range 3 {
			u := Usage{CPU: time.Duration(round+1) * time.Second}
			result.Runs = append(result.Runs, TransportRun{Applications: 10, Way: way, Round: round, Units: 10, Sessiond: u, Consumerd: u, Reader: u})
		}
	}
	if err := Write(dir, File[Transport]{Name: TransportName, Result: result}); err != nil {
		t.Fatal(err)
	}
	text, ok, err := TransportSection(dir)
	if !ok || err != nil || !strings.Contains(text, "| **40.00** (20.00 to 60.00) |") || !strings.Contains(text, "With 10, where both keep up, reading in place takes 100 % of the CPU time") {
		t.Errorf("%v, %v:\n%s", ok, err, text)
	}
}

func TestUsage(t *testing.T) {
	u, err := usage(os.Getpid())
	if err != nil || u.CPU <= 0 || u.PSS == 0 || u.RSS < u.PSS || u.Files == 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	kernel, err := CPU(os.Getpid())
	if diff := u.CPU - kernel; err != nil || diff.Abs() > time.Second {
		t.Errorf("%v by the process's clock, %v by proc: %v", u.CPU, kernel, err)
	}
	if _, err := usage(1 << 30); err == nil {
		t.Error("usage of no process")
	}
	for _, text := range []string{"", "Pss: x kB\nRss: 1 kB\n", "Rss:\nPss: 1 kB\n", "Pss: 99999999999999999999 kB\nRss: 1 kB\n"} {
		if _, _, err := parseRollup([]byte(text)); err == nil {
			t.Errorf("smaps_rollup %q: no error", text)
		}
	}
}
