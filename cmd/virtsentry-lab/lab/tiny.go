package lab

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // a name-based UUID, no secret
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"libvirt.org/go/libvirt"

	"github.com/virtsentry/virtsentry/packaging/lab/tiny"
)

// TinyGuests is how many tiny guests a lab can have.
const TinyGuests = 100

// TinyGuest is a guest with no root file system: kernel and initial RAM disk of the lab's image, 128 MiB of memory, a network card and a disk. It serves
// a web page at port 80, /page. libvirt forgets one that was only started when it ends.
type TinyGuest struct {
	Name, UUID string
	Addr       netip.Addr
}

// tinyInit is where tiny guests have their init: not where the image's own initial RAM disk has one.
const tinyInit = "tiny"

// StartTiny starts a tiny guest by its number, from 1 to TinyGuests. The lab has an image: it was made with DefineOnly, or has a guest.
func (l *Lab) StartTiny(ctx context.Context, n int) (TinyGuest, error) {
	g, text, err := l.makeTiny(ctx, n)
	if err == nil {
		err = l.withText(text, func(conn *libvirt.Connect, text string) (*libvirt.Domain, error) {
			return conn.DomainCreateXML(text, 0)
		})
	}
	if err != nil {
		return g, fmt.Errorf("start tiny guest %d: %w", n, err)
	}
	return g, nil
}

// DefineTiny defines a tiny guest, which libvirt keeps when it ends. It does not start it.
func (l *Lab) DefineTiny(ctx context.Context, n int) (TinyGuest, error) {
	g, text, err := l.makeTiny(ctx, n)
	if err == nil {
		err = l.withText(text, (*libvirt.Connect).DomainDefineXML)
	}
	if err != nil {
		return g, fmt.Errorf("define tiny guest %d: %w", n, err)
	}
	return g, nil
}

// withText has libvirt make a domain of a definition.
func (l *Lab) withText(text string, f func(*libvirt.Connect, string) (*libvirt.Domain, error)) error {
	conn, err := l.connect()
	if err != nil {
		return err
	}
	defer func() { _, _ = conn.Close() }()
	dom, err := f(conn, text)
	if err != nil {
		return err
	}
	return dom.Free()
}

// makeTiny makes what a tiny guest needs, and its definition.
func (l *Lab) makeTiny(ctx context.Context, n int) (g TinyGuest, definition string, err error) {
	if n < 1 || n > TinyGuests {
		return g, "", fmt.Errorf("want a number from 1 to %d", TinyGuests)
	}
	st, err := l.loadState()
	if err != nil {
		return g, "", err
	}
	if st.QEMU == "" || st.Image == "" {
		return g, "", fmt.Errorf("%w, or was started with no guest image", ErrNotUp)
	}
	initrd, err := l.tinyInitrd()
	if err != nil {
		return g, "", err
	}
	first := HostAddr.As4()
	first[3] = byte(100 + n)
	g = TinyGuest{Name: fmt.Sprintf("tiny-%d", n), Addr: netip.AddrFrom4(first)}
	sum := sha1.Sum([]byte(l.name + "/" + g.Name)) //nolint:gosec // as above
	g.UUID = formatUUID([16]byte(sum[:16]), 5)
	disk, err := l.MakeDisk(ctx, g.Name, 16)
	if err != nil {
		return g, "", err
	}
	t, err := template.New("guest.xml").Option("missingkey=error").Parse(tiny.GuestXML)
	if err != nil {
		return g, "", err
	}
	var text strings.Builder
	err = t.Execute(&text, map[string]any{
		"Accel": st.Accel, "Name": g.Name, "UUID": g.UUID, "Emulator": st.QEMU, "Disk": disk,
		"Kernel": filepath.Join(l.diskDir(), "vmlinuz"), "Initrd": initrd,
		"Cmdline": strings.Replace(guestCmdline("/dev/ram0", g.Addr, g.Name), "root=", "rdinit=/"+tinyInit+" root=", 1),
		"MAC":     fmt.Sprintf("52:54:00:4d:01:%02x", n), "Bridge": bridge, "Tap": "vs-" + g.Name,
	})
	return g, text.String(), err
}

// StopTiny ends a tiny guest.
func (l *Lab) StopTiny(g TinyGuest) error { return l.withDomain(g.Name, (*libvirt.Domain).Destroy) }

// tinyInitrd makes the initial RAM disk: an archive with one file before that of the image (the kernel's Documentation/driver-api/early-userspace/
// buffer-format.rst).
func (l *Lab) tinyInitrd() (string, error) {
	path := filepath.Join(l.diskDir(), "tiny.img")
	if isFile(path) {
		return path, nil
	}
	image, err := os.ReadFile(filepath.Join(l.diskDir(), "initrd.img"))
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	archive(&b, tinyInit, 0o100755, tiny.Init)
	archive(&b, "TRAILER!!!", 0, nil)
	b.Write(image)
	return path, writeFile(path, b.Bytes(), 0o644)
}

// archive writes one entry of a cpio archive in the "newc" form, cpio(5).
func archive(b *bytes.Buffer, name string, mode int, data []byte) {
	b.WriteString("070701")
	for _, field := range []int{0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0} {
		fmt.Fprintf(b, "%08X", field)
	}
	b.WriteString(name + "\x00")
	b.Write(make([]byte, -b.Len()&3))
	b.Write(data)
	b.Write(make([]byte, -b.Len()&3))
}
