package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench/standin"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

// loadPages is what real guests do: a page now and then, and something written to the disk.
const loadPages = "a page each second"

// GuestsConfig says what to measure of real guests.
type GuestsConfig struct {
	Checkout string // of the project
	Dir      string // for traces, profiles and programs, on tmpfs
	LabDir   string // lab.Config.Dir
	Daemon   string // path of virtsentryd
	Guests   []int  // numbers of guests, the greatest first
	Run      time.Duration
	Log      logrus.FieldLogger
	Report   func(string)
	Done     func(ScalePoint)
}

// RunGuests measures virtsentryd with real QEMUs under a libvirtd of their own, in namespaces of its own (Private).
func RunGuests(ctx context.Context, cfg GuestsConfig) (points []ScalePoint, err error) {
	l, err := lab.Up(ctx, lab.Config{Dir: cfg.LabDir, Checkout: cfg.Checkout, DefineOnly: true, Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lab.Down(context.WithoutCancel(ctx), cfg.LabDir, cfg.Log)) }()
	s := &site{cfg: cfg, lab: l}
	if s.tracer, err = labTracer(l); err != nil {
		return nil, err
	}
	visiting, stop := context.WithCancel(ctx)
	var visitors sync.WaitGroup
	defer func() { stop(); visitors.Wait() }()
	for n := 1; n <= cfg.Guests[0]; n++ {
		cfg.Report(fmt.Sprintf("starting guest %d of %d", n, cfg.Guests[0]))
		g, err := l.StartTiny(ctx, n)
		if err != nil {
			return nil, err
		}
		s.guests = append(s.guests, g)
		if err := s.await(ctx, g); err != nil {
			return nil, err
		}
		visitors.Go(func() { s.visit(visiting, g) })
	}
	for _, n := range cfg.Guests {
		p, err := s.step(ctx, n)
		if err != nil {
			return points, fmt.Errorf("%d guests: %w", n, err)
		}
		points = append(points, p)
		if cfg.Done != nil {
			cfg.Done(p)
		}
	}
	return points, nil
}

// labTracer is the lab's own session daemon.
func labTracer(l *lab.Lab) (*tracer, error) {
	text, err := os.ReadFile(filepath.Join(l.Dir(), "lttng-sessiond.pid"))
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("PID file of lttng-sessiond: %w", err)
	}
	return &tracer{pid: pid}, nil
}

// site is the lab with its guests and the daemon.
type site struct {
	cfg    GuestsConfig
	lab    *lab.Lab
	tracer *tracer
	guests []lab.TinyGuest
	daemon *exec.Cmd

	mu       sync.Mutex // guards verdicts
	verdicts []standin.Verdict
}

// fetch has a guest serve its page.
func (s *site) fetch(ctx context.Context, g lab.TinyGuest) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DialContext: s.lab.DialContext, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.Addr.String()+"/page", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// await waits until a guest serves its page.
func (s *site) await(ctx context.Context, g lab.TinyGuest) error {
	for end := time.Now().Add(2 * time.Minute); ; {
		err := s.fetch(ctx, g)
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("guest %s serves no page (its console: %s): %w", g.Name, filepath.Join(s.lab.Dir(), "log", "qemu", g.Name+"-console.log"), err)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// visit fetches a guest's page again and again, until ctx or the guest ends.
func (s *site) visit(ctx context.Context, g lab.TinyGuest) {
	for failed := 0; failed < 5 && sleep(ctx, time.Second) == nil; {
		if s.fetch(ctx, g) != nil {
			failed++
		} else {
			failed = 0
		}
	}
}

func (s *site) socket() string { return filepath.Join(s.cfg.Dir, "control.sock") }

// begin starts virtsentryd as an operator would, and hears its units.
func (s *site) begin(ctx context.Context) error {
	file := func(name string) string { return filepath.Join(s.cfg.Dir, name) }
	config := daemonConfig(s.lab.URI(), s.lab.RunLibvirt(), file)
	if err := os.WriteFile(file("virtsentryd.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	s.daemon = exec.Command(s.cfg.Daemon, "--config", file("virtsentryd.toml"))
	s.daemon.Stderr = os.Stderr
	s.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.daemon.Start(); err != nil {
		return fmt.Errorf("start virtsentryd (make build makes it): %w", err)
	}
	client := control.NewClient(s.socket())
	for end := time.Now().Add(20 * time.Second); ; {
		_, err := client.Domains(ctx)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("virtsentryd does not answer: %w", err), s.end())
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return errors.Join(err, s.end())
		}
	}
	go func() { // until the daemon ends
		_ = client.Units(context.WithoutCancel(ctx), func(u control.UnitReport) error {
			v := standin.VerdictOf(u)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.verdicts = append(s.verdicts, v)
			return nil
		})
	}()
	return nil
}

func (s *site) end() error {
	kill := time.AfterFunc(daemonPatience, func() { _ = s.daemon.Process.Kill() })
	defer kill.Stop()
	err := s.daemon.Process.Signal(syscall.SIGTERM)
	if waitErr := s.daemon.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("virtsentryd: %w", waitErr))
	}
	return err
}

func (s *site) take() ([]standin.Verdict, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.verdicts
	s.verdicts = nil
	return list, nil
}

// until waits until all guests are as wanted.
func (s *site) until(ctx context.Context, limit time.Duration, what string, f func(control.DomainStatus) bool) error {
	for end := time.Now().Add(limit); ; {
		list, err := control.NewClient(s.socket()).Domains(ctx)
		if err != nil {
			return err
		}
		n := 0
		for _, d := range list {
			if f(d) {
				n++
			}
		}
		if n == len(s.guests) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d guests are %s after %v", n, len(s.guests), what, limit)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// learn has the daemon learn all guests anew: beside fewer others, they are as they were not before.
func (s *site) learn(ctx context.Context) (err error) {
	if err := os.RemoveAll(filepath.Join(s.cfg.Dir, "profiles")); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	return s.until(ctx, learnLimit, "learnt", func(d control.DomainStatus) bool { return d.Profile })
}

// step measures with so many guests; the others end.
func (s *site) step(ctx context.Context, n int) (p ScalePoint, err error) {
	for len(s.guests) > n {
		last := len(s.guests) - 1
		if err := s.lab.StopTiny(s.guests[last]); err != nil {
			return p, err
		}
		s.guests = s.guests[:last]
	}
	s.cfg.Report(fmt.Sprintf("learning %d guests", n))
	if err := s.learn(ctx); err != nil {
		return p, err
	}
	s.cfg.Report(fmt.Sprintf("%d guests", n))
	if err := s.begin(ctx); err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	if err := s.until(ctx, attachLimit, "judged", func(d control.DomainStatus) bool { return d.Units.Judged > 0 }); err != nil {
		return p, err
	}
	m := measurement{alive: map[string]bool{}, take: s.take, usage: func() (u [3]Usage, err error) {
		if u[0], u[1], err = s.tracer.usage(); err != nil {
			return u, err
		}
		u[2], err = usage(s.daemon.Process.Pid)
		return u, err
	}}
	for _, g := range s.guests {
		m.alive[g.UUID] = true
	}
	p.Domains, p.Load = n, loadPages
	if err := m.run(ctx, s.cfg.Run, &p); err != nil {
		return p, err
	}
	list, err := control.NewClient(s.socket()).Domains(ctx)
	for _, d := range list {
		p.Buffers += d.BufferBytes
		if d.State == "suspect" || d.State == "anomalous" {
			p.Unusual++
		}
	}
	return p, err
}
