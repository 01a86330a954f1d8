package evaluation

import (
	"fmt"
	"time"

	"github.com/virtsentry/virtsentry/model"
)

// heldOutBlocks is the number of blocks of a cross-validation.
const heldOutBlocks = 5

// HeldOut is a blocked cross-validation of normal units.
type HeldOut struct {
	Data   string // the recordings
	Chosen bool   // the method's parameters were chosen by them
	Result model.CrossValidation
}

// EverydayResult is what a profile made of the everyday recording.
type EverydayResult struct {
	LearntFrom string
	Result     model.CrossValidation // not cross-validated: Folds is 1
	Alarms     []EverydayAlarm
	Jobs       []JobCount
}

// EverydayAlarm is a false alarm.
type EverydayAlarm struct {
	After    time.Duration // since the begin of the recording
	Seconds  int           // that were looked at together
	Sentence string
	Jobs     []string // that ran in these seconds or had ended in the minute before
}

// JobCount says how units were judged while jobs of a kind ran.
type JobCount struct {
	Name                 string
	Runs, Units, Flagged int
	Alarms               int // that were raised while it ran or in the minute after
}

// aftermath is how long after its end a job may still be what an alarm is about.
const aftermath = time.Minute

// everydayLearnt are the spans at the begin of the everyday recording that are learnt from.
var everydayLearnt = []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute}

// everyday judges the long recording by what was learnt from its begin, and by what was learnt from another
// recording of such a guest.
func (d *Data) everyday(r *Results) error {
	if d.Everyday == nil || len(d.Everyday.Recording.Units) == 0 {
		return nil
	}
	begin := d.Everyday.Recording.Units[0].Start
	for _, span := range everydayLearnt {
		until := begin + int64(span)
		if last := d.Everyday.Recording.Units[len(d.Everyday.Recording.Units)-1].Start; last < until {
			break
		}
		left := 0
		for _, all := range []bool{false, true} {
			p, err := d.learn([]model.Recording{d.Everyday.Recording}, until, all)
			if err != nil {
				return fmt.Errorf("learn its first %v: %w", span, err)
			}
			learnt := fmt.Sprintf("its first %.0f minutes", span.Minutes())
			switch {
			case !all:
				if left = p.Training.TrimmedUnits(); left > 0 {
					learnt += fmt.Sprintf(", %d units left out", left)
				}
			case left == 0:
				continue // the same
			default:
				learnt += ", nothing left out"
			}
			if err := d.watchEveryday(r, learnt, p, until); err != nil {
				return err
			}
		}
	}
	if train := d.recordings(SetDefault, "train"); len(train) > 0 {
		p, err := d.learn(train, 0, false)
		if err != nil {
			return err
		}
		return d.watchEveryday(r, "the plan's `train`, another guest's boot", p, begin)
	}
	return nil
}

func (d *Data) watchEveryday(r *Results, learnt string, p *model.Profile, from int64) error {
	w, err := d.watch(p, d.Everyday.Recording, from)
	if err != nil {
		return err
	}
	result := EverydayResult{LearntFrom: learnt, Result: model.NewCount(w.units, len(w.flagged), len(w.alarms))}
	begin := time.Unix(0, d.Everyday.Recording.Units[0].Start)
	for _, a := range w.alarms {
		at := time.Unix(0, a.start)
		e := EverydayAlarm{After: at.Sub(begin), Seconds: a.seconds, Sentence: a.sentence}
		since, until := at.Add(model.Width-time.Duration(a.seconds)*time.Second), at.Add(model.Width)
		for _, j := range d.Everyday.Jobs {
			if j.From.Before(until) && j.To.Add(aftermath).After(since) {
				e.Jobs = append(e.Jobs, j.Name)
			}
		}
		result.Alarms = append(result.Alarms, e)
	}
	result.Jobs = d.countJobs(w, from)
	r.Everyday = append(r.Everyday, result)
	return nil
}

// countJobs says how units were judged during jobs that began after a time.
func (d *Data) countJobs(w watched, from int64) []JobCount {
	var list []JobCount
	place := map[string]int{}
	for _, j := range d.Everyday.Jobs {
		if j.From.UnixNano() < from || j.From.UnixNano() > w.last {
			continue
		}
		at, ok := place[j.Name]
		if !ok {
			at = len(list)
			place[j.Name] = at
			list = append(list, JobCount{Name: j.Name})
		}
		c := &list[at]
		c.Runs++
		during := func(start int64, after time.Duration) bool {
			return start+int64(model.Width) > j.From.UnixNano() && start < j.To.Add(after).UnixNano()
		}
		for _, u := range d.Everyday.Recording.Units {
			if !u.Partial && u.Start >= from && during(u.Start, 0) {
				c.Units++
			}
		}
		for _, start := range w.flagged {
			if during(start, 0) {
				c.Flagged++
			}
		}
		for _, a := range w.alarms {
			if during(a.start, aftermath) {
				c.Alarms++
			}
		}
	}
	return list
}
