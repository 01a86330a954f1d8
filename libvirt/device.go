package libvirt

import (
	"fmt"
	"os"

	golibvirt "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Device is a disk, network interface or other device of a domain through which its guest reaches the outside.
type Device struct {
	Kind string // disk, interface, filesystem, hostdev
	Name string // target name, or alias, as virsh shows it
	Type string // bus, model or driver: virtio, e1000e, sata, ...
	// Unseen says why QEMU itself does not see what passes through the device, so that none of QEMU's trace points does; empty: it does.
	Unseen string
	// Tap says that its packets pass a tap or macvtap device of the host, on which they can be seen.
	Tap bool
}

// Hardware is what a domain's guest runs on.
type Hardware struct {
	Machine     string // canonical machine type, such as pc-q35-7.2
	Accelerator string // kvm or tcg
	Emulator    string // path of the executable that libvirt runs
	Devices     []Device
}

// vhostNet is the kernel's device for vhost-net. Where it is missing, libvirt falls back to QEMU's own virtio-net back end.
const vhostNet = "/dev/vhost-net"

// Hardware reads what a running domain has from its live definition. Errors: ErrNoDomain.
func (c *Connection) Hardware(uuid string) (Hardware, error) {
	var text string
	err := c.with(uuid, func(d *golibvirt.Domain) (err error) {
		text, err = d.GetXMLDesc(0)
		return err
	})
	switch {
	case isCode(err, golibvirt.ERR_NO_DOMAIN):
		return Hardware{}, fmt.Errorf("libvirt: domain %s: read hardware: %w", uuid, ErrNoDomain)
	case err != nil:
		return Hardware{}, fmt.Errorf("libvirt: domain %s: read hardware: %w", uuid, err)
	}
	_, statErr := os.Stat(vhostNet)
	h, err := parseHardware(text, statErr == nil)
	if err != nil {
		return Hardware{}, fmt.Errorf("libvirt: domain %s: read hardware: %w", uuid, err)
	}
	return h, nil
}

func parseHardware(text string, hasVhostNet bool) (Hardware, error) {
	var d libvirtxml.Domain
	if err := d.Unmarshal(text); err != nil {
		return Hardware{}, err
	}
	h := Hardware{Accelerator: d.Type}
	if d.Type == "qemu" { // libvirt's name of the domain type without hardware acceleration
		h.Accelerator = "tcg"
	}
	if d.OS != nil && d.OS.Type != nil {
		h.Machine = d.OS.Type.Machine
	}
	if d.Devices != nil {
		h.Emulator = d.Devices.Emulator
		h.Devices = devices(d.Devices, hasVhostNet)
	}
	return h, nil
}

func devices(all *libvirtxml.DomainDeviceList, hasVhostNet bool) (list []Device) {
	for i, x := range all.Disks {
		list = append(list, disk(i, x))
	}
	for i, x := range all.Interfaces {
		list = append(list, networkInterface(i, x, hasVhostNet))
	}
	for i, x := range all.Filesystems {
		v := Device{Kind: "filesystem", Name: aliasOr(x.Alias, "filesystem", i)}
		if x.Driver != nil {
			v.Type = x.Driver.Type
		}
		if v.Type == "virtiofs" {
			v.Unseen = "virtiofs serves it outside of QEMU"
		}
		list = append(list, v)
	}
	for i, x := range all.Hostdevs {
		list = append(list, Device{Kind: "hostdev", Name: aliasOr(x.Alias, "hostdev", i), Unseen: "the guest drives a device of the host itself"})
	}
	return list
}

func disk(i int, x libvirtxml.DomainDisk) Device {
	d := Device{Kind: "disk", Name: aliasOr(x.Alias, "disk", i)}
	if x.Target != nil && x.Target.Dev != "" {
		d.Name, d.Type = x.Target.Dev, x.Target.Bus
	}
	if x.Source != nil && (x.Source.VHostUser != nil || x.Source.VHostVDPA != nil) {
		d.Unseen = "vhost-user or vDPA serves it outside of QEMU"
	}
	return d
}

func networkInterface(i int, x libvirtxml.DomainInterface, hasVhostNet bool) Device {
	d := Device{Kind: "interface", Name: aliasOr(x.Alias, "interface", i)}
	if x.Target != nil && x.Target.Dev != "" {
		d.Name = x.Target.Dev
	}
	if x.Model != nil {
		d.Type = x.Model.Type
	}
	virtio := x.Model == nil || x.Model.Type == "virtio" || x.Model.Type == "virtio-non-transitional" || x.Model.Type == "virtio-transitional"
	driver := ""
	if x.Driver != nil {
		driver = x.Driver.Name
	}
	s := x.Source
	d.Tap = s != nil && (s.Network != nil || s.Bridge != nil || s.Ethernet != nil || s.Direct != nil)
	switch {
	case s != nil && (s.Hostdev != nil || s.VDPA != nil || s.VHostUser != nil):
		d.Unseen = "its packets pass outside of QEMU (host device, vDPA or vhost-user)"
	case s != nil && (s.User != nil || s.Server != nil || s.Client != nil || s.MCast != nil || s.UDP != nil || s.Null != nil):
		// QEMU's own back ends.
	case driver == "vhost", driver == "" && virtio && hasVhostNet:
		d.Unseen = "vhost-net moves its packets past QEMU (remedy: <driver name='qemu'/> in the interface)"
	}
	return d
}

func aliasOr(a *libvirtxml.DomainAlias, kind string, i int) string {
	if a != nil && a.Name != "" {
		return a.Name
	}
	return fmt.Sprintf("%s %d", kind, i+1)
}
