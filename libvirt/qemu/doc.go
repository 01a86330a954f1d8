// Package qemu is what virtsentry reads of a domain's QEMU process from the host: who it is, since when it runs, what it was built from. It needs
// no C library, so the operator's command may use it too.
package qemu

// Domain names a domain. The UUID is its identity; names change.
type Domain struct {
	UUID string // lower case, with dashes
	Name string
	ID   int // libvirt's number of this run of the domain; 0: not known
}
