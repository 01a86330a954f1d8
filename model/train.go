package model

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Options say how to train. The zero value of each field means its default.
type Options struct {
	// Domain is whose profile it becomes. Only a [Store] needs it.
	Domain Domain
	// Catalogue names the set of features and its version, for the reader.
	Catalogue string
	// Fingerprint is what the guest's counts depend on besides the guest. Its
	// Catalogue is the one above where it has none, and its devices may be in any
	// order.
	Fingerprint Fingerprint
	// Created is the time to write into the profile.
	Created time.Time
	// Dropped is how many units of the training span were left out by the
	// caller (partial, lossy), for the record.
	Dropped int

	// Nu bounds the share of training units outside the machine and is the least
	// share of support vectors. Default 0.05. The threshold does not follow from
	// it; it sets how smooth the description is.
	Nu float64
	// Gamma is the kernel's width on scaled features; default 1/V, V the total
	// variance of the scaled training units, at least 1.
	Gamma float64
	// Level is the tail probability at or under which a unit is anomalous.
	// Default 0.002. Were units independent, that would be 86 a day, and a Decider's
	// three of five among them far less than one a day; the margin is for loads
	// that wander, of which a short training has seen little.
	Level float64
	// Folds is the number of blocks held out in turn for calibration. Default 5: a
	// few long ones, as a block shorter than the memory of the guest's load
	// is too much like its neighbours.
	Folds int
	// Guard is the number of units on each side of a held-out block that are
	// not trained on, as neighbours in time are alike. Default 1; negative: none.
	Guard int
	// MinUnits is the least number of units to train on; default 30.
	MinUnits int
	// Trim is the share of the units that may be left out because they stand far out from the rest, such as [TrimShare];
	// 0: none are looked for, as where somebody has said that all of them are normal.
	Trim float64
	// Convergence is what [Converge] has found, for the record; nil: nothing.
	Convergence *Convergence
	// MaxRows is the most units that an engine is given at once; of more, a sample in blocks is drawn. Default 4096.
	MaxRows int
	// MaxVectors is the most support vectors that a machine keeps; one that has more is learnt from fewer units. Default 512.
	MaxVectors int

	seldom map[int64]bool // starts of units that every sample has
}

// minUnits is the least that any Options may ask for: two blocks of some size.
const minUnits = 10

// withDefaults returns o with every zero replaced, or an error for what makes no
// sense.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Nu, 0.05)
	setDefault(&o.Level, 0.002)
	setDefault(&o.Folds, 5)
	setDefault(&o.MinUnits, 30)
	setDefault(&o.MaxRows, 4096)
	setDefault(&o.MaxVectors, 512)
	setDefault(&o.Guard, 1)
	o.Guard = max(o.Guard, 0)
	switch {
	case !(o.Nu > 0 && o.Nu < 1):
		return o, fmt.Errorf("train: nu %v is not in (0, 1)", o.Nu)
	case !(o.Gamma >= 0 && o.Gamma <= 1e6):
		return o, fmt.Errorf("train: gamma %v is not in [0, 1e6]", o.Gamma)
	case !(o.Level > 0 && o.Level < 1):
		return o, fmt.Errorf("train: level %v is not in (0, 1)", o.Level)
	case o.Folds < 2 || o.Folds > minUnits:
		return o, fmt.Errorf("train: %d folds, want 2 to %d", o.Folds, minUnits)
	case min(o.MinUnits, o.MaxRows, o.MaxVectors) < minUnits:
		return o, fmt.Errorf("train: fewer than %d units or support vectors allowed", minUnits)
	case !(o.Trim >= 0 && o.Trim < 0.5):
		return o, fmt.Errorf("train: up to a share of %v of the units left out, want less than half", o.Trim)
	case o.Dropped < 0:
		return o, fmt.Errorf("train: %d units dropped", o.Dropped)
	}
	setDefault(&o.Fingerprint.Catalogue, o.Catalogue)
	o.Fingerprint.Devices = slices.Sorted(slices.Values(o.Fingerprint.Devices))
	if err := o.Fingerprint.check(); err != nil {
		return o, fmt.Errorf("train: %w", err)
	}
	return o, nil
}

// setDefault replaces a zero.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// check returns options with every zero replaced, or an error for what cannot be learnt from.
func check(engine Engine, d Dataset, options Options) (Options, error) {
	o, err := options.withDefaults()
	if err != nil {
		return o, err
	}
	if engine == nil {
		return o, errors.New("train: no engine")
	}
	if err := d.check(); err != nil {
		return o, fmt.Errorf("train: %w", err)
	}
	if len(d.Rows) < o.MinUnits {
		return o, fmt.Errorf("train: %w", &TooFewError{Have: len(d.Rows), Need: o.MinUnits})
	}
	return o, nil
}

// Train learns a profile from units of normal operation. It fails with a
// *[TooFewError] below Options.MinUnits, with [ErrDataset] for malformed units
// with a *[FarOutError] where more units stand far out than Options.Trim
// allows, and with [ErrUncertified] if the engine's solution does not stand our check;
// with a [Fallback], with [ErrUnsolved] if neither engine's does.
// The same input gives the same profile.
func Train(engine Engine, d Dataset, options Options) (*Profile, error) {
	o, err := check(engine, d, options)
	if err != nil {
		return nil, err
	}
	trimmed, seldom, err := trim(engine, d.Rows, o)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	from, to := d.Rows[0].Start, d.Rows[len(d.Rows)-1].Start+int64(Width)
	d.Rows = Training{Trimmed: trimmed}.Learnt(d.Rows)
	o.seldom = seldom
	views, err := views(engine, d, o)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	p := &Profile{
		Domain: o.Domain, Catalogue: o.Catalogue, Fingerprint: o.Fingerprint, Created: o.Created.UTC().Round(0),
		Training: Training{
			From: from, To: to, Units: len(d.Rows), Dropped: o.Dropped, Trimmed: trimmed, Convergence: o.Convergence,
		},
		Features: slices.Clone(d.Features), Level: o.Level, Views: views,
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return p, nil
}
