package model

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Recording is what was observed of one guest without a break, as one file or one
// trace holds it.
type Recording struct {
	Name     string // the file's, for errors
	Features []string
	Units    []Observation // in strictly increasing order of Start
}

// Observation is one unit of a recording.
type Observation struct {
	Start   int64    // nanoseconds of the recording's clock
	Counts  []uint64 // in the order of Recording.Features; those beyond its end are 0
	Partial bool     // not observed for its whole duration: neither judged nor learnt from
	Lossy   bool     // events are missing, so that counts are lower bounds: not learnt from
}

// ErrRecording means that a recording cannot be used: its units are out of order, have more
// counts than there are features, or none of them is whole; or that there is none where one is needed.
var ErrRecording = errors.New("unusable recording")

// continuation is the most that the starts of one recording's last unit and the next
// recording's first one differ, if the latter goes on where the former ended: at
// most one unit is missing between them.
const continuation = 2 * Width

// apart is how far from each other recordings are laid that do not continue one another.
const apart = time.Hour

// maxSpan bounds the time that recordings lie on, so that it can be reckoned with.
const maxSpan = int64(1) << 60

// sample is a whole unit on the common time line of some recordings.
type sample struct {
	row   Row
	lossy bool
	fresh bool // the first of a recording that does not continue the one before
}

// check says whether the recording can be used.
func (r Recording) check() error {
	whole := false
	for i, u := range r.Units {
		if i > 0 && u.Start <= r.Units[i-1].Start {
			return fmt.Errorf("%s: %w: unit %d does not start after unit %d", r.Name, ErrRecording, i, i-1)
		}
		if len(u.Counts) > len(r.Features) {
			return fmt.Errorf("%s: %w: unit %d has %d counts for %d features", r.Name, ErrRecording, i, len(u.Counts), len(r.Features))
		}
		whole = whole || !u.Partial
	}
	if !whole {
		return fmt.Errorf("%s: %w: none of its %d units is a whole one", r.Name, ErrRecording, len(r.Units))
	}
	return nil
}

// continues says whether r goes on where before ended.
func (r Recording) continues(before Recording) bool {
	distance := r.Units[0].Start - before.Units[len(before.Units)-1].Start
	return distance > 0 && distance <= int64(continuation)
}

// lay puts the whole units of recordings, at least one, in the order given, on one time line with the given
// features; one that a recording lacks is 0. The clocks of recordings need not be
// comparable: one that does not continue the one before lies an hour after it.
func lay(features []string, recordings []Recording) ([]sample, error) {
	if len(recordings) == 0 {
		return nil, fmt.Errorf("%w: none is given", ErrRecording)
	}
	var samples []sample
	base, end := int64(0), -int64(apart)
	for i, r := range recordings {
		if err := r.check(); err != nil {
			return nil, err
		}
		fresh := i == 0 || !r.continues(recordings[i-1])
		if fresh {
			base = end + int64(apart)
		} else {
			base += r.Units[0].Start - recordings[i-1].Units[0].Start
		}
		columns := Align(r.Features, features)
		for _, u := range r.Units {
			since := u.Start - r.Units[0].Start // negative if it overflows
			if since < 0 || since > maxSpan-base {
				return nil, fmt.Errorf("%s: %w: its times are too far apart", r.Name, ErrRecording)
			}
			end = base + since
			if u.Partial {
				continue
			}
			samples = append(samples, sample{row: Row{Start: end, Values: columns.Apply(nil, u.Counts)}, lossy: u.Lossy, fresh: fresh})
			fresh = false
		}
	}
	return samples, nil
}

// learnable returns those of samples that may be learnt from.
func learnable(features []string, samples []sample) Dataset {
	d := Dataset{Features: features}
	for _, s := range samples {
		if !s.lossy {
			d.Rows = append(d.Rows, s.row)
		}
	}
	return d
}

// allFeatures returns every feature that a recording has, in alphabetical order. What one
// recording lacks, such as an event that occurred only during an attack, is 0 there: the
// same as if all had counted it from the start, for a feature that never fired in
// training changes nothing of what is learnt of the others.
func allFeatures(recordings ...[]Recording) []string {
	seen := map[string]bool{}
	var names []string
	for _, r := range slices.Concat(recordings...) {
		for _, name := range r.Features {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}
