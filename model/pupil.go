package model

import (
	"errors"
	"fmt"
	"strings"
)

// unitJudge is what a method has learnt.
type unitJudge interface {
	// forget has the next unit judged as the first of its recording.
	forget()
	// judge gives the verdict on the next unit. Not every method knows more than Decision,
	// Score and Anomalous, and what orders all units.
	judge(row Row, lossy bool) (Verdict, error)
}

// pupil learns by one method.
type pupil struct {
	engine Engine
	method Method
	asked  Options // for Train
	filled Options // the same, defaults filled in
	data   Dataset // all that there is to learn from
	from   string  // the names of the recordings, for errors
	paper  *PaperParameters
	alarms float64 // a day that are accepted
}

// newPupil prepares learning from recordings. The paper's parameters are searched once, on all
// of them, unless they are known.
func newPupil(engine Engine, method Method, features []string, recordings []Recording, o EvalOptions) (*pupil, error) {
	filled, err := o.Train.withDefaults()
	if err != nil {
		return nil, err
	}
	switch {
	case engine == nil:
		return nil, errors.New("evaluate: no engine")
	case method != MethodDefault && method != MethodPaper:
		return nil, fmt.Errorf("%w %q: it is %q or %q", ErrMethod, method, MethodDefault, MethodPaper)
	}
	samples, err := lay(features, recordings)
	if err != nil {
		return nil, fmt.Errorf("units to learn from: %w", err)
	}
	p := &pupil{
		engine: engine, method: method, asked: o.Train, filled: filled, data: learnable(features, samples), from: names(recordings), alarms: o.Decider.AlarmsPerDay,
	}
	if method == MethodPaper && o.Paper != nil {
		p.paper = o.Paper
	} else if method == MethodPaper {
		chosen, err := SearchPaper(engine, p.data, filled)
		if err != nil {
			return nil, fmt.Errorf("learn from %s: %w", p.from, err)
		}
		p.paper = &chosen
	}
	return p, nil
}

// names lists the names of recordings, the first few of many.
func names(recordings []Recording) string {
	const most = 3
	var list []string
	for _, r := range recordings[:min(most, len(recordings))] {
		list = append(list, r.Name)
	}
	if n := len(recordings) - most; n > 0 {
		list = append(list, fmt.Sprintf("%d more", n))
	}
	return strings.Join(list, ", ")
}

// learn learns from d, which is data or a part of it.
func (p *pupil) learn(d Dataset) (unitJudge, error) {
	judge, err := p.fit(d)
	if err != nil {
		return nil, fmt.Errorf("learn from %s: %w", p.from, err)
	}
	return judge, nil
}

func (p *pupil) fit(d Dataset) (unitJudge, error) {
	if p.method == MethodPaper {
		return fitPaper(p.engine, d, *p.paper, p.filled)
	}
	profile, err := TrainTrimmed(p.engine, d, p.asked)
	if err != nil {
		return nil, err
	}
	return profileJudge{profile.Sequence(p.alarms)}, nil
}

// profileJudge judges as the daemon does.
type profileJudge struct{ sequence *Sequence }

func (j profileJudge) forget() { j.sequence.Forget() }

func (j profileJudge) judge(row Row, lossy bool) (Verdict, error) {
	return j.sequence.Judge(row.Start, row.Values, LossyColumns(lossy, len(row.Values)))
}
