package selection

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Limits of a problem.
const (
	MinUnits   = 2    // of a class: one unit has no scatter
	MaxColumns = 1024 // that vary: memory grows with the square
	maxCount   = 1 << 64
)

// Errors. Those that are returned say which class, unit, column or feature is meant.
var (
	ErrClasses = errors.New("unusable classes")
	ErrGoal    = errors.New("no such selection")
)

// Scale says in what form counts are compared.
type Scale string

// Scales.
const (
	Log Scale = "log" // log(1+count), as the daemon's model: ratios matter
	Raw Scale = "raw" // the count, as in the paper: differences matter
)

// Class is a set of units with one label.
type Class struct {
	Name  string
	Units [][]float64 // in the order of time; counts, a number for each column
}

// Problem is some classes over the same columns, one of them the reference. It does not change and may be used by several goroutines.
type Problem struct {
	columns []string
	scale   Scale
	place   []int // of each column: its index among those that vary, -1 if it does not; equal columns have the same one
	pairs   []pair
}

// pair is a class and the reference.
type pair struct {
	class string
	whole fisher
	// The first and the second half of the units of both classes, each with what is learnt from it. Empty where there are too few units.
	halves []fisher
}

// New returns the problem of telling each class but the reference from it. Rows have the length of columns, and their values are counts: not negative, and at
// most 2⁶⁴. There must be two classes or more, of at least [MinUnits] units. Errors are of kind [ErrClasses].
func New(columns []string, classes []Class, reference string, scale Scale) (*Problem, error) {
	if scale != Log && scale != Raw {
		return nil, fmt.Errorf("%w: scale %q is neither %s nor %s", ErrClasses, scale, Log, Raw)
	}
	if err := check(columns, classes); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClasses, err)
	}
	at := slices.IndexFunc(classes, func(c Class) bool { return c.Name == reference })
	if at < 0 {
		return nil, fmt.Errorf("%w: there is no class %q to be the reference: name one of %s", ErrClasses, reference, names(classes))
	}
	p := &Problem{columns: slices.Clone(columns), scale: scale}
	kept := p.varying(classes)
	if len(kept) > MaxColumns {
		return nil, fmt.Errorf("%w: %d columns vary; the most is %d: use a feature set with fewer", ErrClasses, len(kept), MaxColumns)
	}
	base := take(classes[at], kept)
	for i, c := range classes {
		if i == at {
			continue
		}
		rows := take(c, kept)
		q := pair{class: c.Name, whole: newFisher(scale, base, rows)}
		if n, m := len(base)/2, len(rows)/2; n >= MinUnits && m >= MinUnits {
			q.halves = []fisher{newFisher(scale, base[:n], rows[:m]), newFisher(scale, base[n:], rows[m:])}
		}
		p.pairs = append(p.pairs, q)
	}
	return p, nil
}

func check(columns []string, classes []Class) error {
	switch {
	case len(classes) == 0:
		return errors.New("there are none: give the reference and one more")
	case len(classes) == 1:
		return fmt.Errorf("there is only %q: give at least one more to tell it from", classes[0].Name)
	case len(columns) == 0:
		return errors.New("the units have no columns")
	}
	for i, c := range classes {
		if slices.ContainsFunc(classes[:i], func(d Class) bool { return d.Name == c.Name }) {
			return fmt.Errorf("class %q occurs twice: put its units into one", c.Name)
		}
		if len(c.Units) < MinUnits {
			return fmt.Errorf("class %q has %d whole units without losses; at least %d are needed: record for longer", c.Name, len(c.Units), MinUnits)
		}
		for u, row := range c.Units {
			if len(row) != len(columns) {
				return fmt.Errorf("class %q, unit %d: %d values for %d columns", c.Name, u+1, len(row), len(columns))
			}
			for j, v := range row {
				if !(v >= 0 && v <= maxCount) {
					return fmt.Errorf("class %q, unit %d, column %q: %v is no count: correct or leave out that unit", c.Name, u+1, columns[j], v)
				}
			}
		}
	}
	return nil
}

func names(classes []Class) string {
	var list []string
	for _, c := range classes {
		list = append(list, c.Name)
	}
	return strings.Join(list, ", ")
}

// varying sets p.place and returns the columns that vary, each of several equal ones once.
func (p *Problem) varying(classes []Class) []int {
	var kept []int
	seen := map[string]int{}
	p.place = make([]int, len(p.columns))
	var key []byte
	for j := range p.columns {
		key = key[:0]
		varies, first := false, classes[0].Units[0][j]
		for _, c := range classes {
			for _, row := range c.Units {
				varies = varies || row[j] != first
				key = appendBits(key, row[j])
			}
		}
		if !varies {
			p.place[j] = -1
			continue
		}
		at, ok := seen[string(key)]
		if !ok {
			at = len(kept)
			seen[string(key)] = at
			kept = append(kept, j)
		}
		p.place[j] = at
	}
	return kept
}

func appendBits(to []byte, v float64) []byte {
	bits := math.Float64bits(v + 0) // one zero only
	for range 8 {
		to = append(to, byte(bits))
		bits >>= 8
	}
	return to
}

// take returns the units' values of some columns.
func take(c Class, columns []int) [][]float64 {
	rows := make([][]float64, len(c.Units))
	for i, u := range c.Units {
		rows[i] = make([]float64, len(columns))
		for to, from := range columns {
			rows[i][to] = u[from]
		}
	}
	return rows
}

// Varies tells whether a column, by its index, is not the same number in all units. Those that are tell nothing.
func (p *Problem) Varies(column int) bool { return p.place[column] >= 0 }

// places returns the places of columns, each once and in order.
func (p *Problem) places(columns []int) []int {
	var list []int
	for _, c := range columns {
		if at := p.place[c]; at >= 0 {
			list = append(list, at)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
