package libvirt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseHardware(t *testing.T) {
	tests := map[string]struct {
		xml      string
		vhostNet bool
		want     []Device // Unseen: a part of it
	}{
		"disk of a file":         {`<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>`, true, []Device{{"disk", "vda", "virtio", "", false}}},
		"disk of vhost-user":     {`<disk type='vhostuser'><source type='unix' path='/s'/><target dev='vdb' bus='virtio'/></disk>`, true, []Device{{"disk", "vdb", "virtio", "vhost-user", false}}},
		"virtio, host has vhost": {`<interface type='bridge'><source bridge='b'/><target dev='vnet0'/><model type='virtio'/></interface>`, true, []Device{{"interface", "vnet0", "virtio", "vhost-net", true}}},
		"virtio, host has none":  {`<interface type='bridge'><source bridge='b'/><target dev='vnet0'/><model type='virtio'/></interface>`, false, []Device{{"interface", "vnet0", "virtio", "", true}}},
		"virtio, driver qemu":    {`<interface type='bridge'><source bridge='b'/><target dev='vnet0'/><model type='virtio'/><driver name='qemu'/></interface>`, true, []Device{{"interface", "vnet0", "virtio", "", true}}},
		"virtio, driver vhost":   {`<interface type='network'><source network='n'/><model type='virtio'/><driver name='vhost'/></interface>`, false, []Device{{"interface", "interface 1", "virtio", "vhost-net", true}}},
		"emulated card":          {`<interface type='network'><source network='n'/><target dev='t'/><model type='e1000e'/></interface>`, true, []Device{{"interface", "t", "e1000e", "", true}}},
		"slirp":                  {`<interface type='user'><model type='virtio'/><alias name='net0'/></interface>`, true, []Device{{"interface", "net0", "virtio", "", false}}},
		"SR-IOV":                 {`<interface type='hostdev'><source><address type='pci' domain='0' bus='1' slot='2' function='3'/></source><alias name='hostdev0'/></interface>`, true, []Device{{"interface", "hostdev0", "", "host device", false}}},
		"macvtap, vhost":         {`<interface type='direct'><source dev='eth0' mode='bridge'/><target dev='macvtap0'/><model type='virtio'/></interface>`, true, []Device{{"interface", "macvtap0", "virtio", "vhost-net", true}}},
		"host device":            {`<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='1' slot='2' function='3'/></source></hostdev>`, true, []Device{{"hostdev", "hostdev 1", "", "host itself", false}}},
		"virtiofs":               {`<filesystem type='mount'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>`, true, []Device{{"filesystem", "filesystem 1", "virtiofs", "virtiofs", false}}},
		"none":                   {"", true, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			const head = "<domain type='qemu'><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>"
			h, err := parseHardware(head+test.xml+"</devices></domain>", test.vhostNet)
			if err != nil {
				t.Fatal(err)
			}
			if h.Machine != "pc-q35-7.2" || h.Accelerator != "tcg" {
				t.Errorf("machine %q, accelerator %q", h.Machine, h.Accelerator)
			}
			got := h.Devices
			for i := range got {
				if i < len(test.want) && test.want[i].Unseen != "" && strings.Contains(got[i].Unseen, test.want[i].Unseen) {
					got[i].Unseen = test.want[i].Unseen
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Devices (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := parseHardware("<domain", true); err == nil {
		t.Error("garbled XML: no error")
	}
}

// FuzzHardware takes any text for a domain's definition: it is read, or refused, and each device that is found has a name.
func FuzzHardware(f *testing.F) {
	f.Add(`<domain type='qemu'><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices><emulator>/usr/bin/qemu</emulator></devices></domain>`)
	f.Add(`<domain><devices><disk type='vhostuser'><source type='unix' path='/s'/></disk><interface type='direct'><source dev='e'/><alias name=''/></interface>` +
		`<filesystem/><hostdev mode='subsystem' type='pci'/></devices></domain>`)
	f.Add(`<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><domain type='&b;'/>`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHardware(text, true)
		if err != nil {
			return
		}
		if len(h.Devices) > len(text) {
			t.Errorf("%d devices in %d bytes", len(h.Devices), len(text))
		}
		for _, d := range h.Devices {
			if d.Kind == "" || d.Name == "" {
				t.Errorf("device %+v", d)
			}
		}
	})
}
