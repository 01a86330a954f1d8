package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	facts "github.com/virtsentry/virtsentry/libvirt/about"
)

func TestStatusWithSurroundings(t *testing.T) {
	then := control.Surroundings{
		Events: []control.Happening{
			{At: noon.Add(-8 * time.Minute), What: "devices changed", Detail: "net1 added"},
			{At: noon, What: "rebooted"},
		},
		Others: []control.Neighbour{
			{Name: "db", Project: &facts.Party{ID: "p1", Name: "shop"}, Anomaly: control.Anomaly{Begin: noon, Open: true, Text: "packets"}},
			{Name: "mail", Anomaly: control.Anomaly{Begin: noon, End: noon.Add(time.Minute), Text: "disk"}},
		},
	}
	now := control.Surroundings{
		Looked: noon, Error: "no\nleases",
		About: facts.About{
			Owner: &facts.Owner{
				Manager: facts.Nova, Name: "shop-1\x1b[2J", Flavor: "m1.small", Project: &facts.Party{ID: "p1", Name: "shop"}, User: &facts.Party{Name: "alice"},
			},
			Interfaces: []facts.Interface{{
				Name: "tap2b7d4a10-5e", MAC: "fa:16:3e:0a:0b:0c", Kind: "bridge", Source: "br-int", Model: "virtio",
				Addresses: []facts.Address{{IP: "10.0.0.12", Source: facts.FromNova}, {IP: "10.0.0.13", Prefix: 24, Source: facts.FromLease}},
			}},
			Disks:   []facts.Disk{{Target: "vda", Bus: "virtio", Device: "disk", Kind: "file", Source: "/a b", Serial: "s"}, {Target: "sda", ReadOnly: true}},
			Omitted: 2,
		},
	}
	for i := range eventsShown + 3 {
		now.Events = append(now.Events, control.Happening{At: noon, What: "block job", Detail: fmt.Sprint(i)})
	}
	d := control.DomainStatus{
		Name: "web", UUID: "u", State: "anomalous", Since: noon, Coverage: "full", Surroundings: &now,
		Anomalies: []control.Anomaly{{Number: 1, Begin: noon, Open: true, Surroundings: &then}},
	}
	socket := serve(t, &backend{domains: []control.DomainStatus{d}})
	out, code, err := run(t.Context(), "--socket", socket, "status", "web")
	if err != nil || code != 0 {
		t.Fatal(err)
	}
	golden(t, "status-surroundings.txt", out)

	d.Anomalies[0].Open = false
	d.Surroundings.Owner = nil
	socket = serve(t, &backend{domains: []control.DomainStatus{d}})
	if out, _, err = run(t.Context(), "--socket", socket, "status", "web"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "3 earlier ones") || strings.Contains(out, "net1") || strings.Contains(out, "Owner") || strings.Count(out, "block job") != eventsShown {
		t.Errorf("when the anomaly is over:\n%s", out)
	}
	out, _, err = run(t.Context(), "--socket", socket, "status", "web", "-o", "json")
	if err != nil || !strings.Contains(out, `"looked": "2026-05-04T12:00:00Z"`) || !strings.Contains(out, `"ip": "10.0.0.12"`) {
		t.Errorf("as JSON: %v\n%s", err, out)
	}
}
