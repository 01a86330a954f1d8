// Package libvirt is what virtsentry needs of libvirt: a connection with its life cycle events as a typed Go stream, who a
// domain is (UUID, QEMU process), and the metadata elements in which a domain's anomaly state is recorded.
//
// It sits on libvirt.org/go/libvirt; none of that package's types leave it. Event callbacks only take a name and hand it on: what is true now is
// read again by the receiver, because an event may be late, repeated or lost.
package libvirt
