package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// state is what a lab remembers in DIR/state.json. Whatever is made outside
// DIR is written here before it is made, so that a crash in between leaves
// it known.
type state struct {
	Boot     string     `json:"boot_id"`
	NetnsIno uint64     `json:"netns_inode,omitempty"`
	MadeDirs []string   `json:"made_directories,omitempty"`
	Procs    []Proc     `json:"processes,omitempty"`
	QEMU     string     `json:"qemu,omitempty"`         // as staged, path for <emulator>
	QEMUFrom string     `json:"qemu_from,omitempty"`    // what it was staged from
	Image    string     `json:"image,omitempty"`        // what it was staged from
	Recipe   string     `json:"image_recipe,omitempty"` // Variant.image of what it is
	Accel    string     `json:"accel,omitempty"`
	Daemon   string     `json:"daemon,omitempty"` // libvirt's, as Config names it
	HostUUID string     `json:"host_uuid,omitempty"`
	Guests   []GuestDef `json:"guests,omitempty"`
}

// marker says that a directory was made by this command.
const marker = ".virtsentry-lab"

func (l *Lab) statePath() string { return l.path("state.json") }

// loadState reads the state. A missing file is an empty state; processes and
// inode numbers of an earlier boot mean nothing now and are dropped.
func (l *Lab) loadState() (*state, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(l.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return &state{Boot: boot}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lab state: %w", err)
	}
	var st state
	if err := json.Unmarshal(raw, &st); err != nil {
		return nil, fmt.Errorf("parse %s: %w", l.statePath(), err)
	}
	if st.Boot != boot {
		st.Boot, st.NetnsIno, st.Procs = boot, 0, nil
	}
	return &st, nil
}

func (l *Lab) saveState(st *state) error {
	raw, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("encode lab state: %w", err)
	}
	if err := writeFile(l.statePath(), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write lab state: %w", err)
	}
	return nil
}

func (st *state) proc(name string) *Proc {
	for i := range st.Procs {
		if st.Procs[i].Name == name {
			return &st.Procs[i]
		}
	}
	return nil
}

func (st *state) setProc(p Proc) {
	if old := st.proc(p.Name); old != nil {
		*old = p
		return
	}
	st.Procs = append(st.Procs, p)
}

func (st *state) dropProc(name string) {
	for i := range st.Procs {
		if st.Procs[i].Name == name {
			st.Procs = append(st.Procs[:i], st.Procs[i+1:]...)
			return
		}
	}
}

func (st *state) guest(name string) *GuestDef {
	for i := range st.Guests {
		if st.Guests[i].Name == name {
			return &st.Guests[i]
		}
	}
	return nil
}

func bootID() (string, error) {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// writeFile replaces path in one step, so that a reader never sees half.
func writeFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	if _, err := tmp.Write(data); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := tmp.Chmod(mode); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
