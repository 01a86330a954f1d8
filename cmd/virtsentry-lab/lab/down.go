package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/lttng"
)

// Down removes the lab in dir (DefaultDir if empty) with all that runs in
// it. It goes by what it finds, so parts that have crashed or were never
// made do not matter; nothing there is no error. Log may be nil.
func Down(ctx context.Context, dir string, log logrus.FieldLogger) error {
	if err := CheckRoot(); err != nil {
		return err
	}
	l, err := Open(dir, log)
	if err != nil {
		return err
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return l.tearDown(ctx)
}

func (l *Lab) tearDown(ctx context.Context) error {
	st, err := l.loadState()
	if err != nil {
		l.log.Warnf("going on without the lab's state: %v", err)
		st = &state{}
	}
	ino, err := l.netnsInode()
	if err != nil {
		return err
	}
	l.endClients(ctx, st, ino)
	l.endRecording(ctx)
	if p := st.proc(st.daemon().name); p != nil && p.Alive() {
		l.destroyGuests(ctx)
	}
	if err := l.endProcesses(ctx, st, ino); err != nil {
		return err
	}
	if err := l.removeNetns(); err != nil {
		return err
	}
	return l.removeFiles(st)
}

// endClients ends load and attacks first, so that they do not complain about
// a guest that goes away under them.
func (l *Lab) endClients(ctx context.Context, st *state, ino uint64) {
	found, err := l.residents(ino)
	if err != nil {
		return // the final sweep will say so
	}
	found = slices.DeleteFunc(found, func(p Proc) bool {
		return slices.ContainsFunc(st.Procs, func(d Proc) bool { return d.PID == p.PID }) ||
			p.Exe == st.QEMU || strings.HasPrefix(p.Name, "qemu") || isDaemon(p.Name) || p.Name == virtlogdName || p.Name == sessiondName
	})
	_ = terminate(ctx, found, 3*time.Second)
}

// endRecording removes the tracing session of a recorder that was killed.
func (l *Lab) endRecording(ctx context.Context) {
	unlock, err := l.tryLock("record")
	if err != nil {
		return // the recorder lives, and ends with the guest
	}
	defer unlock()
	if !sessiondAnswers(ctx) {
		return
	}
	if err := lttng.DestroySession(l.sessionName()); err != nil {
		l.log.Warnf("remove tracing session: %v", err)
	}
}

// destroyGuests lets libvirtd end the guests, so that its clients hear of
// it. It is not waited for longer than a moment: the sweep ends them anyway.
func (l *Lab) destroyGuests(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.connect()
		if err != nil {
			return
		}
		defer func() { _, _ = conn.Close() }()
		doms, err := conn.ListAllDomains(0)
		if err != nil {
			return
		}
		for i := range doms {
			if active, err := doms[i].IsActive(); err == nil && active {
				if err := doms[i].Destroy(); err != nil {
					l.log.Warnf("destroy guest: %v", err)
				}
			}
			_ = doms[i].Free()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		l.log.Warn("libvirtd does not answer; ending the guests without it")
	}
}

// endProcesses ends every process of the lab, recorded or found, until none
// is found any more.
func (l *Lab) endProcesses(ctx context.Context, st *state, ino uint64) error {
	for round := 0; ; round++ {
		procs, err := l.residents(ino)
		if err != nil {
			return err
		}
		for _, p := range st.Procs {
			if p.Alive() && !slices.ContainsFunc(procs, func(q Proc) bool { return q.PID == p.PID }) {
				procs = append(procs, p)
			}
		}
		if len(procs) == 0 {
			return nil
		}
		if round == 5 {
			return fmt.Errorf("end the lab's processes: %d keep coming back, such as %d (%s)", len(procs), procs[0].PID, procs[0].Exe)
		}
		for _, p := range procs {
			l.log.Infof("ending %s (process %d)", p.Name, p.PID)
		}
		if err := terminate(ctx, procs, 5*time.Second); err != nil {
			return err
		}
	}
}

// removeFiles removes the lab's directories and what it made for others.
func (l *Lab) removeFiles(st *state) error {
	if ownedByUs(l.diskDir()) == nil {
		if err := os.RemoveAll(l.diskDir()); err != nil {
			return fmt.Errorf("remove disks: %w", err)
		}
	}
	made := st.MadeDirs
	if isFile(l.path(marker)) && !isFile(l.statePath()) {
		made = []string{privateDirs[0].system} // the state is lost; packages bring the others
	}
	for _, dir := range made {
		if mountedAnywhere(dir) {
			continue // another lab stands on it, and removes it
		}
		// Whoever has put something there meanwhile keeps it.
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.log.Debugf("keeping %s: %v", dir, err)
		}
	}
	if _, err := os.Lstat(l.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !l.isOurs() {
		// A crash right after mkdir, or somebody else's: only empty it goes.
		if err := os.Remove(l.dir); err != nil {
			return fmt.Errorf("remove lab directory: %s does not look like a lab's: %w", l.dir, err)
		}
		return nil
	}
	if err := l.unmountBelow(); err != nil {
		return err
	}
	if err := os.RemoveAll(l.dir); err != nil {
		return fmt.Errorf("remove lab directory: %w", err)
	}
	return nil
}

// unmountBelow detaches whatever somebody has mounted in DIR: removing files
// must never reach into a mount.
func (l *Lab) unmountBelow() error {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for _, point := range slices.Backward(mountsBelow(raw, l.dir)) {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

// mountsBelow lists the mount points at or below dir in their order in
// proc_pid_mountinfo(5), which writes spaces and the like as octal escapes.
func mountsBelow(mountinfo []byte, dir string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(string(mountinfo)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		point := unescape.Replace(f[4])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
}
