// Package monitor watches domains: one goroutine for each, which attaches a source of units to the domain's QEMU, learns or loads its
// profile, judges every unit and records the domain's state in libvirt.
//
//	libvirt event -> Monitor -> watcher (one a domain) -> source (LTTng session, chunks, units) -> profile -> decider -> state -> recorder (libvirt metadata)
//
// The monitor never trusts an event for more than a hint: what is true is read again, from libvirt and from the process itself.
package monitor
