package selection

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// shrink is by how much correlations are shrunk.
const shrink = 0.01

// fisher is what the criterion needs to know of two classes.
type fisher struct {
	spread      []float64     // of each column: the root of the sum of both variances
	delta       []float64     // difference of the means, in spreads
	seen        []float64     // of each column: the share of its squared spread that the units showed
	correlation *mat.SymDense // within the classes, not shrunk
	units       [2]float64    // of each class
}

// newFisher returns the criterion of two classes of counts.
func newFisher(scale Scale, a, b [][]float64) fisher {
	ma, ca := moments(scale, a)
	mb, cb := moments(scale, b)
	p := len(ma)
	f := fisher{
		spread: make([]float64, p), delta: make([]float64, p), seen: make([]float64, p),
		correlation: mat.NewSymDense(max(p, 1), nil), units: [2]float64{float64(len(a)), float64(len(b))},
	}
	fa, fb := floors(scale, a), floors(scale, b)
	for j := range p {
		f.spread[j] = math.Sqrt(max(ca[j*p+j], fa[j]) + max(cb[j*p+j], fb[j]))
		f.delta[j] = (mb[j] - ma[j]) / f.spread[j]
		f.seen[j] = (ca[j*p+j] + cb[j*p+j]) / f.spread[j] / f.spread[j]
		f.correlation.SetSym(j, j, 1)
		for i := range j {
			f.correlation.SetSym(i, j, (ca[i*p+j]+cb[i*p+j])/f.spread[i]/f.spread[j])
		}
	}
	return f
}

// moments returns the means of the columns, and the upper half of their covariance.
func moments(scale Scale, rows [][]float64) (mean, covariance []float64) {
	p, n := len(rows[0]), float64(len(rows))
	scaled := make([][]float64, len(rows))
	mean, covariance = make([]float64, p), make([]float64, p*p)
	for r, row := range rows {
		scaled[r] = make([]float64, p)
		for j, v := range row {
			if scale == Log {
				v = math.Log1p(v)
			}
			scaled[r][j] = v
			mean[j] += v / n
		}
	}
	for _, row := range scaled {
		for j := range row {
			row[j] -= mean[j]
		}
		for i, x := range row {
			if x == 0 {
				continue
			}
			x /= n
			line := covariance[i*p : (i+1)*p]
			for j := i; j < p; j++ {
				line[j] += x * row[j]
			}
		}
	}
	return mean, covariance
}

// floors returns the least variance of each column: that of a Poisson process.
func floors(scale Scale, rows [][]float64) []float64 {
	n := float64(len(rows))
	least := make([]float64, len(rows[0]))
	for j := range least {
		mean := 0.5 / n
		for _, row := range rows {
			mean += row[j] / n
		}
		least[j] = mean
		if scale == Log { // the derivative of the logarithm, squared
			least[j] = mean / (1 + mean) / (1 + mean)
		}
	}
	return least
}

// shrunk returns the factors of the scatter within the classes, in some columns, at least one, with its correlations shrunk.
func (f fisher) shrunk(columns []int) *mat.Cholesky {
	within := mat.NewSymDense(len(columns), nil)
	for a, i := range columns {
		within.SetSym(a, a, 1)
		for b := range a {
			within.SetSym(b, a, (1-shrink)*f.correlation.At(columns[b], i))
		}
	}
	var c mat.Cholesky
	c.Factorize(within) // it is regular: its eigenvalues lie between shrink and the number of columns
	return &c
}

// solve returns the direction that tells the classes apart best, and its J.
func (f fisher) solve(c *mat.Cholesky, columns []int) (w []float64, j float64) {
	delta, solved := mat.NewVecDense(len(columns), nil), mat.NewVecDense(len(columns), nil)
	for a, i := range columns {
		delta.SetVec(a, f.delta[i])
	}
	if err := c.SolveVecTo(solved, delta); err != nil {
		return make([]float64, len(columns)), 0 // not possible, see shrunk
	}
	j = max(mat.Dot(solved, delta), 0)
	w = solved.RawVector().Data
	for a, i := range columns {
		w[a] /= f.spread[i]
	}
	return w, j
}

// direction returns the direction that tells the classes apart best in some columns.
func (f fisher) direction(columns []int) []float64 {
	if len(columns) == 0 {
		return nil
	}
	w, _ := f.solve(f.shrunk(columns), columns)
	return w
}

// best returns the greatest J of some columns, and what of it remains when chance is taken off, as Lachenbruch and Mickey do with Mahalanobis'
// distance (their DS; Technometrics 10, 1968).
func (f fisher) best(columns []int) (j, sure float64) {
	if len(columns) == 0 {
		return 0, 0
	}
	c := f.shrunk(columns)
	_, j = f.solve(c, columns)
	var inverse mat.SymDense
	if err := c.InverseTo(&inverse); err != nil {
		return j, 0 // not possible, see shrunk
	}
	// The effective number of columns: those without correlation count 1, those that never varied within a class 0.
	dim := 0.0
	for a, i := range columns {
		dim += inverse.At(a, a) * f.seen[i]
		for b := range a {
			dim += 2 * inverse.At(a, b) * f.correlation.At(i, columns[b])
		}
	}
	n, m := f.units[0], f.units[1]
	freedom := 4 / (1/(n-1) + 1/(m-1)) // of the sum of both covariances; n+m-2 for classes of equal size
	sure = max(freedom-dim-1, 0)/freedom*j - dim*(n+m)/(2*n*m)
	return j, max(sure, 0)
}

// along returns the J of a direction, 0 where it points the wrong way. Nothing is shrunk.
func (f fisher) along(columns []int, w []float64) float64 {
	apart, within := 0.0, 0.0
	for a, i := range columns {
		x := w[a] * f.spread[i]
		apart += x * f.delta[i]
		for b, j := range columns {
			within += x * w[b] * f.spread[j] * f.correlation.At(i, j)
		}
	}
	if apart <= 0 || within <= 0 {
		return 0
	}
	return apart * apart / within
}
