package monitor

import (
	"reflect"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// born opens the account of the life of a process.
func (w *watcher) born(age time.Duration) { w.ledger.open(now() - int64(age)) }

// booting says whether some of the time from start to end belongs to the guest's start: before libvirt has said that it runs, too.
func (w *watcher) booting(start, end int64) bool {
	return w.boot.holds(start, end) || !w.ran && start < w.boot.since+int64(w.boot.limit)
}

// halted says whether the guest's CPUs stood still for some of the time from start to end.
func (w *watcher) halted(start, end int64) bool {
	if w.paused {
		return end > w.pausedAt
	}
	return end > w.pausedAt && start < w.resumed
}

// pause says that the guest's CPUs stand still since then (CLOCK_MONOTONIC, nanoseconds).
func (w *watcher) pause(at int64) {
	if !w.paused {
		w.paused, w.pausedAt = true, at
	}
	w.refresh()
}

// resume says that the guest's CPUs run since then (CLOCK_MONOTONIC, nanoseconds).
func (w *watcher) resume(at int64) {
	w.held.runs(at)
	if w.paused {
		w.paused, w.resumed = false, at
	}
	if w.ran = true; w.restored {
		w.restored = false
		w.boot.over, w.boot.until = true, at
		w.log.Info("a guest that was restored or has migrated does not boot")
	}
	w.refresh()
}

// reboot says that the guest was reset within its QEMU then (CLOCK_MONOTONIC, nanoseconds), and boots again.
func (w *watcher) reboot(at int64) {
	if !w.reboots.add(at) {
		return
	}
	w.boot.again(at, time.Duration(w.settings.Learning.Starting))
	w.judge.decider.Reset() // what it did before is another life
	w.log.Info("the guest boots again")
	w.refresh()
}

// configure puts other settings in force. An error says what of them is not.
func (w *watcher) configure(s config.Domain, wrong error) {
	if wrong != nil {
		w.report(incidentPolicy, wrong.Error())
	} else {
		w.shut(incidentPolicy)
	}
	if reflect.DeepEqual(s, w.settings) {
		return
	}
	w.settings, w.boot.limit = s, time.Duration(s.Learning.Starting)
	w.log.WithField("watch", s.Watch).Info("settings changed")
	if err := w.judge.configure(s); err != nil {
		w.log.WithError(err).Error("settings not in force")
	}
	w.refresh()
}

func (w *watcher) blindness(why *control.Reason) {
	w.blind = why
	w.judge.gap()
	w.refresh()
}
