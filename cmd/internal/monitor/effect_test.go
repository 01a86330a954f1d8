package monitor

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

// recorded reads the whole units without losses of a recording.
func recorded(t *testing.T, name string) ([]string, []unit.Unit) {
	t.Helper()
	file, err := unit.ReadFile("../../../testdata/units/swing/" + name + ".csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	return file.Features, slices.DeleteFunc(file.Units, func(u unit.Unit) bool { return !u.Full() || u.Lost > 0 })
}

// align gives units the columns of another feature set.
func align(units []unit.Unit, from, to []string) {
	columns := model.Align(from, to)
	for i := range units {
		counts := make([]uint64, len(to))
		for j, n := range columns.Apply(nil, units[i].Counts) {
			counts[j] = uint64(n)
		}
		units[i].Counts = counts
	}
}

// crowd is the load of several times as many visitors: what units so far apart count, all at once.
func crowd(units []unit.Unit, times, apart int, start int64) (peak []unit.Unit) {
	for i := range len(units) - (times-1)*apart {
		u := unit.Unit{Start: start + int64(i)*int64(unit.Width), Duration: int64(unit.Width), Counts: make([]uint64, len(units[0].Counts))}
		for k := range times {
			for j, n := range units[i+k*apart].Counts {
				u.Counts[j] += n
			}
		}
		peak = append(peak, u)
	}
	return peak
}

// Peak load is flagged, and then learnt, without any attack's being found less (the paper's 5.2).
func TestRelearnPeakLoad(t *testing.T) {
	const times, apart = 6, 15
	features, usual := recorded(t, "normal-1")
	_, later := recorded(t, "normal-2")
	m, old := keptOf(t, features, usual)
	// The first minutes have the boot in them, which no peak repeats.
	const booted = 90
	peak := crowd(usual[booted:], times, apart, usual[len(usual)-1].Start+int64(time.Hour))
	again, answer, err := m.compare(old, marking{marked: peak, others: later}, config.Judging{})
	if err != nil {
		t.Fatal(err)
	}
	e := answer.Effect
	t.Logf("%+v, first %+v", e, answer.First)
	if v := e.Marked; v.Units != len(peak) || v.Before*3 < v.Units*2 || v.After*100 > v.Units {
		t.Errorf("the peak: %+v", v)
	}
	if e.Reference.Units != len(usual) || e.Reference.After*100 > len(usual) || e.Remembered.Units != len(later) || e.Remembered.After*100 > len(later) {
		t.Errorf("false alarms: learnt from %+v, others %+v", e.Reference, e.Remembered)
	}
	// Another hour of that load, of which nothing was learnt.
	v, err := comparison{before: old, after: again.profile}.verdicts(rowsOf(crowd(later, times, apart, 0)))
	if err != nil || v.Before*3 < v.Units*2 || v.After*100 > v.Units {
		t.Errorf("another peak: %+v, %v", v, err)
	}
	for _, a := range e.Attacks {
		if !a.Simulated || a.Before < 0.5 || a.Before-a.After > 0.02 || a.Marked < 0.5 {
			t.Errorf("%+v", a)
		}
	}
	if lost := lostAttacks(e, 0.02); len(e.Attacks) != 8 || len(lost) > 0 {
		t.Errorf("of %d attacks, %v are lost", len(e.Attacks), lost)
	}
	// The peak is new to the first profile, and that stays known.
	if f := answer.First; !f.Created.Equal(old.Created) || f.Unusual < 0.3 || f.Anomalous < 0.2 || again.first.Created != old.Created {
		t.Errorf("first: %+v", f)
	}
	if err := keepRelearnt(m.store, again.profile, again.rows, again.first); err != nil {
		t.Fatal(err)
	}
	if first, err := m.store.First(again.profile); err != nil || !first.Created.Equal(old.Created) {
		t.Errorf("the first of the relearnt: %+v, %v", first, err)
	}
}

// What is said of simulated attacks is what is true of recorded ones.
func TestEffectIsTrue(t *testing.T) {
	features, usual := recorded(t, "normal-1")
	_, later := recorded(t, "normal-2")
	_, p := keptOf(t, features, usual)
	effects, err := comparison{before: p, after: p}.attacks(rowsOf(later[:60]), nil) // as long as the recorded ones
	if err != nil || len(effects) != 8 {
		t.Fatalf("%+v, %v", effects, err)
	}
	for _, e := range effects {
		_, attacked := recorded(t, "weak-"+e.Name)
		found, err := anomalous(p, rowsOf(attacked), 0)
		if err != nil {
			t.Fatal(err)
		}
		real := share(found, len(attacked))
		t.Logf("%s: %.2f of the recorded units are found, %.2f of the simulated ones", e.Name, real, e.After)
		if math.Abs(real-e.After) > 0.15 || e.Before != e.After {
			t.Errorf("%s: %v of the recorded units, %+v", e.Name, real, e)
		}
	}
}

// An attack that is marked as normal is not learnt, unless somebody insists.
func TestRelearnAnAttack(t *testing.T) {
	set, err := catalogue.Load(catalogue.DefaultSet)
	if err != nil {
		t.Fatal(err)
	}
	features, usual := recorded(t, "normal-1")
	_, attack := recorded(t, "weak-portscan_target")
	for _, units := range [][]unit.Unit{usual, attack} {
		align(units, features, set.Names())
	}
	cfg := testConfig(t)
	cfg.Learning.Units = len(usual)
	b := newBenchOf(t, cfg, set)
	name := b.domain.Name
	b.await(stateLearning, reasonGathering)
	b.source.put(batch{units: usual})
	b.await(stateStarting, reasonNoUnit)
	request := control.RelearnRequest{Incident: "last", AcceptLoss: 0.05}
	if _, err := b.Relearn(name, request); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "has not been anomalous") {
		t.Errorf("Relearn of no incident = %v", err)
	}
	b.source.put(batch{units: attack})
	b.await(stateAnomalous, "")
	d := b.seen(uint64(len(usual) + len(attack)))
	if len(d.Anomalies) != 1 || d.Anomalies[0].Number != 1 || !d.Anomalies[0].Open || d.Anomalies[0].Units < 50 {
		t.Fatalf("anomalies %+v", d.Anomalies)
	}
	old, err := b.Profile(name)
	if err != nil {
		t.Fatal(err)
	}

	refused, err := b.Relearn(name, request)
	now, err2 := b.Profile(name)
	if err != nil || err2 != nil || !slices.Contains(refused.Lost, "portscan_target") || refused.Profile.InForce || !now.Created.Equal(old.Created) || !now.InForce {
		t.Errorf("lost %v, %+v; in force %+v; %v, %v", refused.Lost, refused.Profile, now, err, err2)
	}
	if v := refused.Effect.Marked; v.Units < 50 || v.Before < 45 || v.After > 5 {
		t.Errorf("marked %+v", v)
	}
	request.DryRun, request.AcceptLoss, request.Incident = true, 1, "1"
	if shown, err := b.Relearn(name, request); err != nil || len(shown.Lost) > 0 || shown.Profile.InForce || !shown.DryRun {
		t.Errorf("shown only: %+v, %v", shown.Profile, err)
	}
	request.DryRun = false
	if taken, err := b.Relearn(name, request); err != nil || len(taken.Lost) > 0 || !taken.Profile.InForce || !taken.Profile.Previous {
		t.Errorf("insisted on: %+v, %v", taken.Profile, err)
	}
	for text, wrong := range map[string]control.RelearnRequest{
		"no incident 7":          {Incident: "7"},
		"neither a number":       {Incident: "web"},
		"either an incident or":  {Incident: "1", From: time.Unix(1, 0), To: time.Unix(2, 0)},
		"ends before it begins":  {From: time.Unix(2, 0), To: time.Unix(1, 0)},
		"is not a share":         {Incident: "1", AcceptLoss: 2},
		"are remembered":         {From: time.Unix(1, 0), To: time.Unix(2, 0)},
		"ends before it begins ": {},
	} {
		if _, err := b.Relearn(name, wrong); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("%+v: %v; want it refused: %s", wrong, err, text)
		}
	}
}

// seen waits until so many units have been taken.
func (b *bench) seen(units uint64) control.DomainStatus {
	b.t.Helper()
	for {
		d, err := b.Domain(b.domain.Name)
		if err != nil {
			b.t.Fatal(err)
		}
		if d.Units.Seen >= units {
			return d
		}
		time.Sleep(time.Millisecond)
	}
}

// What a feature set does not show is said to be unknown, and not to be found.
func TestEffectWithoutColumns(t *testing.T) {
	m, p := kept(t)
	_, answer, err := m.compare(p, marking{marked: load(30, time.Unix(2e9, 0), 20, 0)}, m.cfg.Judging)
	if err != nil || len(answer.Effect.Attacks) != 8 || answer.Effect.Marked.Before < 25 {
		t.Fatalf("%+v, %v", answer.Effect, err)
	}
	for _, a := range answer.Effect.Attacks {
		if a.Simulated || a.Before != 0 || a.After != 0 {
			t.Errorf("%+v with a set that counts hits alone", a)
		}
	}
}

func TestSample(t *testing.T) {
	rows := make([]model.Row, 1000)
	for i := range rows {
		rows[i].Start = int64(i)
	}
	if got := sample(rows, 240); len(got) != 240 || got[0].Start != 0 || got[119].Start != 119 || got[239].Start != 999 {
		t.Errorf("%d rows", len(got))
	}
	if got := sample(rows[:240], 240); len(got) != 240 {
		t.Errorf("%d rows of as many", len(got))
	}
	if got := sample(rows, sampleBlock); len(got) != sampleBlock {
		t.Errorf("%d rows of one block", len(got))
	}
}

// keptOf makes a monitor that watches nothing, with a profile of such units.
func keptOf(t *testing.T, features []string, units []unit.Unit) (*Monitor, *model.Profile) {
	t.Helper()
	set, err := catalogue.Load(catalogue.DefaultSet)
	if err != nil {
		t.Fatal(err)
	}
	m := New(testConfig(t), set, libsvm.Engine{}, silent())
	rows := rowsOf(units)
	p, err := model.Train(m.engine, model.Dataset{Features: features, Rows: rows}, model.Options{
		Domain: model.Domain{UUID: elsewhere, Name: "web"}, Catalogue: set.Version(), Created: time.Unix(1e9, 0),
	})
	if err == nil {
		err = keepProfile(m.store, p, rows)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m, p
}
