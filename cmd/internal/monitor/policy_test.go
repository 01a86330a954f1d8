package monitor

import (
	"path/filepath"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// The policy of a domain that does not run is known before it starts, and forgotten when the domain is.
func TestPolicyOfASleepingDomain(t *testing.T) {
	const uuid = "0b0e5a4c-2f0d-4f0e-9d3b-6a4a55f3c001"
	conn, err := golibvirt.NewConnect(testURI)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = conn.Close() }()
	d, err := conn.DomainDefineXML(`<domain type="test"><name>sleeper</name><uuid>` + uuid + `</uuid><memory>1024</memory><os><type>hvm</type></os>
		<metadata><virtsentry:policy xmlns:virtsentry="http://virtsentry.org/xmlns/policy/1" watch="no"/></metadata></domain>`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = d.Destroy(), d.Undefine(), d.Free() }) // what is there still
	b := newBench(t, testConfig(t))
	known := func() bool {
		b.policyMu.Lock()
		defer b.policyMu.Unlock()
		p, ok := b.policies[uuid]
		return ok && p.override.Watch != nil && !*p.override.Watch
	}
	b.within("the policy is known", func(control.DomainStatus) bool { return known() })
	if err := d.Create(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if s, err := b.Domain(uuid); err == nil {
			if s.State != stateDisabled && s.State != stateStarting || s.PID != 0 {
				t.Fatalf("%s, attached to process %d; want that it is not watched", s.State, s.PID)
			}
			if s.State == stateDisabled {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatal("the domain is not known to run")
		}
	}
	if err := d.Destroy(); err != nil {
		t.Fatal(err)
	}
	if err := d.Undefine(); err != nil {
		t.Fatal(err)
	}
	b.reconcile(t.Context(), b.client)
	if known() {
		t.Error("the policy is kept")
	}
}

// A policy that is wrong already when the daemon finds the domain is an incident, and no more than that. The next daemon goes on with it, or ends it where the
// policy was put right while none ran.
func TestWrongPolicyFromTheFirst(t *testing.T) {
	cfg := testConfig(t)
	b := newBench(t, cfg)
	b.end()
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
	set := func(text string) {
		if err := d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, text, "x", "http://virtsentry.org/xmlns/policy/1", golibvirt.DOMAIN_AFFECT_CONFIG); err != nil {
			t.Fatal(err)
		}
	}
	set(`<policy watch="perhaps"/>`)
	id := ""
	for _, want := range []int{1, 1, 0} {
		if want == 0 {
			set("")
		}
		cfg.LTTng.OutputDir, cfg.Hooks.Pokes = t.TempDir(), filepath.Join(t.TempDir(), "pokes")
		again := newBench(t, cfg)
		again.within("the incidents", func(d control.DomainStatus) bool {
			return d.State != stateStarting && len(d.Incidents) == want && (want == 0 || id == "" || d.Incidents[0].ID == id)
		})
		if list, err := again.ListIncidents(control.IncidentFilter{}); err != nil || len(list) != 1 || list[0].Open() != (want > 0) {
			t.Errorf("kept are %+v, %v", list, err)
		} else {
			id = list[0].ID
		}
		again.end()
	}
}
