package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Up makes the lab that cfg describes, or completes one that is there in
// part: what runs is left alone, what is missing is started. When it fails
// on a lab that was not there before, it leaves nothing behind.
func Up(ctx context.Context, cfg Config) (*Lab, error) {
	cfg = cfg.withDefaults()
	if err := errors.Join(CheckRoot(), cfg.check()); err != nil {
		return nil, err
	}
	l, err := Open(cfg.Dir, cfg.Log)
	if err != nil {
		return nil, err
	}
	if err := checkHostTools(cfg.Daemon); err != nil {
		return nil, err
	}
	if !cfg.NoGuest {
		if err := l.resolveParts(ctx, &cfg); err != nil {
			return nil, err
		}
	}
	if err := l.upLocked(ctx, cfg); err != nil {
		return nil, err
	}
	if cfg.NoGuest || cfg.DefineOnly {
		return l, nil
	}
	// The lab is whole now: a guest that does not answer can be looked into.
	return l, l.WaitForService(ctx, cfg.Guest, cfg.Timeout)
}

func (l *Lab) upLocked(ctx context.Context, cfg Config) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	_, statErr := os.Stat(l.statePath())
	fresh := statErr != nil
	err = l.bringUp(ctx, cfg)
	if err != nil && fresh {
		l.log.Warn("removing what was made so far")
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, l.tearDown(clean))
	}
	return err
}

func (l *Lab) bringUp(ctx context.Context, cfg Config) error {
	if err := l.makeDir(); err != nil {
		return err
	}
	st, err := l.loadState()
	if err != nil {
		return err
	}
	if st.Accel == "" {
		st.Accel = cfg.Accel
	}
	if st.Daemon == "" {
		st.Daemon = cfg.Daemon
	}
	if err := l.saveState(st); err != nil {
		return err
	}
	if err := l.ensureNetns(ctx, st); err != nil {
		return err
	}
	if err := l.makeDiskDir(); err != nil {
		return err
	}
	if err := l.ensureSessiond(ctx, st); err != nil {
		return err
	}
	if err := l.ensureLibvirt(ctx, st); err != nil {
		return err
	}
	if cfg.NoGuest {
		return nil
	}
	if err := l.stage(cfg, st); err != nil {
		return err
	}
	if err := l.define(ctx, st, GuestDef{Name: cfg.Guest, MemoryMiB: cfg.MemoryMiB, Variant: cfg.Variant}); err != nil {
		return err
	}
	if cfg.DefineOnly {
		return nil
	}
	return l.StartGuest(cfg.Guest)
}

// stage puts QEMU and image where guests can use them, once in a lab's life:
// running guests stand on them.
func (l *Lab) stage(cfg Config, st *state) (err error) {
	if st.QEMU != "" {
		if st.QEMUFrom != cfg.QEMU || st.Image != cfg.Image {
			l.log.Warnf("the lab keeps QEMU %s and image %s, which it was made with; for others it must go down first", st.QEMUFrom, st.Image)
		}
		return nil
	}
	if st.QEMU, err = l.stageQEMU(cfg.QEMU); err != nil {
		return err
	}
	if err := l.stageImage(cfg.Image); err != nil {
		return err
	}
	v, err := variantOf(cfg.Variant)
	if err != nil {
		return err
	}
	st.QEMUFrom, st.Image, st.Recipe = cfg.QEMU, cfg.Image, v.image
	return l.saveState(st)
}

// makeDir makes DIR and marks it as the lab's. A directory with something
// else in it is refused, because down would remove that too.
func (l *Lab) makeDir() error {
	if err := mkdir(l.dir, 0o755); err != nil {
		return fmt.Errorf("make lab directory: %w", err)
	}
	if l.isOurs() {
		return nil
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("make lab directory: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("make lab directory: %s is not empty and not a lab's", l.dir)
	}
	if err := os.WriteFile(l.path(marker), nil, 0o600); err != nil {
		return fmt.Errorf("make lab directory: %w", err)
	}
	return nil
}

// isOurs tells a lab's directory from any other.
func (l *Lab) isOurs() bool {
	return isFile(l.path(marker)) || isFile(l.statePath())
}

func (l *Lab) ensureNetns(ctx context.Context, st *state) error {
	ino, err := l.netnsInode()
	if err != nil {
		return err
	}
	if ino == 0 {
		l.log.Infof("making network namespace %s", l.name)
		if err := l.makeNetns(ctx); err != nil {
			return err
		}
		if ino, err = l.netnsInode(); err != nil {
			return err
		}
		// Daemons of a namespace that was removed under them are of no use.
		if err := terminate(ctx, st.Procs, 3*time.Second); err != nil {
			return err
		}
		st.Procs = nil
	}
	st.NetnsIno = ino
	return l.saveState(st)
}
