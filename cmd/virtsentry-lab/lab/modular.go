package lab

import (
	"fmt"
	"path/filepath"
)

// The two daemons that can have libvirt's QEMU driver in them: the monolithic
// one, and the modular one that has no other driver.
const (
	monolithic = "libvirtd"
	modular    = "virtqemud"
)

// daemon says how the lab's libvirt daemon is started and reached.
type daemon struct {
	name, binary string
	socket       string // its file in unix_sock_dir
	query        string // of the URI: without it a client looks for libvirtd first
}

// daemon is the one that the lab was made with.
func (st *state) daemon() daemon {
	if filepath.Base(st.Daemon) == modular {
		return daemon{name: modular, binary: st.Daemon, socket: "virtqemud-sock", query: "mode=direct&"}
	}
	if st.Daemon == "" {
		return daemon{name: monolithic, binary: monolithic, socket: "libvirt-sock"}
	}
	return daemon{name: monolithic, binary: st.Daemon, socket: "libvirt-sock"}
}

func checkDaemon(daemon string) error {
	if !isDaemon(filepath.Base(daemon)) || daemon != filepath.Base(daemon) && !filepath.IsAbs(daemon) {
		return fmt.Errorf("libvirt daemon %q: want %s or %s, or an absolute path of one", daemon, monolithic, modular)
	}
	return nil
}

func isDaemon(name string) bool { return name == monolithic || name == modular }

// LibvirtDaemon is the lab's libvirt daemon, as it was started last. It may
// have ended; there may be none, which is an error.
func (l *Lab) LibvirtDaemon() (Proc, error) {
	st, err := l.loadState()
	if err != nil {
		return Proc{}, err
	}
	p := st.proc(st.daemon().name)
	if p == nil {
		return Proc{}, fmt.Errorf("find the lab's libvirt daemon: %w", ErrNotUp)
	}
	return *p, nil
}

// LogDaemon is the lab's virtlogd, as it was started last. It may have ended;
// there may be none, which is an error.
func (l *Lab) LogDaemon() (Proc, error) {
	st, err := l.loadState()
	if err != nil {
		return Proc{}, err
	}
	p := st.proc(virtlogdName)
	if p == nil {
		return Proc{}, fmt.Errorf("find the lab's virtlogd: %w", ErrNotUp)
	}
	return *p, nil
}

// SessionDaemon is the lttng-sessiond that the lab started last; ok is false
// where it took one that was there already, which is not the lab's to end.
func (l *Lab) SessionDaemon() (p Proc, ok bool, err error) {
	st, err := l.loadState()
	if err != nil {
		return Proc{}, false, err
	}
	found := st.proc(sessiondName)
	if found == nil {
		return Proc{}, false, nil
	}
	return *found, found.Alive(), nil
}
