package cost

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"pgregory.net/rapid"
)

// truth is a guest's world in which it is known what things cost.
var truth = map[string]float64{"hit": 0.2e-6, "reader": 0.004, "uprobe": 1e-6, "call": 0.6e-6, "helper": 0.003}

func testScheme() Scheme {
	return Scheme{
		{Coefficient: "hit", Kind: "probe:disk", By: []string{"ust", "disk", "all"}},
		{Coefficient: "hit", Kind: "probe:net", By: []string{"ust", "all"}},
		{Coefficient: "hit", Kind: "probe:rest", By: []string{"all"}},
		{Coefficient: "reader", By: []string{"ust", "disk", "all"}},
		{Coefficient: "uprobe", Kind: "function", By: []string{"functions"}},
		{Coefficient: "call", Kind: "syscall", By: []string{"syscalls"}},
		{Coefficient: "helper", By: []string{"functions", "syscalls"}},
		{Coefficient: "stop", Kind: "guest", By: []string{"guest-syscalls"}},
	}
}

// trueOverhead is what sources cost in truth.
func trueOverhead(rates Rates, sources []string) (sum float64) {
	seen := map[string]bool{}
	for _, t := range testScheme() {
		if key := t.Coefficient + " " + t.Kind; t.in(sources) && !seen[key] {
			seen[key] = true
			n := 1.0
			if t.Kind != "" {
				n = rates[t.Kind]
			}
			sum += n * truth[t.Coefficient]
		}
	}
	return sum
}

func workRatesOf(random *rand.Rand) Rates {
	return Rates{
		"probe:disk": random.Float64() * 20e3, "probe:net": random.Float64() * 20e3, "probe:rest": random.Float64() * 500e3,
		"function": random.Float64() * 60e3, "syscall": random.Float64() * 80e3,
	}
}

// world makes observations with noise of a standard deviation: those of a design, and of it what is held out.
func world(seed uint64, workloads int, deviation float64) Observations {
	random := rand.New(rand.NewPCG(seed, 7))
	o := Observations{Origin: "a world that is made up"}
	var names []string
	rates := map[string]Rates{}
	for i := range workloads {
		name := fmt.Sprint("work ", i)
		names = append(names, name)
		rates[name] = workRatesOf(random)
	}
	runs, err := Design(Factors{Sources: []string{"ust", "all", "functions", "syscalls"}, Workloads: names, Fit: 3, Held: 4})
	if err != nil {
		panic(err)
	}
	for range 2 {
		for _, r := range runs {
			o.List = append(o.List, Observation{
				Workload: r.Workload, Sources: slices.Clone(r.Sources), Rates: rates[r.Workload],
				Overhead: trueOverhead(rates[r.Workload], r.Sources) + deviation*random.NormFloat64(), Error: deviation, HeldOut: r.HeldOut,
			})
		}
	}
	return o
}

// someSources draws sources of the scheme that are calibrated.
func someSources(t *rapid.T, name string) []string {
	return rapid.SliceOfDistinct(rapid.SampledFrom([]string{"ust", "disk", "all", "functions", "syscalls"}), func(s string) string { return s }).Draw(t, name)
}

func someRates(t *rapid.T) Rates {
	r := Rates{}
	for _, kind := range []string{"probe:disk", "probe:net", "probe:rest", "function", "syscall"} {
		r[kind] = rapid.Float64Range(0, 1e6).Draw(t, kind)
	}
	return r
}
