// Package libsvmgo solves the one-class problem of package model with libsvm-go
// (Walker, 2014), a rendering of LIBSVM 3.18 in Go, for programs built without
// cgo and as a second opinion.
//
// The library has faults, which this package works around or hands on as errors;
// what remains is for [model.Certify] to find:
//
//   - Its own one-class solver starts outside of the feasible region and often ends
//     there. The problem is given to its ν-classification instead, whose start is
//     right (see anchors).
//   - It reads problems from files only, and shows coefficients only in files
//     with too few digits. Problems go through memory that has a file name;
//     coefficients are asked from its predictor (see mark).
//   - It panics where it finds no row to move. With finite kernel values, which
//     [model.CheckProblem] sees to, that happens only in the goroutine that
//     called it, and becomes an error.
//   - It sets GOMAXPROCS, here to what it is already. Since Go 1.25 even that ends
//     the runtime's own following of a CPU limit that changes later.
//   - It writes to standard output unless told not to.
package libsvmgo

import (
	"errors"
	"fmt"
	"runtime"

	libsvm "github.com/ewalker544/libsvm-go"

	"github.com/virtsentry/virtsentry/model"
)

// ErrLibrary means that the library failed, by a panic or by an answer that is none.
var ErrLibrary = errors.New("libsvm-go failed")

// Engine implements model.Engine. The zero value is ready and safe for
// concurrent use.
type Engine struct{}

// Name implements model.Engine.
func (Engine) Name() string { return "libsvm-go 2014-09-12" }

// Parameters of the solver: LIBSVM's own stopping tolerance, and the most
// megabytes of kernel cache, which the library takes at once.
const (
	tolerance  = 1e-3
	maxCacheMB = 100
)

// maxCells bounds rows times columns of one problem, which the library keeps as
// text and at 16 bytes a number.
const maxCells = 1 << 22

// OneClass implements model.Engine. The error wraps [model.ErrProblem] for what
// is no problem, or [ErrLibrary].
func (Engine) OneClass(x [][]float64, nu, gamma float64) (s model.Solution, err error) {
	if err := model.CheckProblem(x, nu, gamma, maxCells); err != nil {
		return model.Solution{}, fmt.Errorf("libsvm-go: %w", err)
	}
	anchors := int(nu*float64(len(x))) + 1
	rows := len(x) + anchors
	alpha, offset, err := solve(x, anchors, &libsvm.Parameter{
		SvmType: libsvm.NU_SVC, KernelType: libsvm.RBF,
		Nu: 2 * nu * float64(len(x)) / float64(rows), Gamma: gamma, Eps: tolerance,
		CacheSize: min(rows*rows*4>>20+1, maxCacheMB),
		QuietMode: true, NumCPU: runtime.GOMAXPROCS(0),
	})
	if err != nil {
		return model.Solution{}, err
	}
	return unscale(alpha, offset, nu), nil
}

// solve has the library solve one problem and returns its coefficients, one for each
// row of x, and its offset.
func solve(x [][]float64, anchors int, param *libsvm.Parameter) (alpha []float64, offset float64, err error) {
	defer func() {
		if r := recover(); r != nil {
			alpha, offset, err = nil, 0, fmt.Errorf("%w: panic: %v", ErrLibrary, r)
		}
	}()
	problem, err := load(x, anchors, param)
	if err != nil {
		return nil, 0, err
	}
	machine := libsvm.NewModel(param)
	if err := machine.Train(problem); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrLibrary, err)
	}
	alpha, offset = coefficients(machine, param, len(x))
	return alpha, offset, nil
}

// unscale undoes the scaling of ν-classification: with ρ₁ and ρ₂ the offsets of the
// rows and of the anchors by themselves, the library divides all coefficients by
// r = (ρ₁ + ρ₂) / 2 and gives the offset (ρ₁ - ρ₂) / 2r. r follows from what the
// rows' coefficients must add up to.
func unscale(alpha []float64, offset, nu float64) model.Solution {
	sum := 0.0
	for _, a := range alpha {
		sum += a
	}
	r := nu * float64(len(alpha)) / sum
	s := model.Solution{Rho: r * (1 + offset)}
	for i, a := range alpha {
		if a != 0 {
			s.Index = append(s.Index, i)
			s.Alpha = append(s.Alpha, a*r)
		}
	}
	return s
}
