package model

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// guest simulates a guest's units: a load that wanders (AR(1) in log space) drives
// Poisson counts of several features at their own rates, a few features tick at a
// constant rate, and some never fire.
type guest struct {
	random *rand.Rand
	memory float64 // of the load, from one unit to the next; 0: independent
	load   float64
	now    int64
}

// swing is the standard deviation of the logarithm of the load.
const swing = 0.3

func newGuest(seed uint64, memory float64) *guest {
	g := &guest{random: rand.New(rand.NewPCG(seed, 1)), memory: memory}
	g.load = swing * g.random.NormFloat64()
	return g
}

var guestRates = []float64{40, 35, 300, 280, 12, 3, 90, 0.4, 1000, 25} // driven by load

func guestFeatures() []string {
	names := []string{"timer", "tick", "never_a", "never_b"}
	for i := range guestRates {
		names = append(names, fmt.Sprintf("driven_%d", i))
	}
	return names
}

// unit returns the next unit's counts; the driven ones are multiplied by factor.
func (g *guest) unit(factor float64) Row {
	g.load = g.memory*g.load + math.Sqrt(1-g.memory*g.memory)*swing*g.random.NormFloat64()
	values := []float64{200, float64(50 + g.random.IntN(2)), 0, 0}
	for _, rate := range guestRates {
		values = append(values, g.poisson(rate*math.Exp(g.load)*factor))
	}
	g.now += int64(Width)
	return Row{Start: g.now, Values: values}
}

func (g *guest) poisson(mean float64) float64 {
	if mean > 50 { // near enough, and quick
		return math.Max(0, math.Round(mean+math.Sqrt(mean)*g.random.NormFloat64()))
	}
	limit, product, count := math.Exp(-mean), g.random.Float64(), 0.0
	for product > limit {
		product *= g.random.Float64()
		count++
	}
	return count
}

// dataset returns the next n units.
func (g *guest) dataset(n int) Dataset {
	d := Dataset{Features: guestFeatures()}
	for range n {
		d.Rows = append(d.Rows, g.unit(1))
	}
	return d
}
