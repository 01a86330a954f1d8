package about

import "strings"

// The namespaces of managers' own elements in a domain's metadata, up to their versions. Nova writes 1.1 and wrote 1.0 (nova/virt/libvirt/config.py,
// NOVA_NS), oVirt 1.0 (lib/vdsm/virt/xmlconstants.py, METADATA_VM_VDSM_URI).
const (
	novaSpace  = "http://openstack.org/xmlns/libvirt/nova/1."
	ovirtSpace = "http://ovirt.org/vm/1."
)

// Managers are the namespaces of all versions that are known, by which libvirt is asked whether a domain has such an element.
var Managers = map[string]string{
	novaSpace + "1":  Nova,
	novaSpace + "0":  Nova,
	ovirtSpace + "0": OVirt,
}

// novaInstance is what is read of Nova's element (nova/virt/libvirt/config.py, LibvirtConfigGuestMetaNovaInstance).
type novaInstance struct {
	Name   string `xml:"name"`
	Flavor struct {
		Name string `xml:"name,attr"`
	} `xml:"flavor"`
	Owner struct {
		User    novaParty `xml:"user"`
		Project novaParty `xml:"project"`
	} `xml:"owner"`
	Ports []struct {
		UUID string `xml:"uuid,attr"`
		IPs  []struct {
			Kind    string `xml:"type,attr"`
			Address string `xml:"address,attr"`
		} `xml:"ip"`
	} `xml:"ports>port"`
}

type novaParty struct {
	UUID string `xml:"uuid,attr"`
	Name string `xml:",chardata"`
}

func (p novaParty) party() *Party {
	if q := (Party{ID: cut(p.UUID), Name: cut(p.Name)}); q != (Party{}) {
		return &q
	}
	return nil
}

func (x novaInstance) owner() *Owner {
	return &Owner{Manager: Nova, Name: cut(x.Name), Project: x.Owner.Project.party(), User: x.Owner.User.party(), Flavor: cut(x.Flavor.Name)}
}

// port is one of Neutron's, and the addresses that it was given.
type port struct {
	uuid      string
	addresses []Address
}

func (x novaInstance) list() (ports []port) {
	for _, p := range x.Ports[:min(maxDevices, len(x.Ports))] {
		q := port{uuid: p.UUID}
		for _, ip := range p.IPs[:min(maxAddresses, len(p.IPs))] {
			if found, ok := address(ip.Address, 0, FromNova); ok {
				q.addresses = append(q.addresses, found)
			}
		}
		ports = append(ports, q)
	}
	return ports
}

// portDigits is how much of a port's UUID Nova puts into the name of the host's device, after three letters that say of what kind it is.
const portDigits = 11

// of says whether the port is that of an interface.
func (p port) of(n Interface) bool {
	if len(p.uuid) < portDigits {
		return false
	}
	return p.uuid == n.Port || len(n.Name) == 3+portDigits && strings.HasSuffix(n.Name, p.uuid[:portDigits])
}

// ovirtVM is what is read of VDSM's element, which oVirt's engine makes. It names no owner: the engine knows whose a virtual machine is.
type ovirtVM struct {
	Cluster string `xml:"clusterVersion"`
}

func (x ovirtVM) owner() *Owner { return &Owner{Manager: OVirt, Cluster: cut(x.Cluster)} }
