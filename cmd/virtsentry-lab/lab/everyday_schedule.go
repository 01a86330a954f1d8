package lab

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// chore is one kind of work that a server does again and again by itself.
type chore struct {
	name        string
	least, most time.Duration // from one run to the next
	// follow runs once after each run of the chore, followAfter later, if
	// not empty.
	follow      string
	followAfter [2]time.Duration
	onHost      bool // the lab plays it, not the guest
}

// crawl is the only chore that comes from outside: a search engine.
const crawl = "crawl"

var chores = []chore{
	{name: "minute", least: time.Minute, most: time.Minute},
	{name: "five", least: 5 * time.Minute, most: 5 * time.Minute},
	{name: "rotate", least: 20 * time.Minute, most: 30 * time.Minute},
	{name: "backup", least: 40 * time.Minute, most: 60 * time.Minute},
	{name: "packages-install", least: 50 * time.Minute, most: 70 * time.Minute,
		follow: "packages-remove", followAfter: [2]time.Duration{8 * time.Minute, 15 * time.Minute}},
	{name: "maintain", least: time.Hour, most: time.Hour},
	{name: crawl, least: 35 * time.Minute, most: 55 * time.Minute, onHost: true},
}

const (
	// shortestEvery bounds how far a pace presses the runs of a chore together.
	shortestEvery = 10 * time.Second
	// longestRun and shortRun are kept free of new work at the end of a
	// recording: of the jobs that may take minutes, and of the others.
	longestRun = 4 * time.Minute
	shortRun   = 20 * time.Second
)

// run is one entry of a schedule.
type run struct {
	id     int // from 1, in order of time
	at     time.Duration
	name   string
	onHost bool
}

// everydaySchedule says when what runs within span, at pace times the usual
// frequency. The same arguments give the same schedule.
func everydaySchedule(seed uint64, span time.Duration, pace int) []run {
	scale := func(d time.Duration) time.Duration { return d / time.Duration(pace) }
	var runs []run
	for i, c := range chores {
		// A stream for each chore: one more of them leaves the others' times.
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		between := func(least, most time.Duration) time.Duration {
			if most > least {
				least += time.Duration(rng.Int64N(int64(most - least)))
			}
			return max(scale(least), shortestEvery)
		}
		last := span - shortRun
		if c.most > 5*time.Minute {
			last = span - max(scale(longestRun), shortRun)
		}
		add := func(at time.Duration, name string) {
			if at < last {
				runs = append(runs, run{at: at.Truncate(time.Second), name: name, onHost: c.onHost})
			}
		}
		for at := between(c.most/10, c.most*2/3); at < last; at += between(c.least, c.most) {
			add(at, c.name)
			if c.follow != "" {
				add(at+between(c.followAfter[0], c.followAfter[1]), c.follow)
			}
		}
	}
	slices.SortStableFunc(runs, func(a, b run) int { return cmp.Compare(a.at, b.at) })
	for i := range runs {
		runs[i].id = i + 1
	}
	return runs
}

// guestSchedule is the part of a schedule that the guest's script plays, as
// it wants it.
func guestSchedule(runs []run) string {
	var b strings.Builder
	for _, r := range runs {
		if !r.onHost {
			fmt.Fprintf(&b, "%d %d %s\n", int(r.at.Seconds()), r.id, r.name)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
