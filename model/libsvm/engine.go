//go:build cgo

package libsvm

/*
#cgo LDFLAGS: -lsvm
#include "oneclass.h"
*/
import "C"

import (
	"errors"
	"fmt"

	"github.com/virtsentry/virtsentry/model"
)

// Name implements model.Engine; it includes the library's version.
func (Engine) Name() string { return fmt.Sprintf("libsvm %d", int(C.libsvm_version)) }

// Parameters of the solver: LIBSVM's own stopping tolerance, and megabytes of
// kernel cache.
const (
	tolerance = 1e-3
	cacheMB   = 100
)

// OneClass implements model.Engine. Rows are of one length, at least two of them,
// all values finite; the error wraps [model.ErrProblem] otherwise.
func (Engine) OneClass(x [][]float64, nu, gamma float64) (model.Solution, error) {
	flat, err := flatten(x, nu, gamma)
	if err != nil {
		return model.Solution{}, err
	}
	// Both arrays are of plain numbers, so that C may use them in place for the
	// time of the call.
	alpha := make([]C.double, len(x))
	var rho C.double
	status := C.virtsentry_one_class((*C.double)(&flat[0]), C.int(len(x)), C.int(len(x[0])),
		C.double(nu), C.double(gamma), tolerance, cacheMB, &alpha[0], &rho)
	if err := statusError(status); err != nil {
		return model.Solution{}, err
	}
	s := model.Solution{Rho: float64(rho)}
	for i, a := range alpha {
		if a != 0 {
			s.Index = append(s.Index, i)
			s.Alpha = append(s.Alpha, float64(a))
		}
	}
	return s, nil
}

// statusError translates the status of virtsentry_one_class.
func statusError(status C.int) error {
	switch status {
	case C.VIRTSENTRY_OK:
		return nil
	case C.VIRTSENTRY_NO_MEMORY:
		return errors.New("libsvm: out of memory")
	case C.VIRTSENTRY_REFUSED:
		return errors.New("libsvm: parameters refused by the library")
	}
	return fmt.Errorf("libsvm: unusable answer of the library (status %d)", int(status))
}
