package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/virtsentry/virtsentry/model"
)

// unitsOfDay is the number of units in a day.
const unitsOfDay = int(24 * time.Hour / model.Width)

// day simulates units of a guest, 30 features each, so many of them in a row from midnight on: a load that is four times as high at noon as at night and wanders
// over minutes drives buckets of packets and of disk requests, and what comes with them; a job of some minutes each hour reads, and one at night
// writes. Counts are gamma-Poisson, as those of guests are. The same seed gives the same units.
func day(units int, seed uint64) model.Dataset {
	g := simulated{random: rand.New(rand.NewPCG(seed, 1))}
	var d model.Dataset
	type column struct {
		rate float64 // of the load of its kind
		kind int
	}
	var columns []column
	add := func(name string, rate float64, kind int) {
		d.Features, columns = append(d.Features, name), append(columns, column{rate, kind})
	}
	for i, rate := range []float64{420, 60, 15, 4, 1, 0.3, 90, 30} {
		add(fmt.Sprintf("virtqueue_fill:net.rx:len=%d-%d", 64+8*i, 71+8*i), rate, network)
	}
	for i, rate := range []float64{300, 40, 9, 2, 0.2, 0.05, 180, 70} {
		add(fmt.Sprintf("virtqueue_fill:net.tx:len=%d-%d", 128+16*i, 143+16*i), rate, network)
	}
	for i, rate := range []float64{25, 6, 1.5, 0.4} {
		add(fmt.Sprintf("virtio_blk_handle_read:len=%d-%d", 4096<<i, 8192<<i-1), rate, reading)
	}
	for i, rate := range []float64{30, 12, 3, 0.1} {
		add(fmt.Sprintf("virtio_blk_handle_write:len=%d-%d", 4096<<i, 8192<<i-1), rate, writing)
	}
	for i, kind := range []int{network, network, reading, writing, always, always} {
		add(fmt.Sprintf("event_%d", i), []float64{1300, 700, 33, 46, 250, 0.02}[i], kind)
	}
	for u := range units {
		loads := g.loads(u % unitsOfDay)
		values := make([]float64, len(columns))
		for j, c := range columns {
			values[j] = g.count(c.rate * loads[c.kind])
		}
		d.Rows = append(d.Rows, model.Row{Start: int64(u) * int64(model.Width), Values: values})
	}
	return d
}

// What a count is driven by.
const (
	network = iota
	reading
	writing
	always
)

// simulated is a guest's load.
type simulated struct {
	random *rand.Rand
	wander float64 // logarithm of the load, around that of the hour
}

// loads are those of the next unit, which is so many units after midnight.
func (g *simulated) loads(unit int) [4]float64 {
	const (
		memory = 0.98 // of the load, from one unit to the next: some minutes
		swing  = 0.3  // standard deviation of its logarithm
	)
	g.wander = memory*g.wander + math.Sqrt(1-memory*memory)*swing*g.random.NormFloat64()
	hour := 24 * float64(unit) / float64(unitsOfDay)
	load := math.Exp(g.wander - math.Ln2*math.Cos(2*math.Pi*hour/24))
	loads := [4]float64{network: load, reading: load, writing: load, always: 1}
	if _, part := math.Modf(hour); part < 0.05 { // three minutes of each hour
		loads[reading] += 6
	}
	if hour >= 3 && hour < 3.25 {
		loads[writing] += 15
	}
	return loads
}

// count is a gamma-Poisson count of a mean, which scatters by 5 % besides.
func (g *simulated) count(mean float64) float64 {
	mean *= math.Exp(0.05 * g.random.NormFloat64())
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
