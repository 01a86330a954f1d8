package model

import (
	"fmt"
	"math"
)

// Engine solves the one-class problem with the kernel
// K(a, b) = exp(-gamma |a-b|²) over the rows x:
//
//	minimise ½ ΣΣ αᵢ αⱼ K(xᵢ, xⱼ)  subject to  0 ≤ αᵢ ≤ 1,  Σ αᵢ = nu·len(x).
//
// An engine need not be trusted: its solutions are used only if [Certify]
// accepts them. Implementations are safe for concurrent use and do not keep x.
type Engine interface {
	// Name identifies the engine and its version in a profile.
	Name() string
	// OneClass solves the problem for 0 < nu < 1 and gamma > 0.
	OneClass(x [][]float64, nu, gamma float64) (Solution, error)
}

// CheckProblem says whether x, nu and gamma state a problem that an [Engine] can
// be given: two rows or more, all of one length, all values finite, at most
// maxCells of them, parameters in their ranges, and no row so far from the
// origin that distances, computed from squares as engines do, are but rounding:
// kernel values could then be infinite. The error wraps [ErrProblem].
func CheckProblem(x [][]float64, nu, gamma float64, maxCells int) error {
	if len(x) < 2 {
		return fmt.Errorf("%w: %d rows, need at least 2", ErrProblem, len(x))
	}
	dim := len(x[0])
	if dim == 0 || dim > maxCells/len(x) {
		return fmt.Errorf("%w: %d rows of %d values", ErrProblem, len(x), dim)
	}
	if !(nu > 0 && nu < 1) || !(gamma > 0 && gamma <= math.MaxFloat64) {
		return fmt.Errorf("%w: nu %v, gamma %v", ErrProblem, nu, gamma)
	}
	for i, row := range x {
		if len(row) != dim {
			return fmt.Errorf("%w: row %d has %d values, row 0 has %d", ErrProblem, i, len(row), dim)
		}
		if j := notFinite(row); j >= 0 {
			return fmt.Errorf("%w: row %d: value %d is %v", ErrProblem, i, j, row[j])
		}
		square := 0.0
		for _, v := range row {
			square += v * v
		}
		if !(square <= maxSquare && gamma*square*float64(dim+4)*0x1p-50 <= 1) {
			return fmt.Errorf("%w: row %d is too far from the origin for gamma %v", ErrProblem, i, gamma)
		}
	}
	return nil
}

// maxSquare is the most that a row's squared length may be, so that no sum of some of
// them overflows.
const maxSquare = 1e300

// Solution is what an engine found. Only rows with αᵢ > 0, the support vectors,
// are listed.
type Solution struct {
	Index []int     // rows of x, strictly increasing
	Alpha []float64 // the coefficient of each
	Rho   float64   // the offset: the decision value is Σ αᵢ K(xᵢ, x) - Rho

	// Engine and Failed are for an engine that asks others (see [Fallback]): the
	// name of the one that found the solution, and why another did not.
	Engine string
	Failed *Failure
}

// alphaDigits is to what part of 1 coefficients are told; a hundredth of what tolerances are.
const alphaDigits = 1e8

// round leaves out what of the coefficients tells nothing and takes room. Rows of which nothing is left are no support vectors.
func (s *Solution) round() {
	if len(s.Index) != len(s.Alpha) {
		return // the certificate says what is wrong
	}
	index, alpha := make([]int, 0, len(s.Index)), make([]float64, 0, len(s.Alpha))
	for k, a := range s.Alpha {
		if a = math.Round(a*alphaDigits) / alphaDigits; a != 0 {
			index, alpha = append(index, s.Index[k]), append(alpha, a)
		}
	}
	s.Index, s.Alpha = index, alpha
}

// Certificate is the outcome of our own check of a solution.
type Certificate struct {
	// Rows is the number of rows that the machine was solved on.
	Rows int `json:"rows"`
	// Sum is Σ αᵢ, which should be nu·Rows.
	Sum float64 `json:"sum"`
	// Residual is the largest violation of the optimality conditions over all
	// rows, in units of the decision value.
	Residual float64 `json:"residual"`
}

// Tolerances of the certificate. The engines stop at a violation of 1e-3
// between any two rows; Rho lies between such a pair, so that 1e-3 is the most
// an honest solution shows against it, and a little is added for the single
// precision in which LIBSVM keeps its kernel values.
const (
	maxResidual   = 2e-3
	sumTolerance  = 1e-6 // relative
	boundTolerant = 1e-9 // how far α may leave [0, 1]
)

// Certify checks that s solves the one-class problem over x: coefficients within
// their bounds, their sum, and the Karush-Kuhn-Tucker conditions, with the
// gradient gᵢ = Σⱼ αⱼ K(xᵢ, xⱼ) computed here: gᵢ ≥ Rho where αᵢ = 0,
// gᵢ ≤ Rho where αᵢ = 1, gᵢ = Rho in between. The error wraps
// [ErrUncertified] and says what failed.
func Certify(x [][]float64, nu, gamma float64, s Solution) (Certificate, error) {
	cert := Certificate{Rows: len(x)}
	if len(s.Index) == 0 || len(s.Index) != len(s.Alpha) {
		return cert, fmt.Errorf("%w: %d support vectors with %d coefficients", ErrUncertified, len(s.Index), len(s.Alpha))
	}
	alpha := make([]float64, len(x))
	vectors := make([][]float64, len(s.Index))
	last := -1
	for k, i := range s.Index {
		if i <= last || i >= len(x) {
			return cert, fmt.Errorf("%w: support vector %d has row %d of %d", ErrUncertified, k, i, len(x))
		}
		last = i
		alpha[i], vectors[k] = s.Alpha[k], x[i]
	}
	sum, err := checkAlpha(s.Alpha, s.Rho, nu*float64(len(x)))
	cert.Sum = sum
	if err != nil {
		return cert, err
	}
	distances := make([]float64, len(vectors))
	for i, row := range x {
		for k, v := range vectors {
			distances[k] = squaredDistance(row, v)
		}
		g := kernelSum(s.Alpha, distances, gamma, 0)
		cert.Residual = max(cert.Residual, violation(alpha[i], g-s.Rho))
	}
	return cert, checkResidual(cert.Residual)
}

// checkAlpha checks coefficients and offset by themselves and returns the sum.
func checkAlpha(alpha []float64, rho, wantSum float64) (float64, error) {
	sum := 0.0
	for k, a := range alpha {
		if !(a > 0 && a <= 1+boundTolerant) {
			return sum, fmt.Errorf("%w: coefficient %d is %v, not in (0, 1]", ErrUncertified, k, a)
		}
		sum += a
	}
	if !(math.Abs(sum-wantSum) <= sumTolerance*max(1, wantSum)) {
		return sum, fmt.Errorf("%w: coefficients add up to %v, want %v", ErrUncertified, sum, wantSum)
	}
	// With this kernel every gradient, and so Rho, lies in (0, Σα].
	if !(rho > 0 && rho <= sum+maxResidual) {
		return sum, fmt.Errorf("%w: offset %v is not in (0, %v]", ErrUncertified, rho, sum)
	}
	return sum, nil
}

// checkResidual compares a residual with what is tolerated.
func checkResidual(residual float64) error {
	if !(residual <= maxResidual) {
		return fmt.Errorf("%w: optimality violated by %.3g, tolerated are %.3g", ErrUncertified, residual, maxResidual)
	}
	return nil
}

// violation is by how much a row with coefficient alpha and decision value
// value contradicts the optimality conditions.
func violation(alpha, value float64) float64 {
	v := 0.0
	if alpha < 1-boundTolerant { // may grow: the row must not be outside
		v = max(v, -value)
	}
	if alpha > boundTolerant { // may shrink: the row must not be inside
		v = max(v, value)
	}
	return v
}

// squaredDistance is |a-b|² for vectors of the same length.
func squaredDistance(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	// Four sums, so that additions do not wait for each other.
	for ; i+4 <= len(a); i += 4 {
		d0, d1, d2, d3 := a[i]-b[i], a[i+1]-b[i+1], a[i+2]-b[i+2], a[i+3]-b[i+3]
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
	}
	for ; i < len(a); i++ {
		d := a[i] - b[i]
		s0 += d * d
	}
	return (s0 + s1) + (s2 + s3)
}
