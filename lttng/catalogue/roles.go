package catalogue

import "slices"

// Role says what a virtqueue is for. It is what a queue is known by, in place of its address: it holds for every start of a guest,
// and for every attachment to it. Devices of one kind share their roles, because no trace point of QEMU tells which is which: addresses
// are malloc's, and the order of use is the guest's.
type Role uint8

// Roles.
const (
	RoleUnknown Role = iota // no event has told yet whose queue it is
	NetReceive
	NetSend
	NetControl
	Disk
	SCSI
	SerialReceive
	SerialSend
	RNG
	Balloon
	OtherRole // a device of a kind that has no role of its own
	roleCount

	// Rest stands in an entry for all roles that no entry of the same event names. What is told only when a guest starts (a balloon) is better counted there:
	// it would be unknown after the daemon's next start.
	Rest = roleCount
)

// Roles is how many roles a queue can have.
const Roles = int(roleCount)

var roles = [Roles + 1]struct{ name, words string }{
	RoleUnknown:   {"unknown", "virtio queues not told apart yet"},
	NetReceive:    {"net.rx", "network cards' receive queues"},
	NetSend:       {"net.tx", "network cards' send queues"},
	NetControl:    {"net.ctl", "network cards' control queues"},
	Disk:          {"blk", "virtio disks' queues"},
	SCSI:          {"scsi", "virtio SCSI controllers' queues"},
	SerialReceive: {"serial.in", "serial channels' queues to the guest"},
	SerialSend:    {"serial.out", "serial channels' queues from the guest"},
	RNG:           {"rng", "random number devices' queues"},
	Balloon:       {"balloon", "memory balloons' queues"},
	OtherRole:     {"other", "queues of virtio devices of other kinds"},
	Rest:          {"rest", "all other virtio queues"},
}

// String returns the role's name in set files and columns.
func (r Role) String() string { return roles[r].name }

// roleNamed returns the role of that name.
func roleNamed(name string) (Role, bool) {
	i := slices.IndexFunc(roles[:], func(r struct{ name, words string }) bool { return r.name == name })
	return Role(max(i, 0)), i >= 0
}
