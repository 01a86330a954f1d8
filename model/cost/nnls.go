package cost

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// errNNLS says that the solver did not come to an end.
var errNNLS = errors.New("non-negative least squares did not converge")

// worstCondition is how badly conditioned a triangular factor may be: a column that depends on others more than that is left out.
const worstCondition = 1e10

// nnls minimises |Ax-b| over x ≥ 0 (Lawson and Hanson, Solving Least Squares Problems, 1974, algorithm 23.10, NNLS). a has a row for each element of b. Columns
// are scaled to the same length first, as the units of coefficients differ by a millionfold. Of columns that depend on one another some stay 0.
func nnls(a *mat.Dense, b []float64) ([]float64, error) {
	rows, cols := a.Dims()
	scaled, scale := mat.DenseCopyOf(a), make([]float64, cols)
	for j := range cols {
		if scale[j] = mat.Norm(a.ColView(j), 2); scale[j] > 0 {
			for i := range rows {
				scaled.Set(i, j, a.At(i, j)/scale[j])
			}
		}
	}
	target := mat.NewVecDense(rows, append([]float64(nil), b...))
	tolerance := 1e-12 * (1 + mat.Norm(target, 2))
	x, free, barred := make([]float64, cols), make([]bool, cols), make([]bool, cols)
	for range 10*cols + 10 {
		enter := steepest(scaled, x, target, free, barred, scale, tolerance)
		if enter < 0 {
			for j := range x {
				if scale[j] > 0 {
					x[j] /= scale[j]
				}
			}
			return x, nil
		}
		free[enter] = true
		solution, ok := solveFree(scaled, target, free)
		if !ok || solution[enter] <= 0 { // by rounding, or as it depends on those that are there
			free[enter], barred[enter] = false, true
			continue
		}
		if !inwards(scaled, target, x, solution, free) {
			return nil, errNNLS
		}
		clear(barred)
	}
	return nil, errNNLS
}

// steepest is the column along which the error falls most, -1 where it falls along none.
func steepest(a *mat.Dense, x []float64, b *mat.VecDense, free, barred []bool, scale []float64, tolerance float64) int {
	var residual, gradient mat.VecDense
	residual.MulVec(a, mat.NewVecDense(len(x), x))
	residual.SubVec(b, &residual)
	gradient.MulVec(a.T(), &residual)
	best, at := tolerance, -1
	for j := range x {
		if g := gradient.AtVec(j); !free[j] && !barred[j] && scale[j] > 0 && g > best {
			best, at = g, j
		}
	}
	return at
}

// inwards moves x to the solution as far as all stays positive, sets what becomes 0 fixed, solves again, and so on. It returns false where that does not end.
func inwards(a *mat.Dense, b *mat.VecDense, x, solution []float64, free []bool) bool {
	for range len(x) + 1 {
		step, at := 1.0, -1
		for j := range x {
			if free[j] && solution[j] <= 0 {
				if s := x[j] / (x[j] - solution[j]); s < step || at < 0 {
					step, at = s, j
				}
			}
		}
		if at < 0 {
			copy(x, solution)
			return true
		}
		for j := range x {
			if free[j] {
				x[j] += step * (solution[j] - x[j])
			}
			if free[j] && (j == at || x[j] <= 1e-15) {
				x[j], free[j] = 0, false
			}
		}
		var ok bool
		if solution, ok = solveFree(a, b, free); !ok {
			return false
		}
	}
	return false
}

// solveFree is the plain least-squares solution in the free columns; ok is false where these depend on one another.
func solveFree(a *mat.Dense, b *mat.VecDense, free []bool) (x []float64, ok bool) {
	rows, cols := a.Dims()
	var at []int
	for j := range cols {
		if free[j] {
			at = append(at, j)
		}
	}
	x = make([]float64, cols)
	switch {
	case len(at) == 0:
		return x, true
	case len(at) > rows:
		return nil, false
	}
	part := mat.NewDense(rows, len(at), nil)
	for k, j := range at {
		for i := range rows {
			part.Set(i, k, a.At(i, j))
		}
	}
	var qr mat.QR
	qr.Factorize(part)
	if c := qr.Cond(); math.IsNaN(c) || c > worstCondition {
		return nil, false
	}
	var found mat.VecDense
	if err := qr.SolveVecTo(&found, false, b); err != nil {
		return nil, false
	}
	for k, j := range at {
		if x[j] = found.AtVec(k); !finite(x[j]) {
			return nil, false
		}
	}
	return x, true
}
