package lab

import (
	"fmt"
	"slices"
	"strings"
)

// DefaultVariant is the kind of guest when none is named.
const DefaultVariant = "q35"

// Variant is a kind of guest: what its machine is made of, what is installed
// on it and what it serves.
type Variant struct {
	Name  string
	About string // for people, in a few words

	machine string // libvirt's name of the machine type
	vcpus   int
	disk    string // bus of the disk: virtio or sata
	nic     string // model of the network card: virtio or e1000e
	image   string // directory of packaging/lab/variants that changes the image's recipe; empty for the default image
	service string // what it serves, a key of services
}

// root is the disk's name in the guest's kernel.
func (v Variant) root() string { return "/dev/" + v.target() }

// target is the disk's name in libvirt. The guest's kernel happens to give
// its only disk the same one.
func (v Variant) target() string {
	if v.disk == "sata" {
		return "sda"
	}
	return "vda"
}

// variants lists the kinds of guest, each different from the default one in
// one respect.
var variants = []Variant{
	{Name: DefaultVariant, About: "one processor, PCI Express, virtio devices, Debian 12, a web site"},
	{Name: "i440fx", About: "the older machine type, with PCI and without PCI Express", machine: "pc"},
	{Name: "emulated", About: "an e1000e network card and a SATA disk; an image with Debian's kernel for all machines", disk: "sata", nic: "e1000e", image: "emulated"},
	{Name: "smp2", About: "two processors", vcpus: 2},
	{Name: "trixie", About: "Debian 13: an image of its own", image: "trixie"},
	{Name: "database", About: "serves MariaDB to clients on the network, and no web site", service: "database"},
	{Name: "mail", About: "receives mails by SMTP and gives them out by POP3, and no web site: an image of its own", image: "mail", service: "mail"},
}

// Variants lists the kinds of guest.
func Variants() []Variant {
	list := slices.Clone(variants)
	for i := range list {
		list[i] = list[i].withDefaults()
	}
	return list
}

// VariantNames lists the names of the kinds of guest.
func VariantNames() []string {
	var names []string
	for _, v := range variants {
		names = append(names, v.Name)
	}
	return names
}

// variantOf returns the kind of guest of that name, the default one for an
// empty name.
func variantOf(name string) (Variant, error) {
	if name == "" {
		name = DefaultVariant
	}
	for _, v := range variants {
		if v.Name == name {
			return v.withDefaults(), nil
		}
	}
	return Variant{}, fmt.Errorf("guest variant %q: want one of %s", name, strings.Join(VariantNames(), ", "))
}

func (v Variant) withDefaults() Variant {
	if v.machine == "" {
		v.machine = "q35"
	}
	if v.vcpus == 0 {
		v.vcpus = 1
	}
	if v.disk == "" {
		v.disk = "virtio"
	}
	if v.nic == "" {
		v.nic = "virtio"
	}
	if v.service == "" {
		v.service = "web"
	}
	return v
}

// recipe is the command line that builds the variant's image, from the top
// of the source tree.
func (v Variant) recipe() []string {
	if v.image == "" {
		return []string{"packaging/lab/image/build"}
	}
	return []string{"packaging/lab/variants/build", v.image}
}
