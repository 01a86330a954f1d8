// Package libsvm solves the one-class problem of package model with LIBSVM
// (Chang and Lin, "LIBSVM: a library for support vector machines", ACM TIST
// 2011), the C library of that name: Debian's libsvm-dev. Without cgo the
// package builds, but its engine only returns [ErrUnavailable].
package libsvm

import (
	"errors"
	"fmt"

	"github.com/virtsentry/virtsentry/model"
)

// ErrUnavailable means that the program was built without cgo.
var ErrUnavailable = errors.New("libsvm: not built in")

// Engine implements model.Engine. The zero value is ready and safe for
// concurrent use.
type Engine struct{}

// maxCells bounds rows times columns of one problem; the library does not check its
// allocations.
const maxCells = 1 << 24

// flatten checks a problem and lays its rows out one after another.
func flatten(x [][]float64, nu, gamma float64) (flat []float64, err error) {
	if err := model.CheckProblem(x, nu, gamma, maxCells); err != nil {
		return nil, fmt.Errorf("libsvm: %w", err)
	}
	flat = make([]float64, 0, len(x)*len(x[0]))
	for _, row := range x {
		flat = append(flat, row...)
	}
	return flat, nil
}
