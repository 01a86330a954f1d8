package monitor

import (
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// Silence after reads that all had something new is not taken for the process's own, once; after silence that was its own it is. Where the consumer daemon is seen to
// work, one silent unit is believed.
func TestSilence(t *testing.T) {
	f := &following{}
	read := func(something, seen bool, want error) {
		t.Helper()
		if err := f.heard(something, seen); !errors.Is(err, want) {
			t.Errorf("%v; want %v", err, want)
		}
	}
	steadily := func(n int) {
		t.Helper()
		for range n {
			read(true, false, nil)
		}
	}
	for range 3 { // a process that does something now and then
		read(true, false, nil)
		read(false, false, nil)
	}
	steadily(steadyLeast)
	read(false, false, errSilence)
	for range 5 {
		read(false, false, nil)
	}
	steadily(steadyLeast - 1)
	read(false, false, nil)

	steadily(steadyLeast)
	for range 3 {
		read(false, true, nil)
		read(true, true, nil)
	}
	read(false, false, errSilence)
	steadily(steadyLeast)
	read(false, true, nil)
	read(false, true, errSilence)
	read(false, false, nil)
}

// A consumer daemon that has written something for another domain after what is to be seen of this one was written shows that it was.
func TestWorks(t *testing.T) {
	p := &pulse{}
	f := &following{base: 300*time.Millisecond + writeTime, pulse: p, consumer: &os.Process{Pid: 7}}
	end := 1000 * int64(time.Second)
	for _, c := range []struct {
		beat time.Duration // after the unit's end
		want bool
	}{{-time.Second, false}, {300 * time.Millisecond, false}, {399 * time.Millisecond, false}, {400 * time.Millisecond, true}} {
		if p.beat(7, end+int64(c.beat)); f.works(end) != c.want {
			t.Errorf("seen to work %v after the unit's end: %v; want %v", c.beat, !c.want, c.want)
		}
	}
	p.beat(8, end+int64(time.Second))
	if f.works(end + int64(unit.Width)) {
		t.Error("another consumer daemon's work says something of this one's")
	}
}

// The lag follows the phase of the switch timer, and grows where events come late.
func TestLag(t *testing.T) {
	f := &following{timer: switchTimer, base: switchTimer + writeTime}
	second := int64(1_700_000_000) * int64(time.Second)
	for i := range 20 {
		end := second + int64(2*i)*int64(time.Second) + int64(300*time.Millisecond) + int64(i%3)*int64(time.Millisecond)
		if i%5 == 4 {
			end += int64(400 * time.Millisecond) // a sub-buffer was full
		}
		f.tick(end)
	}
	if want := 300*time.Millisecond + writeTime; (f.lag() - want).Abs() > sharp {
		t.Errorf("lag %v, want about %v", f.lag(), want)
	}
	f.punctual(1)
	if f.lag() < 300*time.Millisecond+writeTime+graceLeast {
		t.Errorf("lag %v after late events", f.lag())
	}
	for range 10 {
		f.punctual(1)
	}
	if f.grace != graceMost {
		t.Errorf("grace %v", f.grace)
	}
	f.punctual(0)
	if f.grace != graceMost {
		t.Error("the grace ends at once")
	}
	for want := graceMost / 2; f.grace > 0; want /= 2 {
		f.late = time.Now().Add(-2 * calm)
		f.punctual(0)
		if want < graceLeast {
			want = 0
		}
		if f.grace != want {
			t.Fatalf("grace %v after a long time, want %v", f.grace, want)
		}
	}
	for range 8 {
		f.tick(-int64(time.Hour) - 1)
	}
	if f.lag() < 0 {
		t.Errorf("lag %v after packets of long ago", f.lag())
	}
	// A timer that goes off at a unit's end may do so just before it.
	for i := range 8 {
		f.tick(second + int64(2*i)*int64(time.Second) + int64(2*time.Millisecond))
	}
	if f.lag() < switchTimer {
		t.Errorf("lag %v with a timer at the unit's end", f.lag())
	}
	for i := range 8 {
		f.tick(second + int64(2*i)*int64(time.Second) + int64(1995*time.Millisecond) + int64(i%2)*int64(10*time.Millisecond))
	}
	if f.lag() < switchTimer {
		t.Errorf("lag %v with a timer around the unit's end", f.lag())
	}
}

// A packet that ends as recording began tells the timer's phase at once; one that ends at another time does not.
func TestLagAtOnce(t *testing.T) {
	f := &following{timer: switchTimer, base: switchTimer + writeTime, began: span{400 * time.Millisecond, 470 * time.Millisecond}}
	f.tick(int64(time.Second))
	if want := switchTimer + writeTime; f.lag() != want || f.knows {
		t.Errorf("lag %v after a packet of any time, known: %v; want %v", f.lag(), f.knows, want)
	}
	f.tick(int64(450 * time.Millisecond))
	if want := 450*time.Millisecond + writeTime; f.lag() != want || !f.knows {
		t.Errorf("lag %v, known: %v; want %v", f.lag(), f.knows, want)
	}
}

// A timer's phase is within its period, whenever in a unit it was made.
func TestSpan(t *testing.T) {
	made := span{1900 * time.Millisecond, 2010 * time.Millisecond}
	for _, c := range []struct {
		phase, period time.Duration
		want          bool
	}{
		{1950 * time.Millisecond, switchTimer, true}, {5 * time.Millisecond, switchTimer, true}, {100 * time.Millisecond, switchTimer, false},
		{950 * time.Millisecond, switchTimer, false}, {950 * time.Millisecond, switchSooner, true}, {5 * time.Millisecond, switchSooner, true},
		{500 * time.Millisecond, switchSooner, false},
	} {
		if got := made.has(c.phase, c.period); got != c.want {
			t.Errorf("phase %v of %v: %v; want %v", c.phase, c.period, got, c.want)
		}
	}
	if (span{}).has(0, switchTimer) {
		t.Error("a phase is known of a timer of which nothing is")
	}
}

// A timer that goes off twice a unit has its phase within half of one.
func TestLagSooner(t *testing.T) {
	f := &following{timer: switchSooner, base: switchSooner + writeTime}
	for i := range 5 {
		f.tick(int64(1300*time.Millisecond) + int64(i)*int64(switchSooner))
	}
	if want := 300*time.Millisecond + writeTime; f.lag() != want {
		t.Errorf("lag %v, want %v", f.lag(), want)
	}
}

// Recordings begin one after the other, each within the time after a unit's end that is meant for it.
func TestStarts(t *testing.T) {
	for _, tt := range []struct{ after, want time.Duration }{
		{0, startFirst}, {startFirst, 0}, {startLast, 0}, {startLast + 1, unit.Width + startFirst - startLast - 1}, {unit.Width - 1, startFirst + 1},
	} {
		if got := untilStart(time.Unix(1_700_000_000, int64(tt.after))); got != tt.want {
			t.Errorf("%v after a unit's end: waits %v, want %v", tt.after, got, tt.want)
		}
	}
	for after, want := range map[time.Duration]time.Duration{0: switchSooner, startFirst: switchTimer, startLate: switchTimer, startLate + 1: switchSooner} {
		if got := timerAtOnce(time.Unix(1_700_000_000, int64(after))); got != want {
			t.Errorf("at once, %v after a unit's end: each %v, want %v", after, got, want)
		}
	}
	var many starts
	at := time.Unix(1_700_000_000, int64(startFirst))
	for i := range startsMost {
		if wait := many.wait(at); wait != 0 {
			t.Errorf("recording %d of a unit waits %v", i, wait)
		}
	}
	if wait := many.wait(at); wait != unit.Width {
		t.Errorf("one more than a unit may have waits %v, want %v", wait, unit.Width)
	}
	if wait := many.wait(at.Add(unit.Width)); wait != 0 {
		t.Errorf("the next unit's first waits %v", wait)
	}
	var s starts
	var all sync.WaitGroup
	running := 0
	for range 3 {
		all.Go(func() {
			began, err := s.begin(func() error {
				running++
				defer func() { running-- }()
				if running != 1 {
					t.Errorf("%d begin at once", running)
				}
				return io.EOF
			})
			if !errors.Is(err, io.EOF) || began.from < startFirst || began.to < began.from {
				t.Errorf("began %v to %v, %v", began.from, began.to, err)
			}
		})
	}
	all.Wait()
}
