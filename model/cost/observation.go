package cost

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Observation is what a guest lost while it was observed by some sources together.
type Observation struct {
	Workload string   `json:"workload"` // that the guest was busy with
	Sources  []string `json:"sources"`  // that were in use
	Rates    Rates    `json:"rates"`    // of the guest with none of them
	// Overhead is how much longer a unit of work took than with none of them, as a part of what it took then. By noise it may be less than 0.
	Overhead float64 `json:"overhead"`
	Error    float64 `json:"error,omitempty"` // standard error of Overhead; 0: not known
	Pairs    int     `json:"pairs,omitempty"` // of times with and without, from which it was found
	// HeldOut says that nothing is to be fitted to it: what was fitted is judged by it.
	HeldOut bool `json:"held_out,omitempty"`
	// Learnt says that it is not of the calibration, but was made since: [Calibration.Learn].
	Learnt bool `json:"learnt,omitempty"`
}

// Observations are those of one host.
type Observations struct {
	Origin string    // what they were made on, in words
	Begin  time.Time // when the first was made; zero: not known
	// Without are the sources of which nothing could be observed there, and why.
	Without map[string]string
	List    []Observation
}

// checkWithout refuses what WriteObservations would not have written.
func checkWithout(without map[string]string) error {
	if err := checkNames("source", slices.Sorted(maps.Keys(without))); err != nil {
		return err
	}
	for name, why := range without {
		if err := checkText("why "+name+" was not observed", why); err != nil {
			return err
		}
	}
	return nil
}

// check refuses what cannot have been observed.
func (o *Observation) check() error {
	if err := checkName("workload", o.Workload); err != nil {
		return err
	}
	if err := checkNames("source", o.Sources); err != nil {
		return err
	}
	if err := o.Rates.check(); err != nil {
		return err
	}
	switch {
	case !(o.Overhead >= minOverhead && o.Overhead <= maxOverhead):
		return fmt.Errorf("overhead %v, want %v to %v", o.Overhead, minOverhead, maxOverhead)
	case !(o.Error >= 0 && o.Error <= maxOverhead):
		return fmt.Errorf("error %v, want 0 to %v", o.Error, maxOverhead)
	case o.Pairs < 0:
		return fmt.Errorf("%d pairs", o.Pairs)
	}
	return nil
}

// Split divides observations into those to fit to and those that are held out.
func (o Observations) Split() (fit, held []Observation) {
	for _, x := range o.List {
		if x.HeldOut {
			held = append(held, x)
		} else {
			fit = append(fit, x)
		}
	}
	return fit, held
}

const (
	observationsFormat  = "virtsentry cost observations"
	observationsVersion = 1
	maxLine             = 64 << 10
)

// observationsHead is the first line of a file.
type observationsHead struct {
	Format  string     `json:"format"`
	Version int        `json:"version"`
	Origin  string     `json:"origin,omitempty"`
	Begin   *time.Time `json:"begin,omitempty"`
	// Without is what observations are without: see Observations.
	Without map[string]string `json:"without,omitempty"`
}

// observationsEnd is the last line, without which a file is cut off.
type observationsEnd struct {
	Observations *int `json:"observations"`
}

// WriteObservations writes a file of lines of JSON: a head, each observation, and how many there are.
func WriteObservations(w io.Writer, o Observations) error {
	if len(o.List) > maxObservations {
		return fmt.Errorf("write observations: %d, want at most %d", len(o.List), maxObservations)
	}
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	head := observationsHead{Format: observationsFormat, Version: observationsVersion, Origin: o.Origin, Without: o.Without}
	if !o.Begin.IsZero() {
		head.Begin = &o.Begin
	}
	if head.Origin != "" {
		if err := checkText("origin", head.Origin); err != nil {
			return fmt.Errorf("write observations: %w", err)
		}
	}
	if err := checkWithout(o.Without); err != nil {
		return fmt.Errorf("write observations: %w", err)
	}
	if err := e.Encode(head); err != nil {
		return fmt.Errorf("write observations: %w", err)
	}
	for i := range o.List {
		if err := o.List[i].check(); err != nil {
			return fmt.Errorf("write observations: observation %d: %w", i+1, err)
		}
		if err := e.Encode(&o.List[i]); err != nil {
			return fmt.Errorf("write observations: %w", err)
		}
	}
	n := len(o.List)
	if err := e.Encode(observationsEnd{&n}); err != nil {
		return fmt.Errorf("write observations: %w", err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write observations: %w", err)
	}
	return nil
}

// ReadObservations reads what WriteObservations wrote. Errors are of kind ErrFormat and name the line.
func ReadObservations(r io.Reader) (Observations, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var o Observations
	number, ended := 0, false
	for lines.Scan() {
		number++
		var err error
		switch {
		case ended:
			err = errors.New("more after the end")
		case number == 1:
			err = o.head(lines.Bytes())
		default:
			ended, err = o.line(lines.Bytes())
		}
		if err != nil {
			return Observations{}, fmt.Errorf("%w: observations, line %d: %w", ErrFormat, number, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return Observations{}, fmt.Errorf("%w: observations, line %d: longer than %d bytes", ErrFormat, number+1, maxLine)
	case err != nil:
		return Observations{}, fmt.Errorf("read observations: %w", err)
	case number == 0:
		return Observations{}, fmt.Errorf("%w: observations: the file is empty", ErrFormat)
	case !ended:
		return Observations{}, fmt.Errorf("%w: observations: the file is cut off after line %d: copy it again", ErrFormat, number)
	}
	return o, nil
}

func (o *Observations) head(line []byte) error {
	var head observationsHead
	if err := strictly(line, &head); err != nil || head.Format != observationsFormat {
		return fmt.Errorf("not a file of observations: its first line is no head of format %q", observationsFormat)
	}
	if head.Version != observationsVersion {
		return fmt.Errorf("version %d, and this programme reads %d: use the virtsentry that wrote it, or measure again", head.Version, observationsVersion)
	}
	if head.Origin != "" {
		if err := checkText("origin", head.Origin); err != nil {
			return err
		}
	}
	if err := checkWithout(head.Without); err != nil {
		return err
	}
	o.Origin, o.Without = head.Origin, head.Without
	if head.Begin != nil {
		o.Begin = *head.Begin
	}
	return nil
}

// line takes an observation, or the end.
func (o *Observations) line(line []byte) (end bool, err error) {
	var e observationsEnd
	if strictly(line, &e) == nil && e.Observations != nil {
		if *e.Observations != len(o.List) {
			return false, fmt.Errorf("the file has %d observations of %d", len(o.List), *e.Observations)
		}
		return true, nil
	}
	if len(o.List) >= maxObservations {
		return false, fmt.Errorf("more than %d observations", maxObservations)
	}
	var one Observation
	if err := strictly(line, &one); err != nil {
		return false, err
	}
	if err := one.check(); err != nil {
		return false, err
	}
	o.List = append(o.List, one)
	return false, nil
}

// strictly decodes one value of JSON, with no keys that are not known and nothing after it.
func strictly(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}
