package main

import (
	"fmt"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	facts "github.com/virtsentry/virtsentry/libvirt/about"
)

// eventsShown bounds the events of a domain that status shows, the newest; -o json has all.
const eventsShown = 8

// surroundings writes what stands around a domain, a line each; while it is anomalous, what has happened since before that.
func surroundings(line func(name, format string, args ...any), d control.DomainStatus) {
	if d.Surroundings == nil {
		return
	}
	s := *d.Surroundings
	if last := len(d.Anomalies) - 1; last >= 0 && d.Anomalies[last].Open && d.Anomalies[last].Surroundings != nil {
		s.Events, s.Others = d.Anomalies[last].Surroundings.Events, d.Anomalies[last].Surroundings.Others
	}
	surrounded(line, s)
}

// surrounded writes surroundings, a line each.
func surrounded(line func(name, format string, args ...any), s control.Surroundings) {
	if s.Owner != nil {
		line("Owner", "%s", owned(*s.Owner))
	}
	for _, x := range s.Interfaces {
		line("Interface", "%s", attached(x))
	}
	for _, x := range s.Disks {
		line("Disk", "%s", stored(x))
	}
	if s.Omitted > 0 {
		line("", "%d more interfaces, disks or addresses", s.Omitted)
	}
	if s.Error != "" {
		line("Not known", "%s", oneLine(s.Error))
	}
	events := s.Events
	if hidden := len(events) - eventsShown; hidden > 0 {
		line("Event", "%d earlier ones", hidden)
		events = events[hidden:]
	}
	for _, e := range events {
		line("Event", "%s %s", clock(e.At), strings.TrimSpace(oneLine(e.What+" "+e.Detail)))
	}
	for _, x := range s.Others {
		line("Anomalous too", "%s", beside(x))
	}
}

// owned says whose a domain is.
func owned(o facts.Owner) string {
	text := oneLine(o.Manager)
	for _, p := range []struct {
		what string
		is   *facts.Party
	}{{"project", o.Project}, {"user", o.User}} {
		if p.is == nil {
			continue
		}
		text += ", " + p.what + " " + oneLine(p.is.Name)
		if p.is.ID != "" {
			text += " (" + oneLine(p.is.ID) + ")"
		}
	}
	return text + following(", as ", o.Name) + following(", flavor ", o.Flavor) + following(", cluster version ", o.Cluster)
}

func attached(n facts.Interface) string {
	text := oneLine(n.Name) + following(", ", n.MAC) + following(", ", n.Kind) + following(" ", n.Source) + following(", ", n.Model)
	for _, a := range n.Addresses {
		text += ", " + oneLine(a.IP)
		if a.Prefix > 0 {
			text += fmt.Sprintf("/%d", a.Prefix)
		}
		text += following(" by ", a.Source)
	}
	return text
}

func stored(d facts.Disk) string {
	text := oneLine(d.Target) + following(", ", d.Bus) + following(", ", d.Device) + following(", ", d.Kind) + following(" ", d.Source) + following(", serial ", d.Serial)
	if d.ReadOnly {
		text += ", read-only"
	}
	return text
}

func beside(n control.Neighbour) string {
	text := oneLine(n.Name)
	if n.Project != nil {
		text += " of project " + oneLine(n.Project.Name)
	}
	text += ", from " + clock(n.Anomaly.Begin)
	if !n.Anomaly.Open {
		text += " to " + clock(n.Anomaly.End)
	}
	return text + following(": ", n.Anomaly.Text)
}

// following is a text of others after a label; empty where there is no text.
func following(label, text string) string {
	if text == "" {
		return ""
	}
	return label + oneLine(text)
}
