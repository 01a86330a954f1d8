package main

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/price"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/cost"
)

// ratesSpan is how far back a domain's units are looked at for its rates of events.
const ratesSpan = 5 * time.Minute

// observed is what prices need of a Monitor.
type observed interface {
	Domain(ref string) (control.DomainStatus, error)
	Counts(ref string, span control.CountsSpan) (control.Counts, error)
}

// prices predicts what actions cost a domain, by the host's calibration and the domain's own rates of events; it is an actions.Pricer and an
// actions.Appraiser. A calibration that is written
// anew is read anew.
type prices struct {
	domains observed
	file    string

	mu          sync.Mutex // guards the fields below
	read        os.FileInfo
	calibration *cost.Calibration
	err         error
	met         map[string]met // by UUID
}

// met are the rates of events that a domain's actions have met: of many a kind nothing but an action tells, and without them the next price is by the
// ratios of the calibration's workloads again, however far off that was.
type met struct {
	rates cost.Rates
	at    time.Time
}

// mostMet bounds the domains of which that is kept.
const mostMet = 1024

// learn keeps what an action has met, for the prices of later ones.
func (p *prices) learn(uuid string, rates cost.Rates) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.met == nil {
		p.met = make(map[string]met)
	}
	all := maps.Clone(p.met[uuid].rates)
	if all == nil {
		all = cost.Rates{}
	}
	maps.Copy(all, rates)
	p.met[uuid] = met{all, time.Now()}
	if len(p.met) > mostMet {
		oldest := uuid
		for u, m := range p.met {
			if m.at.Before(p.met[oldest].at) {
				oldest = u
			}
		}
		delete(p.met, oldest)
	}
}

// learnt adds the rates that a domain's actions have met to those that are known of it now.
func (p *prices) learnt(uuid string, rates cost.Rates) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for kind, rate := range p.met[uuid].rates {
		if _, known := rates[kind]; !known {
			rates[kind] = rate
		}
	}
}

// Quotes is actions.Pricer's. What a look at the guest's system calls costs follows from its limits, and needs no calibration.
func (p *prices) Quotes(d actions.Subject) actions.Quotes {
	calibrated := p.quotes(d)
	return func(with, beside []string) control.ActionPrice {
		rest, has := withoutGuestCalls(with)
		beside, _ = withoutGuestCalls(beside)
		switch {
		case !has:
			return calibrated(rest, beside)
		case len(rest) == 0:
			return predictGuestCalls()
		}
		return together(calibrated(rest, beside), predictGuestCalls())
	}
}

// quotes tell what actions cost that the calibration knows.
func (p *prices) quotes(d actions.Subject) actions.Quotes {
	calibration, err := p.load()
	if err != nil {
		return unknown(err)
	}
	running, rates, err := p.rates(d)
	if err != nil {
		return unknown(err)
	}
	return func(with, beside []string) control.ActionPrice {
		predicted, err := calibration.Predict(rates, with, slices.Concat(running, beside)...)
		if err != nil {
			return control.ActionPrice{Why: err.Error()}
		}
		return control.ActionPrice{Known: true, Slowdown: predicted.Slowdown, Low: predicted.Low, High: predicted.High, Why: strings.Join(price.Remarks(predicted), " ")}
	}
}

func unknown(err error) actions.Quotes {
	return func([]string, []string) control.ActionPrice { return control.ActionPrice{Why: err.Error()} }
}

// rates are a domain's events a second, by the units of the last minutes, and the sources that it is observed by in any case.
func (p *prices) rates(d actions.Subject) (running []string, rates cost.Rates, err error) {
	status, err := p.domains.Domain(d.UUID)
	if err != nil {
		return nil, nil, err
	}
	counts, err := p.domains.Counts(d.UUID, control.CountsSpan{From: time.Now().Add(-ratesSpan), Columns: 1})
	if err != nil {
		return nil, nil, err
	}
	if counts.Total == 0 {
		return nil, nil, errors.New("its rates of events are not known: no whole unit of the last minutes is remembered")
	}
	var meter price.Meter
	running = price.Running(status)
	for _, source := range running {
		meter.Observing(source)
	}
	meter.Report(mean(counts))
	if rates, err = meter.Rates(); err == nil {
		p.learnt(d.UUID, rates)
	}
	return running, rates, err
}

// Appraise is actions.Appraiser's. What a guest would have done without an action, nobody can know who does not look inside; so what is measured are the events that
// the action really meets, and the price is that of these.
func (p *prices) Appraise(d actions.Subject, with, beside []string) actions.Gauge {
	rest, has := withoutGuestCalls(with)
	beside, _ = withoutGuestCalls(beside)
	var g actions.Gauge
	if len(rest) > 0 {
		g = p.appraise(d, rest, beside)
	}
	if has {
		return &heldGauge{other: g}
	}
	return g
}

func (p *prices) appraise(d actions.Subject, with, beside []string) *gauge {
	g := &gauge{prices: p, uuid: d.UUID, with: with, beside: beside}
	g.running, g.usual, _ = p.rates(d) // where they are not known, they are estimated by what the action meets
	for _, source := range with {
		g.meter.Observing(source)
	}
	return g
}

// gauge measures one run of actions.
type gauge struct {
	prices                *prices
	uuid                  string
	with, beside, running []string
	usual                 cost.Rates // before it began
	meter                 price.Meter
}

// Measure is actions.Gauge's.
func (g *gauge) Measure(e actions.Evidence) control.ActionPrice {
	g.meter.Report(control.UnitReport{Duration: e.Seconds, Counts: e.Counts})
	predicted, err := g.predict()
	if err != nil {
		return control.ActionPrice{Why: err.Error()}
	}
	why := append([]string{"Of the events that were counted, at what each costs by the calibration."}, price.Remarks(predicted)...)
	return control.ActionPrice{Known: true, Slowdown: predicted.Slowdown, Low: predicted.Low, High: predicted.High, Why: strings.Join(why, " ")}
}

func (g *gauge) predict() (cost.Prediction, error) {
	calibration, err := g.prices.load()
	if err != nil {
		return cost.Prediction{}, err
	}
	met, err := g.meter.Rates()
	if err != nil {
		return cost.Prediction{}, err
	}
	rates := maps.Clone(g.usual)
	if rates == nil {
		rates = cost.Rates{}
	}
	maps.Copy(rates, met)
	return calibration.Predict(rates, g.with, slices.Concat(g.running, g.beside)...)
}

// Close is actions.Gauge's: what was met is learnt.
func (g *gauge) Close() {
	if rates, err := g.meter.Rates(); err == nil {
		g.prices.learn(g.uuid, rates)
	}
}

// mean is the mean of units. Its counts are those of a thousand of them, so that what happens once in some is not lost.
func mean(c control.Counts) control.UnitReport {
	const units = 1000
	u := control.UnitReport{Duration: units * unit.Width.Seconds(), Counts: make(map[string]uint64, len(c.Rows))}
	for _, r := range c.Rows {
		u.Counts[r.Feature] = uint64(max(0, r.Mean*units))
	}
	return u
}

// load returns the calibration as the file has it now.
func (p *prices) load() (*cost.Calibration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, err := os.Stat(p.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if p.read != nil && now != nil && os.SameFile(p.read, now) && now.ModTime().Equal(p.read.ModTime()) && now.Size() == p.read.Size() {
		return p.calibration, p.err
	}
	p.calibration, p.err = price.Load(p.file)
	p.read = now
	return p.calibration, p.err
}
