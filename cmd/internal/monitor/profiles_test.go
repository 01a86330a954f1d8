package monitor

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

const elsewhere = "22222222-cdaf-9455-926a-d65c16db1809"

// A running domain is judged at once by what its profile is made to be.
func TestProfilesOfARunningDomain(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, reasonGathering)
	name, start := b.domain.Name, time.Now()
	b.source.put(batch{units: load(60, start, 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	first, err := b.Profile(name)
	if err != nil || first.Units != 60 || !first.InForce || first.Previous || first.QEMUBuild != "" || len(first.Features) != len(testSet.Names()) {
		t.Fatalf("Profile = %+v, %v", first, err)
	}
	if d, err := b.Domain("1"); err != nil || d.UUID != b.domain.UUID {
		t.Errorf("Domain by id = %+v, %v", d, err)
	}

	// An hour's nightly job is marked as normal, and is normal from then on.
	job := start.Add(1000 * time.Second).Truncate(unit.Width)
	b.source.put(batch{units: load(40, job, 20, 0)})
	b.await(stateAnomalous, "")
	for d, err := b.Domain(name); err == nil && d.Units.Seen < 100; d, err = b.Domain(name) {
		time.Sleep(time.Millisecond)
	}
	if _, err := b.Relearn(name, marked(job.Add(time.Hour), job.Add(2*time.Hour))); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "are remembered") {
		t.Errorf("Relearn of no unit = %v", err)
	}
	answer, err := b.Relearn(name, marked(job, job.Add(40*unit.Width)))
	if again := answer.Profile; err != nil || again.Units != 100 || !again.InForce || !again.Previous {
		t.Fatalf("Relearn = %+v, %v", answer, err)
	}
	b.source.put(batch{units: load(10, job.Add(1000*time.Second), 20, 0)})
	b.await(stateNormal, "")

	if back, err := b.RollbackProfile(name); err != nil || back.Units != 60 || !back.InForce || !back.Created.Equal(first.Created) {
		t.Errorf("RollbackProfile = %+v, %v", back, err)
	}
	if twice, err := b.Relearn(name, marked(start.Add(-time.Hour), job.Add(40*unit.Width))); err != nil || twice.Profile.Units != 100 {
		t.Errorf("Relearn with units that were learnt from already = %+v, %v; want each once", twice, err)
	}

	file, err := b.ExportProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteProfile(name); err != nil {
		t.Fatal(err)
	}
	b.await(stateLearning, reasonGathering)
	if _, err := b.Profile(name); !errors.Is(err, control.ErrNoProfile) {
		t.Errorf("Profile of none = %v", err)
	}
	if _, err := b.Relearn(name, marked(start, job)); !errors.Is(err, control.ErrNoProfile) {
		t.Errorf("Relearn of none = %v", err)
	}

	// Another domain's profile fits as long as it was learnt on the same.
	p, err := model.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	p.Domain = model.Domain{UUID: elsewhere, Name: "old"}
	if err := b.store.Save(p); err != nil {
		t.Fatal(err)
	}
	if cloned, err := b.CloneProfile("old", name); err != nil || cloned.UUID != b.domain.UUID || cloned.Name != name || !cloned.InForce {
		t.Errorf("CloneProfile = %+v, %v", cloned, err)
	}
	b.await(stateStarting, reasonNoUnit)
	if _, err := b.Relearn(name, marked(start, job.Add(time.Hour))); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "are not kept") {
		t.Errorf("Relearn of a profile from elsewhere = %v", err)
	}
	p.Fingerprint.QEMUBuild = "another"
	other, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.ImportProfile(name, other); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "QEMU build is unknown, was another") {
		t.Errorf("ImportProfile of another QEMU's = %v", err)
	}
	// A rollback to such a one changes nothing.
	p.Domain.UUID = b.domain.UUID
	present, err := b.store.Load(b.domain.UUID)
	if err == nil {
		err = errors.Join(b.store.Save(p), b.store.Save(present))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.RollbackProfile(name); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "was another") {
		t.Errorf("RollbackProfile to another QEMU's = %v", err)
	}
	if now, err := b.Profile(name); err != nil || !now.InForce || now.QEMUBuild != "" {
		t.Errorf("Profile = %+v, %v; want the one that was there", now, err)
	}
}

// kept makes a monitor that watches nothing, with a profile and its units.
func kept(t *testing.T) (*Monitor, *model.Profile) {
	t.Helper()
	m := New(testConfig(t), testSet, libsvm.Engine{}, silent())
	data := model.Dataset{Features: testSet.Names()}
	for _, u := range load(60, time.Unix(1e9, 0), 1, 0) {
		data.Rows = append(data.Rows, model.Row{Start: u.Start, Values: rowOf(u)})
	}
	p, err := model.Train(m.engine, data, model.Options{
		Domain: model.Domain{UUID: elsewhere, Name: "web"}, Catalogue: testSet.Version(), Created: time.Unix(1e9, 0),
	})
	if err == nil {
		err = keepProfile(m.store, p, data.Rows)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m, p
}

func TestProfilesOfDomainsThatDoNotRun(t *testing.T) {
	m, p := kept(t)
	file, err := m.ExportProfile("web")
	if err != nil {
		t.Fatal(err)
	}
	const other = "33333333-CDAF-9455-926A-D65C16DB1809"
	if got, err := m.ImportProfile(other, file); err != nil || got.UUID != strings.ToLower(other) || got.InForce {
		t.Errorf("ImportProfile = %+v, %v", got, err)
	}
	list, err := m.ListProfiles()
	if err != nil || len(list) != 2 || list[0].Name != "" || list[1].Name != "web" {
		t.Errorf("ListProfiles = %+v, %v", list, err)
	}
	if got, err := m.CloneProfile(other, "web"); err != nil || got.UUID != elsewhere || got.Name != "web" || !got.Previous {
		t.Errorf("CloneProfile = %+v, %v", got, err)
	}
	if got, err := m.RollbackProfile(strings.ToUpper(elsewhere)); err != nil || !got.Created.Equal(p.Created) {
		t.Errorf("RollbackProfile = %+v, %v", got, err)
	}
	if err := m.DeleteProfile("web"); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(m.cfg.Profiles.Dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("files %v, %v; want the other domain's profile alone", entries, err)
	}
	for name, err := range map[string]error{
		"delete":   m.DeleteProfile("web"),
		"rollback": errOf(m.RollbackProfile(other)),
		"show":     errOf(m.Profile("web")),
		"export":   errOf(m.ExportProfile("../" + other)),
		"clone":    errOf(m.CloneProfile("web", other)),
	} {
		if !errors.Is(err, control.ErrNoProfile) {
			t.Errorf("%s = %v; want ErrNoProfile", name, err)
		}
	}
	for _, ref := range []string{"web", "", "../" + other, other + "/x"} {
		if _, err := m.ImportProfile(ref, file); !errors.Is(err, control.ErrNoDomain) {
			t.Errorf("ImportProfile(%q) = %v; want ErrNoDomain", ref, err)
		}
	}
	for _, bad := range [][]byte{nil, []byte("nonsense"), file[:len(file)-1], append(slices.Clone(file), '\n'), bytes.Repeat([]byte{'x'}, control.MaxProfileBytes+1)} {
		if _, err := m.ImportProfile(other, bad); !errors.Is(err, control.ErrRefused) {
			t.Errorf("ImportProfile of a bad file = %v; want it refused", err)
		}
	}
	if _, err := m.Relearn(other, marked(time.Time{}, time.Now())); !errors.Is(err, control.ErrNoDomain) {
		t.Errorf("Relearn of a domain that does not run = %v", err)
	}
}

// marked asks to relearn with a span.
func marked(from, to time.Time) control.RelearnRequest {
	return control.RelearnRequest{From: from, To: to, AcceptLoss: 0.05}
}

func errOf[T any](_ T, err error) error { return err }

// A name that two kept profiles have names neither of them.
func TestTwoProfilesOfAName(t *testing.T) {
	m, p := kept(t)
	old := *p
	old.Domain.UUID = "33333333-cdaf-9455-926a-d65c16db1809" // undefined long ago
	file, err := p.Encode()
	if err := errors.Join(err, m.store.Save(&old)); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"show":       errOf(m.Profile("web")),
		"delete":     m.DeleteProfile("web"),
		"import":     errOf(m.ImportProfile("web", file)),
		"export":     errOf(m.ExportProfile("web")),
		"rollback":   errOf(m.RollbackProfile("web")),
		"clone":      errOf(m.CloneProfile("web", elsewhere)),
		"clone onto": errOf(m.CloneProfile(elsewhere, "web")),
	} {
		if !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), elsewhere) || !strings.Contains(err.Error(), old.Domain.UUID) {
			t.Errorf("%s = %v; want it refused, with both UUIDs", name, err)
		}
	}
	if got, err := m.Profile(old.Domain.UUID); err != nil || got.UUID != old.Domain.UUID {
		t.Errorf("by its UUID: %+v, %v", got, err)
	}
}

// A profile that cannot be read is not listed, but can be deleted.
func TestUnusableProfile(t *testing.T) {
	m, _ := kept(t)
	path, err := m.store.Path(elsewhere)
	if err == nil {
		err = os.Truncate(path, 100)
	}
	if err != nil {
		t.Fatal(err)
	}
	if list, err := m.ListProfiles(); err != nil || len(list) != 0 {
		t.Errorf("ListProfiles = %+v, %v", list, err)
	}
	if _, err := m.Profile(elsewhere); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), path) {
		t.Errorf("Profile = %v; want it to name the file", err)
	}
	if err := m.DeleteProfile(elsewhere); err != nil {
		t.Error(err)
	}
}

func TestTrainingRows(t *testing.T) {
	m, p := kept(t)
	rows, err := trainingRows(m.store, p)
	if err != nil || len(rows) != 60 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	rows = merge(rows, load(30, time.Unix(2e9, 0), 20, 0))
	again, err := m.retrain(p, rows, m.cfg.Judging)
	if err != nil || again.Training.Units != 90 || len(rows) != 90 || again.Domain != p.Domain {
		t.Errorf("retrained on %d rows: %v", len(rows), err)
	}
	files, err := filepath.Glob(filepath.Join(m.cfg.Profiles.Dir, "*.units"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files of units %v, %v", files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty":          "",
		"cut":            string(good[:len(good)/2]),
		"a unit too few": string(good[:bytes.LastIndexByte(good[:len(good)-1], '\n')+1]),
		"other features": strings.Replace(string(good), "tap_send", "tap_sent", 1),
		"not a number":   strings.Replace(string(good), ",0,", ",x,", 1),
	} {
		if err := os.WriteFile(files[0], []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := trainingRows(m.store, p); !errors.Is(err, control.ErrRefused) || !strings.Contains(err.Error(), "virtsentry learn") {
			t.Errorf("%s: %v; want it refused with the remedy", name, err)
		}
	}
}

func TestMerge(t *testing.T) {
	const w = int64(unit.Width)
	at := func(starts ...int64) (units []unit.Unit) {
		for _, s := range starts {
			units = append(units, unit.Unit{Start: s * w, Counts: []uint64{1}})
		}
		return units
	}
	for _, tc := range []struct {
		name   string
		rows   []int64
		marked []int64
		want   []int64
	}{
		{"after", []int64{10, 11}, []int64{20, 21}, []int64{10, 11, 20, 21}},
		{"between", []int64{10, 20}, []int64{15, 16}, []int64{10, 15, 16, 20}},
		{"some again", []int64{10, 11}, []int64{11, 12}, []int64{10, 11, 12}},
		{"another clock", []int64{100, 101}, []int64{5, 7}, []int64{100, 101, 103, 105}},
		{"out of order", []int64{10}, []int64{21, 20, 21}, []int64{10, 20, 21}},
	} {
		var rows []model.Row
		for _, u := range at(tc.rows...) {
			rows = append(rows, model.Row{Start: u.Start, Values: rowOf(u)})
		}
		var got []int64
		for _, r := range merge(rows, at(tc.marked...)) {
			got = append(got, r.Start/w)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	many := make([]model.Row, maxTraining)
	for i := range many {
		many[i].Start = int64(i) * w
	}
	if got := merge(many, at(maxTraining)); len(got) != maxTraining || got[0].Start != w {
		t.Errorf("%d rows from %d on; want the newest %d", len(got), got[0].Start, maxTraining)
	}
}

func TestRecent(t *testing.T) {
	var r recent
	if units, oldest, newest := r.between(time.Unix(0, 0), time.Now()); units != nil || !oldest.IsZero() || !newest.IsZero() {
		t.Errorf("of nothing: %v, %v, %v", units, oldest, newest)
	}
	start := time.Unix(1e9, 0)
	counts := []uint64{0}
	for i := range recentUnits + 10 {
		u := unit.Unit{Start: start.Add(time.Duration(i) * unit.Width).UnixNano(), Duration: int64(unit.Width), Counts: counts}
		counts[0] = uint64(i)
		r.keep(u)
		u.Start++
		r.keep(unit.Unit{Start: u.Start, Duration: 1, Counts: counts})
		r.keep(unit.Unit{Start: u.Start, Duration: u.Duration, Lost: 1, Counts: counts})
	}
	end := start.Add(time.Duration(recentUnits+10) * unit.Width)
	all, oldest, newest := r.between(start, end)
	if len(all) != recentUnits || all[0].Counts[0] != 10 || !oldest.Equal(start.Add(10*unit.Width)) || !newest.Equal(end) {
		t.Errorf("%d units from %v to %v, the first %+v", len(all), oldest, newest, all[0])
	}
	if !slices.IsSortedFunc(all, func(a, b unit.Unit) int { return int(a.Start - b.Start) }) {
		t.Error("not in order")
	}
	// Units that lie partly outside are not meant.
	some, _, _ := r.between(end.Add(-3*unit.Width-time.Second), end.Add(-time.Second))
	if len(some) != 2 || some[1].Counts[0] != uint64(recentUnits+8) {
		t.Errorf("%d units: %+v", len(some), some)
	}
}

func TestAsk(t *testing.T) {
	w := &watcher{domain: libvirt.Domain{Name: "web"}, requests: make(chan func(), 1), done: make(chan struct{})}
	ran := false
	close(w.done)
	if err := w.ask(func() error { ran = true; return nil }); !errors.Is(err, control.ErrNoDomain) {
		t.Errorf("ask of a watcher that has ended = %v", err)
	}
	if err := w.ask(func() error { return nil }); !errors.Is(err, control.ErrRefused) {
		t.Errorf("ask of a busy watcher = %v", err)
	}
	(<-w.requests)()
	if ran {
		t.Error("what was given up was done after all")
	}
	w.done = make(chan struct{})
	go func() { (<-w.requests)() }()
	if err := w.ask(func() error { return control.ErrNoProfile }); !errors.Is(err, control.ErrNoProfile) {
		t.Errorf("ask = %v", err)
	}
}

func TestRefs(t *testing.T) {
	m := New(testConfig(t), testSet, libsvm.Engine{}, silent())
	for _, d := range []control.DomainStatus{
		{UUID: elsewhere, Name: "web", ID: 3},
		{UUID: "33333333-cdaf-9455-926a-d65c16db1809", Name: "3", ID: 4},
		{UUID: "44444444-cdaf-9455-926a-d65c16db1809", Name: elsewhere, ID: 5},
		{UUID: "55555555-cdaf-9455-926a-d65c16db1809", Name: "7"},
	} {
		m.watchers[d.UUID] = &watcher{now: d}
	}
	for ref, want := range map[string]int{"3": 3, "4": 4, elsewhere: 3, strings.ToUpper(elsewhere): 3, "web": 3, "7": 0} {
		if d, err := m.Domain(ref); err != nil || d.ID != want {
			t.Errorf("Domain(%q) = %+v, %v; want id %d", ref, d, err, want)
		}
	}
	for _, ref := range []string{"", "0", "-3", "+3", "9", "WEB"} {
		if d, err := m.Domain(ref); !errors.Is(err, control.ErrNoDomain) {
			t.Errorf("Domain(%q) = %+v, %v; want none", ref, d, err)
		}
	}
}
