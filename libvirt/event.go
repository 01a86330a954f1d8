package libvirt

import (
	golibvirt "libvirt.org/go/libvirt"
)

// EventKind is what happened to a domain.
type EventKind int

// The kinds of life cycle event (virDomainEventType); those that change nothing for an observer of a running guest are not passed on.
const (
	Started EventKind = iota + 1
	Suspended
	Resumed
	Stopped
)

var eventKinds = map[golibvirt.DomainEventType]EventKind{
	golibvirt.DOMAIN_EVENT_STARTED:     Started,
	golibvirt.DOMAIN_EVENT_SUSPENDED:   Suspended,
	golibvirt.DOMAIN_EVENT_PMSUSPENDED: Suspended,
	golibvirt.DOMAIN_EVENT_RESUMED:     Resumed,
	golibvirt.DOMAIN_EVENT_STOPPED:     Stopped,
	golibvirt.DOMAIN_EVENT_CRASHED:     Stopped,
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
	}
	return "unknown"
}

// Event is one life cycle event of one domain.
type Event struct {
	Kind   EventKind
	Domain Domain
}

// queueLength bounds the events that wait for their reader. More than that at once is answered by a reconcile.
const queueLength = 256

// deliver runs on the event loop: it must neither block nor call libvirt.
func (c *Connection) deliver(_ *golibvirt.Connect, d *golibvirt.Domain, e *golibvirt.DomainEventLifecycle) {
	kind, known := eventKinds[e.Event]
	if !known {
		return
	}
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
