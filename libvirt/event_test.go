package libvirt

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	golibvirt "libvirt.org/go/libvirt"
)

func TestDefined(t *testing.T) {
	c := connect(t)
	d := only(t, c)
	var dump string
	err := c.with(d.UUID, func(d *golibvirt.Domain) (err error) {
		dump, err = d.GetXMLDesc(golibvirt.DOMAIN_XML_INACTIVE)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	redefine(t, c, dump)
	if diff := cmp.Diff(Event{Kind: Defined, Domain: d, Detail: "updated"}, next(t, c)); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func redefine(t *testing.T, c *Connection, xml string) {
	t.Helper()
	d, err := c.conn.DomainDefineXML(xml)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Free(); err != nil {
		t.Error(err)
	}
}

func TestEventKindsHaveNames(t *testing.T) {
	names := map[string]bool{}
	for k := Started; k <= lastKind; k++ {
		names[k.String()] = true
	}
	if len(names) != int(lastKind) || names["unknown"] {
		t.Errorf("names of kinds of event: %v", names)
	}
	if got := (lastKind + 1).String(); got != "unknown" {
		t.Errorf("a kind that is none is %q", got)
	}
}
