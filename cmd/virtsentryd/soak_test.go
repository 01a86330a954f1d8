//go:build integration

package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/reliability"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/libvirt"
)

// What packaging/faults says of the soak test by the environment: how long it takes, and the seed of its order.
const (
	soakLength = "VIRTSENTRY_SOAK"
	soakSeed   = "VIRTSENTRY_SOAK_SEED"
)

// By how much virtsentryd's figures may grow in an hour at most, where they do not stay as they are. Its memory has room for the units of an hour, of
// each guest.
const (
	heapBound  = 2 // MiB
	rssBound   = 8 // MiB
	countBound = 1 // descriptors, goroutines
)

// TestSoak has guests come and go, work, be attacked, and faults be caused for a long time, one thing after the other in the order of a seed. After each one,
// the guest is judged, and every second of its life is accounted for; at the end, memory and descriptors have stayed as they were.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv(soakLength))
	if err != nil {
		t.Skipf("%s says no length: make soak runs it", soakLength)
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(soakSeed); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", soakSeed, err)
		}
	}
	t.Logf("seed %d", seed)
	s := newStack(t, lab.Config{Dir: faultsDir("virtsentry-lab-soak"), Guest: "web", DefineOnly: true})
	tiny, err := s.lab.DefineTiny(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	s.web = s.guest(t, tiny.Name)
	s.flags = []string{} // the race detector has memory of its own
	s.web.judged(t)
	before := s.census(t)
	done, begin := map[string]int{}, time.Now()
	sampling, stop := context.WithCancel(t.Context())
	var sampler sync.WaitGroup
	var taken samples
	sampler.Go(func() { taken.take(sampling, s.control(), length/240) })
	result := reliability.Soak{Begin: begin, Seed: seed, Done: done}
	t.Cleanup(func() {
		stop()
		sampler.Wait()
		if dir := os.Getenv(faultsResults); dir != "" && len(result.Figures) > 0 {
			result.Kept = !t.Failed()
			if err := reliability.WriteSoak(dir, result); err != nil {
				t.Error(err)
			}
		}
	})
	order, actions := rand.New(rand.NewPCG(seed, 0)), s.actions(tiny)
	for time.Since(begin) < length {
		a := actions[order.IntN(len(actions))]
		t.Logf("%v: %s", time.Since(begin).Round(time.Second), a.name)
		a.f(t, order)
		done[a.name]++
		s.web.judged(t)
		event := time.Now()
		s.web.judgedAfter(t, event)
		s.sound(t)
		if t.Failed() {
			t.Fatalf("after %q, seed %d", a.name, seed)
		}
	}
	result.Minutes = time.Since(begin).Minutes()
	s.nothingLeft(t, before)
	s.uncrashed(t)
	stop()
	sampler.Wait()
	result.Figures = taken.figures(t)
	for _, f := range result.Figures {
		t.Logf("%s: %.1f %s at first, %.1f at last; %v", f.Name, f.First, f.Unit, f.Last, f.Slope)
		if !f.Flat() {
			t.Errorf("%s of virtsentryd grows: %v; the bound is %v %s an hour", f.Name, f.Slope, f.Bound, f.Unit)
		}
	}
}

// samples are those of virtsentryd. One goroutine takes them; others look at them when it has ended.
type samples struct{ heap, rss, files, routines []reliability.Sample }

// take samples until ctx ends.
func (l *samples) take(ctx context.Context, client *control.Client, each time.Duration) {
	begin := time.Now()
	tick := time.NewTicker(each)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d, err := client.Daemon(ctx)
		if err != nil {
			continue // it is stopped for a while
		}
		add := func(to *[]reliability.Sample, value float64) {
			*to = append(*to, reliability.Sample{At: time.Since(begin), Value: value})
		}
		add(&l.heap, float64(d.Heap)/(1<<20))
		add(&l.files, float64(d.Files))
		add(&l.routines, float64(d.Goroutines))
		add(&l.rss, residentMiB(d.PID))
	}
}

// residentMiB is a process's memory, proc_pid_statm(5); 0: it has ended.
func residentMiB(pid int) float64 {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	resident, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return 0
	}
	return resident * float64(os.Getpagesize()) / (1 << 20)
}

// figures fits all samples but the first fifth of them, in which things warm up.
func (l *samples) figures(t *testing.T) (list []reliability.Figure) {
	t.Helper()
	for _, x := range []struct {
		name, unit string
		bound      float64
		samples    []reliability.Sample
	}{
		{"heap", "MiB", heapBound, l.heap}, {"resident memory", "MiB", rssBound, l.rss},
		{"descriptors", "open", countBound, l.files}, {"goroutines", "running", countBound, l.routines},
	} {
		f, err := reliability.NewFigure(x.name, x.unit, x.bound, x.samples[len(x.samples)/5:])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	return list
}

// action is something that happens during the soak test.
type action struct {
	name string
	f    func(*testing.T, *rand.Rand)
}

func (s *stack) actions(tiny lab.TinyGuest) []action {
	plain := func(f func(*testing.T)) func(*testing.T, *rand.Rand) {
		return func(t *testing.T, _ *rand.Rand) { f(t) }
	}
	some := func(r *rand.Rand, most int) time.Duration { return time.Duration(1+r.IntN(most)) * time.Second }
	return []action{
		{"another guest starts and stops", func(t *testing.T, r *rand.Rand) {
			second, err := s.lab.StartTiny(t.Context(), 2+r.IntN(20))
			if err != nil {
				t.Fatal(err)
			}
			g := s.guest(t, second.Name)
			time.Sleep(some(r, 20))
			s.end(t, g)
		}},
		{"load: a page a second", func(t *testing.T, r *rand.Rand) { s.fetch(t.Context(), t, tiny, 1, some(r, 20), time.Second) }},
		{"attack: pages as fast as they come", func(t *testing.T, r *rand.Rand) { s.fetch(t.Context(), t, tiny, 8, some(r, 15), 0) }},
		{"the guest is paused", plain(s.testPause)},
		{"the guest is started anew", plain(func(t *testing.T) { s.web.restart(t) })},
		{"QEMU is killed", plain(func(t *testing.T) {
			if err := syscall.Kill(s.web.pid(t), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			s.within(t, "libvirt has seen it end", func() bool { return !s.web.runs(t) })
		})},
		{"libvirtd is killed", plain(func(t *testing.T) {
			p, err := s.lab.LibvirtDaemon()
			if err != nil {
				t.Fatal(err)
			}
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
			s.disconnect()
			s.repair(t)
			s.connect(t)
		})},
		{"lttng-sessiond is killed", plain(func(t *testing.T) { s.newSessions(t) })},
		{"libvirtd does not answer", func(t *testing.T, r *rand.Rand) {
			p, err := s.lab.LibvirtDaemon()
			if err != nil {
				t.Fatal(err)
			}
			stopped(t, p.PID, func() { time.Sleep(some(r, 10)) })
		}},
		{"lttng-sessiond does not answer", func(t *testing.T, r *rand.Rand) {
			p, _, err := s.lab.SessionDaemon()
			if err != nil {
				t.Fatal(err)
			}
			stopped(t, p.PID, func() { time.Sleep(some(r, 10)) })
		}},
		{"somebody garbles the state", plain(func(t *testing.T) { s.web.setMetadata(t, libvirt.StateURI, "<state/>", golibvirt.DOMAIN_AFFECT_LIVE) })},
		{"the configuration is read again", plain(func(t *testing.T) {
			if err := s.daemon.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		})},
	}
}

// fetch has clients get a tiny guest's page for a while, each with a pause after a page. A guest that is being started answers none.
func (s *stack) fetch(ctx context.Context, t *testing.T, g lab.TinyGuest, clients int, length, pause time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			client := http.Client{Transport: &http.Transport{DialContext: s.lab.DialContext, DisableKeepAlives: true}}
			for ctx.Err() == nil {
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.Addr.String()+"/page", nil)
				if err != nil {
					t.Error(err)
					return
				}
				answer, err := client.Do(request)
				if err == nil {
					_, _ = io.Copy(io.Discard, answer.Body)
					_ = answer.Body.Close()
				}
				time.Sleep(max(pause, 5*time.Millisecond)) // at most 1,600 a second
			}
		})
	}
	all.Wait()
}
