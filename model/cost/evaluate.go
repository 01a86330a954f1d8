package cost

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Row is one held-out observation, and what was predicted of it. All are slow-downs, parts of the guest's speed.
type Row struct {
	Workload  string   `json:"workload"`
	Sources   []string `json:"sources"`
	Measured  float64  `json:"measured"`
	Predicted float64  `json:"predicted"`
	Low       float64  `json:"low"`
	High      float64  `json:"high"`
}

// Found is the slow-down that was found: what was measured, and none where that is less than none. A guest is never made faster by being observed, so that the
// likeliest of all that it can have lost, after a measurement below 0, is nothing.
func (r Row) Found() float64 { return max(0, r.Measured) }

// Inside says whether what was found lies within the interval.
func (r Row) Inside() bool { return r.Found() >= r.Low && r.Found() <= r.High }

// Table is how well held-out observations were predicted.
type Table struct {
	Rows   []Row   `json:"rows"`
	Inside float64 `json:"inside"` // share of the rows whose slow-down, as it was found, lies within the interval
	// Below is how many rows were measured to be less than nothing: noise. If these counted as outside, so much less would be inside.
	Below int     `json:"below"`
	Width float64 `json:"width"` // median, of intervals
	Error float64 `json:"error"` // median, absolute
	// WidthRatio and ErrorRatio are the medians of width and error over what they may be of each row: at most 1 holds.
	WidthRatio float64 `json:"width_ratio"`
	ErrorRatio float64 `json:"error_ratio"`
	// Unpredicted is how many observations are not in Rows, as their price is not calibrated.
	Unpredicted int `json:"unpredicted"`
}

// What a calibration must hold to.
const (
	leastInside = 0.80
	mostWidth   = 0.02  // or the cost itself
	mostError   = 0.015 // or
	errorShare  = 0.25  // so much of the cost
)

// Bar is one thing that must hold.
type Bar struct {
	What  string `json:"what"`
	Want  string `json:"want"`
	Seen  string `json:"seen"`
	Holds bool   `json:"holds"`
}

// Evaluate predicts observations that nothing was fitted to.
func Evaluate(c *Calibration, held []Observation) (Table, error) {
	if len(held) == 0 {
		return Table{}, errors.New("evaluate costs: no observation is held out")
	}
	var t Table
	var width, miss, widthRatio, missRatio []float64
	inside := 0
	for i := range held {
		x := &held[i]
		if err := x.check(); err != nil {
			return Table{}, fmt.Errorf("evaluate costs: observation %d: %w", i+1, err)
		}
		p, err := c.Predict(x.Rates, x.Sources)
		if errors.Is(err, ErrUncalibrated) {
			t.Unpredicted++
			continue
		}
		if err != nil {
			return Table{}, fmt.Errorf("evaluate costs: workload %s: %w", x.Workload, err)
		}
		r := Row{Workload: x.Workload, Sources: x.Sources, Measured: Slowdown(x.Overhead), Predicted: p.Slowdown, Low: p.Low, High: p.High}
		t.Rows = append(t.Rows, r)
		if r.Inside() {
			inside++
		}
		if r.Measured < 0 {
			t.Below++
		}
		w, e := r.High-r.Low, math.Abs(r.Predicted-r.Found())
		width, miss = append(width, w), append(miss, e)
		widthRatio = append(widthRatio, w/max(mostWidth, r.Found()))
		missRatio = append(missRatio, e/max(mostError, errorShare*r.Found()))
	}
	if len(t.Rows) == 0 {
		return t, nil
	}
	t.Inside = float64(inside) / float64(len(t.Rows))
	t.Width, t.Error, t.WidthRatio, t.ErrorRatio = median(width), median(miss), median(widthRatio), median(missRatio)
	return t, nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	if n%2 == 0 {
		return stat.Mean(v[n/2-1:n/2+1], nil)
	}
	return v[n/2]
}

// Holds says what must hold of predictions, and whether it does. all is whether all of it does.
func (t Table) Holds() (bars []Bar, all bool) {
	bars = []Bar{
		{
			What: "held-out combinations of which a price can be told", Want: "all",
			Seen: fmt.Sprintf("%d of %d", len(t.Rows), len(t.Rows)+t.Unpredicted), Holds: t.Unpredicted == 0 && len(t.Rows) > 0,
		},
		{
			What: "measured slow-down inside the 90 % interval", Want: fmt.Sprintf("at least %.0f %% of the time", 100*leastInside),
			Seen: fmt.Sprintf("%.0f %% of %d, %d of which were measured to be below 0 and count as 0", 100*t.Inside, len(t.Rows), t.Below), Holds: len(t.Rows) > 0 && t.Inside >= leastInside,
		},
		{
			What: "median width of the interval", Want: fmt.Sprintf("at most %.0f points or the cost itself, whichever is larger", 100*mostWidth),
			Seen: fmt.Sprintf("%.2f points; of what it may be %.2f", 100*t.Width, t.WidthRatio), Holds: len(t.Rows) > 0 && t.WidthRatio <= 1,
		},
		{
			What: "median absolute error", Want: fmt.Sprintf("at most %.1f points or a quarter of the measured cost, whichever is larger", 100*mostError),
			Seen: fmt.Sprintf("%.2f points; of what it may be %.2f", 100*t.Error, t.ErrorRatio), Holds: len(t.Rows) > 0 && t.ErrorRatio <= 1,
		},
	}
	all = true
	for _, b := range bars {
		all = all && b.Holds
	}
	return bars, all
}
