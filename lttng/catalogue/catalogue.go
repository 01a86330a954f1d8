// Package catalogue names the trace points of QEMU that virtsentry counts, with the subsystem each belongs to and what a hit
// means in plain words.
package catalogue

// Version names this catalogue; a profile that was learnt with another one is not comparable.
const Version = "counts/1"

// Provider is the name of QEMU's own trace point provider.
const Provider = "qemu"

// Feature is one counted trace point.
type Feature struct {
	Event     string // name without its provider, as in QEMU's trace-events files
	Subsystem string // network, disk, virtio, memory
	Words     string // what one hit is, in the plural
}

// features are device events that occur under KVM and TCG alike. Events of TCG itself (translation blocks, the interrupt controller in user
// space) and of QEMU's plumbing (mutexes, coroutines) say nothing about devices and are left out.
var features = []Feature{
	{"tap_send", "network", "packets received by the guest"},
	{"qemu_deliver_packet", "network", "packets received and sent by the guest"},
	{"virtqueue_fill", "virtio", "requests completed by virtio devices (packets received and sent, disk requests)"},
	{"virtio_queue_notify", "virtio", "requests announced by the guest to virtio devices"},
	{"virtio_notify", "virtio", "interrupts sent to the guest by virtio devices"},
	{"virtio_notify_irqfd", "virtio", "interrupts sent to the guest by virtio disks"},
	{"memory_region_ops_read", "memory", "device registers read by the guest"},
	{"memory_region_ops_write", "memory", "device registers written by the guest"},
	{"virtio_blk_handle_read", "disk", "disk reads"},
	{"virtio_blk_handle_write", "disk", "disk writes"},
	{"virtio_blk_rw_complete", "disk", "disk reads and writes completed"},
	{"virtio_blk_req_complete", "disk", "disk requests completed"},
	{"scsi_req_parsed", "disk", "SCSI commands"},
	{"ahci_cmd_done", "disk", "SATA commands completed"},
	{"ide_exec_cmd", "disk", "IDE commands"},
	{"blk_co_preadv", "disk", "reads from disk images"},
	{"blk_co_pwritev", "disk", "writes to disk images"},
	{"bdrv_aio_flush", "disk", "flushes of disk images"},
	{"thread_pool_submit", "disk", "disk image operations given to worker threads"},
	{"qcow2_handle_alloc", "disk", "new areas of disk images written"},
	{"e1000e_rx_start_recv", "network", "receive rounds of an e1000e card"},
	{"usb_xhci_doorbell_write", "usb", "USB transfers announced by the guest"},
}

// Features returns the catalogue in its fixed order. The caller owns the slice.
func Features() []Feature { return append([]Feature(nil), features...) }

// Events returns the names of the catalogue's events without their provider, in the same order: one column of a unit each.
func Events() []string {
	names := make([]string, len(features))
	for i, f := range features {
		names[i] = f.Event
	}
	return names
}

// TracePoints returns the events' full names, as LTTng wants them.
func TracePoints() []string {
	names := Events()
	for i, n := range names {
		names[i] = Provider + ":" + n
	}
	return names
}

// Describe returns an event's subsystem and plain words; for an event that the catalogue does not have, "other" and the event's name.
func Describe(event string) (subsystem, words string) {
	for _, f := range features {
		if f.Event == event {
			return f.Subsystem, f.Words
		}
	}
	return "other", event + " hits"
}
