//go:build !cgo

package libsvm

import "github.com/virtsentry/virtsentry/model"

// Name implements model.Engine.
func (Engine) Name() string { return "libsvm" }

// OneClass returns [ErrUnavailable], or [model.ErrProblem] for what the library would not
// be given either.
func (Engine) OneClass(x [][]float64, nu, gamma float64) (model.Solution, error) {
	if _, err := flatten(x, nu, gamma); err != nil {
		return model.Solution{}, err
	}
	return model.Solution{}, ErrUnavailable
}
