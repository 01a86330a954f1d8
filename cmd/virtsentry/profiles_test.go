package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// profiles is the backend's part that keeps profiles and records: it notes what it was asked for.
type profiles struct {
	asked []string
	file  []byte
	span  [2]time.Time
	err   error
	tape  func(context.Context, io.Writer) error
}

func (p *profiles) ask(what string, args ...any) (control.ProfileInfo, error) {
	p.asked = append(p.asked, fmt.Sprint(append([]any{what}, args...)...))
	if p.err != nil {
		return control.ProfileInfo{}, p.err
	}
	return kept, nil
}

func (p *profiles) ListProfiles() ([]control.ProfileInfo, error) {
	_, err := p.ask("list")
	return []control.ProfileInfo{kept}, err
}

func (p *profiles) Profile(ref string) (control.ProfileInfo, error) { return p.ask("show ", ref) }

func (p *profiles) ExportProfile(ref string) ([]byte, error) {
	_, err := p.ask("export ", ref)
	return p.file, err
}

func (p *profiles) ImportProfile(ref string, file []byte) (control.ProfileInfo, error) {
	p.file = file
	return p.ask("import ", ref)
}

func (p *profiles) CloneProfile(from, to string) (control.ProfileInfo, error) {
	return p.ask("clone ", from, " to ", to)
}

func (p *profiles) RollbackProfile(ref string) (control.ProfileInfo, error) {
	return p.ask("rollback ", ref)
}

func (p *profiles) DeleteProfile(ref string) error {
	_, err := p.ask("delete ", ref)
	return err
}

func (p *profiles) Relearn(ref string, from, to time.Time) (control.ProfileInfo, error) {
	p.span = [2]time.Time{from, to}
	return p.ask("relearn ", ref)
}

func (p *profiles) Record(ctx context.Context, ref string, w io.Writer) error {
	if _, err := p.ask("record ", ref); err != nil {
		return err
	}
	return p.tape(ctx, w)
}

var kept = control.ProfileInfo{
	UUID: "c7a5fdbd-cdaf-9455-926a-d65c16db1809", Name: "web", Created: noon.Add(-26 * time.Hour), Catalogue: "counts/1", Units: 90, Dropped: 2,
	Engine: "libsvm", Nu: 0.05, Gamma: 0.0625, Rho: 1.25, Support: 7, KKTResidual: 0.0004, Level: 0.002,
	QEMUBuild: "5f0c", MachineType: "pc-q35-7.2", Accelerator: "kvm", Source: "ust", Devices: []string{"disk virtio", "interface virtio"},
	Features: []control.UsualCounts{
		{Feature: "tap_send", Subsystem: "network", Words: "packets received by the guest", Low: 14, Typical: 46, High: 79},
		{Feature: "blk_co_preadv", Subsystem: "disk", Words: "reads from disk images"},
	},
	Previous: true, InForce: true,
}
