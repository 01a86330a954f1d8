package unit

import "github.com/virtsentry/virtsentry/lttng/ctf"

// teller is what an event tells of devices.
type teller uint8

const (
	tellsNothing teller = iota
	tellsAnnounced
	tellsOwner
	tellsDisk
	tellsRNG
	tellsStatus
	tellsRegion
	tellsType
	tellsFill
	tellsPacket
	tellsSerial
)

// tellers are the events that tell of devices, with the fields that are read.
var tellers = map[string]struct {
	teller teller
	fields []string
}{
	"virtio_queue_notify":        {tellsAnnounced, []string{"vdev", "n", "vq"}},
	"virtio_notify":              {tellsOwner, []string{"vdev", "vq"}},
	"virtio_notify_irqfd":        {tellsOwner, []string{"vdev", "vq"}},
	"virtio_blk_handle_read":     {tellsDisk, []string{"vdev"}},
	"virtio_blk_handle_write":    {tellsDisk, []string{"vdev"}},
	"virtio_blk_req_complete":    {tellsDisk, []string{"vdev"}},
	"virtio_blk_rw_complete":     {tellsDisk, []string{"vdev"}},
	"virtio_rng_pushed":          {tellsRNG, []string{"rng"}},
	"virtio_rng_popped":          {tellsRNG, []string{"rng"}},
	"virtio_rng_request":         {tellsRNG, []string{"rng"}},
	"virtio_set_status":          {tellsStatus, []string{"vdev", "val"}},
	"memory_region_ops_write":    {tellsRegion, []string{"value", "name"}},
	"resettable_phase_hold_exec": {tellsType, []string{"obj", "objtype"}},
	"virtqueue_fill":             {tellsFill, []string{"vq", "len"}},
	"qemu_deliver_packet":        {tellsPacket, []string{"size"}},
	"virtio_console_flush_buf":   {tellsSerial, nil},
}

// textFields are the fields of tellers that are texts; all others are integers.
var textFields = map[string]bool{"name": true, "objtype": true}

// nearby is what the last events of one CPU were: events of one request stand side by side there.
type nearby struct {
	seq uint64 // counts the CPU's events

	fill     *queue // with a length
	fillLen  uint64
	fillTime int64
	fillSeq  uint64

	packetTime int64
	packetSeq  uint64 // 0: none
	serialSeq  uint64 // 0: none

	region      kind
	regionValue uint64
	regionSeq   uint64
}

// local tells whether what an event tells is only for those of its own CPU that stand beside it.
func (t teller) local() bool { return t == tellsNothing || t == tellsRegion || t == tellsSerial }

// learn notes what an event with a local teller tells.
func (near *nearby) learn(pl *plan, fields []ctf.Scalar) {
	switch pl.teller {
	case tellsRegion:
		near.region, near.regionValue, near.regionSeq = kindOfRegion(fields[pl.args[1]].Text), fields[pl.args[0]].Uint, near.seq
	case tellsSerial:
		near.serialSeq = near.seq
	}
}

// learn notes what an event tells of devices. Its teller's fields are those that the plan names, in that order.
func (v *inventory) learn(pl *plan, fields []ctf.Scalar, near *nearby, now int64) {
	if pl.teller.local() {
		near.learn(pl, fields)
		return
	}
	arg := func(i int) uint64 { return fields[pl.args[i]].Uint }
	switch pl.teller {
	case tellsAnnounced:
		v.announced(arg(0), clampInt(arg(1)), arg(2))
		if near.region != kindUnknown && near.regionSeq == near.seq-1 {
			v.device(arg(0)).tell(near.region, byName)
		}
	case tellsOwner:
		v.owned(arg(0), arg(1))
	case tellsDisk:
		v.device(arg(0)).tell(kindDisk, byName)
	case tellsRNG:
		v.device(arg(0)).tell(kindRNG, byName)
	case tellsStatus:
		// The guest's driver writes the status into a region that is named after the device, and virtio_set_status comes of it.
		if near.region != kindUnknown && near.regionSeq == near.seq-1 && near.regionValue == arg(1) {
			v.device(arg(0)).tell(near.region, byName)
		}
	case tellsType:
		if k := kindOfType(fields[pl.args[1]].Text); k != kindUnknown {
			v.device(arg(0)).tell(k, byName)
		}
	case tellsFill:
		if q := v.queue(arg(0)); q != nil {
			v.filled(q, arg(1))
			near.filled(q, arg(1), now)
		}
	case tellsPacket:
		near.packet(arg(0), now)
	}
}

// filled looks for what a completed request belongs to: a packet that was sent is delivered right before, with no event of QEMU in between;
// what goes to a serial channel is written before.
func (near *nearby) filled(q *queue, length uint64, now int64) {
	switch {
	case length > 0:
		near.fill, near.fillLen, near.fillTime, near.fillSeq = q, length, now, near.seq
	case near.packetSeq != 0 && near.seq-near.packetSeq == 1 && now-near.packetTime < nearTime:
		q.device.tell(kindNet, byNeighbour)
	case near.serialSeq != 0 && near.seq-near.serialSeq <= 2:
		q.device.tell(kindSerial, byNeighbour)
	}
	near.packetSeq, near.serialSeq = 0, 0
}

// packet looks whether a delivered packet is what a queue was just filled with, with or without a virtio-net header of 10 or 12 bytes.
func (near *nearby) packet(size uint64, now int64) {
	if q := near.fill; q != nil && near.seq-near.fillSeq <= neighbours && now-near.fillTime < nearTime {
		switch near.fillLen - size {
		case 0, 10, 12:
			q.device.tell(kindNet, byNeighbour)
			near.fill = nil
			return
		}
	}
	near.packetTime, near.packetSeq = now, near.seq
}

// clampInt returns a signed field's value as an int, -1 where it is out of an int's range of use.
func clampInt(v uint64) int {
	if v >= maxQueueNo {
		return -1
	}
	return int(v)
}
