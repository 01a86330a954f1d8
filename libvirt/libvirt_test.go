package libvirt

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	golibvirt "libvirt.org/go/libvirt"
)

// testURI is of libvirt's test driver with one running domain. Each connection has a driver of its own then; test:///default would be shared in a process, and an
// event that one test caused last could reach the next one.
func testURI(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("testdata", "node.xml"))
	if err != nil {
		t.Fatal(err)
	}
	return "test://" + file
}

func connect(t *testing.T) *Connection {
	t.Helper()
	c, err := Connect(testURI(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func only(t *testing.T, c *Connection) Domain {
	t.Helper()
	running, err := c.Running()
	if err != nil || len(running) != 1 {
		t.Fatalf("Running() = %v, %v; want the test driver's one domain", running, err)
	}
	return running[0]
}

func next(t *testing.T, c *Connection) Event {
	t.Helper()
	select {
	case e := <-c.Events():
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
	}
	return Event{}
}

func TestLifecycle(t *testing.T) {
	c := connect(t)
	d := only(t, c)
	control := func(f func(*golibvirt.Domain) error) {
		t.Helper()
		if err := c.with(d.UUID, f); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		do   func(*golibvirt.Domain) error
		want EventKind
		how  string
		then Activity
		id   int // of the run that the event is about
	}{
		{(*golibvirt.Domain).Suspend, Suspended, "paused", Paused, d.ID},
		{(*golibvirt.Domain).Resume, Resumed, "unpaused", Running, d.ID},
		{(*golibvirt.Domain).Destroy, Stopped, "destroyed", Inactive, 0},
		{(*golibvirt.Domain).Create, Started, "booted", Running, d.ID + 1},
	}
	for _, s := range steps {
		control(s.do)
		d.ID = s.id
		if diff := cmp.Diff(Event{Kind: s.want, Domain: d, Detail: s.how}, next(t, c)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", s.want, diff)
		}
		if a, err := c.Activity(d.UUID); err != nil || a != s.then {
			t.Errorf("after %v: Activity = %v, %v; want %v", s.want, a, err, s.then)
		}
	}
}

func TestActivityOfUnknownDomain(t *testing.T) {
	c := connect(t)
	if a, err := c.Activity("00000000-0000-0000-0000-000000000001"); err != nil || a != Inactive {
		t.Errorf("Activity = %v, %v; want inactive", a, err)
	}
}

func TestState(t *testing.T) {
	c := connect(t)
	d := only(t, c)
	if s, err := c.State(d.UUID); err != nil || s != nil {
		t.Fatalf("State before any = %+v, %v", s, err)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.FixedZone("east", 3600))
	want := State{
		Value: "anomalous", Since: at, Updated: at, ValidUntil: at, Host: "host", BootID: "id", Coverage: "partial",
		Unseen: &Unseen{Devices: []UnseenDevice{{Kind: "interface", Name: "vnet0", Why: "vhost-net"}}},
		Reason: &Reason{Code: "anomaly", Text: `packets <received> & "sent"`},
		Unit:   &JudgedUnit{Start: at, Score: -1.25, PValue: 0.01, Lost: 3},
		Explanation: &Explanation{Features: []ExplainedFeature{{
			Name: "tap_send", Subsystem: "network", Observed: 2000, UsualLow: 10, UsualHigh: 90.5, Text: "packets received",
		}}},
	}
	if err := c.SetState(d.UUID, want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Event{Kind: MetadataChanged, Domain: d}, next(t, c)); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	got, err := c.State(d.UUID)
	if err != nil {
		t.Fatal(err)
	}
	utc := time.Date(2026, 11, 21, 11, 0, 0, 123e6, time.UTC)
	want.Since, want.Updated, want.ValidUntil, want.Unit.Start = utc, utc, utc, utc
	got.XMLName = want.XMLName
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("State (-want +got):\n%s", diff)
	}
}

func TestSetStateWhereNothingRuns(t *testing.T) {
	c := connect(t)
	err := c.SetState("00000000-0000-0000-0000-000000000001", State{Value: "normal"})
	if !errors.Is(err, ErrNoDomain) {
		t.Errorf("SetState = %v; want ErrNoDomain", err)
	}
}

func TestCloseTwice(t *testing.T) {
	c, err := Connect(testURI(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	select {
	case <-c.Closed():
	default:
		t.Error("Closed is not closed after Close")
	}
}

func TestConnectRefused(t *testing.T) {
	if c, err := Connect("qemu:///system?socket=/nonexistent/libvirt-sock"); err == nil {
		_ = c.Close()
		t.Error("Connect to no daemon: no error")
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`<state value="normal" since="2026-11-21T11:00:00Z" updated="2026-11-21T11:00:00Z"/>`))
	f.Add([]byte(`<state value="x"><unit start="2026-11-21T11:00:00Z" score="NaN" p-value="1" lost="0"/></state>`))
	f.Add([]byte(`<state value="suspect" valid-until="2026-11-21T11:00:00Z" host="&#60;"><unseen><device kind="a" name="b">why</device></unseen>` +
		`<reason code="c">&amp;</reason><incident kind="anomaly" since="2026-11-21T11:00:00Z">x</incident><explanation><feature name="f" observed="1e300"/></explanation></state>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseState(text)
		if err != nil {
			if !errors.Is(err, ErrGarbled) {
				t.Fatal(err)
			}
			return
		}
		// What can be read can be written, and is the same then.
		again, err := s.element()
		if err != nil {
			return // such as a year of five digits
		}
		back, err := parseState(again)
		if err != nil || !back.Same(*s) {
			t.Errorf("%s was written as %s: %v", text, again, err)
		}
	})
}

func TestDomains(t *testing.T) {
	c := connect(t)
	d, err := c.conn.DomainDefineXML(`<domain type="test"><name>sleeper</name><memory>1024</memory><os><type>hvm</type></os></domain>`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	names := func() []string {
		all, err := c.Domains()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, d := range all {
			names = append(names, d.Name)
		}
		slices.Sort(names)
		return names
	}
	if diff := cmp.Diff([]string{"sleeper", "test"}, names()); diff != "" {
		t.Errorf("Domains (-want +got):\n%s", diff)
	}
	only(t, c)
	if err := d.Undefine(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"test"}, names()); diff != "" {
		t.Errorf("Domains after undefine (-want +got):\n%s", diff)
	}
}
