package lab

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var cmpRuns = cmp.AllowUnexported(run{})

func TestEverydayScheduleIsRepeatable(t *testing.T) {
	const span = 2 * time.Hour
	if diff := cmp.Diff(everydaySchedule(5, span, 1), everydaySchedule(5, span, 1), cmpRuns); diff != "" {
		t.Errorf("the same seed gave another schedule (-first +second):\n%s", diff)
	}
	if cmp.Equal(everydaySchedule(5, span, 1), everydaySchedule(6, span, 1), cmpRuns) {
		t.Error("another seed gave the same schedule")
	}
}

// TestEverydayScheduleOfTwoHours counts what a recording of two hours shows.
func TestEverydayScheduleOfTwoHours(t *testing.T) {
	bounds := map[string][2]int{ // fewest, most
		"minute": {118, 120}, "five": {23, 24}, "rotate": {3, 6}, "backup": {1, 3}, "packages-install": {1, 3},
		"packages-remove": {1, 3}, "maintain": {1, 2}, crawl: {2, 4},
	}
	rapid.Check(t, func(t *rapid.T) {
		const span = 2 * time.Hour
		runs := everydaySchedule(rapid.Uint64().Draw(t, "seed"), span, 1)
		count := make(map[string]int)
		last := make(map[string]time.Duration)
		for i, r := range runs {
			count[r.name]++
			if r.id != i+1 || r.at < 0 || r.at >= span || i > 0 && r.at < runs[i-1].at {
				t.Fatalf("run %+v after %+v: want ids and times in order, within %v", r, runs[max(i-1, 0)], span)
			}
			last[r.name] = r.at
		}
		for name, b := range bounds {
			if n := count[name]; n < b[0] || n > b[1] {
				t.Errorf("%d runs of %s, want %d to %d", n, name, b[0], b[1])
			}
		}
		for _, name := range []string{"rotate", "backup", "packages-install", "packages-remove", "maintain"} {
			if last[name] > span-longestRun {
				t.Errorf("%s at %v: too late to end within %v", name, last[name], span)
			}
		}
		if len(count) != len(bounds) {
			t.Errorf("jobs %v, want those of %v", count, bounds)
		}
	})
}

func TestEverydayScheduleAtAnyPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pace := rapid.IntRange(1, 10_000).Draw(t, "pace")
		span := time.Duration(rapid.Int64Range(int64(time.Second), int64(3*time.Hour)).Draw(t, "span"))
		before := make(map[string]time.Duration)
		for _, r := range everydaySchedule(1, span, pace) {
			if at, ok := before[r.name]; ok && r.at-at < shortestEvery-time.Second && r.name != "packages-remove" {
				t.Fatalf("%s at %v and %v: want %v between them", r.name, at, r.at, shortestEvery)
			}
			before[r.name] = r.at
		}
	})
}

// TestEverydayScriptHasEachJob compares the schedule's names with the script's
// functions: one that is missing would show only in a recording.
func TestEverydayScriptHasEachJob(t *testing.T) {
	for _, c := range chores {
		for _, name := range []string{c.name, c.follow} {
			if has := strings.Contains(everydayScript, "\njob_"+name+"() {"); name != "" && has == c.onHost {
				t.Errorf("job %s: the guest's script has it: %v, want %v", name, has, !c.onHost)
			}
		}
	}
}

func TestGuestSchedule(t *testing.T) {
	got := guestSchedule([]run{{1, 5 * time.Second, "minute", false}, {2, time.Minute, crawl, true}, {3, 65 * time.Second, "five", false}})
	if want := "5 1 minute\n65 3 five"; got != want {
		t.Errorf("schedule %q, want %q", got, want)
	}
}

func TestEverydayIsAScenario(t *testing.T) {
	sc, err := parseScenario(Everyday)
	if err != nil || !sc.load || !sc.everyday || sc.attack != nil || sc.stress != nil {
		t.Errorf("%+v, %v: want load and what a server does by itself", sc, err)
	}
}
