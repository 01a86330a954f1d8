package monitor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/libvirt"
)

// policy is what an operator has written into a domain's policy element.
type policy struct {
	override config.Override
	err      error // why it is not in force
}

// readPolicies reads the policy elements of all domains, also of those that do not run: one that is not to be watched is not attached to when
// it starts.
func (m *Monitor) readPolicies(conn *libvirt.Connection) {
	domains, err := conn.Domains()
	if err != nil {
		m.log.WithError(err).Warn("the policies of domains that do not run are read when these start")
		return
	}
	for _, d := range domains {
		m.gotOn()
		m.policy(d.UUID)
	}
	m.sweepPolicies(domains)
}

// forgetPolicies forgets the policies of domains that libvirt does not know any more.
func (m *Monitor) forgetPolicies(conn *libvirt.Connection) {
	m.policyMu.Lock()
	old := slices.Collect(maps.Keys(m.policies)) // a domain that is defined only now is not in the list perhaps
	m.policyMu.Unlock()
	if len(old) == 0 {
		return
	}
	domains, err := conn.Domains()
	if err != nil {
		m.log.WithError(err).Debug("not known which domains there are")
		return
	}
	m.policyMu.Lock()
	defer m.policyMu.Unlock()
	for _, uuid := range old {
		if !slices.ContainsFunc(domains, func(d libvirt.Domain) bool { return d.UUID == uuid }) {
			delete(m.policies, uuid)
		}
	}
}

// settings are those of one domain: of the configuration, and of its policy element. Where the policy is wrong, they are those without it, and
// an error comes with them.
func (m *Monitor) settings(d libvirt.Domain) (config.Domain, error) {
	m.policyMu.Lock()
	p := m.policies[d.UUID]
	m.policyMu.Unlock()
	s, err := m.live.Load().For(d.Name, d.UUID, p.override)
	return s, errors.Join(p.err, err)
}

// Reload puts another configuration in force, as far as that is possible at run time. It returns the keys that want a restart of the daemon.
func (m *Monitor) Reload(cfg config.Config) []string {
	late := m.cfg.NeedsRestart(cfg)
	if len(late) > 0 {
		m.log.WithField("keys", strings.Join(late, ", ")).Warn("the configuration was read again; these keys take effect when the daemon is restarted")
	} else {
		m.log.Info("the configuration was read again")
	}
	now := m.cfg.AtRunTime(cfg)
	m.live.Store(&now)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.watchers {
		w.configureSoon()
	}
	return late
}

// configureSoon has a watcher work out its settings again. It does so itself: so the last ones to be in force are the last ones to be given.
func (w *watcher) configureSoon() { w.news.tell(func(t *notice) { t.settings = true }) }

// policy reads a domain's policy element and puts it in force. One that was lost with a definition that somebody else has written anew is still in force.
func (m *Monitor) policy(uuid string) {
	conn := m.connection()
	if conn == nil {
		return
	}
	text, err := conn.PolicyElement(uuid)
	if err != nil {
		return // nothing new is known of it
	}
	if text != "" {
		m.keepPolicy(conn, uuid, text)
	} else if text, err = m.lostPolicy(conn, uuid); err != nil {
		return
	}
	m.setPolicy(uuid, text)
}

// setPolicy puts a policy element in force; empty: there is none.
func (m *Monitor) setPolicy(uuid, text string) {
	var p policy
	if text != "" {
		element, err := libvirt.ParsePolicy(text)
		switch {
		case err != nil:
			p.err = fmt.Errorf("libvirt: domain %s: read policy: %w", uuid, err)
		default:
			p.override = override(*element)
		}
	}
	m.policyMu.Lock()
	if text == "" {
		delete(m.policies, uuid)
	} else {
		m.policies[uuid] = p
	}
	m.policyMu.Unlock()
	if w := m.watcher(uuid); w != nil {
		w.configureSoon()
	}
}

// override is a policy element as the configuration takes it.
func override(p libvirt.Policy) config.Override {
	o := config.Override{
		Watch: p.Watch, Nu: p.Nu, Gamma: p.Gamma, Level: p.Level, Window: p.Window, Alarm: p.Alarm, QuietUnits: p.QuietUnits, Units: p.Units,
		AlarmsPerDay: p.FalseAlarmsPerDay, OverheadPercent: p.OverheadPercent,
	}
	if p.Starting != nil {
		d := config.Duration(*p.Starting)
		o.Starting = &d
	}
	return o
}
