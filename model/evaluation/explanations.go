package evaluation

import (
	"strings"

	"github.com/virtsentry/virtsentry/model"
)

// Explanation is the sentence of the first alarm of a recording.
type Explanation struct {
	Recording string
	Learnt    string // the recording that the profile was learnt from
	Unit      int    // that raised the alarm, from 1; 0: no alarm
	Seconds   int    // that were looked at together
	Sentence  string
	Wanted    string // device and direction that it should name
	Right     bool
}

// telling is what the first three features should name: a subsystem and, if any of them, words.
var telling = map[string]struct {
	subsystem string
	words     []string
}{
	"synflood_target":   {"network", []string{"received"}},
	"synflood_source":   {"network", []string{"sent"}},
	"bruteforce_target": {"network", []string{"received"}},
	"bruteforce_source": {"network", []string{"sent"}},
	"slowhttp_target":   {"network", []string{"received"}},
	"slowhttp_source":   {"network", []string{"sent"}},
	"portscan_target":   {"network", []string{"received"}},
	"portscan_source":   {"network", []string{"sent"}},
	"stress_io":         {"disk", []string{"flushes", "writes"}},
	"stress_disk":       {"disk", []string{"writes", "written"}},
	"stress_network":    {"network", []string{"received", "sent"}},
}

// explanations has attacks explained by what was learnt of the ordinary load, and stress by what was learnt of the idle guest.
func (d *Data) explanations(r *Results) error {
	set := d.Sets[SetDefault]
	for _, of := range []struct {
		train []string
		names []string
	}{
		{d.names(SetDefault, "train", ""), prefixed("weak", attackNames)},
		{d.names(SetDefault, "train", ""), prefixed("strong", attackNames)},
		{[]string{"idle"}, []string{"stress_network", "stress_io", "stress_disk", "stress_memory"}},
	} {
		train := set.of(of.train...)
		if len(train) == 0 {
			continue
		}
		var p *model.Profile
		for _, name := range of.names {
			for _, recording := range set.of(name) {
				if p == nil {
					var err error
					if p, err = d.learn(train, 0, false); err != nil {
						return err
					}
				}
				w, err := d.watch(p, recording, 0)
				if err != nil {
					return err
				}
				r.Explanations = append(r.Explanations, d.explanation(name, train[0].Name, w))
			}
		}
	}
	return nil
}

func (d *Data) explanation(name, learnt string, w watched) Explanation {
	e := Explanation{Recording: name, Learnt: learnt}
	scenario := name
	for _, strength := range strengths {
		scenario = strings.TrimPrefix(scenario, strength+"-")
	}
	want, known := telling[scenario]
	if known {
		e.Wanted = want.subsystem + ": " + strings.Join(want.words, " or ")
	}
	if len(w.alarms) == 0 {
		return e
	}
	first := w.alarms[0]
	e.Unit, e.Seconds, e.Sentence = first.unit, first.seconds, first.sentence
	for _, part := range strings.Split(first.sentence, ";") {
		if known && strings.Contains(part, want.subsystem+": ") && containsAny(part, want.words) {
			e.Right = true
		}
	}
	return e
}

func containsAny(text string, words []string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}
