package monitor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

func TestPlan(t *testing.T) {
	news := model.Convergence{Learnt: 40, Judged: 19, Unusual: 7}
	p := newPlan(config.Learning{Units: 60}, 0)
	var wanted []int
	for p.goOn(news) {
		wanted = append(wanted, p.wanted)
	}
	if diff := cmp.Diff([]int{90, 135, 180}, wanted); diff != "" {
		t.Error(diff)
	}
	if w := p.words(); w != "gathering 180 units of two seconds for the first profile; 135 were not enough: of the last 19 units, 7 would have been unusual after learning from the first 40" {
		t.Error(w)
	}
	p.restart(config.Learning{Units: 60})
	if p != newPlan(config.Learning{Units: 60}, 0) || p.goOn(model.Convergence{Learnt: 40, Judged: 20, Unusual: 1}) {
		t.Errorf("%+v after a restart", p)
	}

	asked := newPlan(config.Learning{Units: 60}, 30)
	if asked.goOn(news) || asked.wanted != 30 {
		t.Errorf("%+v; want the 30 that were asked for", asked)
	}
	asked.configure(config.Learning{Units: 60}, config.Learning{Units: 90})
	if asked.wanted != 30 {
		t.Errorf("%+v; want the 30 that were asked for", asked)
	}
	for _, tc := range []struct {
		wanted, units, most int
		want                [2]int
	}{
		{60, 90, 0, [2]int{90, 270}},
		{60, 40, 0, [2]int{40, 120}},
		{135, 40, 0, [2]int{120, 120}},
		{135, 60, 150, [2]int{135, 150}},
		{90, 60, 30, [2]int{60, 60}},
	} {
		p := plan{wanted: tc.wanted, most: 180}
		if p.configure(config.Learning{Units: 60}, config.Learning{Units: tc.units, MaxUnits: tc.most}); [2]int{p.wanted, p.most} != tc.want {
			t.Errorf("%+v: %+v", tc, p)
		}
	}

	p = plan{wanted: 60, most: 180}
	if diff := cmp.Diff(&control.Learning{Wanted: 60, Most: 180, Seconds: 120}, p.progress(0)); diff != "" {
		t.Error(diff)
	}
	p.lossy = 10
	if diff := cmp.Diff(&control.Learning{Units: 40, Wanted: 60, Most: 180, Seconds: 50}, p.progress(40)); diff != "" {
		t.Error(diff)
	}
}

// What is news at the end of the least units is gathered on, which the state says once, and learnt when it is news no more.
func TestLearnGathersOn(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	begun := time.Now()
	usual, busy := load(180, begun, 1, 0), load(180, begun, 3, 0)
	s.observe(slices.Concat(usual[:45], busy[45:60]))
	now := s.status()
	if now.State != stateLearning || now.Learning == nil || now.Learning.Units != 60 || now.Learning.Wanted != 90 || now.Learning.Most != 180 ||
		now.Learning.Seconds != 60 || !strings.Contains(now.Reason.Text, "gathering 90 units") || !strings.Contains(now.Reason.Text, "60 were not enough: ") {
		t.Fatalf("%+v, %+v; want more units", now.Learning, now.Reason)
	}
	said := s.said
	s.observe(load(5, begun.Add(60*unit.Width), 1, 0))
	if s.said != said {
		t.Error("the state is written with each unit")
	}
	for i := 65; i < 180; i++ {
		from := usual
		if i/15%2 == 1 {
			from = busy
		}
		s.observe(from[i : i+1])
	}
	p := s.judge.profile
	if now = s.status(); p == nil || now.Learning != nil {
		t.Fatalf("%+v, %+v; want it learnt", now.Learning, now.Reason)
	}
	if c := p.Training.Convergence; c == nil || p.Training.Units == 60 || p.Training.Units < 180 && !c.Enough() {
		t.Errorf("%d units, %v", p.Training.Units, c)
	}
}

// Where the most units are not enough either, they are learnt from, and the profile says so.
func TestLearnsInTheEnd(t *testing.T) {
	cfg := testConfig(t)
	cfg.Learning.MaxUnits = 60
	s := newSingle(t, cfg)
	s.begin()
	begun := time.Now()
	units := load(60, begun, 1, 0)
	for _, i := range []int{44, 52} {
		units[i] = load(1, begun.Add(time.Duration(i)*unit.Width), 3, 0)[0]
	}
	s.observe(units)
	info, err := s.m.Profile(s.domain.UUID)
	if err != nil || info.Converged == nil || *info.Converged || info.Convergence == "" {
		t.Errorf("%+v, %v; want it said that the units were not enough", info, err)
	}
}
