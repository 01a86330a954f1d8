//go:build integration

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/hooks"
)

func (s *stack) testHotPlug(t *testing.T) {
	s.web.judged(t)
	s.web.booted(t) // a guest that is not does not let go of a device
	path := s.disk(t, "plugged")
	disk := fmt.Sprintf("<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%s'/><target dev='vdb' bus='virtio'/></disk>", path)
	event := time.Now()
	s.web.domain(t, func(d *golibvirt.Domain) error { return d.AttachDeviceFlags(disk, golibvirt.DOMAIN_DEVICE_MODIFY_LIVE) })
	s.web.becomes(t, event, "the profile is not for a guest with two disks", func(c hooks.Change) bool {
		return c.Reason != nil && c.Reason.Code == "profile-unusable" && strings.Contains(c.Reason.Text, "disk virtio")
	})
	s.web.domain(t, func(d *golibvirt.Domain) error { return d.DetachDeviceFlags(disk, golibvirt.DOMAIN_DEVICE_MODIFY_LIVE) })
	s.within(t, "the disk is unplugged", func() bool {
		var text string
		s.web.domain(t, func(d *golibvirt.Domain) (err error) {
			text, err = d.GetXMLDesc(0)
			return err
		})
		return !strings.Contains(text, path)
	})
	// The profile was kept: it is in force when the hardware is as it was.
	s.stopDaemon(t)
	event = time.Now()
	s.startDaemon(t)
	s.web.judgedAfter(t, event)
}

// booted waits until the guest's agent answers.
func (g *guest) booted(t *testing.T) {
	t.Helper()
	if _, err := g.lab.Exec(t.Context(), g.name, "true"); err != nil {
		t.Fatal(err)
	}
}
