package guestcalls

import "time"

// Limits bound what the guest is held up.
type Limits struct {
	Share float64 // of the time, in which it is stopped; above 0, up to 1
	Stops float64 // a second: each is told to all clients of libvirt, twice. Above 0
}

// DefaultLimits hold where nobody says anything else. Each stop makes QEMU flush its disks, and libvirt write a file and send two events. A busy guest loses more than the share:
// what QEMU and the host take to go on is not all seen from here.
var DefaultLimits = Limits{Share: 0.1, Stops: 50}

// burst is for how long unused time piles up, so that calls that come in bursts are seen.
const burst = 200 * time.Millisecond

// leastStops of a window: with fewer to spend, none is begun.
const leastStops = 4

// budget is what may be spent on stops: two buckets that fill with time.
type budget struct {
	limits Limits
	at     time.Time
	time   float64       // seconds
	stops  float64       // of them
	cost   time.Duration // of a stop, smoothed
}

func newBudget(l Limits, now time.Time) *budget {
	return &budget{limits: l, at: now, time: l.Share * burst.Seconds(), stops: l.mostStops()}
}

// mostStops pile up: enough for a window, however few are allowed.
func (l Limits) mostStops() float64 { return max(l.Stops*burst.Seconds(), 2*leastStops) }

// fill adds what has come since the last time.
func (b *budget) fill(now time.Time) {
	d := max(0, now.Sub(b.at).Seconds())
	b.at = now
	b.time = min(b.time+d*b.limits.Share, max(b.limits.Share*burst.Seconds(), 2*leastStops*b.cost.Seconds()))
	b.stops = min(b.stops+d*b.limits.Stops, b.limits.mostStops())
}

// spend takes a stop out.
func (b *budget) spend(d time.Duration) {
	b.time -= d.Seconds()
	b.stops--
	if b.cost == 0 {
		b.cost = d
	}
	b.cost += (d - b.cost) / 8
}

// spent says that nothing is left.
func (b *budget) spent() bool { return b.time <= 0 || b.stops < 1 }

// wait is how long to wait before a window is begun; 0: not at all.
func (b *budget) wait() time.Duration {
	need := max((leastStops*b.cost.Seconds()-b.time)/b.limits.Share, (leastStops-b.stops)/b.limits.Stops)
	return max(0, time.Duration(need*float64(time.Second)))
}
