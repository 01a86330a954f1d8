package kernel

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// tapped is a device with programs on it.
type tapped struct {
	TapDevice
	present func() (bool, error) // whether it still has them
	close   func() error
	gone    bool
}

// taps are the devices of a domain.
type taps struct {
	devices  []tapped
	sketches counts // nil without headers
}

// tapWay is one way to see the packets of a device.
type tapWay struct {
	programs []string // that it needs
	attach   func(c *ebpf.Collection, d TapDevice, macvtap bool) (tapped, error)
}

var (
	byTCX          = tapWay{[]string{"sent", "received"}, attachTCX}
	byPacketSocket = tapWay{[]string{"both", "both_macvtap"}, attachPacketSocket}
)

// attachTap attaches the programs of [probe.Tap].
func attachTap(t Target, o Options) (instrument, error) {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it never fails
	seed := binary.NativeEndian.Uint32(b[:])
	in, err := attachTaps(t, o, seed, byTCX)
	if errors.Is(err, ErrUnsupported) {
		in, err = attachTaps(t, o, seed, byPacketSocket)
	}
	return in, err
}

// attachTaps attaches programs to all devices by one way: all of them, or none. The seed is that of the hashes of ports and peers.
func attachTaps(t Target, o Options, seed uint32, way tapWay) (instrument, error) {
	if len(t.Taps) == 0 {
		return instrument{}, fmt.Errorf("the domain has no tap device: %w", ErrGone)
	}
	spec, err := loadTap()
	if err != nil {
		return instrument{}, fmt.Errorf("read the programs: %w", err)
	}
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !slices.Contains(way.programs, name) })
	if err := setHeaders(spec, o.Headers, seed); err != nil {
		return instrument{}, err
	}
	c, err := loadSpec(spec, len(probe.Tap.Columns()))
	if err != nil {
		return instrument{}, err
	}
	var all taps
	for _, d := range t.Taps {
		one, err := attachDevice(c, d, way)
		if err != nil {
			c.Close()
			return instrument{}, errors.Join(explain("attach to "+d.Name, err), all.detach())
		}
		all.devices = append(all.devices, one)
	}
	in := exclusive(c, slices.Collect(maps.Values(c.Programs))...)
	in.detach, in.detail, in.refresh = all.detach, all.detail, all.refresh
	if o.Headers {
		all.sketches = c.Maps["sketches"]
		in.derive = all.derive
	}
	return in, nil
}

// attachDevice attaches to one device.
func attachDevice(c *ebpf.Collection, d TapDevice, way tapWay) (tapped, error) {
	macvtap, err := isMacvtap(d)
	if err != nil {
		return tapped{}, err
	}
	t, err := way.attach(c, d, macvtap)
	t.TapDevice = d
	return t, err
}

// isMacvtap tells macvtap devices by their driver. Any socket will do to ask (netdevice(7)): the helper's unit allows none of the internet's.
func isMacvtap(d TapDevice) (bool, error) {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open a socket: %w", err)
	}
	defer func() { _ = unix.Close(s) }()
	info, err := unix.IoctlGetEthtoolDrvinfo(s, d.Name)
	if err != nil {
		return false, fmt.Errorf("ask for the device's driver: %w", err)
	}
	return unix.ByteSliceToString(info.Driver[:]) == "macvlan", nil
}

// setHeaders tells the programs whether to look at headers.
func setHeaders(spec *ebpf.CollectionSpec, headers bool, seed uint32) error {
	on := uint32(1)
	if !headers {
		on, spec.Maps["sketches"].MaxEntries = 0, 1
	}
	return errors.Join(spec.Variables["headers"].Set(on), spec.Variables["seed"].Set(seed))
}

// attachTCX attaches to both directions by tcx, which kernels have from 6.6 on: before others' programs, which may drop a packet, and before
// queueing disciplines and the tc filters of old.
func attachTCX(c *ebpf.Collection, d TapDevice, macvtap bool) (tapped, error) {
	var links []link.Link
	closeAll := func() (err error) {
		for _, l := range links {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	in, out := c.Programs["sent"], c.Programs["received"]
	if macvtap {
		in, out = out, in
	}
	for _, side := range []struct {
		program *ebpf.Program
		attach  ebpf.AttachType
	}{{in, ebpf.AttachTCXIngress}, {out, ebpf.AttachTCXEgress}} {
		l, err := link.AttachTCX(link.TCXOptions{Interface: d.Index, Program: side.program, Attach: side.attach, Anchor: link.Head()})
		if err != nil {
			return tapped{}, errors.Join(err, closeAll())
		}
		links = append(links, l)
	}
	present := func() (bool, error) {
		info, err := links[0].Info()
		if err != nil {
			return false, err
		}
		tcx := info.TCX()
		return tcx != nil && tcx.Ifindex != 0, nil // it is set to 0 when the device goes
	}
	return tapped{present: present, close: closeAll}, nil
}

// attachPacketSocket attaches to both directions by the filter of a packet socket, which takes no packet. It needs CAP_NET_RAW. The kernel makes a
// second head (not a second payload) for each packet that the guest receives.
func attachPacketSocket(c *ebpf.Collection, d TapDevice, macvtap bool) (tapped, error) {
	program := c.Programs["both"]
	if macvtap {
		program = c.Programs["both_macvtap"]
	}
	// Without a protocol it gets nothing until it is bound.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return tapped{}, fmt.Errorf("open a packet socket (CAP_NET_RAW): %w", err)
	}
	socket := tapped{close: func() error { return unix.Close(fd) }}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, program.FD()); err != nil {
		return tapped{}, errors.Join(fmt.Errorf("set the filter of a packet socket: %w", err), socket.close())
	}
	const all = uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // in network order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: d.Index}); err != nil {
		return tapped{}, errors.Join(fmt.Errorf("bind a packet socket: %w", err), socket.close())
	}
	socket.present = func() (bool, error) {
		a, err := unix.Getsockname(fd)
		if err != nil {
			return false, err
		}
		l, ok := a.(*unix.SockaddrLinklayer)
		return ok && l.Ifindex > 0, nil // it is set to -1 when the device goes
	}
	return socket, nil
}

// refresh looks which devices are gone. It returns an error once all of them are.
func (t *taps) refresh() error {
	left := 0
	for i := range t.devices {
		d := &t.devices[i]
		present, err := d.present()
		if err != nil {
			return fmt.Errorf("look for %s: %w", d.Name, err)
		}
		d.gone = !present
		if present {
			left++
		}
	}
	if left == 0 {
		return fmt.Errorf("%s: %w", t.names(true), ErrGone)
	}
	return nil
}

// detail names the devices.
func (t *taps) detail() string {
	here, gone := t.names(false), t.names(true)
	if gone == "" {
		return here
	}
	return strings.TrimPrefix(here+"; gone: "+gone, "; ")
}

// names names the devices that are gone, or those that are not.
func (t *taps) names(gone bool) string {
	var names []string
	for _, d := range t.devices {
		if d.gone == gone {
			names = append(names, d.Name)
		}
	}
	return strings.Join(names, ", ")
}

func (t *taps) detach() (err error) {
	for _, d := range t.devices {
		err = errors.Join(err, d.close())
	}
	return err
}
