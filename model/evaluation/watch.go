package evaluation

import (
	"fmt"
	"slices"
	"time"

	"github.com/virtsentry/virtsentry/model"
)

// sentenceParts is how many features a sentence names, as the daemon's.
const sentenceParts = 3

// watched is what a profile and the daemon's state machine made of a recording.
type watched struct {
	units   int
	flagged []int64 // starts of units that were anomalous by themselves
	alarms  []alarm
	last    int64 // start of the last unit
}

// alarm is a state that became anomalous.
type alarm struct {
	start    int64 // of the unit that raised it
	unit     int   // its number, from 1
	seconds  int   // that were looked at together
	sentence string
}

// watch judges the whole units of a recording from a time on.
func (d *Data) watch(p *model.Profile, r model.Recording, from int64) (watched, error) {
	decider, err := model.NewDecider(model.DeciderConfig{})
	if err != nil {
		return watched{}, err
	}
	sequence, columns := p.Sequence(0), model.Align(r.Features, p.Features)
	var w watched
	state := model.Normal
	for _, u := range r.Units {
		if u.Partial || u.Start < from {
			continue
		}
		values := columns.Apply(nil, u.Counts)
		v, err := sequence.Judge(u.Start, values, model.LossyColumns(u.Lossy, len(values)))
		if err != nil {
			return w, fmt.Errorf("%s: %w", r.Name, err)
		}
		w.units++
		w.last = u.Start
		if v.Anomalous {
			w.flagged = append(w.flagged, u.Start)
		}
		before := state
		state = decider.Observe(v.Anomalous, u.Lossy)
		if state != model.Anomalous || before == model.Anomalous {
			continue
		}
		list := sequence.Explain(v, values)
		w.alarms = append(w.alarms, alarm{
			start: u.Start, unit: w.units, seconds: int((time.Duration(v.Units) * model.Width).Seconds()),
			sentence: model.Sentence(list, sentenceParts, d.Describe),
		})
	}
	return w, nil
}

// learn trains a profile from the units of recordings up to a time (0: all), as the daemon does, or with nothing left out.
func (d *Data) learn(recordings []model.Recording, until int64, all bool) (*model.Profile, error) {
	var features []string
	for _, r := range recordings {
		for _, name := range r.Features {
			if !slices.Contains(features, name) {
				features = append(features, name)
			}
		}
	}
	data := model.Dataset{Features: features}
	for _, r := range recordings {
		columns := model.Align(r.Features, features)
		for _, u := range r.Units {
			if u.Partial || u.Lossy || until != 0 && u.Start >= until {
				continue
			}
			data.Rows = append(data.Rows, model.Row{Start: u.Start, Values: columns.Apply(nil, u.Counts)})
		}
	}
	if all {
		return model.Train(d.Engine, data, model.Options{})
	}
	return model.TrainTrimmed(d.Engine, data, model.Options{})
}
