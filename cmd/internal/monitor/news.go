package monitor

import (
	"sync"

	"github.com/virtsentry/virtsentry/libvirt"
)

// news is what a watcher was told of and has not looked at yet: of each kind what is true now, and when it began. So nothing is lost while the
// watcher is busy, and nothing grows. The zero value is not ready; it is safe for concurrent use.
type news struct {
	wake chan struct{} // there is some

	mu     sync.Mutex // guards latest
	latest notice
}

// notice is what there is of each kind. Times are those of CLOCK_MONOTONIC at which libvirt said so, nanoseconds.
type notice struct {
	activities []activity  // three at most
	moments    standstills // in which the guest stood still, whether it was paused or not
	reboots    []int64     // the latest ones, rebootsKept at most
	hardware   *libvirt.Hardware
	settings   bool // they may be other ones
	rewrite    bool // somebody else has changed the state element
	republish  bool // somebody else has changed the profile element
}

// rebootsKept bounds the reboots that a watcher has not looked at.
const rebootsKept = 8

// activity is what the guest's CPUs do since then.
type activity struct {
	paused bool
	at     int64
}

func newNews() *news { return &news{wake: make(chan struct{}, 1)} }

// tell adds to the news.
func (n *news) tell(f func(*notice)) {
	n.mu.Lock()
	f(&n.latest)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// note is tell of what can wait until the watcher looks at its news for another reason.
func (n *news) note(f func(*notice)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.latest)
}

// take returns the news, once.
func (n *news) take() notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.latest
	n.latest = notice{}
	return t
}

// act adds what the CPUs do. A guest that went on for a moment between two pauses stood still all the time: what is seen of such a moment is
// worth nothing.
func (t *notice) act(paused bool, at int64) {
	n := len(t.activities)
	switch {
	case n > 0 && t.activities[n-1].paused == paused:
	case n > 1 && paused:
		t.activities = t.activities[:n-1]
	default:
		t.activities = append(t.activities, activity{paused, at})
	}
}

// reboot adds a reboot.
func (t *notice) reboot(at int64) {
	t.reboots = append(t.reboots, at)
	t.reboots = t.reboots[max(0, len(t.reboots)-rebootsKept):]
}

// heed does what the news ask for.
func (w *watcher) heed() {
	t := w.news.take()
	if t.settings {
		w.configure(w.m.settings(w.domain))
	}
	if t.hardware != nil {
		w.setHardware(*t.hardware)
	}
	if t.moments != (standstills{}) {
		w.held.take(t.moments)
		w.refresh()
	}
	for _, a := range t.activities {
		if a.paused {
			w.pause(a.at)
		} else {
			w.resume(a.at)
		}
	}
	for _, at := range t.reboots {
		w.reboot(at)
	}
	if t.rewrite {
		w.rewrite()
	}
	if t.republish {
		w.republish()
	}
}
