package monitor

import (
	"math"
	"time"

	"github.com/virtsentry/virtsentry/model"
)

const (
	// settledUnits in a row that a profile finds usual end the start of a guest that has a profile.
	settledUnits = 5
	// settledBlock units are compared with as many before them where there is no profile yet: when they are alike, the guest has settled.
	settledBlock = 8
	// settledShift is by how much the mean of log1p(count) may differ between the two, beside the smaller one's standard deviation.
	settledShift = 0.5
)

// boot knows whether a guest is still starting. Booting has a regime of its own, which is neither learnt nor judged: it ends when the guest has
// settled, and at a limit in any case, so that it is no hiding place. Times are those of CLOCK_MONOTONIC, in nanoseconds.
type boot struct {
	since  int64 // when the guest began to boot
	limit  time.Duration
	over   bool
	until  int64 // of one that is over: units that start before it belong to the boot
	usual  int   // units in a row that the profile finds usual
	recent [][]float64
}

// begin says that the guest boots from now on, for so long at most.
func (b *boot) begin(since int64, limit time.Duration) {
	*b = boot{since: since, limit: limit}
}

// again says that the guest boots anew. One that was booting has been since it began to.
func (b *boot) again(at int64, limit time.Duration) {
	if since := b.since; at < b.end() && at > since {
		b.begin(since, time.Duration(at-since)+limit)
		return
	}
	b.begin(at, limit)
}

// end is when the boot is over at the latest.
func (b *boot) end() int64 {
	if b.over {
		return b.until
	}
	return b.since + int64(b.limit)
}

// holds says whether something of the time from start to end belongs to the boot.
func (b *boot) holds(start, end int64) bool { return end > b.since && start < b.end() }

// observe takes a whole unit of a starting guest, which ended at end, and finds out whether the guest has settled. A unit in which events were
// lost shows nothing.
func (b *boot) observe(end int64, values []float64, lost bool, profile *model.Profile) {
	switch {
	case b.over || end > b.end():
		return
	case lost:
		b.usual, b.recent = 0, nil
		return
	case profile != nil:
		b.usual++
		if v, err := profile.Judge(values); err != nil || v.Anomalous {
			b.usual = 0
		}
		b.over = b.usual >= settledUnits
	default:
		b.recent = append(b.recent, values)
		if n := len(b.recent) - 2*settledBlock; n > 0 {
			b.recent = b.recent[n:]
		}
		b.over = len(b.recent) == 2*settledBlock && alike(b.recent[:settledBlock], b.recent[settledBlock:])
	}
	if b.over {
		b.until, b.recent = end, nil
	}
}

// alike says whether two blocks of units show the same activity in each feature.
func alike(a, b [][]float64) bool {
	for j := range a[0] {
		meanA, varA := moments(a, j)
		meanB, varB := moments(b, j)
		if math.Abs(meanA-meanB) > settledShift+math.Sqrt(min(varA, varB)) {
			return false
		}
	}
	return true
}

// moments are mean and variance of log1p of a block's counts of feature j.
func moments(block [][]float64, j int) (mean, variance float64) {
	n := float64(len(block))
	for _, row := range block {
		mean += math.Log1p(row[j]) / n
	}
	for _, row := range block {
		d := math.Log1p(row[j]) - mean
		variance += d * d / n
	}
	return mean, variance
}

const (
	rebootsSpan  = int64(time.Hour)
	rebootsFew   = 2                      // so few reboots are no incident
	rebootsShare = 5                      // one part in so many of the span spent booting is one
	sameReboot   = 2 * int64(time.Second) // events this near are one reboot: libvirt tells some of them twice
)

// reboots finds guests that boot again and again, and so are hardly judged. Times are those of CLOCK_MONOTONIC, nanoseconds.
type reboots []struct{ from, to int64 }

// add notes a reboot and says whether it is another one than the last.
func (r *reboots) add(at int64) bool {
	if n := len(*r); n > 0 && at-(*r)[n-1].from < sameReboot {
		return false
	}
	*r = append(*r, struct{ from, to int64 }{at, at})
	return true
}

// many says whether the guest has spent too much of the last hour booting again. end is when its last boot ends, at the latest.
func (r *reboots) many(now, end int64) bool {
	if n := len(*r); n > 0 {
		(*r)[n-1].to = max((*r)[n-1].to, min(now, end))
	}
	for len(*r) > 0 && (*r)[0].to < now-rebootsSpan {
		*r = (*r)[1:]
	}
	booting := int64(0)
	for _, b := range *r {
		booting += b.to - max(b.from, now-rebootsSpan)
	}
	return len(*r) > rebootsFew && booting*rebootsShare >= rebootsSpan
}
