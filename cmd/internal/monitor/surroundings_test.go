package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/about"
)

// What stands around an anomaly is told while it is open, and kept when it is over.
func TestSurroundingsOfAnAnomaly(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	now := time.Now()
	b.source.put(batch{units: load(60, now, 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	conn, err := golibvirt.NewConnect(testURI)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = conn.Close() }()
	d, err := conn.LookupDomainByUUIDString(b.domain.UUID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	for _, f := range []func(*golibvirt.Domain) error{(*golibvirt.Domain).Suspend, (*golibvirt.Domain).Resume} {
		if err := f(d); err != nil {
			t.Fatal(err)
		}
	}
	events := func(s *control.Surroundings) string {
		var list []string
		for _, e := range s.Events {
			list = append(list, e.What+" "+e.Detail)
		}
		return strings.Join(list, ", ")
	}
	b.within("events", func(d control.DomainStatus) bool {
		s, err := b.Domain(d.UUID)
		return err == nil && s.Surroundings != nil && !s.Surroundings.Looked.IsZero() && strings.HasSuffix(events(s.Surroundings), "suspended paused, resumed unpaused")
	})
	b.source.put(batch{units: load(5, time.Now().Add(time.Second), 20, 0)})
	b.await(stateAnomalous, reasonAnomaly)
	open := func(want bool) control.Anomaly {
		t.Helper()
		s := b.within("the anomaly", func(d control.DomainStatus) bool { return len(d.Anomalies) == 1 && d.Anomalies[0].Open == want })
		full, err := b.Domain(s.UUID)
		if err != nil {
			t.Fatal(err)
		}
		return full.Anomalies[0]
	}
	if a := open(true); a.Surroundings == nil || !strings.Contains(events(a.Surroundings), "suspended") {
		t.Errorf("while it is open: %+v", a)
	}
	b.source.put(batch{units: load(25, time.Now().Add(100*time.Second), 1, 0)})
	b.await(stateNormal, "")
	a := open(false)
	if a.Surroundings == nil || !strings.Contains(events(a.Surroundings), "suspended") || a.Surroundings.Looked.IsZero() {
		t.Fatalf("when it is over: %+v", a)
	}
	// It is kept as JSON.
	text, err := json.Marshal(a.Surroundings)
	if err != nil {
		t.Fatal(err)
	}
	var back control.Surroundings
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*a.Surroundings, back); diff != "" {
		t.Errorf("kept and read again (-want +got):\n%s", diff)
	}
	if list := b.Domains(); len(list) != 1 || list[0].Surroundings != nil || list[0].Anomalies[0].Surroundings != nil {
		t.Errorf("a list has surroundings: %+v", list)
	}
}

// Domains that were anomalous at the same time are named, whatever they are now.
func TestOthersAnomalousThen(t *testing.T) {
	m := New(testConfig(t), testSet, nil, silent())
	at := func(minute int) time.Time { return time.Date(2026, 5, 4, 12, minute, 0, 0, time.UTC) }
	add := func(name string, list ...control.Anomaly) {
		w := &watcher{domain: libvirt.Domain{UUID: name, Name: name}}
		w.now = control.DomainStatus{UUID: name, Name: name, Anomalies: list}
		m.watchers[name] = w
	}
	add("self", control.Anomaly{Number: 1, Begin: at(10), End: at(12)})
	add("before", control.Anomaly{Number: 1, Begin: at(1), End: at(9)})
	add("after", control.Anomaly{Number: 1, Begin: at(13), End: at(14), Open: true})
	add("during", control.Anomaly{Number: 1, Begin: at(1), End: at(2)}, control.Anomaly{Number: 2, Begin: at(11), End: at(11)},
		control.Anomaly{Number: 3, Begin: at(30), End: at(31)})
	add("still", control.Anomaly{Number: 4, Begin: at(2), End: at(3), Open: true, Surroundings: new(control.Surroundings)})
	project := &about.Party{ID: "p1", Name: "shop"}
	m.surveyor.known["still"] = survey{about: about.About{Owner: &about.Owner{Manager: about.Nova, Project: project}}}
	want := []control.Neighbour{
		{UUID: "during", Name: "during", Anomaly: control.Anomaly{Number: 2, Begin: at(11), End: at(11)}},
		{UUID: "still", Name: "still", Project: project, Anomaly: control.Anomaly{Number: 4, Begin: at(2), End: at(3), Open: true}},
	}
	if diff := cmp.Diff(want, m.Surroundings("self", at(10), at(12)).Others); diff != "" {
		t.Errorf("Others (-want +got):\n%s", diff)
	}
}

func TestHappenings(t *testing.T) {
	var h happenings
	start := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for i := range 2 * happeningsKept {
		h.note(libvirt.Event{Kind: libvirt.Rebooted, Domain: libvirt.Domain{UUID: "a"}, Detail: fmt.Sprint(i)}, start.Add(time.Duration(i)*time.Second))
	}
	h.note(libvirt.Event{Kind: libvirt.MetadataChanged, Domain: libvirt.Domain{UUID: "b"}}, start)
	if len(h.of["a"]) != happeningsKept || len(h.of) != 1 {
		t.Errorf("%d of a, %d domains", len(h.of["a"]), len(h.of))
	}
	want := []control.Happening{{At: start.Add(70 * time.Second), What: "rebooted", Detail: "70"}, {At: start.Add(71 * time.Second), What: "rebooted", Detail: "71"}}
	if diff := cmp.Diff(want, h.between("a", start.Add(70*time.Second), start.Add(71*time.Second))); diff != "" {
		t.Errorf("between (-want +got):\n%s", diff)
	}
	h.forget(start.Add(happeningsAge))
	if len(h.of) != 1 {
		t.Error("forgotten too early")
	}
	if h.forget(start.Add(happeningsAge + time.Hour)); len(h.of) != 0 {
		t.Error("not forgotten")
	}
}

// Nobody waits for libvirt, however many domains are asked about, and what it does not tell is said.
func TestSurveyor(t *testing.T) {
	s := newSurveyor()
	for range 10 * surveys {
		s.want("a")
	}
	ctx, stop := context.WithCancel(t.Context())
	asked := make(chan string)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.run(ctx, func(uuid string) (about.About, error) {
			asked <- uuid
			return about.About{Omitted: 1}, errors.New("no leases")
		})
	}()
	for range surveys {
		<-asked
	}
	stop()
	<-ended
	if x := s.of("a"); x.wrong != "no leases" || x.about.Omitted != 1 || x.at.IsZero() {
		t.Errorf("%+v", x)
	}
	s.learn("a", func(string) (about.About, error) { return about.About{}, libvirt.ErrNoDomain })
	if s.of("a").about.Omitted != 1 {
		t.Error("what was known of a domain that has ended is forgotten")
	}
	if s.wantOld("a"); len(s.wanted) != 0 {
		t.Error("asked again at once")
	}
	s.known["a"] = survey{at: time.Now().Add(-2 * surveyAge)}
	if s.wantOld("a"); len(s.wanted) != 1 {
		t.Error("not asked again")
	}
	if s.forget([]libvirt.Domain{{UUID: "a"}}); len(s.known) != 1 {
		t.Error("a domain that runs is forgotten")
	}
	if s.forget(nil); len(s.known) != 0 {
		t.Error("a domain that is gone is remembered")
	}
}
