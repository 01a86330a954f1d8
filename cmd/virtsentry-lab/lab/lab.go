// Package lab makes, uses and removes the laboratory of the project: one
// network namespace with a bridge, a libvirtd of its own inside it, guests
// that serve a web application, bounded load, attacks and stress against
// them, and recordings of what QEMU's trace points say meanwhile.
//
// Everything it makes is reachable from one name, the last element of the
// lab's directory: the namespace /run/netns/NAME, the runtime directory DIR
// and the directory of disks /var/tmp/NAME. [Down] needs nothing else to
// remove all of it, whatever part has crashed before. All functions need
// root.
package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/sirupsen/logrus"
)

// DefaultDir is the runtime directory of a lab when none is named.
const DefaultDir = "/run/virtsentry-lab"

// DefaultWait is how long a guest may take until its web page answers.
const DefaultWait = 5 * time.Minute

// DefaultGuest is the guest that Up makes when none is named.
const DefaultGuest = "web"

// bridge is the name of the only bridge inside the namespace.
const bridge = "br0"

var (
	// Subnet is the only network that load and attacks may reach.
	Subnet = netip.MustParsePrefix("10.77.0.0/24")
	// HostAddr is the bridge's own address: the host as guests see it.
	HostAddr = netip.MustParseAddr("10.77.0.1")
	// WebAddr is the address of the default guest.
	WebAddr = netip.MustParseAddr("10.77.0.10")
)

// ErrNotUp is returned by operations on a lab that was not started.
var ErrNotUp = errors.New("the lab is not up")

// Config says which lab to make.
type Config struct {
	Dir        string             // runtime directory, DefaultDir if empty
	QEMU       string             // QEMU binary, or StockQEMU; built by the checkout's recipe if empty
	Image      string             // directory of the guest's image; built if empty
	Checkout   string             // source tree with the recipes; found from the working directory if empty
	Guest      string             // first guest, DefaultGuest if empty
	NoGuest    bool               // make no guest at all
	DefineOnly bool               // define the guest but do not start it
	MemoryMiB  int                // guest memory, 768 if 0
	Variant    string             // kind of the first guest and of the image, DefaultVariant if empty
	Accel      string             // of all guests: "tcg" (default) or "kvm"; a lab that exists keeps its own
	Daemon     string             // "libvirtd" (default) or "virtqemud", or a path to one; a lab that exists keeps its own
	Timeout    time.Duration      // for the guest to answer, 5 minutes if 0
	Log        logrus.FieldLogger // nothing is logged if nil
}

func (c Config) withDefaults() Config {
	if c.Dir == "" {
		c.Dir = DefaultDir
	}
	if c.Guest == "" {
		c.Guest = DefaultGuest
	}
	if c.MemoryMiB == 0 {
		c.MemoryMiB = 768
	}
	if c.Variant == "" {
		c.Variant = DefaultVariant
	}
	if c.Accel == "" {
		c.Accel = "tcg"
	}
	if c.Daemon == "" {
		c.Daemon = monolithic
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultWait
	}
	return c
}

var guestName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

func (c Config) check() error {
	if !guestName.MatchString(c.Guest) {
		return fmt.Errorf("guest name %q: want lower case letters, digits and dashes, at most 31", c.Guest)
	}
	if c.MemoryMiB < 256 || c.MemoryMiB > 16384 {
		return fmt.Errorf("guest memory %d MiB: want 256 to 16384", c.MemoryMiB)
	}
	if c.Accel != "tcg" && c.Accel != "kvm" {
		return fmt.Errorf("accelerator %q: want tcg or kvm", c.Accel)
	}
	if _, err := variantOf(c.Variant); err != nil {
		return err
	}
	return checkDaemon(c.Daemon)
}

// Lab is one lab, running or not. It holds no open handles; its methods may
// be used by several goroutines and processes at once.
type Lab struct {
	dir  string
	name string
	log  logrus.FieldLogger
}

// labName keeps Down away from everybody else's namespaces and directories.
var labName = regexp.MustCompile(`^virtsentry-lab(-[a-z0-9]{1,12})?$`)

// Open names the lab in dir (DefaultDir if empty), whether it is up or not.
// Log may be nil.
func Open(dir string, log logrus.FieldLogger) (*Lab, error) {
	if dir == "" {
		dir = DefaultDir
	}
	dir = filepath.Clean(dir)
	name := filepath.Base(dir)
	if !filepath.IsAbs(dir) || !labName.MatchString(name) {
		return nil, fmt.Errorf("lab directory %q: want an absolute path that ends in virtsentry-lab or virtsentry-lab-NAME", dir)
	}
	if log == nil {
		quiet := logrus.New()
		quiet.SetLevel(logrus.PanicLevel)
		log = quiet
	}
	return &Lab{dir: dir, name: name, log: log}, nil
}

// Dir is the lab's runtime directory.
func (l *Lab) Dir() string { return l.dir }

// Netns is the name of the lab's network namespace, as ip-netns(8) knows it.
func (l *Lab) Netns() string { return l.name }

// URI is the address of the lab's libvirt daemon for any libvirt client.
func (l *Lab) URI() string {
	st, err := l.loadState()
	if err != nil {
		st = new(state) // whoever connects hears that there is none
	}
	d := st.daemon()
	return "qemu:///system?" + d.query + "socket=" + l.path("libvirt", d.socket)
}

// Hostname is the name of the host that the lab's libvirt daemon believes to
// be on.
func (l *Lab) Hostname() string { return l.name + ".test" }

// RunLibvirt is where the lab's libvirtd keeps what it believes is in
// /run/libvirt: the guests' PID files are in its directory qemu.
func (l *Lab) RunLibvirt() string { return l.path("run-libvirt") }

// diskDir holds the overlays: on a real file system, because QEMU opens them
// with O_DIRECT, which tmpfs lacks on many kernels, and /run is often tmpfs.
func (l *Lab) diskDir() string { return filepath.Join("/var/tmp", l.name) }

func (l *Lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.dir}, elem...)...)
}

// CheckRoot tells why the lab cannot be used by an ordinary user.
func CheckRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("virtsentry-lab needs root: it makes a network namespace and mounts, and runs a libvirtd; run it with sudo")
	}
	return nil
}
