package main

import (
	"errors"
	"io/fs"
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

// prices predicts what actions cost a domain, by the host's calibration and the domain's own rates of events; it is an actions.Pricer. A calibration that is written
// anew is read anew.
type prices struct {
	domains observed
	file    string

	mu          sync.Mutex // guards the fields below
	read        os.FileInfo
	calibration *cost.Calibration
	err         error
}

// Price is actions.Pricer's.
func (p *prices) Price(d actions.Subject, with, beside []string) control.ActionPrice {
	predicted, err := p.predict(d, with, beside)
	if err != nil {
		return control.ActionPrice{Why: err.Error()}
	}
	return control.ActionPrice{Known: true, Slowdown: predicted.Slowdown, Low: predicted.Low, High: predicted.High, Why: strings.Join(price.Remarks(predicted), " ")}
}

func (p *prices) predict(d actions.Subject, with, beside []string) (cost.Prediction, error) {
	calibration, err := p.load()
	if err != nil {
		return cost.Prediction{}, err
	}
	status, err := p.domains.Domain(d.UUID)
	if err != nil {
		return cost.Prediction{}, err
	}
	counts, err := p.domains.Counts(d.UUID, control.CountsSpan{From: time.Now().Add(-ratesSpan), Columns: 1})
	if err != nil {
		return cost.Prediction{}, err
	}
	if counts.Total == 0 {
		return cost.Prediction{}, errors.New("its rates of events are not known: no whole unit of the last minutes is remembered")
	}
	var meter price.Meter
	running := price.Running(status)
	for _, source := range running {
		meter.Observing(source)
	}
	meter.Report(mean(counts))
	rates, err := meter.Rates()
	if err != nil {
		return cost.Prediction{}, err
	}
	return calibration.Predict(rates, with, slices.Concat(running, beside)...)
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
