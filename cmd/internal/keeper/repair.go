package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/gdb"
	"github.com/virtsentry/virtsentry/libvirt"
)

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// note is what is written down before a stub is opened: all that is needed to close it.
type note struct {
	URI  string `json:"uri"`
	UUID string `json:"uuid"`
	ID   string `json:"id"` // of the stub
}

// notes keeps them, one file a domain.
type notes string

func (n notes) path(uuid string) string { return filepath.Join(string(n), uuid+".json") }

func (n notes) write(x note) error {
	text, err := json.Marshal(x)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(n), 0o700); err != nil {
		return fmt.Errorf("keeper: make directory of notes: %w", err)
	}
	f, err := os.OpenFile(n.path(x.UUID), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keeper: domain %s is looked at already, or was left behind by a keeper that died (virtsentry-keeper release repairs that)", x.UUID)
	}
	if err != nil {
		return fmt.Errorf("keeper: note down domain %s: %w", x.UUID, err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("keeper: note down domain %s: %w", x.UUID, err), n.remove(x.UUID))
	}
	return nil
}

func (n notes) remove(uuid string) error {
	if err := os.Remove(n.path(uuid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeper: remove the note of domain %s: %w", uuid, err)
	}
	return nil
}

// read lists all notes. What is none is removed: it was cut off before a stub was opened.
func (n notes) read() (list []note, err error) {
	files, err := filepath.Glob(n.path("*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, readErr := os.ReadFile(file)
		if readErr != nil {
			err = errors.Join(err, readErr)
			continue
		}
		x, parseErr := parseNote(text)
		if parseErr != nil || n.path(x.UUID) != file {
			err = errors.Join(err, os.Remove(file))
			continue
		}
		list = append(list, x)
	}
	return list, err
}

func parseNote(text []byte) (x note, err error) {
	if err := json.Unmarshal(text, &x); err != nil {
		return x, err
	}
	if !uuidForm.MatchString(x.UUID) || !strings.HasPrefix(x.ID, libvirt.StubPrefix) || x.URI == "" {
		return x, errors.New("is no note of the keeper's")
	}
	return x, nil
}

// Release closes all stubs that are noted down in a directory and lets their guests run: what keepers have left that were killed together with their guards.
// It goes on until all are closed, or ctx ends.
func Release(ctx context.Context, runDir string) error {
	list, err := notes(runDir).read()
	for _, x := range list {
		if repairErr := repairUntil(ctx, nil, x); repairErr != nil {
			err = errors.Join(err, repairErr)
			continue
		}
		err = errors.Join(err, notes(runDir).remove(x.UUID))
	}
	return err
}

// repairUntil repairs, again and again where libvirt does not answer, until ctx ends. conn may be nil, or broken.
func repairUntil(ctx context.Context, conn *libvirt.Connection, x note) error {
	err := errors.New("not connected")
	if conn != nil {
		err = repair(conn, x)
	}
	for err != nil {
		fresh, connectErr := libvirt.Connect(x.URI)
		if connectErr != nil {
			err = connectErr
		} else {
			err = errors.Join(repair(fresh, x), fresh.Close())
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("keeper: domain %s: close the gdb stub: %w (by hand: virsh qemu-monitor-command --hmp %[1]s 'gdbserver none', virsh resume %[1]s)", x.UUID, err)
		case <-time.After(retryTime):
		}
	}
	return nil
}

// repair closes a stub whose keeper has died, whatever state it was in. Whoever takes over the stub anew has QEMU forget all breakpoints: closing it does not. The guest is
// left running, unless it was paused by somebody who wanted that.
func repair(c *libvirt.Connection, x note) error {
	stubs, err := c.Stubs(x.UUID)
	if errors.Is(err, libvirt.ErrNoDomain) {
		return nil // with QEMU, everything has gone
	}
	if err != nil {
		return err
	}
	for _, id := range stubs {
		if err := c.CloseStub(x.UUID, id); err != nil {
			return err
		}
	}
	wanted, err := mayRun(c, x.UUID)
	if err != nil {
		return err
	}
	id := newID()
	conn, err := c.OpenStub(x.UUID, id)
	if err != nil {
		return err
	}
	stub := gdb.NewConn(conn)
	err = stub.Hello()
	if err == nil {
		err = stub.Forget()
	}
	if err == nil && wanted {
		err = stub.Detach()
	}
	if err := errors.Join(err, stub.Close(), c.CloseStub(x.UUID, id)); err != nil {
		return err
	}
	if !wanted {
		return nil
	}
	return c.ContinueDebugged(x.UUID)
}

// mayRun says whether a guest is ours to let run: it does, or a stub has stopped it.
func mayRun(c *libvirt.Connection, uuid string) (bool, error) {
	state, err := c.RunState(uuid)
	if err != nil {
		return false, err
	}
	switch state {
	case "running", "debug":
		return true, nil
	case "paused":
		byUs, err := c.PausedUnexplained(uuid)
		return byUs, err
	}
	return false, nil
}
