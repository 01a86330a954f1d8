package main

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// enterNetwork puts the test, and what it starts, into a network namespace of its own.
func enterNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// tap is a tap device, whose guest is the test.
type tap struct {
	index int
	guest *os.File
}

func newTap(t *testing.T, name string) *tap {
	t.Helper()
	guest, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("this kernel has no tap devices: ", err)
	}
	d := &tap{}
	request, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(guest, unix.TUNSETIFF, request); err != nil {
		t.Fatal(err)
	}
	d.guest = os.NewFile(uintptr(guest), "tap")
	t.Cleanup(func() { _ = d.guest.Close() })
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(s) }()
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, request); err != nil {
		t.Fatal(err)
	}
	d.index = int(request.Uint32())
	return d
}

// programs counts those on the device, in both directions.
func (d *tap) programs(t *testing.T) (n int) {
	t.Helper()
	for _, where := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		r, err := link.QueryPrograms(link.QueryOptions{Target: d.index, Attach: where})
		if errors.Is(err, ebpf.ErrNotSupported) {
			t.Skip("this kernel has no tcx: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		n += len(r.Programs)
	}
	return n
}

// experimental is an Ethernet type for experiments (IEEE 802), which nothing else sends.
const experimental = 0x88b5

// echo sends frames to the guest, which sends them back, one after the other, and counts those that come back. They pass the device's programs in both
// directions: the socket is for one protocol, and so gets what these have let through. It ends with the function that it returns.
func (d *tap) echo(t *testing.T, echoed *atomic.Int64) (stop func()) {
	t.Helper()
	protocol := uint16(experimental>>8 | experimental&0xff<<8) // in the order of the network
	host, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol))
	if err != nil {
		t.Fatal(err)
	}
	address := &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: d.index}
	timeout := unix.NsecToTimeval(int64(100 * time.Millisecond))
	if err := errors.Join(unix.Bind(host, address), unix.SetsockoptTimeval(host, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	ended := make(chan struct{})
	wait.Go(func() { // the guest
		frame := make([]byte, 2048)
		for {
			n, err := d.guest.Read(frame)
			if err != nil {
				return
			}
			if n >= 14 && frame[12] == experimental>>8 && frame[13] == experimental&0xff {
				copy(frame[0:6], "\xff\xff\xff\xff\xff\xff")
				if _, err := d.guest.Write(frame[:n]); err != nil {
					return
				}
			}
		}
	})
	wait.Go(func() { // the host
		frame := append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5"), make([]byte, 50)...)
		back := make([]byte, 2048)
		for {
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
			if unix.Sendto(host, frame, 0, address) != nil {
				continue
			}
			if n, from, err := unix.Recvfrom(host, back, 0); err == nil && n == len(frame) && from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
				echoed.Add(1)
			}
		}
	})
	return func() {
		close(ended)
		_ = d.guest.SetReadDeadline(time.Now())
		wait.Wait()
		_ = unix.Close(host)
	}
}
