package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"libvirt.org/go/libvirt"
)

// Migrate moves a running guest to another lab on this machine, live, and
// returns when it runs there. Its disk stays in this lab, where the guest
// stays defined; there it is transient.
func (l *Lab) Migrate(ctx context.Context, guest string, to *Lab) error {
	if to.dir == l.dir {
		return fmt.Errorf("migrate guest %s: from lab %s to itself", guest, l.dir)
	}
	socket, err := to.migrationSocket(guest)
	if err != nil {
		return fmt.Errorf("migrate guest %s: %w", guest, err)
	}
	params := libvirt.DomainMigrateParameters{URI: "unix://" + socket, URISet: true}
	// Both labs use the same file, which libvirt cannot know.
	const flags = libvirt.MIGRATE_LIVE | libvirt.MIGRATE_PEER2PEER | libvirt.MIGRATE_UNSAFE
	err = l.withDomain(guest, func(dom *libvirt.Domain) error {
		stop := context.AfterFunc(ctx, func() { _ = dom.AbortJob() })
		defer stop()
		return dom.MigrateToURI3(strings.Replace(to.URI(), "qemu:", "qemu+unix:", 1), &params, flags)
	})
	if err != nil {
		return fmt.Errorf("migrate guest %s to lab %s: %w", guest, to.dir, errors.Join(ctx.Err(), err))
	}
	return nil
}

// migrationSocket is where the guest's QEMU in this lab waits for its
// contents: a directory in which QEMU may make a socket.
func (l *Lab) migrationSocket(guest string) (string, error) {
	dir := filepath.Join(l.diskDir(), "migration")
	if err := mkdir(dir, 0o711); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotUp, err)
	}
	uid, gid := qemuUser()
	if err := os.Chown(dir, uid, gid); err != nil {
		return "", err
	}
	return filepath.Join(dir, guest+".sock"), nil
}
