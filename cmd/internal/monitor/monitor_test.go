package monitor

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

// testSet is what is counted in tests.
var testSet = func() *catalogue.Set {
	set, err := catalogue.Load("counts")
	if err != nil {
		panic(err)
	}
	return set
}()

const testURI = "test:///default"

// fakeSource gives out what a test puts in.
type fakeSource struct {
	mu       sync.Mutex
	next     batch
	err      error
	closed   bool
	finished bool
	hurried  bool           // the last collection was
	set      *catalogue.Set // nil: testSet
}

func (f *fakeSource) put(b batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next.registered = f.next.registered || b.registered
	f.next.units = append(f.next.units, b.units...)
	f.next.doubt = b.doubt
}

// fail lets collections fail from now on.
func (f *fakeSource) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeSource) collect(_ context.Context, hurried bool) (batch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.next
	f.hurried = hurried
	f.next = batch{registered: b.registered}
	return b, f.err
}

func (f *fakeSource) finish(ctx context.Context) (batch, error) {
	f.finished = true
	return f.collect(ctx, false)
}

func (f *fakeSource) at(t int64) int64 { return t - time.Now().UnixNano() + now() }

func (f *fakeSource) memory() uint64 { return 0 }

func (f *fakeSource) counts() *features {
	if f.set != nil {
		return newFeatures(f.set, nil, false)
	}
	return newFeatures(testSet, nil, false)
}

func (f *fakeSource) lag() time.Duration { return 0 }

func (f *fakeSource) observed() []control.Source { return []control.Source{{Name: ust}} }

func (f *fakeSource) close(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// load makes units of a steady, noisy load; scale multiplies the network's counts.
func load(n int, start time.Time, scale uint64, lost uint64) []unit.Unit {
	names := testSet.Names()
	random := rand.New(rand.NewPCG(1, uint64(start.Unix())))
	units := make([]unit.Unit, n)
	for i := range units {
		counts := make([]uint64, len(names))
		packets := 150 + random.Uint64N(40)
		for j, name := range names {
			switch name {
			case "tap_send", "qemu_deliver_packet", "virtqueue_fill", "virtio_queue_notify", "virtio_notify":
				counts[j] = packets * scale
			case "blk_co_pwritev", "virtio_blk_handle_write":
				counts[j] = 5 + random.Uint64N(6)
			}
		}
		at := start.Truncate(unit.Width).Add(time.Duration(i) * unit.Width)
		units[i] = unit.Unit{Start: at.UnixNano(), Duration: int64(unit.Width), Lost: lost, Counts: counts}
	}
	return units
}

func testConfig(t *testing.T) config.Config {
	c := config.Default()
	c.Libvirt.URI = testURI
	c.Libvirt.RunDir = t.TempDir()
	c.LTTng.OutputDir = t.TempDir()
	c.Profiles.Dir = filepath.Join(t.TempDir(), "profiles")
	c.History.File = filepath.Join(t.TempDir(), "history.db")
	c.Hooks.Dir, c.Hooks.Pokes = filepath.Join(t.TempDir(), "hooks.d"), filepath.Join(t.TempDir(), "pokes")
	c.Learning.Units = 60
	c.Judging.QuietUnits = 5
	c.Learning.Starting = 0
	return c
}

func silent() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// bench is a monitor on libvirt's test driver, with a process and a source that are made up.
type bench struct {
	*Monitor
	t      *testing.T
	client *libvirt.Connection // not the monitor's
	domain libvirt.Domain
	source *fakeSource
	make   func() (source, error) // instead of giving out source; nil: that
	stop   context.CancelFunc
	ended  chan error
}

func newBench(t *testing.T, cfg config.Config) *bench {
	t.Helper()
	return newBenchOf(t, cfg, testSet)
}

// newBenchOf is a bench with another feature set.
func newBenchOf(t *testing.T, cfg config.Config, set *catalogue.Set) *bench {
	t.Helper()
	b := newIdleBench(t, cfg, set)
	b.start()
	return b
}

// newIdleBench is a bench whose monitor does not run before start.
func newIdleBench(t *testing.T, cfg config.Config, set *catalogue.Set) *bench {
	t.Helper()
	client, err := libvirt.Connect(testURI)
	if err != nil {
		t.Fatal(err)
	}
	domains, err := client.Running()
	if err != nil || len(domains) != 1 {
		t.Fatalf("Running = %v, %v", domains, err)
	}
	b := &bench{t: t, client: client, domain: domains[0], source: &fakeSource{set: set, next: batch{registered: true}}}
	b.Monitor = New(cfg, set, libsvm.Engine{}, silent())
	b.processes.ProcDir = t.TempDir()
	b.attach = func(libvirt.Domain, qemu.Process, wish) (source, error) {
		b.mu.Lock()
		s, make := b.source, b.make
		b.mu.Unlock()
		if make != nil {
			return make()
		}
		return s, nil
	}
	b.writeFile(filepath.Join(cfg.Libvirt.RunDir, "qemu", b.domain.Name+".pid"), "4321\n")
	b.writeFile(filepath.Join(b.processes.ProcDir, "4321", "stat"), "4321 (qemu) S"+strings.Repeat(" 1", 18)+" 500 0\n")
	b.writeFile(filepath.Join(b.processes.ProcDir, "4321", "cmdline"), "qemu\x00-uuid\x00"+b.domain.UUID+"\x00")
	b.writeFile(filepath.Join(b.processes.ProcDir, "uptime"), "1000.00 1.0\n")
	t.Cleanup(func() {
		b.end()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) start() {
	ctx, stop := context.WithCancel(b.t.Context())
	b.stop = stop
	b.ended = make(chan error, 1)
	go func() { b.ended <- b.Run(ctx) }()
}

func (b *bench) end() {
	if b.ended == nil {
		return
	}
	b.stop()
	if err := <-b.ended; err != nil {
		b.t.Error(err)
	}
	b.ended = nil
}

func (b *bench) writeFile(path, text string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// await waits until another libvirt client reads the state from the domain's metadata.
func (b *bench) await(state, reason string) *libvirt.State {
	b.t.Helper()
	var last *libvirt.State
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s, err := b.client.State(b.domain.UUID)
		if err != nil {
			b.t.Fatal(err)
		}
		last = s
		if s != nil && s.Value == state && (reason == "" || s.Reason != nil && s.Reason.Code == reason) {
			return s
		}
	}
	b.t.Fatalf("metadata is %+v; want %s %s", last, state, reason)
	return nil
}

func TestWayOfADomain(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, reasonGathering)
	now := time.Now()
	b.source.put(batch{units: load(60, now, 1, 0)})
	b.await(stateStarting, reasonNoUnit) // never normal before a unit shows it
	b.source.put(batch{units: load(1, now.Add(150*time.Second), 1, 0)})
	b.await(stateNormal, "")

	b.source.put(batch{units: load(5, now.Add(200*time.Second), 20, 0)})
	s := b.await(stateAnomalous, reasonAnomaly)
	if !strings.Contains(s.Reason.Text, "packets received") || s.Explanation == nil || s.Unit == nil {
		t.Errorf("the anomaly is not explained: %+v", s)
	}
	d, err := b.Domain(b.domain.Name)
	if err != nil || d.Alarm == nil || d.Alarm.Explain[0].Subsystem == "disk" {
		t.Errorf("Domain = %+v, %v", d, err)
	}
	b.source.put(batch{units: load(25, now.Add(300*time.Second), 1, 0)})
	b.await(stateNormal, "")

	// A flood with losses is still one; quiet units with losses prove nothing.
	b.source.put(batch{units: load(5, now.Add(400*time.Second), 20, 9)})
	b.await(stateAnomalous, reasonAnomaly)
	b.source.put(batch{units: load(25, now.Add(500*time.Second), 1, 0)})
	b.await(stateNormal, "")
	b.source.put(batch{units: load(5, now.Add(600*time.Second), 1, 9)})
	b.await(stateUnknown, reasonEventsLost)
	b.source.put(batch{units: load(6, now.Add(700*time.Second), 1, 0)})
	b.await(stateNormal, "")

	if err := b.Learn(b.domain.UUID, 30); err != nil {
		t.Fatal(err)
	}
	b.await(stateLearning, reasonGathering)

	b.end()
	if s, err := b.client.State(b.domain.UUID); err != nil || s.Value != stateBlind || s.Reason.Code != reasonStopped {
		t.Errorf("after the daemon: state %+v, %v; want blind, daemon-stopped", s, err)
	}
	if !b.source.finished || !b.source.closed {
		t.Error("the source was not finished and closed")
	}
}

func TestProfileIsLoaded(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	b.await(stateLearning, "")
	b.source.put(batch{units: load(60, time.Now(), 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	b.end()

	again := newBench(t, cfg)
	again.await(stateStarting, reasonNoUnit)
	again.end()

	// Another QEMU is another thing to count.
	cfg2 := cfg
	cfg2.LTTng.OutputDir = t.TempDir()
	other := newBench(t, cfg2)
	other.await(stateStarting, reasonNoUnit)
	if !other.watcher(other.domain.UUID).do(func() {
		w := other.watcher(other.domain.UUID)
		w.build = "another"
		w.identify()
		w.refresh()
	}) {
		t.Fatal("the watcher is busy")
	}
	if s := other.await(stateLearning, reasonProfile); !strings.Contains(s.Reason.Text, "QEMU build is another") {
		t.Errorf("the reason does not say what differs: %q", s.Reason.Text)
	}
	other.end()

	path, err := model.NewStore(cfg.Profiles.Dir).Path(b.domain.UUID)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if err := b.client.RemoveProfile(b.domain.UUID); err != nil { // or the copy would be taken
		t.Fatal(err)
	}
	broken := newBench(t, cfg)
	if s := broken.await(stateLearning, reasonProfile); !strings.Contains(s.Reason.Text, path) {
		t.Errorf("the reason does not name the file: %q", s.Reason.Text)
	}
}

func TestBlind(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	b.source.mu.Lock()
	b.source.err = fmt.Errorf("%w: channel0_0 at byte 12", errUnreadable)
	b.source.mu.Unlock()
	if s := b.await(stateBlind, reasonUnreadable); !strings.Contains(s.Reason.Text, "byte 12") {
		t.Errorf("reason %q", s.Reason.Text)
	}
	b.source.put(batch{units: load(2, time.Now(), 1, 1)}) // what was read of it proves nothing
	time.Sleep(2 * unit.Width)
	if d, err := b.Domain(b.domain.UUID); err != nil || d.State != stateBlind || d.Units.Unread != 2 {
		t.Errorf("Domain = %+v, %v; want blind with 2 units not readable", d, err)
	}
	b.source.mu.Lock()
	b.source.err = nil
	b.source.mu.Unlock()
	b.source.put(batch{units: load(1, time.Now(), 1, 0)})
	b.await(stateLearning, "")
}

func TestHooksHearOfChanges(t *testing.T) {
	cfg := testConfig(t)
	heard := filepath.Join(t.TempDir(), "heard")
	// The directories of a test are not all root's own: only a directory that nobody else may write to is trusted.
	cfg.Hooks.Dir = filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(cfg.Hooks.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho \"$2 $3\" >>" + heard + "\n"
	if err := os.WriteFile(filepath.Join(cfg.Hooks.Dir, "10-note"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, cfg)
	b.await(stateLearning, "")
	b.end()
	text, err := os.ReadFile(heard)
	for _, want := range []string{"starting attaching\n", "learning gathering\n", "blind daemon-stopped\n"} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("hooks heard %q, %v; want %q in it", text, err, want)
		}
	}
}

func TestStateIsWrittenAgain(t *testing.T) {
	b := newBench(t, testConfig(t))
	want := b.await(stateLearning, "")
	if want.Host == "" || want.BootID == "" || want.Coverage != coverageFull || !want.ValidUntil.After(want.Updated) {
		t.Errorf("state %+v; want host, boot-id, full coverage and its validity", want)
	}
	if err := b.client.SetState(b.domain.UUID, libvirt.State{Value: stateNormal}); err != nil {
		t.Fatal(err)
	}
	b.await(stateLearning, reasonGathering)
}

func TestNoProcess(t *testing.T) {
	cfg := testConfig(t)
	cfg.Libvirt.RunDir = t.TempDir()
	b := newIdleBench(t, cfg, testSet)
	b.writeFile(filepath.Join(cfg.Libvirt.RunDir, "qemu", b.domain.Name+".pid"), "99\n")
	b.start()
	b.await(stateBlind, reasonNoProcess)
}

func TestLearnRefused(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	if err := b.Learn("no-such", 0); err == nil || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("Learn of no domain = %v", err)
	}
	if err := b.Learn(b.domain.Name, 5); err == nil || !strings.Contains(err.Error(), "5 units") {
		t.Errorf("Learn from 5 units = %v", err)
	}
}

var _ control.Backend = (*Monitor)(nil)
