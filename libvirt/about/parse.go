package about

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"libvirt.org/go/libvirtxml"
)

// Bounds of what is kept. A definition may hold far more; nobody reads on.
const (
	maxDefinition = 8 << 20 // bytes; libvirt sends no more than 4 MiB
	maxDevices    = 64      // interfaces, and disks
	maxAddresses  = 16      // of an interface
	maxText       = 256     // bytes of a text
)

// ErrDefinition says that a text is no definition of a domain.
var ErrDefinition = errors.New("not a domain's definition")

// Parse reads a domain's definition, https://libvirt.org/formatdomain.html. What is odd in it is passed over. Errors: ErrDefinition.
func Parse(text string) (About, error) {
	if len(text) > maxDefinition {
		return About{}, fmt.Errorf("%w: larger than %d bytes", ErrDefinition, maxDefinition)
	}
	var d libvirtxml.Domain
	if err := d.Unmarshal(text); err != nil {
		return About{}, fmt.Errorf("%w: %w", ErrDefinition, err)
	}
	return Of(&d), nil
}

// Of is Parse of a definition that was read already. It changes nothing of it.
func Of(d *libvirtxml.Domain) (a About) {
	var ports []port
	if d.Metadata != nil {
		a.Owner, ports = owner(d.Metadata.XML)
	}
	if d.Devices == nil {
		return a
	}
	for i, x := range d.Devices.Interfaces {
		if i == maxDevices {
			a.Omitted += len(d.Devices.Interfaces) - i
			break
		}
		n := networkInterface(i, x)
		for _, p := range ports {
			if p.of(n) {
				a.Omitted += n.add(p.addresses...)
			}
		}
		a.Interfaces = append(a.Interfaces, n)
	}
	for i, x := range d.Devices.Disks {
		if i == maxDevices {
			a.Omitted += len(d.Devices.Disks) - i
			break
		}
		a.Disks = append(a.Disks, disk(i, x))
	}
	return a
}

// Learn adds an address that was found of the interface with that MAC address, and says whether there is such an interface. One that is known already
// keeps its source.
func (a *About) Learn(mac string, found Address) bool {
	found, ok := address(found.IP, found.Prefix, found.Source)
	if !ok {
		return false
	}
	known := false
	for i := range a.Interfaces {
		if n := &a.Interfaces[i]; n.MAC != "" && strings.EqualFold(n.MAC, mac) {
			n.Addresses = slices.Clone(n.Addresses) // others may read what they were given
			a.Omitted += n.add(found)
			known = true
		}
	}
	return known
}

// add adds addresses that are not known yet, and says how many there is no room for.
func (n *Interface) add(list ...Address) (omitted int) {
	for _, x := range list {
		switch {
		case slices.ContainsFunc(n.Addresses, func(known Address) bool { return known.IP == x.IP }):
		case len(n.Addresses) == maxAddresses:
			omitted++
		default:
			n.Addresses = append(n.Addresses, x)
		}
	}
	return omitted
}

func networkInterface(i int, x libvirtxml.DomainInterface) Interface {
	n := Interface{Name: alias(x.Alias, "interface", i)}
	if x.Target != nil && x.Target.Dev != "" {
		n.Name = cut(x.Target.Dev)
	}
	if x.MAC != nil {
		n.MAC = strings.ToLower(cut(x.MAC.Address))
	}
	if x.Model != nil {
		n.Model = cut(x.Model.Type)
	}
	n.Kind, n.Source = attachment(x.Source)
	if x.VirtualPort != nil && x.VirtualPort.Params != nil {
		n.Port = interfaceID(x.VirtualPort.Params)
	}
	for _, ip := range x.IP {
		if found, ok := address(ip.Address, ip.Prefix, FromDefinition); ok {
			n.add(found)
		}
	}
	if x.FilterRef != nil {
		for _, p := range x.FilterRef.Parameters {
			if found, ok := address(p.Value, 0, FromFilter); ok && (p.Name == "IP" || p.Name == "IPV6") {
				n.add(found)
			}
		}
	}
	return n
}

// attachment says what an interface is attached to.
func attachment(s *libvirtxml.DomainInterfaceSource) (kind, source string) {
	switch {
	case s == nil:
	case s.Bridge != nil:
		return "bridge", cut(s.Bridge.Bridge)
	case s.Network != nil:
		return "network", cut(s.Network.Network)
	case s.Direct != nil:
		return "direct", cut(s.Direct.Dev)
	case s.Ethernet != nil:
		return "ethernet", ""
	case s.User != nil:
		return "user", cut(s.User.Dev)
	case s.Internal != nil:
		return "internal", cut(s.Internal.Name)
	case s.VDPA != nil:
		return "vdpa", cut(s.VDPA.Device)
	case s.VHostUser != nil:
		return "vhostuser", cut(s.VHostUser.Dev)
	case s.Hostdev != nil:
		return "hostdev", ""
	case s.Server != nil, s.Client != nil, s.MCast != nil, s.UDP != nil:
		return "socket", ""
	}
	return "", ""
}

func interfaceID(p *libvirtxml.DomainInterfaceVirtualPortParams) string {
	switch {
	case p.OpenVSwitch != nil:
		return cut(p.OpenVSwitch.InterfaceID)
	case p.MidoNet != nil:
		return cut(p.MidoNet.InterfaceID)
	case p.Any != nil:
		return cut(p.Any.InterfaceID)
	}
	return ""
}

func disk(i int, x libvirtxml.DomainDisk) Disk {
	d := Disk{Target: alias(x.Alias, "disk", i), Device: cut(x.Device), ReadOnly: x.ReadOnly != nil, Serial: cut(x.Serial)}
	if x.Target != nil && x.Target.Dev != "" {
		d.Target, d.Bus = cut(x.Target.Dev), cut(x.Target.Bus)
	}
	if x.Source != nil {
		d.Kind, d.Source = storage(x.Source)
	}
	return d
}

// storage says where a disk's content is. Of what is reached over the network, neither who asks for it nor by what secret.
func storage(s *libvirtxml.DomainDiskSource) (kind, source string) {
	switch {
	case s.File != nil && s.File.File != "":
		return "file", cut(s.File.File)
	case s.Block != nil && s.Block.Dev != "":
		return "block", cut(s.Block.Dev)
	case s.Network != nil:
		return "network", cut(s.Network.Protocol + ":" + s.Network.Name)
	case s.Volume != nil:
		return "volume", cut(s.Volume.Pool + "/" + s.Volume.Volume)
	case s.Dir != nil:
		return "dir", cut(s.Dir.Dir)
	case s.NVME != nil:
		return "nvme", ""
	case s.VHostUser != nil:
		return "vhostuser", ""
	case s.VHostVDPA != nil:
		return "vhostvdpa", cut(s.VHostVDPA.Dev)
	}
	return "", ""
}

// address is an address in its usual form; false: it is none, or one that says nothing.
func address(text string, prefix uint, source string) (Address, bool) {
	ip, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil || ip.IsUnspecified() || ip.IsLoopback() || ip.Zone() != "" {
		return Address{}, false
	}
	ip = ip.Unmap()
	if prefix > uint(ip.BitLen()) {
		prefix = 0
	}
	return Address{IP: ip.String(), Prefix: prefix, Source: source}, true
}

func alias(a *libvirtxml.DomainAlias, kind string, i int) string {
	if a != nil && a.Name != "" {
		return cut(a.Name)
	}
	return fmt.Sprintf("%s %d", kind, i+1)
}

// cut bounds a text, in bytes, at the border of a rune.
func cut(s string) string {
	s = strings.ToValidUTF8(strings.TrimSpace(s), "�")
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// owner reads the elements of those who manage domains, and which addresses they have given to which ports. Where there are several owners, Nova's
// element counts first.
func owner(metadata string) (*Owner, []port) {
	var of *Owner
	var ports []port
	d := xml.NewDecoder(strings.NewReader(metadata))
	for {
		token, err := d.Token()
		if err != nil {
			return of, ports // the end, or what follows cannot be read
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch {
		case start.Name.Local == "instance" && strings.HasPrefix(start.Name.Space, novaSpace):
			var x novaInstance
			if err := d.DecodeElement(&x, &start); err == nil {
				of, ports = x.owner(), x.list()
			}
		case start.Name.Local == "vm" && strings.HasPrefix(start.Name.Space, ovirtSpace):
			var x ovirtVM
			if err := d.DecodeElement(&x, &start); err == nil {
				of = cmp.Or(of, x.owner())
			}
		default:
			if err := d.Skip(); err != nil {
				return of, ports
			}
		}
	}
}
