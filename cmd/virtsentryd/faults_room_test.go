//go:build integration

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/hooks"
	"github.com/virtsentry/virtsentry/model"
)

// smallDisk is a file system in memory, mounted on a directory, with the files that were in it.
type smallDisk struct {
	t    *testing.T
	dir  string
	stop chan struct{} // closed when nothing is to fill it any more
	end  sync.WaitGroup
}

// small mounts one of that many MiB. Nothing may use the directory meanwhile. The files go back when the case ends.
func small(t *testing.T, dir string, mib int) *smallDisk {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	move := func(f func()) {
		files := map[string][]byte{}
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		for _, name := range names {
			text, readErr := os.ReadFile(name)
			files[name], err = text, errors.Join(err, readErr)
		}
		f()
		for name, text := range files {
			if filepath.Base(name) != filler {
				err = errors.Join(err, os.WriteFile(name, text, 0o600))
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
	move(func() {
		if err := unix.Mount("virtsentry-faults", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", mib)); err != nil {
			t.Fatal(err)
		}
	})
	d := &smallDisk{t: t, dir: dir}
	t.Cleanup(func() {
		d.free()
		move(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	})
	return d
}

// filler is the file that takes all room.
const filler = ".filler"

// fill takes all room, again and again, until free.
func (d *smallDisk) fill() {
	d.t.Helper()
	f, err := os.OpenFile(filepath.Join(d.dir, filler), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	d.stop = make(chan struct{})
	zeros := make([]byte, 4096)
	full := func() {
		for {
			if _, err := f.Write(zeros); err != nil {
				return
			}
		}
	}
	full()
	d.end.Go(func() {
		defer func() { _ = f.Close() }()
		for {
			select {
			case <-d.stop:
				return
			case <-time.After(20 * time.Millisecond):
				full()
			}
		}
	})
}

// free makes room.
func (d *smallDisk) free() {
	if d.stop == nil {
		return
	}
	close(d.stop)
	d.end.Wait()
	d.stop = nil
	if err := os.Remove(filepath.Join(d.dir, filler)); err != nil {
		d.t.Error(err)
	}
}

func (s *stack) faultFullProfiles(t *testing.T) seen {
	s.stopDaemon(t)
	disk := small(t, s.file("profiles"), 4)
	t.Cleanup(func() { s.stopDaemon(t) }) // before the directory changes
	s.web.judged(t)
	before, _ := s.web.status(t)
	disk.fill()
	event := time.Now()
	if err := s.control().Learn(t.Context(), s.web.uuid, learnt); err != nil {
		t.Fatal(err)
	}
	s.web.becomes(t, event, "learning", is("learning"))
	s.within(t, "it is learnt", func() bool {
		d, ok := s.web.status(t)
		return ok && d.Profile && d.Trained.After(event)
	})
	s.web.judgedAfter(t, time.Now())
	store := model.NewStore(s.file("profiles"))
	if _, err := store.Load(s.web.uuid); err == nil {
		t.Error("the profile was kept where there is no room")
	}
	disk.free()
	event = time.Now()
	var kept *model.Profile
	s.within(t, "the profile is kept", func() (ok bool) {
		p, err := store.Load(s.web.uuid)
		kept = p
		return err == nil
	})
	took := time.Since(event)
	after, _ := s.web.status(t)
	if !kept.Created.Equal(*after.Trained) || kept.Created.Equal(*before.Trained) {
		t.Errorf("kept: the profile of %v; in force: that of %v; before: %v", kept.Created, after.Trained, before.Trained)
	}
	s.stopDaemon(t)
	event = time.Now()
	s.startDaemon(t)
	s.web.judgedAfter(t, event)
	if d, _ := s.web.status(t); d.Trained == nil || !d.Trained.Equal(kept.Created) {
		t.Errorf("after a restart the profile of %v is in force; want that of %v", d.Trained, kept.Created)
	}
	return seen{text: fmt.Sprintf("kept %.0f s after there was room", took.Seconds())}
}

func (s *stack) faultFullTraces(t *testing.T) seen {
	s.stopDaemon(t)
	disk := small(t, s.file("traces"), 8)
	t.Cleanup(func() { s.stopDaemon(t) })
	s.web.judged(t)
	s.web.judgedAfter(t, time.Now())
	disk.fill()
	event := time.Now()
	s.web.becomes(t, event, "blind", is("blind"))
	time.Sleep(time.Until(event.Add(30 * time.Second)))
	units := s.heard.between(s.web.uuid, event.Add(2*time.Second), time.Now()) // but the unit in which it began
	for _, u := range units {
		// What the guest does all the time, its writes to its disk, is missed in a unit that nothing was written of.
		if u.Judged && u.Lost == 0 && !u.Anomalous && empty(u) {
			t.Errorf("a unit of which nothing could be written was found usual: %v", u.Start)
		}
	}
	d, _ := s.web.status(t)
	balanced(t, d)
	disk.free()
	s.web.rightAgain(t, time.Now())
	// What was kept back is known now: it is lossy.
	for _, u := range s.heard.between(s.web.uuid, event.Add(2*time.Second), event.Add(28*time.Second)) {
		if u.Lost == 0 && u.Judged && !u.Anomalous && empty(u) {
			t.Errorf("a unit of which nothing could be written was found usual in the end: %v", u.Start)
		}
	}
	return seen{text: fmt.Sprintf("%s (%s) meanwhile, then %s", d.State, code(d), tally(s.heard.between(s.web.uuid, event, event.Add(30*time.Second))))}
}

// empty says whether nothing was counted in a unit.
func empty(u control.UnitReport) bool {
	for _, n := range u.Counts {
		if n > 0 {
			return false
		}
	}
	return true
}

func code(d control.DomainStatus) string {
	if d.Reason == nil {
		return "no reason"
	}
	return d.Reason.Code
}

// rightAgain waits until the guest is judged by its profile after the end of a fault, and no unit is lossy or anomalous any more, nor empty: what it does all the
// time, its writes to its disk, is counted.
func (g *guest) rightAgain(t *testing.T, event time.Time) {
	t.Helper()
	g.within(t, g.name+" is judged again", func() bool {
		d, ok := g.status(t)
		return ok && d.Profile && d.State != "blind" && d.State != "unknown" && d.Last != nil && d.Last.Judged && d.Last.Lost == 0 && d.Last.Start.After(event) && !empty(*d.Last)
	})
	first := g.heard.firstJudged(g.uuid, event)
	g.took(len(g.heard.between(g.uuid, event, first)), first.Sub(event))
}

func (s *stack) faultFullStart(t *testing.T) seen {
	s.stopDaemon(t)
	disk := small(t, s.file("traces"), 4)
	t.Cleanup(func() { s.stopDaemon(t) })
	disk.fill()
	event := time.Now()
	s.startDaemon(t)
	s.within(t, "the daemon answers", func() bool {
		_, err := s.control().Domains(t.Context())
		return err == nil
	})
	time.Sleep(15 * time.Second)
	d, ok := s.web.status(t)
	if !ok || d.State == "normal" || d.Reason == nil {
		t.Errorf("status %+v, %v; want no normal state, and a reason", d, ok)
	}
	if c, found := s.heard.change(s.web.uuid, event, is("normal")); found {
		t.Errorf("the guest was called normal: %+v", c)
	}
	disk.free()
	s.web.rightAgain(t, time.Now())
	return seen{text: fmt.Sprintf("%s (%s) while there was no room", d.State, code(d))}
}

// second starts another guest, which ends with the case.
func (s *stack) second(t *testing.T, number int) *guest {
	t.Helper()
	tiny, err := s.lab.StartTiny(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	g := s.guest(t, tiny.Name)
	t.Cleanup(func() { s.end(t, g) })
	return g
}

// end ends a guest that libvirt forgets.
func (s *stack) end(t *testing.T, g *guest) {
	t.Helper()
	if d, err := s.raw.LookupDomainByUUIDString(g.uuid); err == nil {
		_ = d.Destroy()
		_ = d.Free()
	}
	if s.daemon != nil {
		g.gone(t)
	}
}

// limitSharedMemory lets so much more be in /dev/shm than there is; 0: as much as before.
func limitSharedMemory(t *testing.T, more int64) {
	t.Helper()
	options := "size=50%"
	if more > 0 {
		var fs unix.Statfs_t
		if err := unix.Statfs(sharedMemory, &fs); err != nil {
			t.Fatal(err)
		}
		options = fmt.Sprintf("size=%d", int64(fs.Blocks-fs.Bfree)*fs.Bsize+more)
	}
	if err := unix.Mount("", sharedMemory, "", unix.MS_REMOUNT, options); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) faultSharedMemory(t *testing.T) seen {
	limitSharedMemory(t, 64<<10)
	t.Cleanup(func() { limitSharedMemory(t, 0) })
	event := time.Now()
	second := s.second(t, 2)
	second.changes(t, event, "blind", is("blind"))
	time.Sleep(4 * time.Second)
	d, ok := second.status(t)
	if !ok || d.State != "blind" || code(d) != "buffer-memory" || !second.runs(t) {
		t.Errorf("the second guest: %+v, %v; want it alive, and blind for buffer-memory", d, ok)
	}
	s.web.unmoved(t, event, 6)
	limitSharedMemory(t, 0)
	event = time.Now()
	second.becomes(t, event, "not blind", func(c hooks.Change) bool { return c.State != "blind" })
	second.attached(t)
	second.within(t, "units of it come", func() bool { return len(second.heard.since(second.uuid, event)) > 0 })
	s.end(t, second)
	return seen{text: fmt.Sprintf("the second guest was blind (%s)", code(d))}
}

func (s *stack) faultDescriptors(t *testing.T) seen {
	pid := s.daemon.Process.Pid
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	highest := uint64(0)
	for _, f := range open {
		var n uint64
		if _, err := fmt.Sscan(f.Name(), &n); err == nil {
			highest = max(highest, n)
		}
	}
	var old unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	limit := func(n uint64) {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: old.Max}, nil); err != nil {
			t.Error(err)
		}
	}
	event := time.Now()
	limit(highest + 3)
	second := s.second(t, 2)
	time.Sleep(15 * time.Second)
	units := s.heard.between(s.web.uuid, event, time.Now())
	limit(old.Cur)
	event = time.Now()
	if strings.Contains(s.log(), "virtsentryd: ") {
		t.Errorf("the daemon has ended:\n%s", s.log())
	}
	s.web.rightAgain(t, event)
	second.changes(t, event.Add(-15*time.Second), "seen", seesAgain)
	second.attached(t)
	s.end(t, second)
	return seen{text: tally(units)}
}
