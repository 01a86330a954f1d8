//go:build integration

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/libvirt/about"
)

// novaElement is what Nova leaves in the definitions of its domains.
const novaElement = `<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"><nova:name>shop-1</nova:name>` +
	`<nova:owner><nova:project uuid="1f3ac1d25c7c4a5fb0a4e1a7f1d2b3c4">shop</nova:project></nova:owner></nova:instance>`

var metadataElement = regexp.MustCompile(`(?s)<metadata>.*</metadata>`)

// asNova is the guest's persistent definition as Nova would write it: from what Nova knows, without what others have put into it.
func (g *guest) asNova(t *testing.T) string {
	t.Helper()
	text := metadataElement.ReplaceAllString(g.definition(t), "")
	return strings.Replace(text, "<memory", "<metadata>"+novaElement+"</metadata>\n  <memory", 1)
}

func (g *guest) definition(t *testing.T) (text string) {
	t.Helper()
	g.domain(t, func(d *golibvirt.Domain) (err error) {
		text, err = d.GetXMLDesc(golibvirt.DOMAIN_XML_INACTIVE | golibvirt.DOMAIN_XML_SECURE)
		return err
	})
	return text
}

func (g *guest) define(t *testing.T, text string) {
	t.Helper()
	d, err := g.raw.DomainDefineXML(text)
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Free()
}

// hardReboot does what Nova does at a hard reboot and when an instance is powered on: it destroys and undefines the domain, defines it from what it knows,
// and starts it. It returns when that was asked for.
func (g *guest) hardReboot(t *testing.T) time.Time {
	t.Helper()
	text := g.asNova(t)
	g.domain(t, (*golibvirt.Domain).Destroy)
	g.domain(t, func(d *golibvirt.Domain) error { return d.UndefineFlags(golibvirt.DOMAIN_UNDEFINE_MANAGED_SAVE) })
	g.define(t, text)
	asked := time.Now()
	g.domain(t, (*golibvirt.Domain).Create)
	return asked
}

func (g *guest) setPolicy(t *testing.T, text string) {
	t.Helper()
	g.domain(t, func(d *golibvirt.Domain) error {
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, text, "virtsentry", libvirt.PolicyURI, golibvirt.DOMAIN_AFFECT_CONFIG)
	})
}

// accepts waits until so many false alarms a day are accepted of the guest.
func (g *guest) accepts(t *testing.T, alarms float64) {
	t.Helper()
	g.within(t, "the policy in force", func() bool {
		d, ok := g.status(t)
		return ok && d.Promise != nil && d.Promise.Accepted == alarms
	})
}

func (g *guest) policy(t *testing.T) string {
	t.Helper()
	text, err := g.client.PolicyElement(g.uuid)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s *stack) testNova(t *testing.T) {
	s.web.judged(t)
	before, _ := s.web.status(t)
	usual := before.Promise.Accepted
	s.web.judgedAfter(t, s.web.hardReboot(t)) // from now on it is Nova's
	s.web.setPolicy(t, `<policy false-alarms-per-day="0.25"/>`)
	s.web.accepts(t, 0.25)

	asked := s.web.hardReboot(t)
	s.web.becomes(t, asked, "starting", is("starting"))
	s.web.accepts(t, 0.25)
	s.web.judgedAfter(t, asked)
	s.within(t, "the policy is in the new definition", func() bool { return strings.Contains(s.web.policy(t), "0.25") })
	s.within(t, "the profile is in the new live definition", func() bool {
		e, err := s.client.Profile(s.web.uuid)
		return err == nil && e != nil && before.Trained != nil && e.Trained.Equal(before.Trained.UTC().Truncate(time.Millisecond))
	})
	if state, err := s.client.State(s.web.uuid); err != nil || state == nil || state.Updated.Before(asked) {
		t.Errorf("state %+v, %v; want one that was written since", state, err)
	}
	s.web.knownToBeNovas(t)

	// A live snapshot: Nova undefines the domain while it copies the disk, and defines it again.
	text, now := s.web.definition(t), time.Now()
	session := s.web.sessions(t)
	s.web.domain(t, (*golibvirt.Domain).Undefine)
	s.web.judgedAfter(t, now)
	s.web.accepts(t, 0.25)
	s.web.define(t, text)
	s.web.judgedAfter(t, time.Now())
	s.web.accepts(t, 0.25)
	if now := s.web.sessions(t); !slices.Equal(now, session) {
		t.Errorf("sessions %v; want %v as before", now, session)
	}

	// What an operator takes out stays out.
	s.web.setPolicy(t, "")
	s.web.accepts(t, usual)
	asked = s.web.hardReboot(t)
	s.web.judgedAfter(t, asked)
	s.web.accepts(t, usual)
	if text := s.web.policy(t); text != "" {
		t.Errorf("a policy that was taken out is back: %s", text)
	}
}

// knownToBeNovas checks what is told of whose the guest is and what it reaches.
func (g *guest) knownToBeNovas(t *testing.T) {
	t.Helper()
	def, err := g.lab.Guest(g.name)
	if err != nil {
		t.Fatal(err)
	}
	g.within(t, "its surroundings", func() bool {
		d, ok := g.status(t)
		if !ok || d.Surroundings == nil || d.Surroundings.Owner == nil {
			return false
		}
		s, o := d.Surroundings, d.Surroundings.Owner
		started := false
		for _, e := range s.Events {
			started = started || e.What == "started" && e.Detail == "booted"
		}
		return o.Manager == about.Nova && o.Name == "shop-1" && o.Project != nil && o.Project.Name == "shop" && len(s.Interfaces) == 1 &&
			strings.HasPrefix(s.Interfaces[0].MAC, "52:54:00:") && len(s.Disks) == 1 && s.Disks[0].Kind == "file" && started
	})
	g.ping(t, 3)
	broken := false
	g.domain(t, func(d *golibvirt.Domain) error {
		_, err := d.ListAllInterfaceAddresses(golibvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_ARP)
		broken = err != nil && strings.Contains(err.Error(), "wrong nlmsg len")
		return nil
	})
	if broken { // and the host's own table is not that of the lab's network namespace
		t.Log("this libvirt cannot read the neighbour table of this kernel (libvirt before 10.4, Linux 6.10 and later)")
		return
	}
	g.within(t, "its address, as the host's neighbour table has it", func() bool {
		a, err := g.client.About(g.uuid)
		return err == nil && len(a.Interfaces) == 1 && slices.ContainsFunc(a.Interfaces[0].Addresses, func(x about.Address) bool {
			return x.IP == def.Addr.String() && x.Source == about.FromARP
		})
	})
}
