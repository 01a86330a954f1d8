package lab

import (
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // a name-based UUID, no secret
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
)

// GuestDef is a guest of the lab as it was defined.
type GuestDef struct {
	Name      string     `json:"name"`
	Addr      netip.Addr `json:"address"`
	MemoryMiB int        `json:"memory_mib"`
	Variant   string     `json:"variant,omitempty"` // DefaultVariant if empty
	// Driver is what moves the packets of a virtio network card: DriverQEMU or DriverVhost. It is chosen when the guest is defined.
	Driver string `json:"driver,omitempty"`
}

// connect opens a connection to the lab's libvirtd. The caller closes it.
func (l *Lab) connect() (*libvirt.Connect, error) {
	conn, err := libvirt.NewConnect(l.URI())
	if err != nil {
		return nil, fmt.Errorf("connect to the lab's libvirtd: %w", err)
	}
	return conn, nil
}

// withDomain calls f with the domain of that name.
func (l *Lab) withDomain(name string, f func(*libvirt.Domain) error) error {
	conn, err := l.connect()
	if err != nil {
		return err
	}
	defer func() { _, _ = conn.Close() }()
	dom, err := conn.LookupDomainByName(name)
	if err != nil {
		return fmt.Errorf("find guest %s: %w", name, err)
	}
	defer func() { _ = dom.Free() }()
	return f(dom)
}

// Guest returns one guest's definition.
func (l *Lab) Guest(name string) (GuestDef, error) {
	st, err := l.loadState()
	if err != nil {
		return GuestDef{}, err
	}
	g := st.guest(name)
	if g == nil {
		return GuestDef{}, fmt.Errorf("guest %s: %w: no such guest was defined", name, ErrNotUp)
	}
	return *g, nil
}

// Define makes a guest with a fresh disk and defines it. An address that is
// not valid means the next free one. A guest that exists stays as it is.
func (l *Lab) Define(ctx context.Context, g GuestDef) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	st, err := l.loadState()
	if err != nil {
		return err
	}
	if st.QEMU == "" || st.Image == "" {
		return fmt.Errorf("define guest %s: %w, or was started with no guest image", g.Name, ErrNotUp)
	}
	return l.define(ctx, st, g)
}

func (l *Lab) define(ctx context.Context, st *state, g GuestDef) error {
	if !guestName.MatchString(g.Name) {
		return fmt.Errorf("define guest %q: want a name of lower case letters, digits and dashes", g.Name)
	}
	v, err := variantOf(g.Variant)
	if err != nil {
		return fmt.Errorf("define guest %s: %w", g.Name, err)
	}
	if have := st.guest(g.Name); have != nil {
		if old, err := variantOf(have.Variant); err != nil || old.Name != v.Name {
			l.log.Warnf("guest %s stays the variant %s that it was defined as", g.Name, old.Name)
		}
		return nil
	}
	if v.image != st.Recipe {
		return fmt.Errorf("define guest %s: variant %s needs another image than this lab has; make a lab beside it: up --dir %s-%s --variant %s",
			g.Name, v.Name, DefaultDir, v.Name, v.Name)
	}
	if g.Addr, err = chooseAddr(st.Guests, g); err != nil {
		return fmt.Errorf("define guest %s: %w", g.Name, err)
	}
	ust, err := hasUST(st.QEMU)
	if err != nil {
		return fmt.Errorf("define guest %s: %w", g.Name, err)
	}
	if g.Driver, err = networkDriver(ust, v.nic, vhostNet); err != nil {
		return fmt.Errorf("define guest %s: %w", g.Name, err)
	}
	text, err := l.guestXML(st, g)
	if err != nil {
		return err
	}
	if err := l.makeOverlay(ctx, g.Name); err != nil {
		return err
	}
	conn, err := l.connect()
	if err != nil {
		return err
	}
	defer func() { _, _ = conn.Close() }()
	dom, err := conn.DomainDefineXML(text)
	if err != nil {
		return fmt.Errorf("define guest %s: %w", g.Name, err)
	}
	_ = dom.Free()
	st.Guests = append(st.Guests, g)
	return l.saveState(st)
}

// chooseAddr checks the wanted address or takes the next free one: the
// default guest's own, for others from the one after it.
func chooseAddr(have []GuestDef, g GuestDef) (netip.Addr, error) {
	taken := func(a netip.Addr) bool {
		for _, h := range have {
			if h.Addr == a {
				return true
			}
		}
		return a == HostAddr
	}
	if g.Addr.IsValid() {
		if !Subnet.Contains(g.Addr) || taken(g.Addr) || g.Addr.As4()[3] == 0 || g.Addr.As4()[3] == 255 {
			return g.Addr, fmt.Errorf("address %s is taken or not a host's in %s", g.Addr, Subnet)
		}
		return g.Addr, nil
	}
	first := WebAddr
	if g.Name != DefaultGuest {
		first = WebAddr.Next()
	}
	for a := first; Subnet.Contains(a) && a.As4()[3] < 255; a = a.Next() {
		if !taken(a) {
			return a, nil
		}
	}
	return netip.Addr{}, errors.New("no address is left")
}

// tap is the name of the guest's tap device.
func (g GuestDef) tap() string {
	if name := "vs-" + g.Name; len(name) <= 15 { // the kernel's limit for a device's name
		return name
	}
	return fmt.Sprintf("vs-guest-%d", g.Addr.As4()[3])
}

func (l *Lab) overlay(name string) string {
	return filepath.Join(l.diskDir(), name+".qcow2")
}

func (l *Lab) guestXML(st *state, g GuestDef) (string, error) {
	last := g.Addr.As4()[3]
	v, err := variantOf(g.Variant)
	if err != nil {
		return "", err
	}
	// The same guest of the same lab has the same UUID each time.
	sum := sha1.Sum([]byte(l.name + "/" + g.Name)) //nolint:gosec // as above
	text, err := render("guest.xml", map[string]any{
		"Accel": st.Accel, "Name": g.Name, "UUID": formatUUID([16]byte(sum[:16]), 5), "MemoryMiB": g.MemoryMiB,
		"Machine": v.machine, "VCPUs": v.vcpus, "DiskBus": v.disk, "DiskTarget": v.target(), "NIC": v.nic, "Driver": cmp.Or(g.Driver, DriverQEMU),
		"Kernel":   filepath.Join(l.diskDir(), "vmlinuz"),
		"Initrd":   filepath.Join(l.diskDir(), "initrd.img"),
		"Cmdline":  guestCmdline(v.root(), g.Addr, g.Name),
		"Emulator": st.QEMU,
		"Overlay":  l.overlay(g.Name),
		"MAC":      fmt.Sprintf("52:54:00:4d:00:%02x", last),
		"Bridge":   bridge, "Tap": g.tap(),
	})
	return string(text), err
}

// guestCmdline tells the image's own initial RAM disk address, gateway and
// host name, in the kernel's ip= syntax, and keeps the device's name stable.
func guestCmdline(root string, addr netip.Addr, name string) string {
	mask := net.IP(net.CIDRMask(Subnet.Bits(), 32))
	return fmt.Sprintf("root=%s rw console=ttyS0 quiet net.ifnames=0 ip=%s::%s:%s:%s:eth0:off", root, addr, HostAddr, mask, name)
}

// makeOverlay makes the guest's disk, owned by the user that guests run as.
func (l *Lab) makeOverlay(ctx context.Context, name string) error {
	path := l.overlay(name)
	out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2",
		"-F", "qcow2", "-b", filepath.Join(l.diskDir(), "root.qcow2"), path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make disk of guest %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	uid, gid := qemuUser()
	if err := errors.Join(os.Chown(path, uid, gid), os.Chmod(path, 0o600)); err != nil {
		return fmt.Errorf("make disk of guest %s: %w", name, err)
	}
	return nil
}

// MakeDisk makes an empty raw disk of that many MiB, which the user that
// guests run as may write, and returns its path. It goes with the lab.
func (l *Lab) MakeDisk(ctx context.Context, name string, mib int) (string, error) {
	if !guestName.MatchString(name) || mib < 1 {
		return "", fmt.Errorf("make disk %q of %d MiB: want a name of lower case letters, digits and dashes, and a size", name, mib)
	}
	path := filepath.Join(l.diskDir(), name+".img")
	out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "raw", path, fmt.Sprintf("%dM", mib)).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make disk %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	uid, gid := qemuUser()
	if err := errors.Join(os.Chown(path, uid, gid), os.Chmod(path, 0o600)); err != nil {
		return "", fmt.Errorf("make disk %s: %w", name, err)
	}
	return path, nil
}

// StartGuest starts a defined guest unless it runs.
func (l *Lab) StartGuest(name string) error {
	return l.withDomain(name, func(dom *libvirt.Domain) error {
		active, err := dom.IsActive()
		if err != nil {
			return fmt.Errorf("start guest %s: %w", name, err)
		}
		if active {
			return nil
		}
		l.log.Infof("starting guest %s", name)
		if err := dom.Create(); err != nil {
			return fmt.Errorf("start guest %s: %w", name, err)
		}
		return nil
	})
}

// WaitForWeb waits until the guest's web application answers a page that it
// makes from its data base.
func (l *Lab) WaitForWeb(ctx context.Context, name string, limit time.Duration) error {
	g, err := l.Guest(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return l.await(ctx, g, "web pages", l.webPage)
}

// webPage gets a page that the guest makes from its data base.
func (l *Lab) webPage(ctx context.Context, g GuestDef) error {
	client := http.Client{
		Transport: &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true},
		Timeout:   20 * time.Second,
	}
	return getPage(ctx, &client, "http://"+g.Addr.String()+"/")
}

// await tries the guest's service until it answers or ctx ends.
func (l *Lab) await(ctx context.Context, g GuestDef, what string, try func(context.Context, GuestDef) error) error {
	began, next := time.Now(), 15*time.Second
	l.log.Infof("waiting for the %s of guest %s at %s", what, g.Name, g.Addr)
	for {
		err := try(ctx, g)
		if err == nil {
			l.log.Infof("guest %s serves its %s after %v", g.Name, what, time.Since(began).Round(100*time.Millisecond))
			return nil
		}
		if waited := time.Since(began); waited > next {
			l.log.Infof("guest %s: nothing yet after %v", g.Name, waited.Round(time.Second))
			next += 15 * time.Second
		}
		if sleep(ctx, 500*time.Millisecond) != nil {
			return fmt.Errorf("wait for the %s of guest %s: %w", what, g.Name, err)
		}
	}
}

func getPage(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, resp.Status)
	}
	return nil
}
