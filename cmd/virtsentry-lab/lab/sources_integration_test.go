//go:build integration

package lab

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/evaluation"
)

// On the distribution's QEMU all sources of the kernel see a scan of ports at the same time, and each can be priced.
func TestSourcesOnStockQEMU(t *testing.T) {
	if err := CheckRoot(); err != nil {
		t.Skip(err)
	}
	const dir = "/run/virtsentry-lab-sources"
	l, err := Up(t.Context(), Config{Dir: dir, QEMU: StockQEMU})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := Down(ctx, dir, nil); err != nil {
			t.Error(err)
		}
	})
	s, err := l.Status(t.Context())
	if err != nil || s.UST || len(s.Guests) != 1 || s.Guests[0].Driver == "" {
		t.Fatalf("status %+v, %v", s, err)
	}
	out := filepath.Join(t.TempDir(), "out")
	o, err := l.observable()
	if err != nil || len(o.kernel) != 3 {
		t.Fatal(o, err)
	}
	step := Step{Name: "scan", Kind: KindAnomaly, Scenario: "portscan_target", Strength: Weak, Rate: 25, For: shortest, Load: ordinaryLoad(shortest, 1)}
	if err := l.RunPlan(t.Context(), PlanRun{Steps: []Step{step}, Output: out, Sources: true}); err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(out)
	if err != nil {
		t.Fatal(err)
	}
	rec := m.Recordings[0]
	if rec.Units == 0 || len(rec.Files) != len(o.kernel) {
		t.Fatalf("%+v", rec)
	}
	for _, source := range o.kernel {
		f, err := unit.ReadFile(filepath.Join(out, rec.Files[string(source)]))
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Units) != rec.Units || rec.Sources[string(source)].Hits == 0 || rec.Sources[string(source)].TimeNS == 0 {
			t.Errorf("%s: %d units, want %d; %+v", source, len(f.Units), rec.Units, rec.Sources[string(source)])
		}
		for _, u := range f.Units {
			sum := uint64(0)
			for _, n := range u.Counts {
				sum += n
			}
			if sum < 50 {
				t.Errorf("%s: %d counts in a unit of a scan", source, sum)
			}
		}
	}
	prices, err := l.MeasurePrices(t.Context(), PriceRun{Output: out, Rounds: 1, Each: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prices.Prices {
		for _, arm := range p.Arms {
			if r := p.Ratio(arm); r.Median <= 0 || arm == evaluation.Off && r.Median != 1 {
				t.Errorf("%s, %s: %+v", p.Workload, arm, r)
			}
		}
	}
}
