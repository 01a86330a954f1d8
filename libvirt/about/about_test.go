package about

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParse(t *testing.T) {
	for name, want := range map[string]About{
		"nova.xml": {
			Owner: &Owner{
				Manager: Nova, Name: "shop-1", Flavor: "m1.small",
				Project: &Party{"1f3ac1d25c7c4a5fb0a4e1a7f1d2b3c4", "shop"}, User: &Party{"9d0b8a2f3c1e4f5a8b7c6d5e4f3a2b1c", "alice"},
			},
			Interfaces: []Interface{
				{
					Name: "tap2b7d4a10-5e", MAC: "fa:16:3e:0a:0b:0c", Kind: "bridge", Source: "br-int", Model: "virtio", Port: "2b7d4a10-5e3c-4f6a-9b8d-0c1d2e3f4a5b",
					Addresses: []Address{{"10.0.0.12", 0, FromNova}, {"2001:db8::12", 0, FromNova}},
				},
				{Name: "tapa1b2c3d4-e5", MAC: "fa:16:3e:0a:0b:0d", Kind: "ethernet", Model: "virtio", Addresses: []Address{{"10.1.0.7", 0, FromNova}}},
			},
			Disks: []Disk{
				{Target: "vda", Bus: "virtio", Device: "disk", Kind: "file", Source: "/var/lib/nova/instances/6f1c/disk"},
				{
					Target: "vdb", Bus: "virtio", Device: "disk", Kind: "network", Source: "rbd:volumes/volume-0d9c8b7a",
					Serial: "0d9c8b7a-6f5e-4d3c-2b1a-0f9e8d7c6b5a",
				},
			},
		},
		"ovirt.xml": {
			Owner: &Owner{Manager: OVirt, Cluster: "4.7"},
			Interfaces: []Interface{{
				Name: "vnet3", MAC: "56:6f:1a:2b:00:01", Kind: "bridge", Source: "ovirtmgmt", Model: "virtio", Addresses: []Address{{"192.0.2.17", 0, FromFilter}},
			}},
			Disks: []Disk{
				{Target: "sdc", Bus: "sata", Device: "cdrom", ReadOnly: true},
				{
					Target: "vda", Bus: "virtio", Device: "disk", Kind: "block", Source: "/rhev/data-center/mnt/blockSD/d1/images/i1/v1",
					Serial: "5c1f6f0e-0a1b-4c2d-8e3f-4a5b6c7d8e9f",
				},
			},
		},
		"plain.xml": {
			Interfaces: []Interface{
				{Name: "vnet0", MAC: "52:54:00:12:34:56", Kind: "network", Source: "default", Model: "e1000e", Addresses: []Address{{"192.168.122.5", 24, FromDefinition}}},
				{Name: "interface 2", Kind: "user"},
			},
			Disks: []Disk{{Target: "hda", Bus: "ide", Device: "disk", Kind: "volume", Source: "pool/vol"}, {Target: "disk 2"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(read(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOddDefinitions(t *testing.T) {
	const nova = `<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">`
	for name, tc := range map[string]struct {
		metadata string
		want     *Owner
	}{
		"none":                       {"", nil},
		"an element of nobody known": {`<a:b xmlns:a="urn:a"><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"/></a:b>`, nil},
		"a prefix that is not bound": {`<nova:instance><nova:name>x</nova:name></nova:instance>`, nil},
		"another version":            {`<x:instance xmlns:x="http://openstack.org/xmlns/libvirt/nova/1.7"><x:name>n</x:name></x:instance>`, &Owner{Manager: Nova, Name: "n"}},
		"another number":             {`<x:instance xmlns:x="http://openstack.org/xmlns/libvirt/nova/2.0"><x:name>n</x:name></x:instance>`, nil},
		"empty":                      {nova + `</nova:instance>`, &Owner{Manager: Nova}},
		"half of an owner":           {nova + `<nova:owner><nova:project uuid="p"/></nova:owner></nova:instance>`, &Owner{Manager: Nova, Project: &Party{ID: "p"}}},
		"both":                       {`<o:vm xmlns:o="http://ovirt.org/vm/1.0"/>` + nova + `</nova:instance>`, &Owner{Manager: Nova}},
		"a name of control characters": {
			nova + "<nova:name>\u202ea\tb" + strings.Repeat("é", 300) + `</nova:name></nova:instance>`,
			&Owner{Manager: Nova, Name: ("\u202ea\tb" + strings.Repeat("é", 300))[:maxText]},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse("<domain><metadata>" + tc.metadata + "</metadata></domain>")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Owner); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for name, text := range map[string]string{
		"nothing":    "",
		"no domain":  "<network/>",
		"cut off":    "<domain><devices>",
		"too large":  strings.Repeat(" ", maxDefinition+1),
		"deep":       "<domain>" + strings.Repeat("<a>", 1e6),
		"not closed": "<domain><metadata><x></metadata></domain>",
	} {
		if _, err := Parse(text); !errors.Is(err, ErrDefinition) {
			t.Errorf("%s: %v; want ErrDefinition", name, err)
		}
	}
}

func TestBounds(t *testing.T) {
	var b strings.Builder
	b.WriteString("<domain><devices>")
	for range maxDevices + 3 {
		b.WriteString("<disk/><interface type='ethernet'><mac address='52:54:00:00:00:01'/></interface>")
	}
	b.WriteString("</devices></domain>")
	a, err := Parse(b.String())
	if err != nil || len(a.Disks) != maxDevices || len(a.Interfaces) != maxDevices || a.Omitted != 6 {
		t.Fatalf("%d disks, %d interfaces, %d omitted, %v", len(a.Disks), len(a.Interfaces), a.Omitted, err)
	}
	for range 2 {
		for i := range maxAddresses + 1 {
			a.Learn("52:54:00:00:00:01", Address{IP: "10.0.0." + string(rune('a'+i)), Source: FromARP}) // none of them is an address
			a.Learn("52:54:00:00:00:01", Address{IP: "10.0." + strings.Repeat("1", 1+i%2) + "." + strings.Repeat("2", 1+i/2%3), Source: FromARP})
		}
	}
	if n := len(a.Interfaces[0].Addresses); n != 6 {
		t.Errorf("%d addresses: %v", n, a.Interfaces[0].Addresses)
	}
}

func TestLearn(t *testing.T) {
	a, err := Parse(read(t, "plain.xml"))
	if err != nil {
		t.Fatal(err)
	}
	before := a.Interfaces[0].Addresses
	if !a.Learn("52:54:00:12:34:56", Address{IP: "192.168.122.5", Prefix: 24, Source: FromLease}) || !a.Learn("52:54:00:12:34:56", Address{"2001:DB8::1", 200, FromARP}) {
		t.Error("not learnt")
	}
	if a.Learn("52:54:00:12:34:57", Address{IP: "10.0.0.1"}) || a.Learn("52:54:00:12:34:56", Address{IP: "x"}) || a.Learn("", Address{IP: "10.0.0.1"}) {
		t.Error("learnt of no interface, or no address")
	}
	want := []Address{{"192.168.122.5", 24, FromDefinition}, {"2001:db8::1", 0, FromARP}}
	if diff := cmp.Diff(want, a.Interfaces[0].Addresses); diff != "" || len(before) != 1 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzParseAbout(f *testing.F) {
	for _, name := range []string{"nova.xml", "ovirt.xml", "plain.xml"} {
		f.Add(read(f, name))
	}
	f.Add(`<domain><metadata><x:instance xmlns:x="http://openstack.org/xmlns/libvirt/nova/1."><x:ports><x:port/></x:ports></metadata></domain>`)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrDefinition) {
				t.Fatal(err)
			}
			return
		}
		if len(a.Disks) > maxDevices || len(a.Interfaces) > maxDevices {
			t.Fatalf("%d disks, %d interfaces", len(a.Disks), len(a.Interfaces))
		}
		for _, n := range a.Interfaces {
			if len(n.Addresses) > maxAddresses || len(n.Name) > maxText || len(n.Source) > maxText {
				t.Fatalf("interface %+v", n)
			}
		}
		if o := a.Owner; o != nil && (o.Manager == "" || len(o.Name) > maxText) {
			t.Fatalf("owner %+v", o)
		}
	})
}
