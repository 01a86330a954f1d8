package control

import (
	"context"
	"fmt"
	"io"
	"time"
)

// profiles is the backend's part that keeps profiles and records: it notes what it was asked for.
type profiles struct {
	asked []string
	file  []byte
	span  [2]time.Time
	err   error
	tape  func(context.Context, io.Writer) error
}

var kept = ProfileInfo{
	UUID: web.UUID, Name: web.Name, Created: time.Unix(7, 0).UTC(), Units: 300, Engine: "libsvm",
	Features: []UsualCounts{{Feature: "tap_send", High: 3}},
}

func (p *profiles) ask(what string, args ...any) (ProfileInfo, error) {
	p.asked = append(p.asked, fmt.Sprint(append([]any{what}, args...)...))
	if p.err != nil {
		return ProfileInfo{}, p.err
	}
	return kept, nil
}

func (p *profiles) ListProfiles() ([]ProfileInfo, error) {
	_, err := p.ask("list")
	return []ProfileInfo{kept}, err
}

func (p *profiles) Profile(ref string) (ProfileInfo, error) { return p.ask("show ", ref) }

func (p *profiles) ExportProfile(ref string) ([]byte, error) {
	_, err := p.ask("export ", ref)
	return p.file, err
}

func (p *profiles) ImportProfile(ref string, file []byte) (ProfileInfo, error) {
	p.file = file
	return p.ask("import ", ref)
}

func (p *profiles) CloneProfile(from, to string) (ProfileInfo, error) {
	return p.ask("clone ", from, " to ", to)
}

func (p *profiles) RollbackProfile(ref string) (ProfileInfo, error) { return p.ask("rollback ", ref) }

func (p *profiles) DeleteProfile(ref string) error {
	_, err := p.ask("delete ", ref)
	return err
}

func (p *profiles) Relearn(ref string, from, to time.Time) (ProfileInfo, error) {
	p.span = [2]time.Time{from, to}
	return p.ask("relearn ", ref)
}

func (p *profiles) Record(ctx context.Context, ref string, w io.Writer) error {
	if _, err := p.ask("record ", ref); err != nil {
		return err
	}
	return p.tape(ctx, w)
}
