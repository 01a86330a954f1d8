package libvirt

import (
	"errors"
	"fmt"
	"os"
	"strings"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/libvirt/about"
)

// About reads whose a running domain is and what it reaches: from its live definition, its DHCP leases and the host's neighbour table. The guest's agent
// is never asked: it would be the guest's own word, and a guest that does not answer holds libvirt up. Errors: ErrNoDomain; about.ErrDefinition; another
// error, with all that is known, where libvirt does not know addresses.
func (c *Connection) About(uuid string) (about.About, error) {
	var text string
	var found []golibvirt.DomainInterface
	var sources []string // of what was found
	var unknown error
	err := c.with(uuid, func(d *golibvirt.Domain) (err error) {
		if text, err = d.GetXMLDesc(0); err != nil {
			return err
		}
		for _, from := range []struct {
			source golibvirt.DomainInterfaceAddressesSource
			name   string
		}{{golibvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, about.FromLease}, {golibvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_ARP, about.FromARP}} {
			list, err := d.ListAllInterfaceAddresses(from.source)
			if err != nil && from.name == about.FromARP {
				list, err = neighbours(arpTable, err)
			}
			if err != nil {
				unknown = errors.Join(unknown, fmt.Errorf("libvirt: domain %s: read addresses (%s): %w", uuid, from.name, err))
			}
			for _, x := range list {
				found, sources = append(found, x), append(sources, from.name)
			}
		}
		return nil
	})
	if err != nil {
		return about.About{}, elementError(uuid, "read definition", err)
	}
	a, err := about.Parse(text)
	if err != nil {
		return a, fmt.Errorf("libvirt: domain %s: %w", uuid, err)
	}
	for i, x := range found {
		for _, ip := range x.Addrs {
			a.Learn(x.Hwaddr, about.Address{IP: ip.Addr, Prefix: ip.Prefix, Source: sources[i]})
		}
	}
	return a, unknown
}

// arpTable is the host's neighbour table of IPv4, proc_net(5).
const arpTable = "/proc/net/arp"

// neighbours reads the host's neighbour table where libvirt could not, because of failed: before 10.4 it takes the end of the table for an error where
// Linux sends it along with the rest, as it does from 6.10 on.
func neighbours(path string, failed error) ([]golibvirt.DomainInterface, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.Join(failed, err)
	}
	var list []golibvirt.DomainInterface
	for i, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line) // address, type, flags, MAC address, mask, device
		if i == 0 || len(fields) < 4 || fields[2] == "0x0" {
			continue // the heading, the end, or a neighbour that has not answered
		}
		list = append(list, golibvirt.DomainInterface{Hwaddr: fields[3], Addrs: []golibvirt.DomainIPAddress{{Addr: fields[0]}}})
	}
	return list, nil
}

// Manager says who keeps a domain's definition and writes it anew when it likes, by the element that it leaves there: about.Nova, about.OVirt, or empty
// for nobody that is known. It looks where Policy does. Errors: ErrNoDomain.
func (c *Connection) Manager(uuid string) (name string, err error) {
	err = c.with(uuid, func(d *golibvirt.Domain) error {
		definition, err := lasting(d)
		if err != nil {
			return err
		}
		for space, manager := range about.Managers {
			_, err := d.GetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, space, definition)
			if isCode(err, golibvirt.ERR_NO_DOMAIN_METADATA) {
				continue
			}
			if err != nil {
				return err
			}
			name = manager
			return nil
		}
		return nil
	})
	if err != nil {
		return "", elementError(uuid, "look for a manager's element", err)
	}
	return name, nil
}

// lasting is the definition that lasts as long as the domain does: the persistent one, or the live one of a transient domain.
func lasting(d *golibvirt.Domain) (golibvirt.DomainModificationImpact, error) {
	persistent, err := d.IsPersistent()
	if err == nil && persistent {
		return golibvirt.DOMAIN_AFFECT_CONFIG, nil
	}
	return golibvirt.DOMAIN_AFFECT_LIVE, err
}
