package lab

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Status is what a look at the lab shows.
type Status struct {
	Dir      string        `json:"dir"`
	URI      string        `json:"uri"`
	Netns    string        `json:"netns"`
	Up       bool          `json:"up"` // namespace, libvirtd and sessiond all work
	NetnsUp  bool          `json:"netns_up"`
	Libvirtd bool          `json:"libvirtd"` // it answers
	Sessiond bool          `json:"sessiond"` // one answers, ours or the host's
	QEMU     string        `json:"qemu,omitempty"`
	UST      bool          `json:"ust"` // that QEMU has UST trace points
	Guests   []GuestStatus `json:"guests"`
	Procs    []Proc        `json:"processes"` // all that live in the lab now
}

// GuestStatus is one guest as libvirt and its web page show it.
type GuestStatus struct {
	GuestDef
	Running bool `json:"running"`
	PID     int  `json:"pid,omitempty"` // of its QEMU
	Web     bool `json:"web"`           // its page answers within 5 s
}

// Status looks at all parts of the lab. A lab that is not there is no error.
func (l *Lab) Status(ctx context.Context) (Status, error) {
	s := Status{Dir: l.dir, URI: l.URI(), Netns: l.name, Guests: []GuestStatus{}, Procs: []Proc{}}
	st, err := l.loadState()
	if err != nil {
		return s, err
	}
	ino, err := l.netnsInode()
	if err != nil {
		return s, err
	}
	s.NetnsUp = ino != 0
	s.QEMU = st.QEMU
	if st.QEMU != "" {
		if s.UST, err = hasUST(st.QEMU); err != nil {
			return s, err
		}
	}
	if procs, err := l.residents(ino); err != nil {
		return s, err
	} else if procs != nil {
		s.Procs = procs
	}
	s.Sessiond = sessiondAnswers(ctx)
	if p := st.proc(st.daemon().name); p != nil && p.Alive() {
		s.Libvirtd = l.libvirtAnswers(ctx)
	}
	s.Up = s.NetnsUp && s.Sessiond && s.Libvirtd
	for _, g := range st.Guests {
		gs := GuestStatus{GuestDef: g}
		if pid, err := l.GuestPID(g.Name); err == nil {
			gs.Running, gs.PID = true, pid
			gs.Web = l.webAnswers(ctx, g)
		}
		s.Guests = append(s.Guests, gs)
	}
	return s, nil
}

// libvirtAnswers asks libvirtd, which may be stopped or hang, for at most 5 s.
func (l *Lab) libvirtAnswers(ctx context.Context) bool {
	answer := make(chan error, 1)
	go func() {
		conn, err := l.connect()
		if err == nil {
			_, _ = conn.Close()
		}
		answer <- err
	}()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	select {
	case err := <-answer:
		return err == nil
	case <-ctx.Done():
		return false
	}
}

func (l *Lab) webAnswers(ctx context.Context, g GuestDef) bool {
	client := http.Client{
		Transport: &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true},
		Timeout:   5 * time.Second,
	}
	return getPage(ctx, &client, "http://"+g.Addr.String()+"/") == nil
}

// GuestPID returns the process id of a running guest's QEMU, from libvirt's
// PID file. It is an error if that process is not a QEMU any more.
func (l *Lab) GuestPID(name string) (int, error) {
	raw, err := os.ReadFile(filepath.Join(l.RunLibvirt(), "qemu", name+".pid"))
	if err != nil {
		return 0, fmt.Errorf("find QEMU of guest %s: %w", name, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0, fmt.Errorf("find QEMU of guest %s: %w", name, err)
	}
	p, err := identify(name, pid)
	if err != nil {
		return 0, fmt.Errorf("find QEMU of guest %s: %w", name, err)
	}
	if !p.Alive() || !strings.HasPrefix(filepath.Base(p.Exe), "qemu") {
		return 0, fmt.Errorf("find QEMU of guest %s: process %d is %s", name, pid, p.Exe)
	}
	return pid, nil
}
