// Package about is what a domain's definition tells of whose domain it is and what it reaches: its owner, as OpenStack Nova and oVirt note it in
// elements of their own, its network interfaces and its disks. It needs no C library, so the operator's command may use it too.
package about

// About is what an operator wants to know of a domain besides its state. Its texts come from the definition: the tenant of a cloud has chosen some of
// them, so they are data and nothing else.
type About struct {
	Owner      *Owner      `json:"owner,omitempty"` // nil: neither Nova nor oVirt keeps the domain
	Interfaces []Interface `json:"interfaces,omitempty"`
	Disks      []Disk      `json:"disks,omitempty"`
	// Omitted is how many interfaces, disks and addresses there are beyond those that are kept here.
	Omitted int `json:"omitted,omitempty"`
}

// The managers that an Owner may name.
const (
	Nova  = "nova"
	OVirt = "ovirt"
)

// Owner says whose a domain is. What its manager does not note is empty.
type Owner struct {
	Manager string `json:"manager"` // Nova or OVirt: who keeps the domain's definition and writes it anew
	Name    string `json:"name,omitempty"`
	Project *Party `json:"project,omitempty"`
	User    *Party `json:"user,omitempty"`
	Flavor  string `json:"flavor,omitempty"`
	// Cluster is the compatibility version of oVirt's cluster.
	Cluster string `json:"cluster,omitempty"`
}

// Party is somebody by identity and name.
type Party struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// Interface is a network interface.
type Interface struct {
	Name   string `json:"name"` // of the host's device, or its alias, as virsh shows it
	MAC    string `json:"mac,omitempty"`
	Kind   string `json:"kind,omitempty"`   // bridge, network, direct, ethernet, user, hostdev, vdpa, vhostuser, ...
	Source string `json:"source,omitempty"` // the bridge, network or device of the host that it is attached to
	Model  string `json:"model,omitempty"`
	Port   string `json:"port,omitempty"` // its identity to the network's manager (Open vSwitch's interfaceid): Neutron's port
	// Addresses are those that are known of, from the guest or not.
	Addresses []Address `json:"addresses,omitempty"`
}

// The sources that an Address may name.
const (
	FromDefinition = "definition" // the interface's own <ip> element
	FromFilter     = "filter"     // the parameter IP of its network filter
	FromNova       = "nova"       // a fixed address that Nova has noted
	FromLease      = "lease"      // libvirt's DHCP server gave it out
	FromARP        = "arp"        // the host's neighbour table
	FromAgent      = "agent"      // the guest itself says so: it may lie
)

// Address is an IP address of an interface.
type Address struct {
	IP     string `json:"ip"`
	Prefix uint   `json:"prefix,omitempty"` // length in bits; 0: not known
	Source string `json:"source"`
}

// Disk is a disk, or a drive for removable media.
type Disk struct {
	Target   string `json:"target"` // vda, sda, ...
	Bus      string `json:"bus,omitempty"`
	Device   string `json:"device,omitempty"` // disk, cdrom, floppy, lun
	Kind     string `json:"kind,omitempty"`   // file, block, network, volume, dir, nvme, vhostuser, vhostvdpa; empty: nothing is in it
	Source   string `json:"source,omitempty"`
	ReadOnly bool   `json:"read_only,omitempty"`
	Serial   string `json:"serial,omitempty"` // Cinder's volume and oVirt's disk are found by it
}
