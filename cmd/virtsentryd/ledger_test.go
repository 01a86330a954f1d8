//go:build integration

package main

import (
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

const (
	// lag is by how much an account may end before the present: three units.
	lag = 6 * time.Second
	// quietUnits without faults are long enough to count what is not scored.
	quietUnits = 60
	// wantScored is the part of them that is scored at least.
	wantScored = 0.995
)

// sound checks what must hold at any time: the account of each guest's life is complete, and there is one session for each guest.
func (s *stack) sound(t *testing.T) {
	t.Helper()
	if s.daemon == nil || t.Failed() || t.Skipped() {
		return
	}
	list, err := s.control().Domains(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		balanced(t, d)
		g := &guest{s, d.Name, d.UUID}
		g.within(t, "all of the life of "+d.Name+" is accounted for", func() bool {
			d, ok := g.status(t)
			if !ok {
				return false
			}
			balanced(t, d)
			return math.Abs(d.Ledger.Life-g.age(t)) <= lag.Seconds()
		})
		g.attached(t)
	}
	if got := s.sessions(t); len(got) != len(list) {
		t.Errorf("%d sessions %v for %d guests", len(got), got, len(list))
	}
}

// balanced checks an account: its parts are the whole, each with a reason from the closed list.
func balanced(t *testing.T, d control.DomainStatus) {
	t.Helper()
	sum := d.Ledger.Scored
	for code, seconds := range d.Ledger.Reasons {
		sum += seconds
		if seconds < 0 || !slices.Contains(reasonCodes(t), code) {
			t.Errorf("guest %s: %v s for the reason %q, which is not in the closed list %v", d.Name, seconds, code, reasonCodes(t))
		}
	}
	if math.Abs(sum-d.Ledger.Life) > 0.001 {
		t.Errorf("guest %s: %v s of %v s of its life are accounted for: %+v", d.Name, sum, d.Ledger.Life, d.Ledger)
	}
}

// age is for how long the guest's QEMU has run, in seconds.
func (g *guest) age(t *testing.T) float64 {
	t.Helper()
	processes := qemu.Processes{RunDir: g.lab.RunLibvirt(), ProcDir: qemu.DefaultProcDir}
	p, err := processes.Find(qemu.Domain{UUID: g.uuid, Name: g.name})
	if err != nil {
		t.Fatal(err)
	}
	age, err := processes.Age(p)
	if err != nil {
		t.Fatal(err)
	}
	return age.Seconds()
}

var (
	codeRow  = regexp.MustCompile("(?m)^\\|((?: ?`[a-z-]+`,?)+) \\|")
	codeWord = regexp.MustCompile("`([a-z-]+)`")
)

// reasonCodes is the closed list of reasons, as the documentation of the state has it.
func reasonCodes(t *testing.T) (codes []string) {
	t.Helper()
	text, err := os.ReadFile("../../packaging/schemas/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "its code is one of:")
	for _, row := range codeRow.FindAllStringSubmatch(list, -1) {
		for _, word := range codeWord.FindAllStringSubmatch(row[1], -1) {
			codes = append(codes, word[1])
		}
	}
	if !slices.Contains(codes, "daemon-stopped") {
		t.Fatalf("no list of reasons in packaging/schemas/README.md; found %v", codes)
	}
	return append(codes, "late-attach", "partial-unit") // of seconds alone
}

func (s *stack) testQuiet(t *testing.T) {
	s.web.judged(t)
	before, _ := s.web.status(t)
	after := before
	s.web.within(t, "a quiet stretch", func() bool {
		d, ok := s.web.status(t)
		if ok {
			after = d
		}
		return after.Units.Seen >= before.Units.Seen+quietUnits
	})
	scored, life := after.Ledger.Scored-before.Ledger.Scored, after.Ledger.Life-before.Ledger.Life
	t.Logf("%.3f of %.3f s scored", scored, life)
	if scored < wantScored*life {
		t.Errorf("%.3f of %.3f s of a guest's life without faults were scored; before %+v, after %+v", scored, life, before.Ledger, after.Ledger)
	}
	if life < quietUnits*2-1 {
		t.Errorf("%d units, but %v s of life", quietUnits, life)
	}
}
