package monitor

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is entered, in whatever order: what is accounted for is the life from its begin to its newest entry, no more and no less.
func TestLedgerBalances(t *testing.T) {
	codes := rapid.SampledFrom([]string{"", reasonBooting, reasonPaused, reasonEventsLost})
	gaps := rapid.SampledFrom([]string{reasonLateAttach, reasonPartial, reasonNoDaemon})
	times := rapid.Int64Range(-1e12, 1e15)
	rapid.Check(t, func(t *rapid.T) {
		var l ledger
		begin := times.Draw(t, "begin")
		l.open(begin)
		newest := begin
		for range rapid.IntRange(0, 50).Draw(t, "entries") {
			start := times.Draw(t, "start")
			end := start + rapid.Int64Range(0, 4e9).Draw(t, "length")
			if rapid.Bool().Draw(t, "unit") {
				l.enter(start, end, codes.Draw(t, "code"), gaps.Draw(t, "gap"))
			} else {
				l.fill(end, gaps.Draw(t, "gap"))
			}
			newest = max(newest, end)
		}
		r := l.report()
		sum := r.Scored
		for code, d := range r.Reasons {
			if d < 0 {
				t.Fatalf("%s took %v s", code, d)
			}
			sum += d
		}
		if life := float64(newest-begin) / 1e9; math.Abs(r.Life-life) > 1e-6 || math.Abs(sum-life) > 1e-3 {
			t.Fatalf("life of %v s reported as %v, accounted for as %v", life, r.Life, sum)
		}
	})
}

func TestLedgerNotOpened(t *testing.T) {
	var l ledger
	l.fill(5, reasonPaused)
	if r := l.report(); r.Life != 0 || len(r.Reasons) != 0 {
		t.Errorf("an account that was not opened shows %+v", r)
	}
	l.open(10)
	l.open(0) // the same life
	l.enter(12, 14, "", reasonLateAttach)
	if l.reasons[reasonLateAttach] != 2 || l.scored != 2 {
		t.Errorf("%+v; want 2 ns late and 2 ns scored", l)
	}
}
