package monitor

import (
	"strings"
	"testing"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

// A drift is an incident that changes neither state nor profile, and ends with another profile.
func TestDrift(t *testing.T) {
	_, p := kept(t)
	m := New(testConfig(t), testSet, libsvm.Engine{}, silent())
	w := &watcher{m: m, domain: libvirt.Domain{Name: "web"}, judge: &judge{profile: p}, log: silent()}
	feed := func(n int, u control.UnitReport) {
		for range n {
			w.noteDrift(&u)
		}
	}
	usual := control.UnitReport{Judged: true, State: stateNormal, PValue: 0.5}
	unusual := control.UnitReport{Judged: true, State: stateNormal, PValue: 0.05}
	feed(600, usual)
	if w.now.Drift != nil {
		t.Errorf("%+v after twenty minutes", w.now.Drift)
	}
	feed(600, usual)
	if d := w.now.Drift; d == nil || d.Drifted || d.Recent.Share != 0 {
		t.Errorf("as usual: %+v", d)
	}
	// What is not normal operation, or not known well, is none.
	for _, u := range []control.UnitReport{
		{Judged: true, State: stateAnomalous, PValue: 0.01}, {Judged: true, State: stateNormal, PValue: 0.01, Lost: 1}, {State: stateLearning},
	} {
		feed(3600, u)
	}
	if d := w.now.Drift; d.Drifted || d.Recent.Share != 0 || len(w.open) > 0 {
		t.Errorf("an attack is no drift: %+v", d)
	}
	feed(3750, unusual) // the batch in which it began is forgotten
	if d := w.now.Drift; !d.Drifted || d.Recent.Share != 1 || d.Overall.Share < 0.5 || d.Recent.Low < 0.15 {
		t.Errorf("all unusual for two hours: %+v", d)
	}
	if len(w.open) != 1 || w.open[0].Kind != incidentDrift || !strings.Contains(w.open[0].Text, "virtsentry relearn web --from") {
		t.Errorf("incidents %+v", w.open)
	}
	again := *p
	w.judge.profile = &again
	feed(1, usual)
	if w.now.Drift != nil || len(w.open) > 0 {
		t.Errorf("by another profile: %+v, %+v", w.now.Drift, w.open)
	}
	w.judge.profile = nil
	feed(100, control.UnitReport{})
	if w.now.Drift != nil {
		t.Errorf("without a profile: %+v", w.now.Drift)
	}
}

func TestDriftText(t *testing.T) {
	d := control.Drift{Recent: control.Shift{Units: 3600, Share: 0.347}, Overall: control.Shift{Units: 7200, Share: 0.21}}
	const want = "35 % of the newest 3600 units, and 21 % since the profile is in force, are as unusual as 10 % were when it was learnt: " +
		"what the domain does has changed (where that is meant: virtsentry relearn web --from -1h)"
	if got := driftText(d, "web"); got != want || model.UnusualLevel != 0.1 {
		t.Errorf("%s", got)
	}
}
