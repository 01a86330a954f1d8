package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/libvirt"
)

// MarkStopped is for after the end of a daemon, however it ended: it ends the recording sessions that are left, and says blind of every
// running domain of which the daemon had said anything else, so that nobody goes on believing a state that nobody keeps.
// Errors: a daemon with the same lttng.output_dir still runs.
func (m *Monitor) MarkStopped() error {
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	defer unlock()
	clearErr := m.clear()
	conn, err := libvirt.Connect(m.cfg.Libvirt.URI)
	if err != nil {
		return errors.Join(clearErr, err)
	}
	defer m.closeConnection(conn)
	domains, err := conn.Running()
	err = errors.Join(clearErr, err)
	for _, d := range domains {
		err = errors.Join(err, m.markStopped(conn, d))
	}
	return err
}

func (m *Monitor) markStopped(conn *libvirt.Connection, d libvirt.Domain) error {
	s, err := conn.State(d.UUID)
	switch {
	case errors.Is(err, libvirt.ErrNoDomain):
		return nil
	case err == nil && (s == nil || s.Value == stateBlind):
		return nil
	}
	// One that cannot be read is written over: it is not ours any more.
	now := time.Now()
	err = conn.SetState(d.UUID, libvirt.State{
		Value: stateBlind, Since: now, Updated: now, ValidUntil: now.Add(foreverBlind), Host: m.host, BootID: m.bootID, Coverage: coverageNone,
		Reason: &libvirt.Reason{Code: reasonStopped, Text: "virtsentryd has ended"},
	})
	if errors.Is(err, libvirt.ErrNoDomain) {
		return nil
	}
	return err
}

// foreverBlind is how long a domain that nobody watches may be believed to be blind: as long as the host runs.
const foreverBlind = 10 * 365 * 24 * time.Hour

// lock makes sure that one daemon at a time uses the output directory: each ends the sessions in it that are not its own. The kernel lets go of the lock
// when the process ends, however it ends.
func (m *Monitor) lock() (unlock func(), err error) {
	dir := m.cfg.LTTng.OutputDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make lttng.output_dir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock lttng.output_dir: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lttng.output_dir %s is in use by another virtsentryd (stop it, or set another directory): %w", dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
