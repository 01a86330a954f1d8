package libvirt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDevices(t *testing.T) {
	tests := map[string]struct {
		xml      string
		vhostNet bool
		want     []Device // Unseen: a part of it
	}{
		"disk of a file":         {`<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>`, true, []Device{{"disk", "vda", ""}}},
		"disk of vhost-user":     {`<disk type='vhostuser'><source type='unix' path='/s'/><target dev='vdb' bus='virtio'/></disk>`, true, []Device{{"disk", "vdb", "vhost-user"}}},
		"virtio, host has vhost": {`<interface type='bridge'><source bridge='b'/><target dev='vnet0'/><model type='virtio'/></interface>`, true, []Device{{"interface", "vnet0", "vhost-net"}}},
		"virtio, host has none":  {`<interface type='bridge'><source bridge='b'/><target dev='vnet0'/><model type='virtio'/></interface>`, false, []Device{{"interface", "vnet0", ""}}},
		"virtio, driver qemu":    {`<interface type='bridge'><source bridge='b'/><target dev='vnet0'/><model type='virtio'/><driver name='qemu'/></interface>`, true, []Device{{"interface", "vnet0", ""}}},
		"virtio, driver vhost":   {`<interface type='network'><source network='n'/><model type='virtio'/><driver name='vhost'/></interface>`, false, []Device{{"interface", "interface 1", "vhost-net"}}},
		"emulated card":          {`<interface type='network'><source network='n'/><target dev='t'/><model type='e1000e'/></interface>`, true, []Device{{"interface", "t", ""}}},
		"slirp":                  {`<interface type='user'><model type='virtio'/><alias name='net0'/></interface>`, true, []Device{{"interface", "net0", ""}}},
		"SR-IOV":                 {`<interface type='hostdev'><source><address type='pci' domain='0' bus='1' slot='2' function='3'/></source><alias name='hostdev0'/></interface>`, true, []Device{{"interface", "hostdev0", "host device"}}},
		"host device":            {`<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='1' slot='2' function='3'/></source></hostdev>`, true, []Device{{"hostdev", "hostdev 1", "host itself"}}},
		"virtiofs":               {`<filesystem type='mount'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>`, true, []Device{{"filesystem", "filesystem 1", "virtiofs"}}},
		"none":                   {"", true, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseDevices("<domain type='kvm'><devices>"+test.xml+"</devices></domain>", test.vhostNet)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if i < len(test.want) && test.want[i].Unseen != "" && strings.Contains(got[i].Unseen, test.want[i].Unseen) {
					got[i].Unseen = test.want[i].Unseen
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("parseDevices (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := parseDevices("<domain", true); err == nil {
		t.Error("garbled XML: no error")
	}
}
