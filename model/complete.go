package model

import "math"

// Complete returns the most ordinary counts that a unit which lost events may have
// had: its counts are lower bounds, so each of the returned ones is at least the
// one given. If their verdict is anomalous, the unit was, whatever it lost; otherwise it
// says nothing (see [Decider.Observe]). A plain search: of the guest's mean unit,
// some of the support vectors, and multiples of the load along the first
// directions, the best is improved by steps towards the support vectors around
// it. It costs some hundred times what [Profile.Judge] does; errors are the same.
func (p *Profile) Complete(values []float64) ([]float64, error) {
	if err := p.checkUnit(values); err != nil {
		return nil, err
	}
	best := append([]float64(nil), values...)
	z := make([]float64, len(values))
	p.Scaling.Apply(z, best)
	bestScore := p.Machine.score(z)
	try := func(candidate []float64) bool {
		for j, v := range values {
			candidate[j] = max(v, candidate[j])
		}
		p.Scaling.Apply(z, candidate)
		score := p.Machine.score(z)
		if score <= bestScore {
			return false
		}
		best, bestScore = candidate, score
		return true
	}
	for _, start := range p.ordinary() {
		try(p.Scaling.counts(start))
	}
	for range 100 {
		p.Scaling.Apply(z, best)
		if !try(p.Scaling.counts(p.Machine.around(z))) {
			break
		}
	}
	return best, nil
}

// ordinary returns scaled vectors to start from.
func (p *Profile) ordinary() [][]float64 {
	dim := len(p.Features)
	starts := append([][]float64{make([]float64, dim)}, thin(p.Machine.Vectors, 64)...)
	for _, d := range p.Scaling.Direction[:min(2, len(p.Scaling.Direction))] {
		for _, steps := range []float64{-3, -2, -1, 1, 2, 3} {
			z := make([]float64, dim)
			for j := range z {
				z[j] = steps * d[j]
			}
			starts = append(starts, z)
		}
	}
	return starts
}

// counts undoes Apply, to whole counts.
func (s Scaling) counts(z []float64) []float64 {
	u := append([]float64(nil), z...)
	for k, d := range s.Direction {
		along := 0.0
		for j, x := range u {
			along += x * d[j]
		}
		along *= 1/s.Shrink[k] - 1
		for j := range u {
			u[j] += along * d[j]
		}
	}
	for j := range u {
		count := math.Round(math.Expm1(u[j]*s.Scale[j] + s.Center[j]))
		u[j] = min(max(count, 0), math.MaxFloat64)
	}
	return u
}

// around returns the mean of the support vectors, each weighted by its part in the
// kernel sum of z, so that the nearest count. Its difference to z is, but for
// its length, the gradient of the score.
func (m *Machine) around(z []float64) []float64 {
	nearest := math.Inf(1)
	for _, v := range m.Vectors {
		nearest = min(nearest, squaredDistance(z, v))
	}
	mean, total := make([]float64, len(z)), 0.0
	for i, v := range m.Vectors {
		w := m.Alpha[i] * math.Exp(-m.Gamma*(squaredDistance(z, v)-nearest))
		total += w
		for j := range mean {
			mean[j] += w * v[j]
		}
	}
	for j := range mean {
		mean[j] /= total
	}
	return mean
}
