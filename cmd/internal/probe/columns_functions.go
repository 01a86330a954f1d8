package probe

import "github.com/virtsentry/virtsentry/lttng/catalogue"

// FunctionsPrefix begins the names of the columns of [Functions].
const FunctionsPrefix = "functions:"

// RequestLengths are the buckets of the bytes of disk requests.
var RequestLengths = catalogue.Buckets{Unit: "bytes", PerOctave: 4, Min: 512, Max: 4 << 20}

// Other subsystems of columns.
const (
	subsystemDisk   = "disk"
	subsystemVirtio = "virtio"
	subsystemMemory = "memory"
)

// functionsColumns returns what is counted of each function, one function after the other. The columns of one function are in the order in
// which kernel/bpf/functions.bpf.c counts them.
//
// Which device a virtqueue belongs to cannot be told there, so that virtqueue_fill's columns go by the length that the device has written into the
// guest's buffers. Nothing: a packet was sent, or something was written to a serial channel. One byte, the status: a disk has
// written or flushed. A number of sectors and the status, of one byte (virtio-blk) or 108 (virtio-scsi): a disk has read. All else is a packet
// received, with its virtio-net header of 10 or 12 bytes. This errs for two of each 512 lengths of packets from 513 bytes on, for writes of virtio-scsi
// (which look like packets of 108 bytes), and for what virtio's random numbers, serial channels and other devices give to the guest.
func functionsColumns() []Column {
	c := []Column{
		{"functions:virtqueue_fill:taken", subsystemVirtio, "requests of virtio devices that took something from the guest (packets sent)"},
		{"functions:virtqueue_fill:written", subsystemDisk, "writes and flushes of virtio disks"},
		{"functions:virtqueue_fill:read", subsystemDisk, "reads of virtio disks"},
	}
	c = append(c, byLength("virtqueue_fill:received", subsystemNetwork, TapLengths, "packets of ", " received by the guest's virtio network card")...)
	c = append(c, byLength("block_acct_start:read", subsystemDisk, RequestLengths, "disk reads of ", " by the guest")...)
	c = append(c, byLength("block_acct_start:write", subsystemDisk, RequestLengths, "disk writes of ", " by the guest")...)
	c = append(c,
		Column{"functions:block_acct_start:flush", subsystemDisk, "flushes of disks by the guest"},
		Column{"functions:block_acct_start:other", subsystemDisk, "other disk requests by the guest, such as discards"},
	)
	c = append(c, byLength("bdrv_co_preadv_part", subsystemDisk, RequestLengths, "reads of ", " in disk images")...)
	c = append(c, byLength("bdrv_co_pwritev_part", subsystemDisk, RequestLengths, "writes of ", " in disk images")...)
	// Cards that send a packet in one piece (e1000, rtl8139) use the first function in both directions.
	c = append(c, byLength("qemu_net_queue_send", subsystemNetwork, TapLengths, "packets of ", " on their way to the guest")...)
	c = append(c, byLength("qemu_net_queue_send_iov", subsystemNetwork, TapLengths, "packets of ", " sent by the guest")...)
	c = append(c, Column{"functions:msix_notify", subsystemVirtio, "interrupts sent to the guest by PCI devices"})
	// Announcements to virtio devices have two bytes, interrupt controllers and timers four.
	for _, bytes := range []string{"1", "2", "4", "8"} {
		c = append(c, Column{"functions:memory_region_dispatch_write:bytes" + bytes, subsystemMemory,
			"device registers written by the guest, " + bytes + " bytes at a time"})
	}
	return c
}

// byLength returns the columns of a function's argument.
func byLength(name, subsystem string, b catalogue.Buckets, before, after string) []Column {
	c := make([]Column, b.Count())
	for i := range c {
		c[i] = Column{FunctionsPrefix + name + ":len" + b.Label(i), subsystem, before + b.Words(i) + after}
	}
	return c
}
