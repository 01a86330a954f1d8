//go:build integration

package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"
)

// profileStays checks that the guest is judged by the profile of before, and that but a few units since an event were not.
func (g *guest) profileStays(t *testing.T, trained *time.Time, event time.Time) {
	t.Helper()
	g.attached(t)
	g.judgedAfter(t, event)
	unjudged := 0
	for _, u := range g.heard.since(g.uuid, event) {
		if !u.Judged {
			unjudged++
		}
	}
	if unjudged > mostUnits {
		t.Errorf("%d units were not judged; the guest does not boot", unjudged)
	}
	if d, _ := g.status(t); !d.Profile || d.Trained == nil || !d.Trained.Equal(*trained) {
		t.Errorf("status %+v; want the profile of %v", d, trained)
	}
}

// testSnapshot takes the guest back to a snapshot of its memory.
func (s *stack) testSnapshot(t *testing.T) {
	s.web.judged(t)
	before, _ := s.web.status(t)
	var snapshot *golibvirt.DomainSnapshot
	s.web.domain(t, func(d *golibvirt.Domain) (err error) {
		snapshot, err = d.CreateSnapshotXML("<domainsnapshot><name>before</name></domainsnapshot>", 0)
		return err
	})
	defer func() { _ = snapshot.Free() }()
	s.web.judgedAfter(t, time.Now())
	if err := snapshot.RevertToSnapshot(golibvirt.DOMAIN_SNAPSHOT_REVERT_RUNNING); err != nil {
		t.Fatal(err)
	}
	event := time.Now() // its CPUs run now
	if err := snapshot.Delete(0); err != nil {
		t.Error(err)
	}
	s.web.profileStays(t, before.Trained, event)
	state := s.web.await(t, "normal")
	if state.Host != s.lab.Hostname() || state.Updated.Before(before.Since) {
		t.Errorf("the state is that of the snapshot: %+v", state)
	}
}

// testUndefine takes the guest's definition away while it runs, and gives it back after its end.
func (s *stack) testUndefine(t *testing.T) {
	s.web.judged(t)
	before, _ := s.web.status(t)
	definition := ""
	event := time.Now()
	s.web.domain(t, func(d *golibvirt.Domain) (err error) {
		if definition, err = d.GetXMLDesc(golibvirt.DOMAIN_XML_INACTIVE | golibvirt.DOMAIN_XML_SECURE); err == nil {
			err = d.Undefine()
		}
		return err
	})
	s.web.profileStays(t, before.Trained, event)
	s.web.domain(t, (*golibvirt.Domain).Destroy)
	s.web.gone(t)
	s.web.define(t, definition)
	s.web.domain(t, (*golibvirt.Domain).Create)
	s.web.attached(t)
	s.within(t, "units judged by the profile of before", func() bool {
		d, ok := s.web.status(t)
		if ok && d.State == "learning" {
			t.Fatalf("learning again: %+v", d)
		}
		return ok && d.Profile && d.Units.Judged > 0
	})
}

// testCopy starts a domain with another UUID that was made from the guest's live definition, with all metadata in it.
func (s *stack) testCopy(t *testing.T) {
	s.web.judged(t)
	definition := ""
	s.web.domain(t, func(d *golibvirt.Domain) (err error) {
		definition, err = d.GetXMLDesc(golibvirt.DOMAIN_XML_SECURE)
		return err
	})
	if !strings.Contains(definition, "xmlns/profile/1") {
		t.Fatal("there is no profile in the guest's live definition")
	}
	const uuid = "7c1f2a50-9d0e-4a58-8a1c-3f6f3b1f7a10"
	definition = strings.NewReplacer(s.web.uuid, uuid, "<name>"+s.web.name+"</name>", "<name>copy</name>").Replace(definition)
	// A domain of another one's profile: its element says whose it is.
	definition = strings.Replace(definition, `profile/1" domain="`+uuid, `profile/1" domain="`+s.web.uuid, 1)
	for _, device := range []string{"disk", "interface", "channel", "serial", "console"} {
		definition = regexp.MustCompile(`(?s)<`+device+` .*?</`+device+`>`).ReplaceAllString(definition, "")
	}
	definition = regexp.MustCompile(`(?s)<domain type='([a-z]+)' id='[0-9]+'`).ReplaceAllString(definition, "<domain type='$1'")
	definition = regexp.MustCompile(`(?s)<seclabel .*?</seclabel>`).ReplaceAllString(definition, "")
	d, err := s.raw.DomainCreateXML(definition, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Free() }()
	c := &guest{s, "copy", uuid}
	c.attached(t)
	c.within(t, "its state is its own", func() bool {
		state, err := s.client.State(uuid)
		return err == nil && state != nil && (state.Value == "starting" || state.Value == "learning")
	})
	if d, _ := c.status(t); d.Profile {
		t.Errorf("status %+v; want no profile: it is another domain's", d)
	}
	if err := d.Destroy(); err != nil {
		t.Error(err)
	}
	c.gone(t)
}
