package libvirt

import (
	golibvirt "libvirt.org/go/libvirt"
)

// EventKind is what happened to a domain: a hint to look again, never the truth itself.
type EventKind int

// The kinds of life cycle event (virDomainEventType); those that change nothing for an observer of a running guest are not passed on.
const (
	Started EventKind = iota + 1
	Suspended
	Resumed
	Stopped
	MetadataChanged // of the state element, by whomever
	DevicesChanged  // a device was plugged in or out
	Rebooted        // the guest was reset, or has rebooted, within the same QEMU; one reset may be told twice
	PolicyChanged   // the policy element, in either definition, by whomever
	Defined         // the persistent definition is another one: with it may come another policy, or another name
)

var eventKinds = map[golibvirt.DomainEventType]EventKind{
	golibvirt.DOMAIN_EVENT_STARTED:     Started,
	golibvirt.DOMAIN_EVENT_SUSPENDED:   Suspended,
	golibvirt.DOMAIN_EVENT_PMSUSPENDED: Suspended,
	golibvirt.DOMAIN_EVENT_RESUMED:     Resumed,
	golibvirt.DOMAIN_EVENT_STOPPED:     Stopped,
	golibvirt.DOMAIN_EVENT_CRASHED:     Suspended, // its QEMU may be kept; when it ends, Stopped follows
	golibvirt.DOMAIN_EVENT_DEFINED:     Defined,   // whatever its detail: also a transient domain that becomes persistent has another policy
}

func (k EventKind) String() string {
	switch k {
	case Started:
		return "started"
	case Suspended:
		return "suspended"
	case Resumed:
		return "resumed"
	case Stopped:
		return "stopped"
	case MetadataChanged:
		return "metadata changed"
	case DevicesChanged:
		return "devices changed"
	case Rebooted:
		return "rebooted"
	case PolicyChanged:
		return "policy changed"
	case Defined:
		return "defined"
	}
	return "unknown"
}

// Event is one event of one domain.
type Event struct {
	Kind   EventKind
	Domain Domain
}

// queueLength bounds the events that wait for their reader. More than that at once is answered by a reconcile.
const queueLength = 256

// registerEvents asks for all events. The callbacks run on the event loop: they must neither block nor call libvirt.
func (c *Connection) registerEvents() error {
	for _, register := range []func() (int, error){
		func() (int, error) {
			return c.conn.DomainEventLifecycleRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain, e *golibvirt.DomainEventLifecycle) {
				if kind, known := eventKinds[e.Event]; known {
					c.deliver(kind, d)
				}
			})
		},
		func() (int, error) { return c.conn.DomainEventMetadataChangeRegister(nil, c.metadataChanged) },
		func() (int, error) {
			return c.conn.DomainEventRebootRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain) { c.deliver(Rebooted, d) })
		},
		func() (int, error) {
			return c.conn.DomainEventDeviceAddedRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain, _ *golibvirt.DomainEventDeviceAdded) {
				c.deliver(DevicesChanged, d)
			})
		},
		func() (int, error) {
			return c.conn.DomainEventDeviceRemovedRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain, _ *golibvirt.DomainEventDeviceRemoved) {
				c.deliver(DevicesChanged, d)
			})
		},
	} {
		id, err := register()
		if err != nil {
			return err
		}
		c.callbacks = append(c.callbacks, id)
	}
	return nil
}

func (c *Connection) metadataChanged(_ *golibvirt.Connect, d *golibvirt.Domain, e *golibvirt.DomainEventMetadataChange) {
	switch e.NSURI {
	case StateURI:
		c.deliver(MetadataChanged, d)
	case PolicyURI:
		c.deliver(PolicyChanged, d)
	}
}

func (c *Connection) deliver(kind EventKind, d *golibvirt.Domain) {
	domain, err := identify(d)
	if err != nil {
		c.missed()
		return
	}
	select {
	case c.events <- Event{Kind: kind, Domain: domain}:
	default:
		c.missed()
	}
}

func (c *Connection) missed() {
	select {
	case c.lost <- struct{}{}:
	default:
	}
}
