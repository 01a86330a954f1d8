package attacks

import (
	"cmp"
	"math"
	"slices"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// How what an attack adds is told from what else the guest does.
const (
	busy       = 5   // a unit on average, from which on a column tells of the load
	neighbours = 20  // normal units of the nearest loads, whose mean is what the guest does at a load
	certain    = 3.5 // standard errors above that, from which on a column is the attack's
	worth      = 0.3 // a unit on average, from which on it is worth keeping
	warm       = 60  // units after which the guest reads from its cache what it serves
)

// derive returns what an attack adds: the columns that it adds to, and for each unit the counts. A unit's load is the median, over
// the columns that normal operation keeps busy, of its count against the usual one: an attack is in few of these columns, and moves no median.
func derive(features []string, normal, attacked [][]float64) (columns []int, added [][]uint64) {
	average := means(normal)
	load := func(u []float64) float64 {
		var shares []float64
		for j, m := range average {
			if m >= busy {
				shares = append(shares, u[j]/m)
			}
		}
		slices.Sort(shares)
		return shares[len(shares)/2]
	}
	normal = slices.Clone(normal)
	slices.SortStableFunc(normal, func(a, b []float64) int { return cmp.Compare(load(a), load(b)) })
	surplus := make([][]float64, len(attacked))
	for i, u := range attacked {
		at, _ := slices.BinarySearchFunc(normal, load(u), func(n []float64, l float64) int { return cmp.Compare(load(n), l) })
		from := min(max(0, at-neighbours/2), len(normal)-neighbours)
		surplus[i] = slices.Clone(u)
		for j, m := range means(normal[from : from+neighbours]) {
			surplus[i][j] -= m
		}
	}
	more := means(surplus)
	n := float64(len(attacked))
	for j := range features {
		spread := max(deviation(surplus, j, more[j]), deviation(normal, j, average[j])/3)
		if more[j] > worth && more[j] > certain*spread/math.Sqrt(n) {
			columns = append(columns, j)
		}
	}
	added = make([][]uint64, len(attacked))
	for _, j := range columns {
		// Cut off at nothing, the rest of the noise would add up: the sum is kept.
		cut := 0.0
		for _, u := range surplus {
			cut += max(0, u[j])
		}
		debt := 0.0 // of rounding
		for i, u := range surplus {
			exact := max(0, u[j])*more[j]*n/cut + debt
			whole := max(0, math.Round(exact))
			debt = exact - whole
			added[i] = append(added[i], uint64(whole))
		}
	}
	return columns, added
}

func means(rows [][]float64) []float64 {
	m := make([]float64, len(rows[0]))
	for _, r := range rows {
		for j, v := range r {
			m[j] += v / float64(len(rows))
		}
	}
	return m
}

func deviation(rows [][]float64, j int, mean float64) float64 {
	sum := 0.0
	for _, r := range rows {
		sum += (r[j] - mean) * (r[j] - mean)
	}
	return math.Sqrt(sum / float64(len(rows)))
}

// whole returns the counts of the whole units without losses.
func whole(f unit.File, skip int) (rows [][]float64) {
	for _, u := range f.Units {
		if !u.Full() || u.Lost > 0 {
			continue
		}
		r := make([]float64, len(f.Features))
		for j, n := range u.Counts {
			r[j] = float64(n)
		}
		rows = append(rows, r)
	}
	return rows[skip:]
}
