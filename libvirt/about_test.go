package libvirt

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/libvirt/about"
)

const noSuchUUID = "00000000-0000-0000-0000-000000000001"

// define gives the test driver a managed domain that runs until the test ends, and returns its UUID.
func define(t *testing.T, c *Connection) string {
	t.Helper()
	d, err := c.conn.DomainDefineXML(managedXML)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = d.Destroy(), d.Undefine(), d.Free() })
	uuid, err := d.GetUUIDString()
	if err == nil {
		err = d.Create()
	}
	if err != nil {
		t.Fatal(err)
	}
	return uuid
}

const managedXML = `<domain type="test"><name>managed</name><memory>1024</memory><os><type>hvm</type></os>
	<metadata><n:instance xmlns:n="http://openstack.org/xmlns/libvirt/nova/1.1"><n:owner><n:project uuid="p1">shop</n:project></n:owner></n:instance></metadata>
	<devices><interface type="network"><mac address="52:54:00:00:00:07"/><source network="default"/><target dev="testnet7"/></interface></devices></domain>`

func TestAbout(t *testing.T) {
	c := connect(t)
	uuid := define(t, c)
	a, err := c.About(uuid)
	if err != nil {
		t.Log(err) // the test driver may not know addresses of each source
	}
	if a.Owner == nil || a.Owner.Manager != about.Nova || a.Owner.Project == nil || a.Owner.Project.ID != "p1" {
		t.Errorf("owner %+v", a.Owner)
	}
	// The test driver makes addresses up.
	known := func(x about.Interface) bool {
		return x.Name == "testnet7" && slices.ContainsFunc(x.Addresses, func(x about.Address) bool { return x.Source == about.FromLease })
	}
	if !slices.ContainsFunc(a.Interfaces, known) {
		t.Errorf("interfaces %+v; want testnet7 with an address from its lease", a.Interfaces)
	}
	if _, err := c.About(noSuchUUID); !errors.Is(err, ErrNoDomain) {
		t.Errorf("About no domain = %v", err)
	}
}

func TestManager(t *testing.T) {
	c := connect(t)
	uuid := define(t, c)
	if name, err := c.Manager(uuid); err != nil || name != about.Nova {
		t.Errorf("Manager = %q, %v; want %s", name, err, about.Nova)
	}
	if name, err := c.Manager(only2(t, c, uuid)); err != nil || name != "" {
		t.Errorf("Manager of a domain of nobody's = %q, %v", name, err)
	}
	if _, err := c.Manager(noSuchUUID); !errors.Is(err, ErrNoDomain) {
		t.Errorf("Manager of no domain = %v", err)
	}
}

// only2 is the UUID of the other one of two running domains.
func only2(t *testing.T, c *Connection, not string) string {
	t.Helper()
	running, err := c.Running()
	if err != nil || len(running) != 2 {
		t.Fatalf("Running = %v, %v", running, err)
	}
	return running[slices.IndexFunc(running, func(d Domain) bool { return d.UUID != not })].UUID
}

// What is restored is where the policy is looked for, and replaces none.
func TestRestorePolicy(t *testing.T) {
	c := connect(t)
	uuid := define(t, c)
	for _, text := range []string{`<policy watch="no"/>`, `<policy watch="yes"/>`} {
		if err := c.RestorePolicy(uuid, text); err != nil {
			t.Fatal(err)
		}
		if got, err := c.PolicyElement(uuid); err != nil || got != `<policy watch="no"/>` {
			t.Errorf("after %s: %q, %v", text, got, err)
		}
	}
	if err := c.RestorePolicy(noSuchUUID, "<policy/>"); !errors.Is(err, ErrNoDomain) {
		t.Errorf("RestorePolicy of no domain = %v", err)
	}
}

// A profile that is thrown away does not come back from the persistent definition, into which a migration may have put it.
func TestRemoveProfileEverywhere(t *testing.T) {
	c := connect(t)
	uuid := define(t, c)
	p := ProfileElement{Domain: uuid, Host: "h", Format: 1, Trained: time.Now(), Updated: time.Now(), Units: 30, File: []byte("x")}
	if err := c.SetProfile(uuid, p); err != nil {
		t.Fatal(err)
	}
	err := c.with(uuid, func(d *golibvirt.Domain) error {
		text, err := p.element()
		if err != nil {
			return err
		}
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, string(text), prefix, ProfileURI, golibvirt.DOMAIN_AFFECT_CONFIG)
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Profile(uuid)
	if err != nil || got == nil || got.Digest() != p.Digest() {
		t.Fatalf("Profile = %+v, %v", got, err)
	}
	if p.Units++; got.Digest() == p.Digest() || got.Digest() == (ProfileElement{}).Digest() {
		t.Error("two profiles are the same")
	}
	for range 2 {
		if err := c.RemoveProfile(uuid); err != nil {
			t.Fatal(err)
		}
	}
	err = c.with(uuid, func(d *golibvirt.Domain) error {
		if err := d.Destroy(); err != nil {
			return err
		}
		return d.Create()
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Profile(uuid); err != nil || got != nil {
		t.Errorf("Profile of the domain's next life = %+v, %v; want none", got, err)
	}
}

func TestNeighbours(t *testing.T) {
	const table = `IP address       HW type     Flags       HW address            Mask     Device
10.77.0.10       0x1         0x2         52:54:00:4d:00:0a     *        vsbr
10.77.0.11       0x1         0x0         00:00:00:00:00:00     *        vsbr
`
	path := filepath.Join(t.TempDir(), "arp")
	if err := os.WriteFile(path, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []golibvirt.DomainInterface{{Hwaddr: "52:54:00:4d:00:0a", Addrs: []golibvirt.DomainIPAddress{{Addr: "10.77.0.10"}}}}
	got, err := neighbours(path, errors.New("wrong length"))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := neighbours(path+"x", errors.New("wrong length")); err == nil || !strings.Contains(err.Error(), "wrong length") {
		t.Errorf("without a table: %v", err)
	}
}
