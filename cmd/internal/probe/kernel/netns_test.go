package kernel

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newNetwork moves the test's goroutine into a network namespace of its own, which ends with its thread.
func newNetwork(t testing.TB) {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread() // and never unlocks it: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	// Nothing but the test's own packets.
	for _, who := range []string{"all", "default"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+who+"/disable_ipv6", []byte("1"), 0); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// ip runs ip(8) in the test's network namespace.
func ip(t testing.TB, arguments string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", arguments, err, out)
	}
}

// guest is the other end of a tap device: what a QEMU does there, a test does.
type guest struct {
	TapDevice
	fd int
}

// newTap makes a tap device.
func newTap(t testing.TB, name string) *guest {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no tap devices: %v", err)
	}
	g := &guest{fd: fd}
	t.Cleanup(g.remove)
	r, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		t.Fatalf("make tap device %s: %v", name, err)
	}
	ip(t, "link set "+name+" up")
	g.TapDevice = device(t, name)
	return g
}

// newMacvtap makes a macvtap device above another.
func newMacvtap(t testing.TB, name, lower string) *guest {
	t.Helper()
	if out, err := exec.Command("ip", "link", "add", "link", lower, "name", name, "type", "macvtap", "mode", "bridge").CombinedOutput(); err != nil {
		t.Skipf("no macvtap devices: %v: %s", err, out)
	}
	ip(t, "link set "+name+" up")
	g := &guest{TapDevice: device(t, name), fd: -1}
	t.Cleanup(g.remove)
	// The device's number is in sysfs as this network namespace sees it.
	read := exec.Command("unshare", "--mount", "sh", "-c", "mount -t sysfs sysfs /sys && cat /sys/class/net/"+name+"/tap*/dev")
	out, err := read.CombinedOutput()
	var major, minor uint32
	if _, scan := fmt.Sscanf(string(out), "%d:%d", &major, &minor); err != nil || scan != nil {
		t.Fatalf("find the character device of %s: %v: %s", name, err, out)
	}
	node := filepath.Join(t.TempDir(), "tap")
	if err := unix.Mknod(node, unix.S_IFCHR|0o600, int(unix.Mkdev(major, minor))); err != nil {
		t.Fatal(err)
	}
	if g.fd, err = unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
		t.Fatalf("open the character device of %s: %v", name, err)
	}
	r, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(g.fd, unix.TUNSETIFF, r); err != nil {
		t.Fatal(err)
	}
	return g
}

// device finds a network device.
func device(t testing.TB, name string) TapDevice {
	t.Helper()
	r, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	s := packetSocket(t, 0)
	if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, r); err != nil {
		t.Fatalf("find %s: %v", name, err)
	}
	return TapDevice{Name: name, Index: int(r.Uint32())}
}

// remove takes the device away.
func (g *guest) remove() {
	if g.fd >= 0 {
		_ = unix.Close(g.fd)
	}
	g.fd = -1
}

// send sends a frame as the guest.
func (g *guest) send(t testing.TB, frame []byte) {
	t.Helper()
	if _, err := unix.Write(g.fd, frame); err != nil {
		t.Fatalf("send a frame of %d bytes by %s: %v", len(frame), g.Name, err)
	}
}

// receive sends a frame to the guest.
func (g *guest) receive(t testing.TB, frame []byte) {
	t.Helper()
	s := packetSocket(t, g.Index)
	defer func() { _ = unix.Close(s) }()
	if _, err := unix.Write(s, frame); err != nil {
		t.Fatalf("send a frame of %d bytes to %s: %v", len(frame), g.Name, err)
	}
	buf := make([]byte, 1<<17)
	for n := 0; n >= 0; {
		n, _ = unix.Read(g.fd, buf) // so that there is always place
	}
}

// packetSocket opens a packet socket which sends to a device and receives nothing.
func packetSocket(t testing.TB, index int) int {
	t.Helper()
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if index == 0 {
		t.Cleanup(func() { _ = unix.Close(s) })
		return s
	}
	if err := unix.Bind(s, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
		t.Fatal(err)
	}
	return s
}

// frame describes an Ethernet frame.
type frame struct {
	v6        bool
	vlans     int
	src, dst  uint32 // addresses; the last 32 bits of IPv6's
	protocol  byte
	port      uint16 // destination
	flags     byte   // of TCP
	fragment  uint16 // offset, in 8 bytes
	options   int    // bytes of IPv4 options, or of an IPv6 extension header
	truncated int    // cut to this length; 0: not
	length    int    // padded to this length
}

const (
	flagFIN = 1
	flagSYN = 2
	flagRST = 4
	flagACK = 16
)

// bytes returns the frame.
func (f frame) bytes() []byte {
	b := make([]byte, 12, 128)
	for range f.vlans {
		b = append(b, 0x81, 0, 0, 5)
	}
	protocol := f.protocol
	if f.v6 {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 40)
		var extension []byte
		next := protocol
		if f.options > 0 {
			extension = append(extension, next, byte(f.options/8-1))
			extension = append(extension, make([]byte, f.options-2)...)
			next = 60
		}
		if f.fragment > 0 {
			at := f.fragment << 3
			extension = append([]byte{next, 0, byte(at >> 8), byte(at), 0, 0, 0, 1}, extension...)
			next = 44
		}
		b = append(b, next, 64)
		b = binary.BigEndian.AppendUint32(append(b, make([]byte, 12)...), f.src)
		b = binary.BigEndian.AppendUint32(append(b, make([]byte, 12)...), f.dst)
		b = append(b, extension...)
	} else {
		b = append(b, 8, 0, 0x45+byte(f.options/4), 0, 0, 60, 0, 1, byte(f.fragment>>8), byte(f.fragment), 64, protocol, 0, 0)
		b = binary.BigEndian.AppendUint32(b, f.src)
		b = binary.BigEndian.AppendUint32(b, f.dst)
		b = append(b, make([]byte, f.options)...)
	}
	b = binary.BigEndian.AppendUint16(append(b, 0, 99), f.port)
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, f.flags, 16, 0, 0, 0, 0, 0)
	if f.truncated > 0 {
		return b[:min(f.truncated, len(b))]
	}
	return append(b, make([]byte, max(0, f.length-len(b)))...)
}

// pad returns the frame cut or padded to a length.
func (f frame) pad(length int) []byte {
	f.length = length
	return f.bytes()[:length]
}
