package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/price"
	"github.com/virtsentry/virtsentry/model/cost"
)

// observations are made up: a system call takes 0.5 µs, a packet 2, and a trace point's hit 0.2.
func observations(t *testing.T) string {
	t.Helper()
	o := cost.Observations{Origin: "a host that is made up", Begin: noon}
	for i, w := range []string{"cpu", "disk", "web", "mail"} {
		r := cost.Rates{"syscall": 1000 + 9000*float64(i), "packet": 500 * float64(i*i), "probe:network": 800 * float64(i*i), "probe:disk": 300 * float64(i), "probe:rest": 5e4 * float64(1+i),
			"probe:virtio": 0, "probe:serial": 0, "probe:usb": 0}
		calls, packets, hits := 0.5e-6*r["syscall"], 2e-6*r["packet"], 0.2e-6*(r["probe:network"]+r["probe:disk"])
		for j, x := range []struct {
			sources  []string
			overhead float64
			held     bool
		}{
			{[]string{"syscalls"}, calls, false}, {[]string{"tap"}, packets, false}, {[]string{"ust"}, hits, false},
			{[]string{"syscalls", "tap", "ust"}, calls + packets + hits, false},
			{[]string{"syscalls", "tap"}, calls + packets, true}, {[]string{"tap", "ust"}, packets + hits, true},
		} {
			o.List = append(o.List, cost.Observation{Workload: w, Sources: x.sources, Rates: r, Overhead: x.overhead + 0.0004*float64((i+j)%3-1), Error: 0.001, Pairs: 20, HeldOut: x.held})
		}
	}
	path := filepath.Join(t.TempDir(), "observations.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cost.WriteObservations(f, o), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCost(t *testing.T) {
	b := &backend{domains: []control.DomainStatus{{Name: "web", UUID: "u", Sources: []control.Source{{Name: "ust"}, {Name: "tap", Error: "no helper"}}}}}
	for range 10 {
		b.units = append(b.units,
			control.UnitReport{Domain: "u", Duration: 2, Counts: map[string]uint64{"virtqueue_fill:net.tx": 2400, "virtio_blk_handle_read": 300}},
			control.UnitReport{Domain: "another", Duration: 2, Counts: map[string]uint64{"virtqueue_fill:net.tx": 1e9}})
	}
	socket, file := serve(t, b), filepath.Join(t.TempDir(), "cost.json")
	out, _, err := run(t.Context(), "cost", "--calibration", file, "fit", observations(t))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "cost/fit.txt", out)
	shown, _, err := run(t.Context(), "cost", "--calibration", file, "show")
	if err != nil || shown != out {
		t.Error(err, shown)
	}
	rates := write(t, "rates.json", `{"syscall": 20000, "packet": 4000, "probe:network": 3000, "probe:disk": 100}`)
	units := write(t, "units.csv", "start_ns,duration_ns,lost,syscalls:vcpu:ioctl,tap:sent:len<32\n0,2000000000,0,40000,8000\n")
	for _, tc := range []struct {
		name string
		args []string
	}{
		{"live", []string{"--socket", socket, "cost", "web", "--with", "syscalls,tap"}},
		{"rates", []string{"cost", "web", "--with", "syscalls", "--rates", rates, "--running", "ust"}},
		{"units", []string{"cost", "web", "--with", "syscalls", "--units", units}},
		{"nothing", []string{"cost", "web", "--with", "syscalls", "--units", units, "--running", "syscalls"}},
	} {
		out, _, err := run(t.Context(), append(tc.args, "--calibration", file)...)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		golden(t, "cost/"+tc.name+".txt", out)
	}
	out, _, err = run(t.Context(), "cost", "web", "--with", "syscalls", "--units", units, "-o", "json", "--calibration", file)
	var p costReport
	if err != nil || json.Unmarshal([]byte(out), &p) != nil || p.Domain != "web" || p.Rates["syscall"] != 20000 || !(p.Low < 0.01 && p.High > 0.01) || !strings.Contains(p.Sentence, "syscalls costs") {
		t.Error(err, out)
	}
	out, _, err = run(t.Context(), "cost", "--calibration", file, "show", "-o", "json")
	var r calibrationReport
	if err != nil || json.Unmarshal([]byte(out), &r) != nil || !r.Holds || r.HeldOut != 8 || len(r.Bars) != 4 {
		t.Error(err, out)
	}
}

// With a lab that has observed already, fails, is interrupted, or is not there.
func TestCostCalibrate(t *testing.T) {
	dir := t.TempDir()
	file, told := filepath.Join(dir, "cost.json"), filepath.Join(dir, "told")
	asLab := func(script string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, labProgram), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	if _, _, err := run(t.Context(), "cost", "calibrate", "--calibration", file); !errors.Is(err, errNoLab) {
		t.Errorf("no lab: %v", err)
	}
	asLab(`echo "$@" >` + told + `; cp ` + observations(t) + ` "$4"`)
	out, _, err := run(t.Context(), "cost", "calibrate", "--calibration", file, "--", "--each", "10s")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "cost/fit.txt", out)
	if _, err := price.Load(file); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(told)
	if want := "cost calibrate --output " + filepath.Join(dir, "observations.jsonl") + " --each 10s\n"; err != nil || string(text) != want {
		t.Errorf("the lab was told %q, %v; want %q", text, err, want)
	}
	asLab("exit 3")
	if _, code, err := run(t.Context(), "cost", "calibrate", "--calibration", file, "--observations", "here.jsonl"); code != 1 || err == nil || !strings.Contains(err.Error(), "exit status 3; what was observed is in here.jsonl") {
		t.Errorf("a lab that fails: %d, %v", code, err)
	}
	asLab(`trap 'echo ended >` + told + `; exit 1' INT; echo up >` + told + `; while :; do sleep 0.05; done`)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for range 500 {
			if text, _ := os.ReadFile(told); string(text) == "up\n" {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	_, code, err := run(ctx, "cost", "calibrate", "--calibration", file)
	if text, _ := os.ReadFile(told); code != 1 || !errors.Is(err, errInterrupted) || string(text) != "ended\n" {
		t.Errorf("interrupted: %d, %v, and the lab %q", code, err, text)
	}
}

func TestCostFailures(t *testing.T) {
	socket := serve(t, &backend{domains: []control.DomainStatus{{Name: "web", UUID: "u"}}})
	file := filepath.Join(t.TempDir(), "cost.json")
	if _, _, err := run(t.Context(), "cost", "web", "--with", "ust", "--calibration", file); !errors.Is(err, price.ErrNoCalibration) || !strings.Contains(err.Error(), "virtsentry cost calibrate") {
		t.Errorf("no calibration: %v", err)
	}
	seen := observations(t)
	if _, _, err := run(t.Context(), "cost", "--calibration", file, "fit", seen); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	cut := write(t, "cut.jsonl", string(whole[:len(whole)-20]))
	rates := write(t, "rates.json", `{"syscall": 20000}`)
	for _, tc := range []struct {
		name string
		args []string
		code int
		text string // in the error
	}{
		{"with nothing", []string{"web"}, 1, `required flag(s) "with" not set`},
		{"with what is not there", []string{"web", "--with", "oracle"}, 1, `no such source: "oracle": there are`},
		{"no domain", []string{"--socket", socket, "no-such", "--with", "ust"}, 3, "no-such: no running domain"},
		{"no daemon", []string{"--socket", file, "web", "--with", "ust"}, 4, "no virtsentryd answers"},
		{"for no time", []string{"web", "--with", "ust", "--for", "0s"}, 1, "--for 0s"},
		{"for a day", []string{"web", "--with", "ust", "--for", "24h"}, 1, "at most 10m"},
		{"running as the daemon says", []string{"web", "--with", "ust", "--running", "tap"}, 1, "the daemon knows what runs"},
		{"rates twice", []string{"web", "--with", "ust", "--rates", rates, "--units", rates}, 1, "none of the others can be"},
		{"no rates", []string{"web", "--with", "ust", "--rates", write(t, "a", "[1]")}, 1, "want events a second by kind"},
		{"rates of what", []string{"web", "--with", "ust", "--rates", write(t, "b", `{"clicks": 1}`)}, 1, `no events of kind "clicks"`},
		{"rates below none", []string{"web", "--with", "syscalls", "--rates", write(t, "c", `{"syscall": -1}`)}, 1, "rate of syscall: -1"},
		{"never measured", []string{"web", "--with", "guest-syscalls", "--rates", write(t, "d", `{"guest-syscall": 9}`)}, 1, "not calibrated"},
		{"nothing to go by", []string{"web", "--with", "functions", "--rates", rates}, 1, `events a second of kind "function"`},
		{"fit to what is cut off", []string{"fit", cut}, 1, "cut off"},
		{"fit to something else", []string{"fit", rates}, 1, "not a file of observations"},
		{"fit to what is not there", []string{"fit", "testdata/no-such"}, 1, "no such file"},
	} {
		_, code, err := run(t.Context(), append([]string{"cost", "--calibration", file}, tc.args...)...)
		if code != tc.code || err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %d, %v; want %d, %q", tc.name, code, err, tc.code, tc.text)
		}
	}
	if _, _, err := run(t.Context(), "cost", "show", "--calibration", rates); !errors.Is(err, cost.ErrFormat) {
		t.Errorf("show another file: %v", err)
	}
}

func FuzzParseRates(f *testing.F) {
	f.Add([]byte(`{"syscall": 20000, "packet": 0.5}`))
	f.Add([]byte(`{"syscall": -1e999}`))
	scheme := price.Scheme()
	kinds := scheme.Kinds(scheme.Sources()...)
	f.Fuzz(func(t *testing.T, text []byte) {
		rates, err := parseRates(text)
		if err == nil && len(rates) > len(kinds) {
			t.Fatal(rates)
		}
	})
}
