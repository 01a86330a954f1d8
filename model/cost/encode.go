package cost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

const (
	calibrationFormat  = "virtsentry cost calibration"
	calibrationVersion = 1
	maxFile            = 64 << 20
)

// calibrationFile is a calibration as it is kept. The observations are in it, so that it can learn.
type calibrationFile struct {
	Format  string     `json:"format"`
	Version int        `json:"version"`
	Origin  string     `json:"origin,omitempty"`
	Begin   *time.Time `json:"begin,omitempty"`
	// Without is that of Observations.
	Without      map[string]string `json:"without,omitempty"`
	Scheme       Scheme            `json:"scheme"`
	Coefficients []Coefficient     `json:"coefficients"`
	Samples      [][]float64       `json:"samples"`
	Widen        float64           `json:"widen"`
	Observations []Observation     `json:"observations"`
}

// Encode writes a calibration, for Decode to read.
func (c *Calibration) Encode(w io.Writer) error {
	f := calibrationFile{
		Format: calibrationFormat, Version: calibrationVersion, Origin: c.observed.Origin, Without: c.observed.Without, Scheme: c.scheme,
		Coefficients: c.coefficients, Samples: c.samples, Widen: c.widen, Observations: c.observed.List,
	}
	if !c.observed.Begin.IsZero() {
		f.Begin = &c.observed.Begin
	}
	if err := json.NewEncoder(w).Encode(f); err != nil {
		return fmt.Errorf("write calibration: %w", err)
	}
	return nil
}

// Decode reads what Encode wrote. Every number is checked. Errors in the content are of kind ErrFormat.
func Decode(r io.Reader) (*Calibration, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read calibration: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%w: calibration: larger than %d bytes", ErrFormat, maxFile)
	}
	c, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w: calibration: %w", ErrFormat, err)
	}
	return c, nil
}

func decode(text []byte) (*Calibration, error) {
	// The version first: another one may have other keys.
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	var syntax *json.SyntaxError
	switch err := json.Unmarshal(text, &head); {
	case len(text) == 0:
		return nil, errors.New("the file is empty")
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(text)):
		return nil, errors.New("the file is cut off: copy it again, or fit again")
	case err != nil:
		return nil, err
	case head.Format != calibrationFormat:
		return nil, fmt.Errorf("format %.80q, want %q", head.Format, calibrationFormat)
	case head.Version != calibrationVersion:
		return nil, fmt.Errorf("version %d, and this programme reads %d: use the virtsentry that wrote it, or fit again", head.Version, calibrationVersion)
	}
	var f calibrationFile
	if err := strictly(text, &f); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	c := &Calibration{
		scheme: f.Scheme, observed: Observations{Origin: f.Origin, Without: f.Without, List: f.Observations}, coefficients: f.Coefficients,
		names: f.Scheme.Coefficients(), samples: f.Samples, widen: f.Widen, most: make(Rates),
	}
	if f.Begin != nil {
		c.observed.Begin = *f.Begin
	}
	list, _ := c.observed.Split()
	for _, x := range list {
		for kind, rate := range x.Rates {
			c.most[kind] = max(c.most[kind], rate)
		}
	}
	c.ratios = ratios(list)
	return c, nil
}

// check refuses numbers that no fit gives.
func (f *calibrationFile) check() error {
	if err := f.Scheme.check(); err != nil {
		return err
	}
	if err := checkText("origin", f.Origin); err != nil {
		return err
	}
	if err := checkWithout(f.Without); err != nil {
		return err
	}
	names := f.Scheme.Coefficients()
	if !slices.EqualFunc(names, f.Coefficients, func(name string, c Coefficient) bool { return c.Name == name }) {
		return fmt.Errorf("the coefficients are not those of the terms: %v", names)
	}
	for _, c := range f.Coefficients {
		if !(c.Low >= 0 && c.Low <= c.Value && c.Value <= c.High && c.High <= math.MaxFloat32) {
			return fmt.Errorf("coefficient %s: %v, %v, %v: want 0 or more, in order", c.Name, c.Low, c.Value, c.High)
		}
	}
	if len(f.Samples) == 0 || len(f.Samples) > 10*draws {
		return fmt.Errorf("%d samples, want 1 to %d", len(f.Samples), 10*draws)
	}
	for i, s := range f.Samples {
		if len(s) != len(names) || slices.ContainsFunc(s, func(v float64) bool { return !(v >= 0 && v <= math.MaxFloat32) }) {
			return fmt.Errorf("sample %d: want %d numbers of 0 or more", i+1, len(names))
		}
	}
	if !(f.Widen >= 0 && f.Widen <= math.MaxFloat32) {
		return fmt.Errorf("intervals are widened by %v", f.Widen)
	}
	if len(f.Observations) > maxObservations {
		return fmt.Errorf("%d observations, want at most %d", len(f.Observations), maxObservations)
	}
	for i := range f.Observations {
		if err := f.Observations[i].check(); err != nil {
			return fmt.Errorf("observation %d: %w", i+1, err)
		}
		if err := f.Scheme.known(f.Observations[i].Sources); err != nil {
			return fmt.Errorf("observation %d: %w", i+1, err)
		}
	}
	return nil
}
