package monitor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
)

const (
	managedUUID = "0b0e5a4c-2f0d-4f0e-9d3b-6a4a55f3c002"
	novaElement = `<n:instance xmlns:n="http://openstack.org/xmlns/libvirt/nova/1.1"><n:name>shop-1</n:name></n:instance>`
	noWatch     = `<virtsentry:policy xmlns:virtsentry="http://virtsentry.org/xmlns/policy/1" watch="no"/>`
)

func managedXML(metadata string) string {
	return `<domain type="test"><name>managed</name><uuid>` + managedUUID + `</uuid><memory>1024</memory><os><type>hvm</type></os><metadata>` +
		metadata + `</metadata></domain>`
}

// rewriter is a domain whose definition is written by somebody else.
type rewriter struct {
	*bench
	conn *golibvirt.Connect
}

func newRewriter(t *testing.T, b *bench) *rewriter {
	t.Helper()
	conn, err := golibvirt.NewConnect(testURI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d, err := conn.LookupDomainByUUIDString(managedUUID); err == nil {
			_, _, _ = d.Destroy(), d.Undefine(), d.Free()
		}
		_, _ = conn.Close()
	})
	b.writeFile(filepath.Join(b.cfg.Libvirt.RunDir, "qemu", "managed.pid"), "4322\n")
	b.writeFile(filepath.Join(b.processes.ProcDir, "4322", "stat"), "4322 (qemu) S"+strings.Repeat(" 1", 18)+" 500 0\n")
	b.writeFile(filepath.Join(b.processes.ProcDir, "4322", "cmdline"), "qemu\x00-uuid\x00"+managedUUID+"\x00")
	b.mu.Lock()
	b.make = func() (source, error) { return &fakeSource{next: batch{registered: true}}, nil } // each domain has its own
	b.mu.Unlock()
	return &rewriter{b, conn}
}

func (r *rewriter) with(f func(*golibvirt.Domain) error) {
	r.t.Helper()
	d, err := r.conn.LookupDomainByUUIDString(managedUUID)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	if err := f(d); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rewriter) define(metadata string) {
	r.t.Helper()
	d, err := r.conn.DomainDefineXML(managedXML(metadata))
	if err != nil {
		r.t.Fatal(err)
	}
	_ = d.Free()
}

// hardReboot is what Nova does: the domain is destroyed, undefined, defined from what Nova knows, and started.
func (r *rewriter) hardReboot(metadata string) {
	r.t.Helper()
	r.with((*golibvirt.Domain).Destroy)
	r.with((*golibvirt.Domain).Undefine)
	r.define(metadata)
	r.with((*golibvirt.Domain).Create)
}

// element is the policy that the domain has in the definition.
func (r *rewriter) element() string {
	r.t.Helper()
	text, err := r.client.PolicyElement(managedUUID)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// disabled waits until the domain is known to be watched, or not to be.
func (r *rewriter) disabled(what string, want bool) {
	r.t.Helper()
	var d control.DomainStatus
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var err error
		if d, err = r.Domain(managedUUID); err == nil && (d.State == stateDisabled) == want && d.State != stateStarting {
			return
		}
	}
	r.t.Fatalf("%s: disabled is not %v: %+v", what, want, d)
}

func (r *rewriter) eventually(what string, is func() bool) {
	r.t.Helper()
	r.within(what, func(control.DomainStatus) bool { return is() })
}

// A policy outlives what Nova makes of the definition, and the daemon.
func TestPolicyOutlivesHardReboot(t *testing.T) {
	cfg := testConfig(t)
	r := newRewriter(t, newIdleBench(t, cfg, testSet))
	r.start()
	r.define(novaElement + noWatch)
	r.with((*golibvirt.Domain).Create)
	r.disabled("first", true)
	r.hardReboot(novaElement)
	r.disabled("after a hard reboot", true)
	r.eventually("the policy is written again", func() bool { return strings.Contains(r.element(), `watch="no"`) })

	// Also what happens while no daemon runs.
	r.end()
	r.hardReboot(novaElement)
	r.start()
	r.disabled("after a hard reboot that nobody saw", true)
	r.eventually("the policy is written again", func() bool { return r.element() != "" })

	// An operator takes it out: it does not come back.
	r.with(func(d *golibvirt.Domain) error {
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, "", "virtsentry", libvirt.PolicyURI, golibvirt.DOMAIN_AFFECT_CONFIG)
	})
	r.disabled("without a policy", false)
	r.hardReboot(novaElement)
	r.disabled("without a policy, after a hard reboot", false)
	if text := r.element(); text != "" {
		t.Errorf("a policy that was taken out is back: %s", text)
	}
}

// The definition of a domain that nobody manages is the operator's own word.
func TestPolicyOfUnmanagedDomain(t *testing.T) {
	r := newRewriter(t, newBench(t, testConfig(t)))
	r.define(noWatch)
	r.with((*golibvirt.Domain).Create)
	r.disabled("first", true)
	r.define("")
	r.disabled("redefined", false)
	if text := r.element(); text != "" {
		t.Errorf("policy %s", text)
	}
}

// oVirt defines a domain twice, first without any element (VDSM's placeholder).
func TestPolicyOutlivesPlaceholder(t *testing.T) {
	const ovirt = `<o:vm xmlns:o="http://ovirt.org/vm/1.0"/>`
	r := newRewriter(t, newBench(t, testConfig(t)))
	r.define(ovirt + noWatch)
	r.with((*golibvirt.Domain).Create)
	r.disabled("first", true)
	r.with((*golibvirt.Domain).Destroy)
	r.with((*golibvirt.Domain).Undefine)
	r.define("")
	r.eventually("the placeholder is seen", func() bool {
		r.policyMu.Lock()
		defer r.policyMu.Unlock()
		_, known := r.policies[managedUUID]
		return !known
	})
	r.define(ovirt)
	r.with((*golibvirt.Domain).Create)
	r.disabled("after the placeholder", true)
}

func TestKeptPolicies(t *testing.T) {
	k := keptPolicies{dir: filepath.Join(t.TempDir(), "profiles")}
	if text, err := k.load(managedUUID); err != nil || text != "" {
		t.Errorf("load of none = %q, %v", text, err)
	}
	if err := k.sweep(func(string) bool { return false }, time.Now()); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"<policy/>", `<policy watch="no"/>`} {
		if err := k.save(managedUUID, text); err != nil {
			t.Fatal(err)
		}
		if got, err := k.load(managedUUID); err != nil || got != text {
			t.Errorf("load = %q, %v; want %q", got, err, text)
		}
	}
	if err := k.save(managedUUID, strings.Repeat("x", maxKept+1)); err == nil {
		t.Error("a policy that is too large was kept")
	}
	for _, name := range []string{"", "../" + managedUUID, strings.ToUpper(managedUUID)} {
		if err := k.save(name, "<policy/>"); err == nil {
			t.Errorf("kept for %q", name)
		}
	}
	left := filepath.Join(k.dir, managedUUID+policySuffix+".123")
	other := filepath.Join(k.dir, managedUUID+".profile")
	for _, path := range []string{left, other} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		known bool
		after time.Duration
		kept  bool
	}{{false, policyAge / 2, true}, {true, 2 * policyAge, true}, {false, 2 * policyAge, true}, {false, 4 * policyAge, false}} {
		if err := k.sweep(func(string) bool { return step.known }, time.Now().Add(step.after)); err != nil {
			t.Fatal(err)
		}
		if text, err := k.load(managedUUID); err != nil || (text != "") != step.kept {
			t.Errorf("%+v: load = %q, %v", step, text, err)
		}
	}
	if err := k.save(managedUUID, "<policy/>"); err != nil {
		t.Fatal(err)
	}
	for after, kept := range map[time.Duration]bool{time.Hour: false, 48 * time.Hour: true} {
		old := time.Now().Add(-after)
		path, _ := k.path(managedUUID)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		if err := k.seen(managedUUID, time.Now()); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(path); err != nil || time.Since(info.ModTime()) < time.Minute != kept {
			t.Errorf("seen after %v: %v, %v", after, info.ModTime(), err)
		}
	}
	if err := k.remove(managedUUID); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(k.dir); err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(other) {
		t.Errorf("left: %v, %v", entries, err)
	}
	if err := k.remove(managedUUID); err != nil {
		t.Error(err)
	}
}

// A profile element that somebody else takes out or changes is written again.
func TestProfileIsWrittenAgain(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
	b.source.put(batch{units: load(60, time.Now(), 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	e := *b.element(true)
	if err := b.client.RemoveProfile(b.domain.UUID); err != nil {
		t.Fatal(err)
	}
	if again := b.element(true); !again.Trained.Equal(e.Trained) || again.Host != e.Host {
		t.Errorf("written again is the profile of %v", again.Trained)
	}
	other := e
	other.Host = "elsewhere"
	if err := b.client.SetProfile(b.domain.UUID, other); err != nil {
		t.Fatal(err)
	}
	// Not at once: two who write the same element would keep each other busy.
	w := b.watcher(b.domain.UUID)
	if !w.do(func() { w.anew = time.Time{} }) {
		t.Fatal("the watcher is busy")
	}
	b.within("the profile is written again", func(control.DomainStatus) bool {
		b.retry(b.domain.UUID) // as each reconcile does
		now, err := b.client.Profile(b.domain.UUID)
		return err == nil && now != nil && now.Host == e.Host && now.Trained.Equal(e.Trained)
	})
}

// A state element that somebody takes out is written again.
func TestStateIsWrittenAgainWhereThereIsNone(t *testing.T) {
	b := newBench(t, testConfig(t))
	b.await(stateLearning, "")
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
	if err := d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, "", "virtsentry", libvirt.StateURI, golibvirt.DOMAIN_AFFECT_LIVE); err != nil {
		t.Fatal(err)
	}
	b.await(stateLearning, reasonGathering)
}
