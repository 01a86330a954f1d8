package libvirt

import (
	"fmt"

	golibvirt "libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

// Domain names a domain.
type Domain = qemu.Domain

// Activity is what a domain's virtual CPUs do.
type Activity int

// Activities, from virDomainState.
const (
	Inactive Activity = iota // not running: no QEMU process, or one that is going down
	Running
	Paused
	Held // paused, and libvirt does not know why: nobody has asked it to, so QEMU has done it by itself, or a debugger
)

// Running lists the domains that have a QEMU process, paused ones included.
func (c *Connection) Running() ([]Domain, error) {
	return c.list("list running domains", golibvirt.CONNECT_LIST_DOMAINS_ACTIVE)
}

// Domains lists all domains, also those that are defined and do not run.
func (c *Connection) Domains() ([]Domain, error) {
	return c.list("list all domains", 0)
}

func (c *Connection) list(operation string, which golibvirt.ConnectListAllDomainsFlags) ([]Domain, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.freed {
		return nil, fmt.Errorf("libvirt: %s: %w", operation, ErrClosed)
	}
	list, err := c.conn.ListAllDomains(which)
	if err != nil {
		return nil, fmt.Errorf("libvirt: %s: %w", operation, err)
	}
	found := make([]Domain, 0, len(list))
	for i := range list {
		d, idErr := identify(&list[i])
		_ = list[i].Free()
		if idErr != nil {
			err = idErr
			continue
		}
		found = append(found, d)
	}
	return found, err
}

// Activity reads what a domain does now. A domain that libvirt does not know is Inactive.
func (c *Connection) Activity(uuid string) (Activity, error) {
	activity := Inactive
	err := c.with(uuid, func(d *golibvirt.Domain) error {
		state, reason, err := d.GetState()
		if err != nil {
			return err
		}
		switch state {
		case golibvirt.DOMAIN_RUNNING, golibvirt.DOMAIN_BLOCKED, golibvirt.DOMAIN_SHUTDOWN:
			activity = Running
		case golibvirt.DOMAIN_PAUSED:
			activity = Paused
			if golibvirt.DomainPausedReason(reason) == golibvirt.DOMAIN_PAUSED_UNKNOWN {
				activity = Held
			}
		case golibvirt.DOMAIN_PMSUSPENDED, golibvirt.DOMAIN_CRASHED:
			activity = Paused
		}
		return nil
	})
	if isCode(err, golibvirt.ERR_NO_DOMAIN) {
		return Inactive, nil
	}
	if err != nil {
		return Inactive, fmt.Errorf("libvirt: read activity of domain %s: %w", uuid, err)
	}
	return activity, nil
}

// with looks a domain up, hands it to f and frees it.
func (c *Connection) with(uuid string, f func(*golibvirt.Domain) error) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.freed {
		return ErrClosed
	}
	d, err := c.conn.LookupDomainByUUIDString(uuid)
	if err != nil {
		return err
	}
	defer func() { _ = d.Free() }()
	return f(d)
}

// identify reads only what the domain object itself holds: no round trip, so it is safe on the event loop.
func identify(d *golibvirt.Domain) (Domain, error) {
	uuid, err := d.GetUUIDString()
	if err != nil {
		return Domain{}, fmt.Errorf("libvirt: read a domain's UUID: %w", err)
	}
	name, err := d.GetName()
	if err != nil {
		return Domain{}, fmt.Errorf("libvirt: read the name of domain %s: %w", uuid, err)
	}
	id, err := d.GetID() // a domain that does not run has none
	if err != nil {
		id = 0
	}
	return Domain{UUID: uuid, Name: name, ID: int(id)}, nil
}
