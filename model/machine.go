package model

import (
	"cmp"
	"fmt"
	"math"
	"slices"

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
	Vectors     columnwise  `json:"columns"` // the support vectors
	Certificate Certificate `json:"certificate"`

	flat   []float64 // Vectors in one piece, row by row
	square []float64 // of each vector's length

	// The means are weighted by Alpha.
	mean       []float64 // vector
	meanSquare float64   // square
	level      float64   // logarithm of Σ Alpha / Rho

	levels []float64 // logarithm of Alpha / Rho
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

// Solve fits the machine around scaled rows, which lie around the origin and of which it changes the order: what [Train] does for each view and block. Errors
// are the engine's, or wrap [ErrUncertified].
func Solve(engine Engine, scaled [][]float64, nu, gamma float64) (Machine, error) {
	outermostFirst(scaled)
	return newMachine(engine, scaled, nu, gamma)
}

// outermostFirst puts those rows first that are farthest from the origin, around which scaled rows lie. LIBSVM begins with as many rows outside as nu says, the
// first ones, and is done in a little more than half the time where most of these belong there.
func outermostFirst(scaled [][]float64) {
	type far struct {
		row    []float64
		square float64
	}
	order := make([]far, len(scaled))
	for i, row := range scaled {
		order[i] = far{row, floats.Dot(row, row)}
	}
	slices.SortStableFunc(order, func(a, b far) int { return cmp.Compare(b.square, a.square) })
	for i, o := range order {
		scaled[i] = o.row
	}
}

// flatten lays the vectors out for scoring.
func (m *Machine) flatten() {
	m.square = make([]float64, len(m.Vectors))
	m.flat = make([]float64, 0, len(m.Vectors)*len(m.Vectors[0]))
	for i, v := range m.Vectors {
		at := len(m.flat)
		m.flat = append(m.flat, v...)
		m.Vectors[i] = m.flat[at:len(m.flat):len(m.flat)] // not kept twice
		m.square[i] = floats.Dot(v, v)
	}
	m.levels = make([]float64, len(m.Alpha))
	for i, a := range m.Alpha {
		m.levels[i] = math.Log(a / m.Rho)
	}
	m.mean = make([]float64, len(m.Vectors[0]))
	sum := floats.Sum(m.Alpha)
	for i, v := range m.Vectors {
		floats.AddScaled(m.mean, m.Alpha[i]/sum, v)
	}
	m.meanSquare = floats.Dot(m.Alpha, m.square) / sum
	m.level = math.Log(sum / m.Rho)
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
	residual, room := 0.0, make([]float64, n)
	for i, v := range m.Vectors {
		residual = max(residual, violation(m.Alpha[i], m.kernelSum(v, room)-m.Rho))
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

// kernelSum is Σ αᵢ K(vᵢ, z). room has a place for each vector.
func (m *Machine) kernelSum(z, room []float64) float64 {
	room = room[:len(m.Alpha)]
	for i, v := range m.Vectors {
		room[i] = squaredDistance(z, v)
	}
	return kernelSum(m.Alpha, room, m.Gamma, 0)
}

// logKernelSum is the logarithm of kernelSum, also where that would underflow: the
// terms are added up relative to that of the nearest vector. room has a place for each vector.
func (m *Machine) logKernelSum(z, room []float64) (log float64, nearest int) {
	n, dim := len(m.Alpha), len(z)
	// |v-z|² is |v|² + |z|² - 2 v·z, and the products of all vectors at once are what a library is good at.
	room = room[:n]
	copy(room, m.square)
	blas64.Gemv(blas.NoTrans, -2, blas64.General{Rows: n, Cols: dim, Data: m.flat, Stride: dim}, blas64.Vector{N: dim, Data: z, Inc: 1},
		1, blas64.Vector{N: n, Data: room, Inc: 1})
	least := room[0] // less |z|², as all in room
	for i, d := range room {
		if d < least {
			least, nearest = d, i
		}
	}
	return math.Log(kernelSum(m.Alpha, room, m.Gamma, least)) - m.Gamma*max(least+floats.Dot(z, z), 0), nearest
}

// leastScore is less than the score of z, and found at the price of two support vectors. It is so by little where z is about as far from all of them: the
// logarithm of a mean of exponentials is at least the mean of their exponents (Jensen's inequality). And where z is far out, and near is the one that is
// nearest: no sum is less than one of its terms.
func (m *Machine) leastScore(z []float64, near int) float64 {
	square := floats.Dot(z, z)
	all := m.level - m.Gamma*(square-2*floats.Dot(z, m.mean)+m.meanSquare)
	one := m.levels[near] - m.Gamma*(square-2*floats.Dot(z, m.Vectors[near])+m.square[near])
	return max(all, one)
}

// score is the logarithm of Σ αᵢ K(vᵢ, z) / Rho: its sign is that of the
// decision value.
func (m *Machine) score(z []float64) float64 { return m.scoreIn(z, make([]float64, len(m.Alpha))) }

// scoreIn is score without garbage.
func (m *Machine) scoreIn(z, room []float64) float64 {
	score, _ := m.scoreNear(z, room)
	return score
}

// scoreNear is scoreIn, and tells the nearest support vector.
func (m *Machine) scoreNear(z, room []float64) (score float64, nearest int) {
	sum, nearest := m.logKernelSum(z, room)
	return sum - math.Log(m.Rho), nearest
}
