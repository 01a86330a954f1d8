package monitor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/libvirt"
)

// Those who manage domains (libvirt.Connection.Manager) write their definitions anew when a guest is started, without the operator's policy: libvirt then
// tells of a definition, but not of a change of the policy's namespace. So the policies of such domains are kept, and written again. One that an
// operator takes out with virDomainSetMetadata is forgotten.

const (
	policySuffix = ".policy.xml"
	policyAge    = 90 * 24 * time.Hour // a policy is kept that long for a domain that libvirt does not know
	maxKept      = 16 << 10            // bytes; a longer element is refused anyway
)

var keptName = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// keptPolicies are policy elements in files, each named by its domain's UUID, beside the profiles. Monitor.policyMu guards them.
type keptPolicies struct{ dir string }

func (k keptPolicies) path(uuid string) (string, error) {
	if !keptName.MatchString(uuid) {
		return "", fmt.Errorf("kept policy: %.60q is no UUID in lower case", uuid)
	}
	return filepath.Join(k.dir, uuid+policySuffix), nil
}

// load reads one; empty: there is none.
func (k keptPolicies) load(uuid string) (string, error) {
	path, err := k.path(uuid)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("kept policy: %w", err)
	case len(text) > maxKept:
		return "", fmt.Errorf("kept policy: %s: larger than %d bytes (remove it)", path, maxKept)
	}
	return string(text), nil
}

// save writes one, so that after a crash there is either the old one or the new one.
func (k keptPolicies) save(uuid, text string) error {
	path, err := k.path(uuid)
	if err != nil {
		return err
	}
	if len(text) > maxKept {
		return fmt.Errorf("kept policy: domain %s: larger than %d bytes", uuid, maxKept)
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("kept policy: %w", err)
	}
	f, err := os.CreateTemp(k.dir, uuid+policySuffix+".*")
	if err != nil {
		return fmt.Errorf("kept policy: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("kept policy: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// seen notes that the domain of one is known, once a day.
func (k keptPolicies) seen(uuid string, now time.Time) error {
	path, err := k.path(uuid)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err == nil && now.Sub(info.ModTime()) > 24*time.Hour {
		err = os.Chtimes(path, now, now)
	}
	if err != nil {
		return fmt.Errorf("kept policy: %w", err)
	}
	return nil
}

// remove forgets one. That there is none is no error.
func (k keptPolicies) remove(uuid string) error {
	path, err := k.path(uuid)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("kept policy: %w", err)
	}
	return nil
}

// sweep removes what an interrupted save has left, and the policies of domains that are not known and have not been for long. It notes that the
// others are.
func (k keptPolicies) sweep(known func(uuid string) bool, now time.Time) error {
	entries, err := os.ReadDir(k.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kept policies: %w", err)
	}
	var all error
	for _, e := range entries {
		uuid, rest, found := strings.Cut(e.Name(), policySuffix)
		if !found || !keptName.MatchString(uuid) {
			continue
		}
		path := filepath.Join(k.dir, e.Name())
		if rest == "" && known(uuid) {
			all = errors.Join(all, os.Chtimes(path, now, now))
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it is gone
		}
		if rest != "" || now.Sub(info.ModTime()) > policyAge {
			all = errors.Join(all, os.Remove(path))
		}
	}
	return all
}

// keepPolicy keeps the policy element of a domain that is managed, and that of a domain of which one is kept.
func (m *Monitor) keepPolicy(conn *libvirt.Connection, uuid, text string) {
	m.policyMu.Lock()
	old, err := m.kept.load(uuid)
	if err == nil && old == text {
		err = m.kept.seen(uuid, time.Now())
	}
	m.policyMu.Unlock()
	if err == nil && old == text {
		return
	}
	if old == "" {
		manager, err := conn.Manager(uuid)
		if err != nil || manager == "" {
			return
		}
	}
	m.policyMu.Lock()
	defer m.policyMu.Unlock()
	if err := m.kept.save(uuid, text); err != nil {
		m.log.WithError(err).Warn("a policy is in force, but is lost when the domain's definition is written anew")
	}
}

// lostPolicy is the policy element that a domain had before it was defined anew without one, which is soon written again; empty: there was none, or
// whoever has defined it is free to leave it out.
func (m *Monitor) lostPolicy(conn *libvirt.Connection, uuid string) (string, error) {
	m.policyMu.Lock()
	text, err := m.kept.load(uuid)
	m.policyMu.Unlock()
	if err != nil {
		m.log.WithError(err).Warn("a policy that may be kept is not in force")
	}
	if text == "" {
		return "", nil
	}
	manager, err := conn.Manager(uuid)
	if err != nil || manager == "" {
		return "", err
	}
	if w := m.watcher(uuid); w != nil && !w.restore.busy() { // a write waits for the domain's modify job
		w.log.WithField("manager", manager).Info("the domain was defined anew without its policy, which stays in force and is written again")
		w.restore.put(text)
	}
	return text, nil
}

// policyChanged takes note that somebody has changed a domain's policy element, or taken it out.
func (m *Monitor) policyChanged(uuid string) {
	conn := m.connection()
	if conn == nil {
		return
	}
	text, err := conn.PolicyElement(uuid)
	if err != nil {
		return
	}
	if text == "" {
		m.policyMu.Lock()
		err := m.kept.remove(uuid)
		m.policyMu.Unlock()
		if err != nil {
			m.log.WithError(err).Warn("a policy that was taken out is still kept")
		}
	}
	m.policy(uuid)
}

// restorePolicy writes a policy element that was lost, unless it was taken out meanwhile.
func (m *Monitor) restorePolicy(uuid, text string) error {
	m.policyMu.Lock()
	kept, err := m.kept.load(uuid)
	m.policyMu.Unlock()
	if err != nil || kept != text {
		return err
	}
	conn := m.connection()
	if conn == nil {
		return errDisconnected
	}
	return conn.RestorePolicy(uuid, text)
}

// sweepPolicies forgets the kept policies of domains that are long gone.
func (m *Monitor) sweepPolicies(domains []libvirt.Domain) {
	known := make(map[string]bool, len(domains))
	for _, d := range domains {
		known[d.UUID] = true
	}
	m.policyMu.Lock()
	defer m.policyMu.Unlock()
	if err := m.kept.sweep(func(uuid string) bool { return known[uuid] }, time.Now()); err != nil {
		m.log.WithError(err).Warn("kept policies were not looked through")
	}
}

// busy says whether something is still to be written.
func (r *recorder[T]) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writing || len(r.pending) > 0 || r.refused != nil
}
