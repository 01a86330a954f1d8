package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// profiles is the backend's part that keeps profiles and records: it notes what it was asked for.
type profiles struct {
	asked []string
	list  []control.ProfileInfo
	file  []byte
	// request is the newest one to relearn, lost what is answered that it would lose.
	request control.RelearnRequest
	lost    []string
	err     error
	// broken is what is wrong with each profile.
	broken error
	tape   func(context.Context, io.Writer) error
}

func (p *profiles) ask(what string, args ...any) (control.ProfileInfo, error) {
	p.asked = append(p.asked, fmt.Sprint(append([]any{what}, args...)...))
	for _, ref := range args {
		if ref == "no-such" && (what == "relearn " || what == "record ") {
			return control.ProfileInfo{}, fmt.Errorf("no-such: %w", control.ErrNoDomain)
		}
		if ref == "no-such" {
			return control.ProfileInfo{}, fmt.Errorf("no-such: %w", control.ErrNoProfile)
		}
	}
	if p.err != nil {
		return control.ProfileInfo{}, p.err
	}
	return kept, nil
}

func (p *profiles) ListProfiles() ([]control.ProfileInfo, error) {
	_, err := p.ask("list")
	return p.list, err
}

func (p *profiles) Profile(ref string) (control.ProfileInfo, error) {
	if p.broken != nil {
		return control.ProfileInfo{}, p.broken
	}
	return p.ask("show ", ref)
}

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

func (p *profiles) Relearn(ref string, request control.RelearnRequest) (control.Relearnt, error) {
	p.request = request
	info, err := p.ask("relearn ", ref)
	return control.Relearnt{
		Profile: info, DryRun: request.DryRun, Lost: p.lost,
		Effect: control.Effect{
			Attacks: []control.AttackEffect{
				{Name: "synflood_target", Simulated: true, Before: 1, After: 1, Marked: 0.975},
				{Name: "slowhttp_target", Simulated: true, Before: 0.916667, After: 0.85, Marked: 0.5},
				{Name: "portscan_source"},
			},
			Reference: control.Verdicts{Units: 449}, Marked: control.Verdicts{Units: 374, Before: 274}, Remembered: control.Verdicts{Units: 299, Before: 12, After: 3},
		},
		First: control.First{Created: noon.Add(-50 * time.Hour), Units: 823, Unusual: 0.454435, Anomalous: 0.332928},
	}, err
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
	Trimmed:   []control.Trimmed{{From: noon.Add(-26*time.Hour - 2*time.Minute), To: noon.Add(-26*time.Hour - 100*time.Second), Units: 10}},
	Converged: new(true), Convergence: "of the last 29 units, 0 would have been unusual after learning from the first 60",
	Previous: true, InForce: true,
}

func TestProfileCommands(t *testing.T) {
	const uuid = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"
	odd := control.ProfileInfo{UUID: "11111111-cdaf-9455-926a-d65c16db1809", Name: "tab\there", Created: noon}
	b := &backend{domains: domains(), profiles: profiles{list: []control.ProfileInfo{kept, odd}, file: []byte("the file")}}
	socket := serve(t, b)
	file := filepath.Join(t.TempDir(), "web.profile")
	for _, tc := range []struct {
		golden string
		asked  []string
		args   []string
	}{
		{"profile-list.txt", []string{"list"}, []string{"profile", "list"}},
		{"profile-list.json", []string{"list"}, []string{"profile", "list", "-o", "json"}},
		{"profile-show.txt", []string{"show web"}, []string{"profile", "show", "web"}},
		{"profile-show.json", []string{"show web"}, []string{"profile", "show", "web", "-o", "json"}},
		{"profile-export.txt", []string{"export web"}, []string{"profile", "export", "web"}},
		{"profile-export.txt", []string{"export web"}, []string{"profile", "export", "web", "-"}},
		{"profile-silent.txt", []string{"export web"}, []string{"profile", "export", "web", file}},
		{"profile-import.txt", []string{"import web"}, []string{"profile", "import", "web", file}},
		{"profile-clone.txt", []string{"clone web to 7"}, []string{"profile", "clone", "web", "7"}},
		{"profile-rollback.txt", []string{"rollback web"}, []string{"profile", "rollback", "web"}},
		{"profile-rollback.json", []string{"rollback web"}, []string{"profile", "rollback", "web", "-o", "json"}},
		{"profile-delete.txt", []string{"show web", "delete " + uuid}, []string{"profile", "delete", "web"}},
		{"relearn.txt", []string{"relearn web"}, []string{"relearn", "web", "--from", "-15m", "--to", "2026-05-04T12:00:00+02:00"}},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			b.asked = nil
			got, code, err := run(t.Context(), append([]string{"--socket", socket}, tc.args...)...)
			if err != nil || code != 0 {
				t.Fatalf("exit status %d, %v", code, err)
			}
			if diff := cmp.Diff(tc.asked, b.asked); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
			golden(t, tc.golden, got)
		})
	}
	if string(b.file) != "the file" { // exported, and imported again
		t.Errorf("imported %q", b.file)
	}
	if want := now().Add(-15 * time.Minute); !b.request.From.Equal(want) || !b.request.To.Equal(noon.Add(-2*time.Hour)) || b.request.AcceptLoss != 0.05 || b.request.DryRun {
		t.Errorf("request %+v; want it from %v", b.request, want)
	}
	b.broken = fmt.Errorf("%w: checksum", control.ErrRefused)
	if got, _, err := run(t.Context(), "--socket", socket, "profile", "delete", "web"); err != nil || got != "web: deleted a profile that cannot be used\n" {
		t.Errorf("delete of one that cannot be read: %q, %v", got, err)
	}
	b.list = []control.ProfileInfo{}
	if got, _, err := run(t.Context(), "--socket", socket, "profile", "list"); err != nil || got != "no profile is kept\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRelearnUntilNow(t *testing.T) {
	b := &backend{}
	socket := serve(t, b)
	if _, _, err := run(t.Context(), "--socket", socket, "relearn", "web", "--from", "-1h"); err != nil || !b.request.To.Equal(now()) {
		t.Errorf("until %v, %v; want now", b.request.To, err)
	}
}

func TestConfigCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "virtsentry.toml")
	for text, want := range map[string]string{"": "", "[learning]\nunits = 90\n": "", "[learning]\nunits = 7\n": "learning.units", "[lerning]\n": "lerning"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, code, err := run(t.Context(), "config", "check", file)
		if want == "" && (err != nil || got != "ok\n") || want != "" && (code != exitFailure || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: said %q, exit status %d, %v; want %q", text, got, code, err, want)
		}
	}
}

func TestCompletion(t *testing.T) {
	list := domains()
	list = append(list, control.DomainStatus{Name: "worker"})
	socket := serve(t, &backend{domains: list, profiles: profiles{list: []control.ProfileInfo{{Name: "old-web"}, kept}}})
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"status", ""}, "web customer-0815_database-server-of-the-second-floor.example worker"},
		{[]string{"watch", "w"}, "web worker"},
		{[]string{"explain", "wo"}, "worker"},
		{[]string{"learn", "x"}, ""},
		{[]string{"relearn", "--from", "-5m", "web", ""}, ""},
		{[]string{"record", "we"}, "web"},
		{[]string{"profile", "show", ""}, "old-web web"},
		{[]string{"profile", "delete", "o"}, "old-web"},
		{[]string{"profile", "clone", "web", "w"}, "web worker"},
		{[]string{"profile", "import", "wo"}, "worker"},
	} {
		got, _, err := run(t.Context(), append([]string{"__complete", "--socket", socket}, tc.args...)...)
		lines, _, _ := strings.Cut(got, ":")
		if err != nil || strings.Join(strings.Fields(lines), " ") != tc.want {
			t.Errorf("%q: %q, %v; want %q", tc.args, lines, err, tc.want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got, _, err := run(t.Context(), "completion", shell); err != nil || !strings.Contains(got, "virtsentry") {
			t.Errorf("completion %s: %d bytes, %v", shell, len(got), err)
		}
	}
	none := filepath.Join(t.TempDir(), "none.sock")
	if got, _, err := run(t.Context(), "__complete", "--socket", none, "status", ""); err != nil || !strings.HasPrefix(got, ":") {
		t.Errorf("without a daemon: %q, %v", got, err)
	}
}
