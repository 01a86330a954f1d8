// Package libsvm solves the one-class problem of package model with LIBSVM
// (Chang and Lin, "LIBSVM: a library for support vector machines", ACM TIST
// 2011), the C library of that name: Debian's libsvm-dev. Without cgo the
// package builds, but its engine only returns [ErrUnavailable].
package libsvm

import (
	"errors"
	"fmt"
	"math"
)

// Errors of the engine.
var (
	// ErrUnavailable means that the program was built without cgo.
	ErrUnavailable = errors.New("libsvm: not built in")
	// ErrInput means that the problem was refused before the library saw it.
	ErrInput = errors.New("libsvm: bad input")
)

// Engine implements model.Engine. The zero value is ready and safe for
// concurrent use.
type Engine struct{}

// maxCells bounds rows times columns of one problem; the library does not check its
// allocations.
const maxCells = 1 << 24

// flatten checks a problem and lays its rows out one after another.
func flatten(x [][]float64, nu, gamma float64) (flat []float64, err error) {
	if len(x) < 2 {
		return nil, fmt.Errorf("%w: %d rows, need at least 2", ErrInput, len(x))
	}
	dim := len(x[0])
	if dim == 0 || dim > maxCells/len(x) {
		return nil, fmt.Errorf("%w: %d rows of %d values", ErrInput, len(x), dim)
	}
	if !(nu > 0 && nu < 1) || !(gamma > 0 && gamma <= math.MaxFloat64) {
		return nil, fmt.Errorf("%w: nu %v, gamma %v", ErrInput, nu, gamma)
	}
	flat = make([]float64, 0, len(x)*dim)
	for i, row := range x {
		if len(row) != dim {
			return nil, fmt.Errorf("%w: row %d has %d values, row 0 has %d", ErrInput, i, len(row), dim)
		}
		for j, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("%w: row %d: value %d is %v", ErrInput, i, j, v)
			}
		}
		flat = append(flat, row...)
	}
	return flat, nil
}
