package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench/standin"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// ScaleName is the benchmark's name.
const ScaleName = "scale"

// Scale is what the daemons take with so many domains.
type Scale struct {
	Players []ScalePoint `json:"players"` // the generator's
	Guests  []ScalePoint `json:"guests"`  // of real QEMUs under libvirt; none: they were not measured
	Program uint64       `json:"program"` // bytes of memory that virtsentryd has more than its stand-in when neither watches anything; they are in the players' daemon's
}

// ScalePoint is one measurement.
type ScalePoint struct {
	Domains int     `json:"domains"`
	Load    string  `json:"load"`
	Churned int     `json:"churned,omitempty"` // domains that ended meanwhile, each with another that began
	Units   float64 `json:"units"`             // of two seconds that it took
	Hits    uint64  `json:"hits,omitempty"`    // of trace points of the default feature set; 0: not known

	Sessiond  Usage  `json:"sessiond"`
	Consumerd Usage  `json:"consumerd"`
	Daemon    Usage  `json:"daemon"`
	Buffers   uint64 `json:"buffers"`          // bytes of all ring buffers
	Heap      uint64 `json:"heap,omitempty"`   // bytes that live in the daemon at the end
	Growth    int64  `json:"growth,omitempty"` // of Heap since the beginning

	Wanted   int    `json:"wanted"`   // units that should have come, of domains that ran all the time
	Missing  int    `json:"missing"`  // of those
	Verdicts int    `json:"verdicts"` // units that came, of all domains
	Judged   int    `json:"judged"`   // of those, by a profile
	Lossy    int    `json:"lossy"`    // of those, with events lost
	Late     int    `json:"late"`     // of those, later than a unit's length after their end
	Latency  Spread `json:"latency"`  // from a unit's end to its verdict

	Unusual int `json:"unusual,omitempty"` // domains that were suspect or anomalous in the end; of players it is not known
}

// Each is the CPU time that usage has taken for each domain and unit.
func (p ScalePoint) Each(u Usage) time.Duration {
	return time.Duration(float64(u.CPU) / (float64(p.Domains) * p.Units))
}

// All is the CPU time of all daemons for each domain and unit.
func (p ScalePoint) All() time.Duration {
	return p.Each(p.Sessiond) + p.Each(p.Consumerd) + p.Each(p.Daemon)
}

// Rate is how many hits of the default feature set there were, in all domains together, in a second; 0: not known.
func (p ScalePoint) Rate() float64 { return float64(p.Hits) / (p.Units * unit.Width.Seconds()) }

// ScaleStep is one number of domains and their load.
type ScaleStep struct {
	Domains int
	Load    string
}

// ScaleConfig says what to measure.
type ScaleConfig struct {
	Checkout  string // of the project
	Dir       string // for traces, profiles and programs, on tmpfs
	Daemon    string // path of virtsentryd
	Steps     []ScaleStep
	Warm, Run time.Duration
	Churn     time.Duration // length of the part in which domains end and begin, with 10 to 100 of them; 0: none
	Report    func(string)  // of progress
	Done      func(ScalePoint)
}

const (
	learnLimit  = 5 * time.Minute // until all domains have a profile
	attachLimit = 2 * time.Minute // until those that have just started are attached, or all judged
	churnEvery  = 4 * time.Second // a domain ends, and another begins
	// straggler is how long a verdict is waited for at the end.
	straggler = 5 * time.Second
)

// RunPlayers measures the daemon's monitor with players of the generator, in namespaces of its own (Private). First all domains are learnt, then the
// daemon is started anew for each step, with the profiles: what it takes is that of a daemon that judges.
func RunPlayers(ctx context.Context, cfg ScaleConfig) (points []ScalePoint, program uint64, err error) {
	binary, err := buildGenerator(ctx, cfg.Checkout, cfg.Dir)
	if err != nil {
		return nil, 0, err
	}
	standIn, err := buildStandIn(ctx, cfg.Checkout, cfg.Dir)
	if err != nil {
		return nil, 0, err
	}
	runDir := filepath.Join(cfg.Dir, "libvirt")
	if err := os.MkdirAll(filepath.Join(runDir, "qemu"), 0o755); err != nil {
		return nil, 0, err
	}
	t, err := startTracer(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	h := &host{cfg: cfg, standIn: standIn, tracer: t, generator: &generator{binary: binary, runDir: runDir}}
	defer func() { err = errors.Join(err, h.generator.end()) }()
	cfg.Report("virtsentryd and its stand-in without domains")
	if h.program, err = programMore(ctx, cfg.Daemon, standIn, cfg.Dir); err != nil {
		return nil, 0, err
	}
	if err := h.learn(ctx); err != nil {
		return nil, 0, err
	}
	for _, s := range cfg.Steps {
		more, err := h.step(ctx, s)
		points = append(points, more...)
		if err != nil {
			return points, h.program, fmt.Errorf("%d domains, load %s: %w", s.Domains, s.Load, err)
		}
	}
	return points, h.program, nil
}

// host is what runs on the host that is played.
type host struct {
	cfg       ScaleConfig
	standIn   string // the daemon's program
	program   uint64 // Scale.Program
	tracer    *tracer
	generator *generator
	daemon    *daemonProcess
}

// begin starts the daemon with so many domains, which start one after the other, as on a host that boots.
func (h *host) begin(ctx context.Context, n int, load string) (err error) {
	if h.daemon, err = startDaemon(h.standIn, h.cfg.Dir); err != nil {
		return err
	}
	g := h.generator
	for len(g.players) < n {
		for range min(atOnce, n-len(g.players)) {
			p, err := g.add(load)
			if err != nil {
				return err
			}
			if err := h.announce(p); err != nil {
				return err
			}
		}
		if err := h.daemon.until(ctx, attachLimit, "attached", func(s standin.Status) bool { return s.Attached == len(g.players) }); err != nil {
			return err
		}
	}
	return nil
}

// atOnce is how many domains start at the same time.
const atOnce = 10

func (h *host) announce(p *player) error {
	_, err := h.daemon.tell("start %s %s %s", p.name, p.uuid, h.generator.binary)
	return err
}

// end ends the daemon and the domains.
func (h *host) end() error {
	if h.daemon == nil {
		return nil
	}
	err := errors.Join(h.daemon.end(), h.generator.end())
	h.generator.next = 0
	return err
}

// learn has the daemon learn a profile of as many domains as there are in any step.
func (h *host) learn(ctx context.Context) (err error) {
	n := 0
	for _, s := range h.cfg.Steps {
		n = max(n, s.Domains)
	}
	h.cfg.Report(fmt.Sprintf("learning %d domains", n))
	err = h.begin(ctx, n, loadWeb)
	defer func() { err = errors.Join(err, h.end()) }()
	if err != nil {
		return err
	}
	return h.daemon.until(ctx, learnLimit, "learnt", func(s standin.Status) bool { return s.Profiles >= n })
}

// step measures one number of domains and load.
func (h *host) step(ctx context.Context, s ScaleStep) (points []ScalePoint, err error) {
	h.cfg.Report(fmt.Sprintf("%d domains, load %s", s.Domains, s.Load))
	err = h.begin(ctx, s.Domains, s.Load)
	defer func() { err = errors.Join(err, h.end()) }()
	if err != nil {
		return nil, err
	}
	if err := h.daemon.until(ctx, attachLimit, "judged", func(d standin.Status) bool { return d.Judged == s.Domains }); err != nil {
		return nil, err
	}
	if err := sleep(ctx, h.cfg.Warm); err != nil {
		return nil, err
	}
	steady, err := h.measure(ctx, h.cfg.Run, s.Load, nil)
	if err != nil {
		return nil, err
	}
	points = append(points, steady)
	h.done(steady)
	if h.cfg.Churn == 0 || s.Domains < 10 || s.Domains > manyDomains || s.Load != loadWeb {
		return points, nil
	}
	h.cfg.Report(fmt.Sprintf("%d domains, load %s, some of which end and others begin", s.Domains, s.Load))
	churned, err := h.measure(ctx, h.cfg.Churn, s.Load, func() error { return h.replace(s.Load) })
	if err != nil {
		return points, err
	}
	h.done(churned)
	return append(points, churned), nil
}

func (h *host) done(p ScalePoint) {
	if h.cfg.Done != nil {
		h.cfg.Done(p)
	}
}

// replace ends the oldest domain as libvirt does, QEMU first, and begins another one.
func (h *host) replace(load string) error {
	g := h.generator
	old := g.players[0]
	if err := g.remove(0); err != nil {
		return err
	}
	if _, err := h.daemon.tell("stop %s", old.name); err != nil {
		return err
	}
	p, err := g.add(load)
	if err != nil {
		return err
	}
	return h.announce(p)
}

// measure measures for a while, and calls churn (nil: nothing) again and again meanwhile.
func (h *host) measure(ctx context.Context, length time.Duration, load string, churn func() error) (p ScalePoint, err error) {
	g := h.generator
	before, err := h.daemon.tell("status")
	if err != nil {
		return p, err
	}
	hits, err := g.hits()
	if err != nil {
		return p, err
	}
	var status standin.Status
	m := measurement{alive: map[string]bool{}, usage: h.usage, take: func() (list []standin.Verdict, err error) {
		status, err = h.daemon.tell("status") // with which it writes what it had not written yet
		return h.daemon.take(), err
	}}
	for _, player := range g.players {
		m.alive[player.uuid] = true
	}
	if churn != nil {
		m.churn = func() error {
			delete(m.alive, g.players[0].uuid)
			return churn()
		}
	}
	m.ended = func() error {
		after, err := g.hits()
		p.Hits = after - hits
		return err
	}
	err = m.run(ctx, length, &p)
	p.Domains, p.Load = len(g.players), load
	p.Buffers, p.Heap, p.Growth = status.Buffers, status.Heap, int64(status.Heap)-int64(before.Heap)
	return p, err
}

// usage is what session daemon, consumer daemons and daemon have taken so far.
func (h *host) usage() (u [3]Usage, err error) {
	if u[0], u[1], err = h.tracer.usage(); err != nil {
		return u, err
	}
	u[2], err = usage(h.daemon.cmd.Process.Pid)
	u[2].RSS += h.program
	return u, err
}

// web are the players' points with web load in which no domain came or went.
func (s Scale) web() (list []ScalePoint) {
	for _, p := range s.Players {
		if p.Load == loadWeb && p.Churned == 0 {
			list = append(list, p)
		}
	}
	return list
}
