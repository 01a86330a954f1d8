package libvirt

import (
	golibvirt "libvirt.org/go/libvirt"
)

// EventKind is what happened to a domain: a hint to look again, never the truth itself.
type EventKind int

// The kinds of event. Those from BlockJob on change nothing for an observer of a running guest; they are told because people want to know what else
// happened, and the first to be dropped.
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
	ProfileChanged  // the profile element, by whomever
	BlockJob        // a copy, backup, commit or pull of a disk
	IOError         // of a disk
	WatchdogFired   // the guest's
	MediaChanged    // of a drive for removable media
	JobEnded        // a migration, save or dump
	Undefined       // there is no persistent definition any more

	lastKind = Undefined
)

var eventKinds = map[golibvirt.DomainEventType]EventKind{
	golibvirt.DOMAIN_EVENT_STARTED:     Started,
	golibvirt.DOMAIN_EVENT_SUSPENDED:   Suspended,
	golibvirt.DOMAIN_EVENT_PMSUSPENDED: Suspended,
	golibvirt.DOMAIN_EVENT_RESUMED:     Resumed,
	golibvirt.DOMAIN_EVENT_STOPPED:     Stopped,
	golibvirt.DOMAIN_EVENT_CRASHED:     Suspended, // its QEMU may be kept; when it ends, Stopped follows
	golibvirt.DOMAIN_EVENT_DEFINED:     Defined,   // whatever its detail: also a transient domain that becomes persistent has another policy
	golibvirt.DOMAIN_EVENT_UNDEFINED:   Undefined,
}

var kindNames = map[EventKind]string{
	Started: "started", Suspended: "suspended", Resumed: "resumed", Stopped: "stopped", MetadataChanged: "metadata changed", DevicesChanged: "devices changed",
	Rebooted: "rebooted", PolicyChanged: "policy changed", Defined: "defined", ProfileChanged: "profile changed", BlockJob: "block job", IOError: "I/O error",
	WatchdogFired: "watchdog", MediaChanged: "media changed", JobEnded: "job ended", Undefined: "undefined",
}

func (k EventKind) String() string {
	if name := kindNames[k]; name != "" {
		return name
	}
	return "unknown"
}

// Event is one event of one domain.
type Event struct {
	Kind   EventKind
	Domain Domain
	Detail string // in words, for people; empty: there is none
}

// queueLength bounds the events that wait for their reader. More than that at once is answered by a reconcile.
const queueLength = 256

// registerEvents asks for all events. The callbacks run on the event loop: they must neither block nor call libvirt.
func (c *Connection) registerEvents() error {
	for _, register := range []func() (int, error){
		func() (int, error) { return c.conn.DomainEventLifecycleRegister(nil, c.lifecycle) },
		func() (int, error) { return c.conn.DomainEventMetadataChangeRegister(nil, c.metadataChanged) },
		func() (int, error) {
			return c.conn.DomainEventRebootRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain) { c.deliver(Rebooted, d, "") })
		},
		func() (int, error) {
			return c.conn.DomainEventDeviceAddedRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain, e *golibvirt.DomainEventDeviceAdded) {
				c.deliver(DevicesChanged, d, e.DevAlias+" added")
			})
		},
		func() (int, error) {
			return c.conn.DomainEventDeviceRemovedRegister(nil, func(_ *golibvirt.Connect, d *golibvirt.Domain, e *golibvirt.DomainEventDeviceRemoved) {
				c.deliver(DevicesChanged, d, e.DevAlias+" removed")
			})
		},
	} {
		id, err := register()
		if err != nil {
			return err
		}
		c.callbacks = append(c.callbacks, id)
	}
	c.registerNotes()
	return nil
}

func (c *Connection) lifecycle(_ *golibvirt.Connect, d *golibvirt.Domain, e *golibvirt.DomainEventLifecycle) {
	kind, known := eventKinds[e.Event]
	switch {
	case !known:
	case kind == Undefined:
		c.note(kind, d, "")
	default:
		c.deliver(kind, d, detail(e.Event, e.Detail))
	}
}

func (c *Connection) metadataChanged(_ *golibvirt.Connect, d *golibvirt.Domain, e *golibvirt.DomainEventMetadataChange) {
	switch e.NSURI {
	case StateURI:
		c.deliver(MetadataChanged, d, "")
	case PolicyURI:
		c.deliver(PolicyChanged, d, "")
	case ProfileURI:
		c.deliver(ProfileChanged, d, "")
	}
}

func (c *Connection) deliver(kind EventKind, d *golibvirt.Domain, detail string) {
	domain, err := identify(d)
	if err != nil {
		c.missed()
		return
	}
	select {
	case c.events <- Event{Kind: kind, Domain: domain, Detail: detail}:
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
