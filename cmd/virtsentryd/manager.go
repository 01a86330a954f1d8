package main

import (
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/sirupsen/logrus"
)

// manager is the service manager that has started the daemon, sd_notify(3). Where there is none, nothing is said. Its methods may be called from several
// goroutines.
type manager struct {
	log   logrus.FieldLogger
	every time.Duration // at most so often a sign of life is sent; 0: none is wanted

	mu    sync.Mutex // guards the fields below
	ready bool       // the manager has been told
	last  time.Time  // when it was last told that the daemon lives
	ended bool
}

// signsPerLimit is how many signs of life fit into the time without one after which the manager ends the daemon (WatchdogSec= of systemd.service(5)).
const signsPerLimit = 10

func newManager(log logrus.FieldLogger) *manager {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.WithError(err).Warn("the service manager's watchdog is not understood: it hears no sign of life")
	}
	return &manager{log: log, every: limit / signsPerLimit}
}

// alive is called by the goroutine that must not hang. The first time, the daemon is ready.
func (m *manager) alive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.ended:
	case !m.ready:
		m.ready, m.last = true, time.Now()
		m.say(daemon.SdNotifyReady)
	case m.every > 0 && time.Since(m.last) >= m.every:
		m.last = time.Now()
		m.say(daemon.SdNotifyWatchdog)
	}
}

// reloading says that the configuration is being read again; reloaded, that it has been.
func (m *manager) reloading() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ready && !m.ended {
		m.say(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	}
}

func (m *manager) reloaded() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ready && !m.ended {
		m.say(daemon.SdNotifyReady)
	}
}

// stopping says that the daemon ends.
func (m *manager) stopping() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	m.say(daemon.SdNotifyStopping)
}

func (m *manager) say(what string) {
	if _, err := daemon.SdNotify(false, what); err != nil {
		m.log.WithError(err).Warn("the service manager was not told how the daemon is")
	}
}
