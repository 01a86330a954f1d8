package monitor

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	golibvirt "libvirt.org/go/libvirt"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// aUUID names a domain.
const aUUID = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"

const aSecond = int64(time.Second)

// A pause of which libvirt knows the reason counts at once, and one of which it does not, when it lasts.
func TestStandings(t *testing.T) {
	type said struct {
		paused bool
		since  int64
		known  bool
	}
	for name, x := range map[string]struct {
		stopped   bool
		doing     libvirt.Activity
		at, asked int64
		want      said
		due       int64
	}{
		"an operator's pause":  {true, libvirt.Paused, 10, 10, said{true, 10, true}, 0},
		"held for a moment":    {true, libvirt.Held, 10, 11, said{}, 15},
		"held for long":        {true, libvirt.Held, 10, 15, said{true, 10, true}, 0},
		"held, with no event":  {false, libvirt.Held, 10, 20, said{}, 25},
		"runs":                 {false, libvirt.Running, 10, 11, said{false, 10, true}, 0},
		"has gone on since":    {true, libvirt.Running, 10, 11, said{false, 11, true}, 0},
		"has ended":            {true, libvirt.Inactive, 10, 11, said{}, 0},
		"woken by an operator": {false, libvirt.Paused, 10, 11, said{true, 10, true}, 0},
	} {
		s := newStandings()
		s.event(aUUID, x.at*aSecond, x.stopped, x.at*aSecond)
		paused, since, known := s.answer(aUUID, x.doing, x.at*aSecond, x.asked*aSecond)
		if got := (said{paused, since / aSecond, known}); got != x.want || s.of[aUUID].due != x.due*aSecond {
			t.Errorf("%s: %+v, to be asked again at %d; want %+v, %d", name, got, s.of[aUUID].due/aSecond, x.want, x.due)
		}
		s.forget(aUUID)
		if len(s.of) > 0 {
			t.Errorf("%s: it is not forgotten", name)
		}
	}
}

// However often a guest is stopped, libvirt is asked some times a aSecond, and once more after the last event.
func TestAskedSeldom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, now, begin, asked := newStandings(), 100*aSecond, 100*aSecond, 0
		stopped := false
		for range rapid.IntRange(1, 2000).Draw(t, "events") {
			now += rapid.Int64Range(0, int64(40*time.Millisecond)).Draw(t, "between")
			for range s.due(now) {
				asked++
			}
			stopped = !stopped
			if s.event(aUUID, now, stopped, now) {
				asked++
				s.answer(aUUID, libvirt.Running, now, now)
			} else if s.of[aUUID].due == 0 {
				t.Fatal("it will not be asked again")
			}
		}
		if most := 2*asksAtOnce + 4*int((now-begin)/int64(askEvery)); asked > most {
			t.Fatalf("asked %d times in %v", asked, time.Duration(now-begin))
		}
	})
}

// A guest that is stopped a hundred times a aSecond fills no queue, and nothing else is lost.
func TestEventLine(t *testing.T) {
	l := newEventLine()
	web, db := libvirt.Domain{UUID: aUUID}, libvirt.Domain{UUID: "db"}
	put := func(at int64, k libvirt.EventKind, d libvirt.Domain) {
		if !l.put(timed{libvirt.Event{Kind: k, Domain: d}, at}) {
			t.Fatalf("no room at %d", at)
		}
	}
	put(0, libvirt.Started, web)
	for at := range int64(10 * eventQueue) {
		put(2*at+1, libvirt.Suspended, web)
		put(2*at+2, libvirt.Resumed, web)
		if at == 5 {
			put(100, libvirt.Suspended, db)
		}
	}
	put(9000, libvirt.Rebooted, web)
	put(9001, libvirt.Suspended, web)
	put(9002, libvirt.Resumed, web)
	put(9003, libvirt.Suspended, web)
	var got []string
	for e, ok := l.take(); ok; e, ok = l.take() {
		got = append(got, fmt.Sprintf("%.2s %v %d", e.Domain.UUID, e.Kind, e.at))
	}
	want := []string{"c7 started 0", "c7 suspended 1", "c7 resumed 5120", "db suspended 100", "c7 rebooted 9000", "c7 suspended 9001", "c7 suspended 9003"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for at := range int64(eventQueue) {
		put(at, libvirt.Defined, web)
	}
	if l.put(timed{libvirt.Event{Kind: libvirt.Defined, Domain: web}, 0}) {
		t.Error("it has no bound")
	}
}

// What libvirt told of a domain is not pushed out by a debugger.
func TestHappeningsOfADebuggedGuest(t *testing.T) {
	var h happenings
	note := func(k libvirt.EventKind, at int) {
		h.note(libvirt.Event{Kind: k, Domain: libvirt.Domain{UUID: aUUID}}, time.Unix(int64(at), 0))
	}
	note(libvirt.Started, 0)
	for at := 1; at < 100; at += 2 {
		note(libvirt.Suspended, at)
		note(libvirt.Resumed, at+1)
	}
	note(libvirt.Suspended, 1000)
	var got []string
	for _, x := range h.between(aUUID, time.Unix(0, 0), time.Unix(2000, 0)) {
		got = append(got, fmt.Sprint(x.What, " ", x.At.Unix()))
	}
	if diff := cmp.Diff([]string{"started 0", "suspended 1", "resumed 100", "suspended 1000"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHeld(t *testing.T) {
	var h held
	tell := func(f func(*standstills)) {
		var m standstills
		f(&m)
		h.take(m)
	}
	stop := func(from, to int64) {
		tell(func(m *standstills) { m.note(from*aSecond, true); m.note(to*aSecond, false) })
	}
	check := func(what string, at int64, reason bool, covered ...int64) {
		t.Helper()
		if got := h.reason(at * aSecond); (got != nil) != reason {
			t.Errorf("%s: at %d s the reason is %+v", what, at, got)
		}
		for start := int64(0); start < 100; start += 2 {
			want := len(covered) == 2 && start >= covered[0] && start < covered[1]
			if got := h.covers(start*aSecond, (start+2)*aSecond); got != want {
				t.Errorf("%s: the unit from %d s on is held up: %v", what, start, got)
			}
		}
	}
	check("nothing", 0, false)
	tell(func(m *standstills) { m.note(1*aSecond, false) })
	check("has begun to run", 1, false)
	stop(11, 11)
	check("once", 12, false, 10, 12)
	h = held{}
	stop(11, 13)
	check("once for a while", 13, false, 10, 14)
	stop(15, 15)
	check("again", 15, false, 10, 16)
	stop(16, 17)
	check("again and again", 17, true, 10, 18)
	check("soon after", 22, true, 10, 18)
	check("long after", 30, false, 10, 18)
	stop(51, 51+1)
	check("much later", 52, false, 50, 52)
	h = held{}
	tell(func(m *standstills) { m.look(21*aSecond, 1) })
	check("a look", 21, true, 20, 100)
	stop(22, 22)
	check("a look that stops it", 60, true, 20, 100)
	stop(50, 51)
	stop(60, 60)
	tell(func(m *standstills) { m.look(61*aSecond, -1) })
	check("a look that is over", 62, true, 20, 64)
	check("a look that is over, and the guest has caught up", 64, false, 20, 64)
	check("a look that is long over", 80, false, 20, 64)
	h = held{}
	tell(func(m *standstills) {
		m.look(21*aSecond, 1)
		m.note(22*aSecond, true)
		m.note(22*aSecond, false)
		m.look(31*aSecond, -1)
	})
	check("a look that was over when it was heard of", 32, true, 20, 34)
	h = held{}
	tell(func(m *standstills) { m.note(21*aSecond, true) })
	check("stands still", 21, false, 20, 100)
	h.runs(20 * aSecond)
	check("was seen to run before", 21, false, 20, 100)
	h.runs(25 * aSecond)
	check("was seen to run", 25, false, 20, 26)
}

// Units of a guest that is looked at by a source that disturbs it are neither learnt nor judged, and its state says so until it is over.
func TestDisturbingLook(t *testing.T) {
	b, _ := closerBench(t)
	look := &stub{disturbs: true}
	b.AddAction("stopping", "calls", look)
	a, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: []string{"stopping"}, Seconds: 60})
	if err != nil || look.length != time.Minute {
		t.Fatalf("%+v, %v, for %v", a, err, look.length)
	}
	b.within("it is said to be held up", func(d control.DomainStatus) bool { return d.State == stateLearning && d.Reason.Code == reasonHeld })
	status := func() control.DomainStatus {
		d, err := b.Domain(b.domain.Name)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	before := status().LearntUnits
	b.source.put(batch{units: load(3, time.Now(), 1, 0)})
	b.within("units were seen", func(d control.DomainStatus) bool { return d.Units.Seen >= 3 })
	if d := status(); d.LearntUnits != before || d.Ledger.Reasons[reasonHeld] == 0 {
		t.Errorf("%d units were learnt, %d before; %+v", d.LearntUnits, before, d.Ledger)
	}
	if _, err := b.StopAction(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	b.source.put(batch{units: load(3, time.Now().Add(20*unit.Width), 1, 0)})
	b.within("it is learnt on", func(d control.DomainStatus) bool { return d.Reason.Code == reasonGathering && d.LearntUnits > before })
	look.fails = fmt.Errorf("no")
	if _, err := b.StartAction(t.Context(), b.domain.Name, control.ActionRequest{Actions: []string{"stopping"}, Seconds: 60}); err == nil {
		t.Error("it runs")
	}
}

// A domain that is stopped for moments, as by somebody else's debugger, is not paused, and one that an operator suspends is.
func TestMoments(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.m.watchers[s.domain.UUID] = s.watcher
	conn, err := libvirt.Connect(testURI)
	if err != nil {
		t.Fatal(err)
	}
	s.m.setConnection(conn)
	t.Cleanup(func() { s.m.setConnection(nil); _ = conn.Close() })
	running, err := conn.Running()
	if err != nil || len(running) != 1 {
		t.Fatal(running, err)
	}
	s.domain.UUID = running[0].UUID
	s.m.watchers = map[string]*watcher{s.domain.UUID: s.watcher}
	event := func(k libvirt.EventKind) {
		s.m.event(t.Context(), libvirt.Event{Kind: k, Domain: s.domain}, now())
		s.heed()
	}
	for range 50 {
		event(libvirt.Suspended)
		if s.paused {
			t.Fatal("a moment is a pause")
		}
		event(libvirt.Resumed)
	}
	start := now()
	if !s.held.covers(start-int64(unit.Width), start) {
		t.Error("what it has done is judged")
	}
	raw, err := golibvirt.NewConnect(testURI)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = raw.Close() }()
	d, err := raw.LookupDomainByUUIDString(s.domain.UUID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	if err := d.Suspend(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Resume() }()
	event(libvirt.Suspended) // libvirt was asked too often to be asked at once
	for end := time.Now().Add(20 * time.Second); !s.paused && time.Now().Before(end); s.heed() {
		<-s.m.standings.timer.C
		s.m.lookAgain()
	}
	if !s.paused {
		t.Error("a pause is a moment")
	}
}

// What a guest does that is held up raises no alarm and is not called normal, and an alarm from before stands.
func TestHeldUpIsNotJudged(t *testing.T) {
	s := newSingle(t, testConfig(t))
	s.begin()
	s.learn()
	at := time.Now().Add(300 * time.Second)
	s.observe(load(5, at, 1, 0))
	if state := s.status().State; state != stateNormal {
		t.Fatalf("at first it is %s", state)
	}
	release := s.m.disturb(s.watcher)
	s.heed()
	judged := s.status().Units.Judged
	s.observe(load(5, at.Add(20*time.Second), 20, 0))
	if d := s.status(); d.State != stateUnknown || d.Reason.Code != reasonHeld || len(d.Incidents) > 0 || d.Units.Judged != judged {
		t.Errorf("held up: %s, %+v, incidents %v, %d units judged of %d before", d.State, d.Reason, d.Incidents, d.Units.Judged, judged)
	}
	release()
	release() // once is enough
	s.heed()
	s.observe(load(5, at.Add(60*time.Second), 20, 0))
	if d := s.status(); d.State != stateAnomalous || len(d.Incidents) != 1 {
		t.Fatalf("afterwards: %s, incidents %v", d.State, d.Incidents)
	}
	defer s.m.disturb(s.watcher)()
	s.heed()
	s.observe(load(80, at.Add(100*time.Second), 1, 0)) // usual for longer than what ends it
	if d := s.status(); d.State != stateAnomalous || len(d.Incidents) != 1 {
		t.Errorf("held up with an alarm: %s, incidents %v", d.State, d.Incidents)
	}
}
