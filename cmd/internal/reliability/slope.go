package reliability

import (
	"errors"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// Sample is a figure at a time since the beginning.
type Sample struct {
	At    time.Duration
	Value float64
}

// Slope is by how much a figure grows in an hour, with the interval that holds the true slope with 95 % confidence.
type Slope struct {
	PerHour float64 `json:"per_hour"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
}

// Flat says whether the figure does not grow: the interval holds 0 or lies below it, or the figure grows by less than bound in an hour for certain.
func (s Slope) Flat(bound float64) bool { return s.Low <= 0 || s.High < bound }

func (s Slope) String() string {
	return fmt.Sprintf("%+.3g an hour (%.3g to %.3g)", s.PerHour, s.Low, s.High)
}

// blocks is how many means a slope is fitted to. Samples that follow one another are alike; means of long blocks are nearly independent of each other,
// which the interval takes for granted.
const blocks = 20

// errFewSamples says that no slope can be fitted.
var errFewSamples = errors.New("too few samples for a slope")

// FitSlope fits a straight line to samples in the order of time by least squares, and bounds its slope by Student's t distribution. Samples are first
// replaced by the means of blocks of equally many. Errors: fewer than two samples for each block.
func FitSlope(samples []Sample) (Slope, error) {
	each := len(samples) / blocks
	if each < 2 {
		return Slope{}, fmt.Errorf("%w: %d, want %d", errFewSamples, len(samples), 2*blocks)
	}
	samples = samples[len(samples)-each*blocks:] // the oldest go, which are of the time in which things warm up
	x, y := make([]float64, blocks), make([]float64, blocks)
	for i := range blocks {
		for _, s := range samples[i*each : (i+1)*each] {
			x[i] += s.At.Hours() / float64(each)
			y[i] += s.Value / float64(each)
		}
	}
	return fit(x, y)
}

// fit is the least squares slope of y over x, with its interval.
func fit(x, y []float64) (Slope, error) {
	n := float64(len(x))
	var mx, my float64
	for i := range x {
		mx, my = mx+x[i]/n, my+y[i]/n
	}
	var sxx, sxy float64
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	if sxx == 0 {
		return Slope{}, fmt.Errorf("%w: all are of the same time", errFewSamples)
	}
	slope := sxy / sxx
	var residual float64
	for i := range x {
		r := y[i] - my - slope*(x[i]-mx)
		residual += r * r
	}
	freedom := n - 2
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Quantile(0.975) * math.Sqrt(residual/freedom/sxx)
	return Slope{PerHour: slope, Low: slope - half, High: slope + half}, nil
}
