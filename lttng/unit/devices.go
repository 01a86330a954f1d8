package unit

import (
	"bytes"
	"slices"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// Bounds of what is remembered of one process, whose events may be hostile. What finds no room stays unknown.
const (
	maxQueues    = 4096
	maxDevices   = 512
	maxQueueNo   = 1024      // VIRTIO_QUEUE_MAX of QEMU
	maxStride    = 4096      // bytes from one VirtQueue to the next; 152 in QEMU 7.2
	neighbours   = 8         // events of one CPU between two that belong together
	nearTime     = 1_000_000 // nanoseconds between them
	frameLength  = 54        // bytes of the shortest frame in use, ARP, with the shortest virtio-net header
	shapeFrames  = 16        // frames in queue 0 before a device is taken for a network card by its shape
	shapeNotices = 8         // frames for each announcement of new buffers, at least
)

// kind is what a virtio device is.
type kind uint8

const (
	kindUnknown kind = iota
	kindNet
	kindDisk
	kindSCSI
	kindSerial
	kindRNG
	kindBalloon
	kindOther
)

// kinds are QEMU's names of virtio devices, without "virtio-".
var kinds = map[string]kind{"net": kindNet, "blk": kindDisk, "scsi": kindSCSI, "serial": kindSerial, "rng": kindRNG, "balloon": kindBalloon}

// certainty orders the ways in which a device's kind is told; what comes later replaces what is as certain or less.
type certainty uint8

const (
	byShape     certainty = iota + 1 // queue 0 fills with frames that nobody asked for
	byNeighbour                      // a network's or a serial channel's event right beside
	byName                           // QEMU names the device, or an event that only this kind has
)

// device is a VirtIODevice of the traced QEMU.
type device struct {
	addr    uint64
	kind    kind
	certain certainty
	queues  []*queue
}

// queue is a VirtQueue of the traced QEMU.
type queue struct {
	addr    uint64
	device  *device // nil before an event says whose it is
	n       int     // its number in the device, -1 where not known
	in, out bool    // filled with a length above 0; with length 0
	frames  uint32  // fills as long as a frame
	notices uint32  // announcements by the guest
	role    catalogue.Role
}

// inventory knows the devices of one process by their addresses. What it learns holds until an event says otherwise: a device that is
// unplugged may leave its addresses to another one.
//
// virtio_queue_notify(vdev, n, vq) ties a queue to its device and number. A receive queue is seldom announced, so when the tracing begins
// in the middle of a guest's life virtio_notify(vdev, vq) tells the device, and the address the number: the queues of a device are an
// array (struct VirtIODevice of QEMU), whose stride two numbered queues give.
type inventory struct {
	queues  map[uint64]*queue
	devices map[uint64]*device
	stride  int64 // 0: not known
	packets bool  // QEMU has qemu_deliver_packet, which tells network cards

	recentQueues  [recent]*queue // by place: found again without looking into the maps, from which nothing is ever taken
	recentDevices [recent]*device
}

// recent is how many queues, and how many devices, are found at once.
const recent = 64

// recentPlace returns where something of an address is kept among the recent ones.
func recentPlace(addr uint64) uint64 { return addr * 0x9e3779b97f4a7c15 >> 58 }

func newInventory() *inventory {
	return &inventory{queues: make(map[uint64]*queue), devices: make(map[uint64]*device)}
}

// queue returns what is known of the queue at addr; nil if there is no room for another one.
func (v *inventory) queue(addr uint64) *queue {
	at := &v.recentQueues[recentPlace(addr)]
	if *at != nil && (*at).addr == addr {
		return *at
	}
	q := v.queues[addr]
	if q == nil && len(v.queues) < maxQueues {
		q = &queue{addr: addr, n: -1}
		v.queues[addr] = q
	}
	if q != nil {
		*at = q
	}
	return q
}

// device returns what is known of the device at addr; nil if there is no room for another one.
func (v *inventory) device(addr uint64) *device {
	at := &v.recentDevices[recentPlace(addr)]
	if *at != nil && (*at).addr == addr {
		return *at
	}
	d := v.devices[addr]
	if d == nil && len(v.devices) < maxDevices {
		d = &device{addr: addr}
		v.devices[addr] = d
	}
	if d != nil {
		*at = d
	}
	return d
}

// tell notes what kind a device is.
func (d *device) tell(k kind, c certainty) {
	if d == nil || c < d.certain || d.kind == k && d.certain == c {
		return
	}
	d.kind, d.certain = k, c
	for _, q := range d.queues {
		q.settle()
	}
}

// settle finds the queue's role from its device's kind, its number and what it was filled with.
func (q *queue) settle() {
	q.role = catalogue.RoleUnknown
	if q.device == nil {
		return
	}
	switch q.device.kind {
	case kindNet:
		q.role = q.direction(catalogue.NetReceive, catalogue.NetSend)
		// The control queue is the last one, after all pairs: an even number whose answers have one byte.
		if q.n >= 2 && q.n%2 == 0 && q.in && q.frames == 0 {
			q.role = catalogue.NetControl
		}
	case kindSerial:
		q.role = q.direction(catalogue.SerialReceive, catalogue.SerialSend)
	case kindDisk:
		q.role = catalogue.Disk
	case kindSCSI:
		q.role = catalogue.SCSI
	case kindRNG:
		q.role = catalogue.RNG
	case kindBalloon:
		q.role = catalogue.Balloon
	case kindOther:
		q.role = catalogue.OtherRole
	}
}

// direction tells the queues of a device that come in pairs: the even one is to the guest, the odd one from it.
func (q *queue) direction(in, out catalogue.Role) catalogue.Role {
	switch {
	case q.n >= 0 && q.n%2 == 0 || q.n < 0 && q.in:
		return in
	case q.n >= 0 || q.out:
		return out
	}
	return catalogue.RoleUnknown
}

// announced handles virtio_queue_notify.
func (v *inventory) announced(vdev uint64, n int, vq uint64) {
	d, q := v.device(vdev), v.queue(vq)
	if d == nil || q == nil || n < 0 || n >= maxQueueNo {
		return
	}
	if q.device != d || q.n != n {
		if q.device != nil && (q.device != d || q.n >= 0) {
			q.forget()
		}
		q.n = n
		v.join(d, q)
	}
	q.notices++
}

// owned handles virtio_notify: it tells the device of a queue, but not the number.
func (v *inventory) owned(vdev, vq uint64) {
	d, q := v.device(vdev), v.queue(vq)
	if d == nil || q == nil || q.device == d {
		return
	}
	if q.device != nil {
		q.forget()
		q.n = -1
	}
	v.join(d, q)
}

// forget takes the queue from its device.
func (q *queue) forget() {
	d := q.device
	d.queues = slices.DeleteFunc(d.queues, func(o *queue) bool { return o == q })
	q.device, q.in, q.out, q.frames, q.notices = nil, false, false, 0, 0
}

// join gives the queue to a device and looks for numbers that this tells.
func (v *inventory) join(d *device, q *queue) {
	if q.device == nil {
		q.device = d
		d.queues = append(d.queues, q)
	}
	if q.n >= 0 && v.stride == 0 {
		for _, o := range d.queues {
			if o.n >= 0 && o.n != q.n {
				v.learnStride(int64(q.addr-o.addr), int64(q.n-o.n))
			}
		}
	}
	for _, o := range d.queues {
		v.number(o)
	}
	q.settle()
}

// learnStride takes the distance of two queues of one device, in bytes and in numbers.
func (v *inventory) learnStride(distance, numbers int64) {
	if distance%numbers != 0 || distance/numbers <= 0 || distance/numbers > maxStride {
		return
	}
	v.stride = distance / numbers
	for _, d := range v.devices {
		for _, o := range d.queues {
			v.number(o)
		}
	}
}

// number finds the number of a queue from those of its device whose number is known.
func (v *inventory) number(q *queue) {
	if q.n >= 0 || q.device == nil {
		return
	}
	for _, o := range q.device.queues {
		if o.n < 0 {
			continue
		}
		distance := int64(q.addr - o.addr)
		if v.stride == 0 && o.n == 1 && distance < 0 && -distance <= maxStride {
			v.stride = -distance // only number 0 is below number 1
		}
		if v.stride == 0 || distance%v.stride != 0 {
			continue
		}
		if n := int64(o.n) + distance/v.stride; n >= 0 && n < maxQueueNo {
			q.n = int(n)
			q.settle()
			return
		}
	}
}

// filled handles virtqueue_fill.
func (v *inventory) filled(q *queue, length uint64) {
	in, out, frames := q.in, q.out, q.frames > 0
	if length == 0 {
		q.out = true
	} else {
		q.in = true
	}
	if length >= frameLength && q.frames < 1<<31 {
		q.frames++
	}
	if in != q.in || out != q.out || frames != (q.frames > 0) {
		q.settle()
	}
	if d := q.device; d != nil && d.certain == 0 && !v.packets && q.n == 0 && q.frames >= shapeFrames && q.frames/shapeNotices >= q.notices {
		d.tell(kindNet, byShape)
	}
}

// regionPrefix is what the names begin with that kindOfRegion knows.
const regionPrefix = "virtio-pci-"

// kindOfRegion returns what device a memory region of virtio-pci is of, by its name, as "virtio-pci-common-virtio-net".
func kindOfRegion(name []byte) kind {
	name, ok := bytes.CutPrefix(name, []byte(regionPrefix))
	if !ok {
		return kindUnknown
	}
	for _, prefix := range []string{"common-virtio-", "notify-virtio-", "notify-pio-virtio-"} {
		if rest, ok := bytes.CutPrefix(name, []byte(prefix)); ok {
			return kindNamed(rest)
		}
	}
	return kindUnknown
}

// kindOfType returns what device a type of QEMU's object model is, as "virtio-net-device".
func kindOfType(name []byte) kind {
	rest, ok := bytes.CutPrefix(name, []byte("virtio-"))
	rest, isDevice := bytes.CutSuffix(rest, []byte("-device"))
	if !ok || !isDevice {
		return kindUnknown
	}
	return kindNamed(rest)
}

func kindNamed(name []byte) kind {
	if k, ok := kinds[string(name)]; ok {
		return k
	}
	return kindOther
}
