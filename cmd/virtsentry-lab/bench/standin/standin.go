// Package standin is virtsentryd's monitor in a process of its own, with domains that libvirt's test driver makes believe in: what is measured as the daemon where there are
// many domains.
package standin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/monitor"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvm"
	"github.com/virtsentry/virtsentry/model/libsvmgo"
)

// testDriver is libvirt's own make-believe hypervisor: its domains live in the process that asks for them (https://libvirt.org/drvtest.html).
const testDriver = "test:///default"

// domainXML is a domain of the test driver with the devices that a player plays: name, UUID and emulator.
const domainXML = `<domain type='test'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices><emulator>%s</emulator>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/nonexistent'/><target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><source bridge='br0'/><model type='virtio'/><driver name='qemu'/></interface></devices></domain>`

// Status is what the daemon's process says when it is asked.
type Status struct {
	Domains  int    `json:"domains"`
	Attached int    `json:"attached"` // domains whose ring buffers there are
	Profiles int    `json:"profiles"` // domains with a profile in force
	Judged   int    `json:"judged"`   // domains of which a unit was judged
	Blind    int    `json:"blind"`
	Why      string `json:"why,omitempty"`   // the first of those is
	Buffers  uint64 `json:"buffers"`         // bytes of all domains' ring buffers, by the daemon's account
	Heap     uint64 `json:"heap"`            // bytes that live, after a collection of garbage
	Stacks   uint64 `json:"stacks"`          // bytes of goroutines' stacks
	Late     uint64 `json:"late"`            // events that came after their unit
	Routines int    `json:"routines"`        // goroutines
	Error    string `json:"error,omitempty"` // of the command
}

// Verdict is one unit as the daemon gave it out, a line of its standard output that begins with u.
type Verdict struct {
	UUID     string
	Start    int64 // nanoseconds since 1970
	Duration int64 // nanoseconds
	Lost     uint64
	Judged   bool
	After    time.Duration // from the unit's end
}

// VerdictOf is a unit that was given out just now.
func VerdictOf(u control.UnitReport) Verdict {
	duration := time.Duration(u.Duration * float64(time.Second))
	return Verdict{UUID: u.Domain, Start: u.Start.UnixNano(), Duration: int64(duration.Round(time.Microsecond)), Lost: u.Lost, Judged: u.Judged,
		After: time.Since(u.Start.Add(duration))}
}

// Form is the line of a verdict, for [fmt.Sscanf] too: its fields in their order.
const Form = "u %s %d %d %d %t %d\n"

// Run is the daemon's monitor, as virtsentryd runs it, in a process of its own. Domains are those of libvirt's test driver, which is told on
// standard input which there are:
//
//	start NAME UUID EMULATOR
//	stop NAME
//	status
//
// Each unit, and each answer (JSON), is a line of standard output. It ends at the end of standard input.
func Run(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	cfg := config.Default()
	cfg.Libvirt.URI, cfg.Libvirt.RunDir = testDriver, filepath.Join(dir, "libvirt")
	cfg.LTTng.OutputDir = filepath.Join(dir, "traces")
	cfg.Profiles.Dir = filepath.Join(dir, "profiles")
	cfg.History.File = filepath.Join(dir, "history.db")
	cfg.Hooks.Dir, cfg.Hooks.Pokes = filepath.Join(dir, "hooks.d"), filepath.Join(dir, "pokes")
	cfg.Sources.Socket = filepath.Join(dir, "probe.sock")
	cfg.Learning.Units, cfg.Learning.MaxUnits, cfg.Learning.Starting = 30, 30, 0 // so that units are judged soon, as in a daemon's long life
	set, err := catalogue.Load(cfg.LTTng.Features)
	if err != nil {
		return err
	}
	first, err := libvirt.Connect(testDriver) // starts libvirt's event loop, which comes before any connection
	if err != nil {
		return err
	}
	defer func() { _ = first.Close() }()
	backend, err := newTestBackend()
	if err != nil {
		return err
	}
	defer backend.close()
	log := logrus.New()
	log.SetLevel(logrus.ErrorLevel) // anomalies are no news here
	monitor.Save()                  // as virtsentryd does
	m := monitor.New(cfg, set, model.Fallback{First: libsvm.Engine{}, Second: libsvmgo.Engine{}}, log)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w := &lineWriter{w: bufio.NewWriter(out)}
	var all sync.WaitGroup
	units := m.Subscribe(ctx)
	all.Go(func() {
		for u := range units {
			w.unit(u)
		}
	})
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	for s := bufio.NewScanner(in); s.Scan(); {
		w.answer(backend.command(s.Text()), m)
	}
	stop()
	err = <-ended
	all.Wait()
	return errors.Join(err, w.flush())
}

// testBackend is a connection to libvirt's test driver.
type testBackend struct{ conn *golibvirt.Connect }

// newTestBackend has the driver run no domain.
func newTestBackend() (*testBackend, error) {
	conn, err := golibvirt.NewConnect(testDriver)
	if err != nil {
		return nil, fmt.Errorf("connect to libvirt's test driver: %w", err)
	}
	b := &testBackend{conn}
	if err := b.with("test", (*golibvirt.Domain).Destroy); err != nil { // which it comes with
		b.close()
		return nil, fmt.Errorf("libvirt's test driver: %w", err)
	}
	return b, nil
}

func (b *testBackend) close() { _, _ = b.conn.Close() }

func (b *testBackend) with(name string, f func(*golibvirt.Domain) error) error {
	d, err := b.conn.LookupDomainByName(name)
	if err != nil {
		return err
	}
	defer func() { _ = d.Free() }()
	return f(d)
}

// errStatus says that the status was asked for.
var errStatus = errors.New("status")

// command does what a line of standard input says.
func (b *testBackend) command(line string) error {
	var verb, name, uuid, emulator string
	_, _ = fmt.Sscan(line, &verb, &name, &uuid, &emulator)
	switch {
	case verb == "start" && emulator != "":
		d, err := b.conn.DomainCreateXML(fmt.Sprintf(domainXML, name, uuid, emulator), 0)
		if err != nil {
			return err
		}
		return d.Free()
	case verb == "stop" && name != "":
		return b.with(name, (*golibvirt.Domain).Destroy)
	case verb == "status":
		return errStatus
	}
	return fmt.Errorf("what is %q", line)
}

// lineWriter writes lines as a whole.
type lineWriter struct {
	mu sync.Mutex // guards w
	w  *bufio.Writer
}

func (l *lineWriter) unit(u control.UnitReport) {
	v := VerdictOf(u)
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.w, Form, v.UUID, v.Start, v.Duration, v.Lost, v.Judged, v.After)
}

// answer answers a line of standard input, after which there was that error; what was given out before is written first.
func (l *lineWriter) answer(err error, m *monitor.Monitor) {
	var s Status
	switch {
	case errors.Is(err, errStatus):
		s = statusOf(m)
	case err != nil:
		s.Error = err.Error()
	}
	text, err := json.Marshal(s)
	if err != nil {
		text = fmt.Appendf(nil, `{"error": %q}`, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(append(text, '\n'))
	_ = l.w.Flush()
}

func statusOf(m *monitor.Monitor) (s Status) {
	for _, d := range m.Domains() {
		s.Domains++
		s.Buffers += d.BufferBytes
		s.Late += d.Units.Late
		if d.BufferBytes > 0 {
			s.Attached++
		}
		if d.Profile {
			s.Profiles++
		}
		if d.Units.Judged > 0 {
			s.Judged++
		}
		if d.State == "blind" {
			if s.Blind++; d.Reason != nil && s.Why == "" {
				s.Why = d.Reason.Code + ": " + d.Reason.Text
			}
		}
	}
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	s.Heap, s.Stacks, s.Routines = memory.HeapAlloc, memory.StackInuse, runtime.NumGoroutine()
	return s
}

func (l *lineWriter) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Flush()
}
