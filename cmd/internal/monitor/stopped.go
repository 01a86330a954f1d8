package monitor

import (
	"errors"
	"time"

	"github.com/virtsentry/virtsentry/libvirt"
)

// MarkStopped is for after the end of a daemon, however it ended: it ends the recording sessions that are left, and says blind of every
// running domain of which the daemon had said anything else, so that nobody goes on believing a state that nobody keeps.
func (m *Monitor) MarkStopped() error {
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
