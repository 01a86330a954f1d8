package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sighting waits for the first packet of an attack on a guest, on the guest's own tap device. Its owner closes it.
type Sighting struct{ fd int }

// sightingPoll is how often a wait looks whether its context has ended.
const sightingPoll = 100 * time.Millisecond

// Sight begins to look for what hping3 and nmap send to a guest: TCP SYN with a header of fewer options than each connection of Linux's own has, so that
// visitors are not taken for attackers.
func (l *Lab) Sight(guest string) (*Sighting, error) {
	g, err := l.Guest(guest)
	if err != nil {
		return nil, err
	}
	var s *Sighting
	err = l.inside(func() (err error) {
		s, err = sight(g.tap(), g.Addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the packets of guest %s: %w", guest, err)
	}
	return s, nil
}

// sight looks at a device of the thread's network namespace for an address.
func sight(device string, to netip.Addr) (*Sighting, error) {
	dev, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", device, err)
	}
	// Of no protocol, it gets nothing until it is bound, when all is in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	filter := sightingFilter(to)
	poll := unix.NsecToTimeval(int64(sightingPoll))
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &poll),
	)
	if err == nil {
		// A socket of one protocol alone would see only what the guest sends.
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: dev.Index})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("packet socket on %s: %w", device, err), unix.Close(fd))
	}
	return &Sighting{fd: fd}, nil
}

// First waits for the packet and returns when the kernel had it, by the real-time clock. It returns the context's error when that ends first.
func (s *Sighting) First(ctx context.Context) (time.Time, error) {
	buffer, control := make([]byte, 64), make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))))
	for {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		_, n, _, _, err := unix.Recvmsg(s.fd, buffer, control, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("wait for a packet: %w", err)
		}
		return packetTime(control[:n])
	}
}

// Close ends the looking; no First may be under way.
func (s *Sighting) Close() error { return unix.Close(s.fd) }

// packetTime takes the time from the control messages of a packet (socket(7), SO_TIMESTAMPNS).
func packetTime(control []byte) (time.Time, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, fmt.Errorf("time of a packet: %w", err)
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))), nil
		}
	}
	return time.Time{}, errors.New("a packet came without its time")
}

// sightingFilter is a classic BPF program (Documentation/networking/filter.rst of Linux) on network packets: IPv4 and TCP to an address, with the flag SYN alone,
// and a header below 40 bytes, which Linux's own SYN has (MSS, SACK, time stamps, window scale).
func sightingFilter(to netip.Addr) []unix.SockFilter {
	const (
		options       = 0x45 // version 4, five words: no options
		fragment      = 0x1fff
		syn           = 0x02
		tenWords      = 0xa0
		refuse, whole = 0, 0xffff
	)
	address := to.As4()
	checks := []struct {
		load unix.SockFilter
		jump uint16
		k    uint32
		fits bool // what the jump must say
	}{
		{bpfLoad(unix.BPF_B, 0), unix.BPF_JEQ, options, true},
		{bpfLoad(unix.BPF_B, 9), unix.BPF_JEQ, unix.IPPROTO_TCP, true},
		{bpfLoad(unix.BPF_H, 6), unix.BPF_JSET, fragment, false},
		{bpfLoad(unix.BPF_W, 16), unix.BPF_JEQ, binary.BigEndian.Uint32(address[:]), true},
		{bpfLoad(unix.BPF_B, 33), unix.BPF_JEQ, syn, true},
		{bpfLoad(unix.BPF_B, 32), unix.BPF_JGE, tenWords, false},
	}
	var program []unix.SockFilter
	for i, c := range checks {
		jump := unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | c.jump, K: c.k}
		out := uint8(2*(len(checks)-1-i) + 1) // past the remaining checks and the instruction that takes the packet
		if c.fits {
			jump.Jf = out
		} else {
			jump.Jt = out
		}
		program = append(program, c.load, jump)
	}
	return append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: whole}, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: refuse})
}

// bpfLoad loads a value of a size from a place in the packet.
func bpfLoad(size uint16, at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_ABS | size, K: at}
}

// networkOrder is a number of 16 bits as the network has it.
func networkOrder(n uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, n))
}
