package model

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// Machine is a fitted one-class machine over scaled vectors.
type Machine struct {
	Engine      string      `json:"engine"`           // which engine solved it
	Failed      *Failure    `json:"failed,omitempty"` // why the one that was asked first did not, if so
	Nu          float64     `json:"nu"`
	Gamma       float64     `json:"gamma"`
	Rho         float64     `json:"rho"`
	Alpha       []float64   `json:"alpha"`   // one for each support vector, in (0, 1]
	Vectors     [][]float64 `json:"vectors"` // the support vectors
	Certificate Certificate `json:"certificate"`

	flat   []float64 // Vectors in one piece, row by row
	square []float64 // of each vector's length
}

// maxCheckWork bounds what the check of a stored machine may cost:
// support vectors squared times features.
const maxCheckWork = 2e9

// maxScaled is above any scaled value: the largest residual times the largest factor, times the square root of the most
// features.
const maxScaled = 1e11

// newMachine solves the problem over the scaled rows x and keeps the solution
// if it is certified.
func newMachine(engine Engine, x [][]float64, nu, gamma float64) (Machine, error) {
	sol, cert, err := solve(engine, x, nu, gamma)
	if err != nil {
		return Machine{}, fmt.Errorf("solve with %s: %w", engine.Name(), err)
	}
	m := Machine{
		Engine: sol.Engine, Failed: sol.Failed, Nu: nu, Gamma: gamma, Rho: sol.Rho,
		Alpha: append([]float64(nil), sol.Alpha...), Certificate: cert,
	}
	for _, i := range sol.Index {
		m.Vectors = append(m.Vectors, append([]float64(nil), x[i]...))
	}
	m.flatten()
	return m, nil
}

// flatten lays the vectors out for scoring.
func (m *Machine) flatten() {
	m.flat, m.square = nil, nil
	for _, v := range m.Vectors {
		m.flat = append(m.flat, v...)
		m.square = append(m.square, floats.Dot(v, v))
	}
}

// check verifies a machine that came from outside as far as it can be without
// its training rows: shapes, finite numbers, coefficients, and the optimality
// conditions at the support vectors.
func (m *Machine) check(dim int) error {
	if err := m.checkEngines(); err != nil {
		return err
	}
	if !(m.Nu > 0 && m.Nu < 1) {
		return fmt.Errorf("nu %v is not in (0, 1)", m.Nu)
	}
	if !(m.Gamma > 0 && m.Gamma <= math.MaxFloat64) {
		return fmt.Errorf("gamma %v is not positive", m.Gamma)
	}
	n := len(m.Vectors)
	if n == 0 || n != len(m.Alpha) || n > m.Certificate.Rows {
		return fmt.Errorf("%d support vectors, %d coefficients, %d rows", n, len(m.Alpha), m.Certificate.Rows)
	}
	if float64(n)*float64(n)*float64(dim) > maxCheckWork {
		return fmt.Errorf("%d support vectors of %d features are too many to check", n, dim)
	}
	for i, v := range m.Vectors {
		if len(v) != dim {
			return fmt.Errorf("support vector %d has %d values for %d features", i, len(v), dim)
		}
		for j, x := range v {
			if !(math.Abs(x) <= maxScaled) {
				return fmt.Errorf("support vector %d: value %d is %v", i, j, x)
			}
		}
	}
	sum, err := checkAlpha(m.Alpha, m.Rho, m.Nu*float64(m.Certificate.Rows))
	if err != nil {
		return err
	}
	if !(math.Abs(sum-m.Certificate.Sum) <= sumTolerance*max(1, sum)) {
		return fmt.Errorf("%w: it says a sum of %v, found %v", ErrUncertified, m.Certificate.Sum, sum)
	}
	if err := checkResidual(m.Certificate.Residual); err != nil {
		return err
	}
	m.flatten()
	residual := 0.0
	for i, v := range m.Vectors {
		residual = max(residual, violation(m.Alpha[i], m.kernelSum(v)-m.Rho))
	}
	return checkResidual(residual)
}

// checkEngines verifies what is said of the engines.
func (m *Machine) checkEngines() error {
	if err := checkText("engine", m.Engine); err != nil || m.Failed == nil {
		return err
	}
	if err := checkText("engine that failed", m.Failed.Engine); err != nil {
		return err
	}
	return checkText("reason", m.Failed.Reason)
}

// notFinite returns the index of the first infinite or NaN value, or -1.
func notFinite(values []float64) int {
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return i
		}
	}
	return -1
}

// kernelSum is Σ αᵢ K(vᵢ, z).
func (m *Machine) kernelSum(z []float64) float64 {
	sum, rows, dim := 0.0, m.flat, len(z)
	for _, a := range m.Alpha {
		sum += a * math.Exp(-m.Gamma*squaredDistance(z, rows[:dim]))
		rows = rows[dim:]
	}
	return sum
}

// logKernelSum is the logarithm of kernelSum, also where that would underflow: the
// terms are added up relative to that of the nearest vector so far. room has a place for each vector.
func (m *Machine) logKernelSum(z, room []float64) float64 {
	nearest, sum := math.Inf(1), 0.0
	n, dim := len(m.Alpha), len(z)
	// |v-z|² is |v|² + |z|² - 2 v·z, and the products of all vectors at once are what a library is good at.
	products := blas64.Vector{N: n, Data: room[:n], Inc: 1}
	blas64.Gemv(blas.NoTrans, -2, blas64.General{Rows: n, Cols: dim, Data: m.flat, Stride: dim}, blas64.Vector{N: dim, Data: z, Inc: 1}, 0, products)
	own := floats.Dot(z, z)
	for i, a := range m.Alpha {
		d := max(m.square[i]+own+products.Data[i], 0)
		if d < nearest {
			sum = a + sum*math.Exp(-m.Gamma*(nearest-d))
			nearest = d
		} else {
			sum += a * math.Exp(-m.Gamma*(d-nearest))
		}
	}
	return math.Log(sum) - m.Gamma*nearest
}

// score is the logarithm of Σ αᵢ K(vᵢ, z) / Rho: its sign is that of the
// decision value.
func (m *Machine) score(z []float64) float64 { return m.scoreIn(z, make([]float64, len(m.Alpha))) }

// scoreIn is score without garbage.
func (m *Machine) scoreIn(z, room []float64) float64 {
	return m.logKernelSum(z, room) - math.Log(m.Rho)
}
