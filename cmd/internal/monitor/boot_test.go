package monitor

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

const (
	second    = int64(time.Second)
	wholeUnit = int64(unit.Width)
)

// steady makes a unit's row of a load that does not change, but for noise.
func steady(random *rand.Rand, level float64) []float64 {
	return []float64{level + float64(random.IntN(1+int(level/10))), float64(random.IntN(3)), 0}
}

// boots runs units through a boot until it is over, and says how many seconds it took.
func boots(b *boot, level func(i int) float64) int64 {
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; ; i++ {
		start := int64(i) * wholeUnit
		if !b.holds(start, start+wholeUnit) {
			return start / second
		}
		b.observe(start+wholeUnit, steady(random, level(i)), false, nil)
	}
}

func TestBootSettles(t *testing.T) {
	tests := map[string]struct {
		level func(i int) float64
		want  int64 // seconds
	}{
		"at once":         {func(int) float64 { return 100 }, 2 * settledBlock * 2},
		"after a burst":   {func(i int) float64 { return map[bool]float64{true: 5000, false: 40}[i < 10] }, 2*settledBlock*2 + 20},
		"never, to limit": {func(i int) float64 { return float64(int(10) << (i / 3)) }, 120},
	}
	for name, test := range tests {
		var b boot
		b.begin(0, 2*time.Minute)
		if got := boots(&b, test.level); got != test.want {
			t.Errorf("%s: settled after %d s; want %d", name, got, test.want)
		}
	}
}

func TestBootLossShowsNothing(t *testing.T) {
	var b boot
	b.begin(0, time.Minute)
	for i := range int64(29) {
		b.observe((i+1)*wholeUnit, []float64{1}, true, nil)
	}
	if b.over {
		t.Error("units with lost events ended the boot")
	}
	if b.holds(60*second, 62*second) {
		t.Error("the boot goes on after its limit")
	}
}

func TestReboots(t *testing.T) {
	const every, lasts = 300 * second, 120 * second
	var r reboots
	at := int64(0)
	for ; at < 2*rebootsSpan; at += every {
		many := r.many(at, at-every+lasts)
		if at <= rebootsFew*every && many || at >= rebootsSpan && !many {
			t.Errorf("after %d s, 40 %% of which the guest was booting: many is %v", at/second, many)
		}
		if !r.add(at) || r.add(at+second) {
			t.Error("a reboot that is told twice counts twice, or not at all")
		}
	}
	if r.many(at+rebootsSpan, at-every+lasts) || len(r) != 0 {
		t.Error("an old reboot counts")
	}
	var seldom reboots
	for at := int64(0); at < 2*rebootsSpan; at += every {
		if seldom.many(at, at-every+20*second) {
			t.Error("short boots are many")
		}
		seldom.add(at)
	}
}

func TestBootAgain(t *testing.T) {
	var b boot
	b.begin(0, 0)
	if b.holds(5*second, 7*second) {
		t.Error("a boot with no limit holds")
	}
	b.again(6*second, time.Minute)
	for _, test := range []struct {
		start int64
		want  bool
	}{{2, false}, {4, false}, {5, true}, {6, true}, {65, true}, {66, false}} {
		if got := b.holds(test.start*second, (test.start+2)*second); got != test.want {
			t.Errorf("unit at %d s belongs to a boot that began at 6 s: %v; want %v", test.start, got, test.want)
		}
	}
}

// A guest that reboots while it boots has been booting since it began to: no unit of it belongs to its service.
func TestBootAgainWhileBooting(t *testing.T) {
	var b boot
	b.begin(10*second, time.Minute)
	b.again(30*second, time.Minute)
	for _, test := range []struct {
		start int64
		want  bool
	}{{7, false}, {12, true}, {28, true}, {31, true}, {89, true}, {90, false}} {
		if got := b.holds(test.start*second, (test.start+2)*second); got != test.want {
			t.Errorf("unit at %d s belongs to a boot from 10 s, again at 30 s: %v; want %v", test.start, got, test.want)
		}
	}
}
