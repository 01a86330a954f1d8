package model

import (
	"math"
)

// smo is a small engine for tests: sequential minimal optimisation with the
// most violating pair, so that the package is tested without cgo and LIBSVM is
// not its own judge.
type smo struct{}

func (smo) Name() string { return "smo" }

func (smo) OneClass(x [][]float64, nu, gamma float64) (Solution, error) {
	n := len(x)
	k := make([][]float64, n)
	for i := range k {
		k[i] = make([]float64, n)
		for j := range k[i] {
			k[i][j] = math.Exp(-gamma * squaredDistance(x[i], x[j]))
		}
	}
	alpha, g := make([]float64, n), make([]float64, n)
	left := nu * float64(n)
	for i := range alpha {
		alpha[i] = min(1, left)
		left -= alpha[i]
		if alpha[i] == 0 {
			break
		}
		for j := range g {
			g[j] += alpha[i] * k[i][j]
		}
	}
	for range 1000 * n {
		up, down := -1, -1 // the one to grow has the least gradient
		for i := range alpha {
			if alpha[i] < 1 && (up < 0 || g[i] < g[up]) {
				up = i
			}
			if alpha[i] > 0 && (down < 0 || g[i] > g[down]) {
				down = i
			}
		}
		if up < 0 || down < 0 || g[down]-g[up] < 1e-4 {
			break
		}
		curve := max(k[up][up]+k[down][down]-2*k[up][down], 1e-12)
		step := min((g[down]-g[up])/curve, 1-alpha[up], alpha[down])
		alpha[up] += step
		alpha[down] -= step
		if 1-alpha[up] < 1e-12 {
			alpha[up] = 1
		}
		if alpha[down] < 1e-12 {
			alpha[down] = 0
		}
		for j := range g {
			g[j] += step * (k[up][j] - k[down][j])
		}
	}
	return smoSolution(alpha, g), nil
}

// smoSolution takes the support vectors out and puts the offset in the middle of
// what the bounds leave.
func smoSolution(alpha, g []float64) Solution {
	var s Solution
	low, high := math.Inf(-1), math.Inf(1)
	for i, a := range alpha {
		if a > 0 {
			s.Index = append(s.Index, i)
			s.Alpha = append(s.Alpha, a)
			low = max(low, g[i])
		}
		if a < 1 {
			high = min(high, g[i])
		}
	}
	if math.IsInf(high, 1) {
		high = low
	}
	s.Rho = (low + high) / 2
	return s
}
