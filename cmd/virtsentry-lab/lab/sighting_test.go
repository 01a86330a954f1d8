package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSighting sends SYN as Linux, nmap and hping3 do to a tap device in a namespace of its own, and looks for those of the latter two.
func TestSighting(t *testing.T) {
	if CheckRoot() != nil {
		t.Skip("needs root")
	}
	to := netip.MustParseAddr("10.77.0.10")
	for _, c := range []struct {
		name  string
		bytes int // of the TCP header; 0: Linux's own
		flags byte
		to    netip.Addr
		seen  bool
	}{
		{"hping3", 20, 0x02, to, true},
		{"nmap", 24, 0x02, to, true},
		{"another address", 20, 0x02, to.Next(), false},
		{"an answer", 20, 0x12, to, false},
		{"Linux", 0, 0, to, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := onThread(func() error {
				if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
					return err
				}
				tap, err := makeTap("vs-test")
				if err != nil {
					return err
				}
				defer func() { _ = tap.Close() }()
				for _, line := range []string{"link set vs-test up", "addr add 10.77.0.1/24 dev vs-test",
					"neigh add 10.77.0.10 lladdr 52:54:00:4d:00:0a dev vs-test", "neigh add 10.77.0.11 lladdr 52:54:00:4d:00:0b dev vs-test"} {
					if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
						return fmt.Errorf("ip %s: %w: %s", line, err, out)
					}
				}
				s, err := sight("vs-test", to)
				if err != nil {
					return err
				}
				defer func() { _ = s.Close() }()
				before := time.Now()
				if c.bytes == 0 {
					if err := beginConnection(c.to); err != nil {
						return err
					}
				} else if err := sendSYN(c.to, c.bytes, c.flags); err != nil {
					return err
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*sightingPoll)
				defer cancel()
				at, err := s.First(ctx)
				if c.seen && (err != nil || at.Before(before.Add(-time.Millisecond)) || at.After(time.Now())) {
					t.Errorf("seen at %v, %v; sent at %v", at, err, before)
				}
				if !c.seen && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("seen at %v, %v", at, err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	if _, err := sight("no-such-device", to); err == nil {
		t.Error("a device that there is not is looked at")
	}
}

// makeTap makes a tap device that lasts until it is closed. What is sent to it is never read.
func makeTap(name string) (*os.File, error) {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, request); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// beginConnection has Linux send its own SYN and waits for no answer, in the network namespace of the thread.
func beginConnection(to netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: to.As4()}); !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect: %w, want %w", err, unix.EINPROGRESS)
	}
	return nil
}

// sendSYN sends a TCP header of a length, in the network namespace of the thread.
func sendSYN(to netip.Addr, length int, flags byte) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	header := make([]byte, length)
	header[3], header[12], header[13] = 80, byte(length/4)<<4, flags
	return unix.Sendto(fd, header, 0, &unix.SockaddrInet4{Addr: to.As4()})
}

func FuzzPacketTime(f *testing.F) {
	f.Add([]byte{32, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 35, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, control []byte) {
		if at, err := packetTime(control); err != nil && !at.IsZero() {
			t.Error("both a time and an error")
		}
	})
}
