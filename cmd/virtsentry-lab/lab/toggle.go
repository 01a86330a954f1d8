package lab

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/lttng"
)

// Toggle is a way to observe a guest that can begin and end at once, again and again. Close must be called.
type Toggle struct {
	On, Off func(ctx context.Context) error
	// Close ends it, and returns how many units it has made, and how many of them lost events.
	Close func() (seen, lossy uint64, err error)
}

// ToggleNothing observes nothing, ever.
func ToggleNothing() Toggle {
	nothing := func(context.Context) error { return nil }
	return Toggle{On: nothing, Off: nothing, Close: func() (uint64, uint64, error) { return 0, 0, nil }}
}

// ToggleDaemon is program, a virtsentryd that stays attached to the guest. What begins and ends is the recording of its sessions.
func (l *Lab) ToggleDaemon(ctx context.Context, program, guest string) (Toggle, error) {
	w, err := l.Watch(ctx, program, guest)
	if err != nil {
		return Toggle{}, err
	}
	t, err := toggleSessions("virtsentryd-")
	if err != nil {
		return Toggle{}, errors.Join(err, w.End())
	}
	t.Close = func() (seen, lossy uint64, err error) {
		d, err := w.Client.Domain(context.Background(), guest)
		if err == nil && d.Units.Seen == 0 {
			err = fmt.Errorf("virtsentryd has seen nothing of guest %s", guest)
		}
		return d.Units.Seen, d.Units.Lossy, errors.Join(err, w.End())
	}
	return t, nil
}

// ToggleAll is a command that counts all trace points, as [Lab.Read] has it.
func (l *Lab) ToggleAll(command []string, pid int) (Toggle, error) {
	r, err := l.Read(command, pid)
	if err != nil {
		return Toggle{}, err
	}
	t, err := toggleSessions(readerName)
	if err != nil {
		return Toggle{}, errors.Join(err, r.End())
	}
	var seen, lossy uint64
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for u := range r.Units {
			seen++
			if u.Lost > 0 {
				lossy++
			}
		}
	}()
	t.Close = func() (uint64, uint64, error) {
		err := r.End()
		<-counted
		return seen, lossy, err
	}
	return t, nil
}

// toggleSessions begins and ends what is recorded by all sessions whose names begin so: their channel, as a session that is stopped cannot be rotated as usual.
func toggleSessions(prefix string) (Toggle, error) {
	all, err := lttng.Sessions()
	if err != nil {
		return Toggle{}, err
	}
	var names []string
	for _, s := range all {
		if strings.HasPrefix(s.Name, prefix) {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return Toggle{}, fmt.Errorf("there is no recording session %s*", prefix)
	}
	each := func(command string) func(context.Context) error {
		return func(ctx context.Context) error {
			for _, name := range names {
				out, err := exec.CommandContext(ctx, "lttng", command, "--userspace", "--session", name, "virtsentry").CombinedOutput()
				if err != nil {
					return fmt.Errorf("lttng %s: %w: %s", command, err, tail(out))
				}
			}
			return nil
		}
	}
	return Toggle{On: each("enable-channel"), Off: each("disable-channel")}, nil
}

// ToggleObserved is a way of [Lab.Observed], begun and ended as that does.
func (l *Lab) ToggleObserved(guest, way string) Toggle {
	var release chan struct{}
	var ended chan error
	off := func(context.Context) error {
		if release == nil {
			return nil
		}
		close(release)
		release = nil
		return <-ended
	}
	on := func(ctx context.Context) error {
		begun := make(chan struct{})
		release, ended = make(chan struct{}), make(chan error, 1)
		hold := release
		go func() {
			// It ends in order, also when ctx does.
			ended <- l.Observed(context.WithoutCancel(ctx), guest, way, func(context.Context) error {
				close(begun)
				select {
				case <-hold:
				case <-ctx.Done():
				}
				return nil
			})
		}()
		select {
		case <-begun:
			return nil
		case err := <-ended:
			release = nil
			return errors.Join(err, errors.New("it has ended early"))
		case <-time.After(attachLimit):
			return errors.New("it does not begin")
		}
	}
	return Toggle{On: on, Off: off, Close: func() (uint64, uint64, error) { return 0, 0, off(context.Background()) }}
}
