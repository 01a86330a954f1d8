package metrics

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/monitor"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a monitor of which a test says what it knows.
type fake struct {
	mu      sync.Mutex
	domains []control.DomainStatus
	totals  monitor.Totals
	history control.HistoryStatus
}

func (f *fake) Domains() []control.DomainStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.domains)
}

func (f *fake) Totals() monitor.Totals { return f.totals }

func (f *fake) HistoryStatus() control.HistoryStatus { return f.history }

var _ Monitor = (*monitor.Monitor)(nil)

// at is a time that floats hold exactly.
func at(second int64) time.Time { return time.Unix(second, 500_000_000) }

// guest is a domain of which everything is known.
func guest() control.DomainStatus {
	trained := at(1_700_000_000)
	return control.DomainStatus{
		UUID: "c7a5fdbd-cdaf-9455-926a-d65c16db1809", Name: `we"b\` + "\n\xff", State: "anomalous", Since: at(1_700_001_000), Coverage: "partial",
		Reason: &control.Reason{Code: "anomaly", Text: "network: …"},
		Unseen: []control.Unseen{{Kind: "interface", Name: "vnet0"}},
		Units: control.Units{
			Seen: 100, Judged: 60, Unusual: 7, Unknown: 3, Lossy: 4, Unread: 2, Late: 5, Lost: 11, Hits: 123456,
		},
		Ledger:    control.Ledger{Life: 200, Scored: 114, Reasons: map[string]float64{"gathering": 80, "events-lost": 6}},
		Incidents: []control.Incident{{Kind: "anomaly"}},
		Opened:    map[string]uint64{"anomaly": 2, "loss": 1},
		Sources:   []control.Source{{Name: "ust"}, {Name: "tap", Error: "no helper"}},
		Profile:   true, LearntUnits: 300, Support: 42, Trained: &trained,
		Drift:       &control.Drift{Recent: control.Shift{Share: 0.125}},
		BufferBytes: 4096, CPUSeconds: 0.25,
		Last: &control.UnitReport{Start: at(1_700_002_000), Duration: 2, Judged: true, Score: -80.5, PValue: 0.25},
	}
}

// fresh is a domain that nothing is known of yet.
func fresh() control.DomainStatus {
	return control.DomainStatus{
		UUID: "6695eb01-f6a4-8304-79aa-97f2502e193f", Name: "test", State: "starting", Since: at(1_700_003_000), Coverage: "unknown",
		Learning: &control.Learning{Units: 0, Wanted: 300},
		Last:     &control.UnitReport{Start: at(1_700_003_000), Duration: 1},
	}
}

// names are those of all metrics of this package.
func names() []string {
	var list []string
	for _, f := range All() {
		list = append(list, f.Name)
	}
	return list
}

// shown is what Prometheus is answered, as far as it is of this package.
func shown(t *testing.T, m *Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler(logrus.New()).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	var lines strings.Builder
	for line := range strings.Lines(answer.Body.String()) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "virtsentry_") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

func TestCollect(t *testing.T) {
	m := New(&fake{
		domains: []control.DomainStatus{guest(), fresh()}, totals: monitor.Totals{Connected: true, Connections: 3, BufferBytes: 4096, BufferLimit: 1 << 30},
		history: control.HistoryStatus{Error: "no room", Waiting: 3, Dropped: 7, Bytes: 110592, Failures: 2, Failed: at(1_700_004_000)},
	})
	m.Verdict(1250 * time.Millisecond)
	m.Verdict(time.Hour)
	m.Training(2*time.Second, monitor.TrainingLearnt)
	const file = "testdata/metrics.prom"
	if *update {
		if err := os.WriteFile(file, []byte(shown(t, m)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = want.Close() }()
	if err := testutil.GatherAndCompare(m.registry, want, names()...); err != nil {
		t.Error(err)
	}
}

func TestLint(t *testing.T) {
	m := New(&fake{domains: []control.DomainStatus{guest(), fresh()}})
	problems, err := testutil.GatherAndLint(m.registry, names()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What is there of a domain is bounded, whatever is known of it.
func TestCardinality(t *testing.T) {
	all := guest()
	all.Learning = &control.Learning{}
	all.Ledger.Reasons = map[string]float64{"no such reason": 1}
	for _, code := range monitor.Reasons() {
		all.Ledger.Reasons[code] = 1
	}
	all.Sources = nil
	for _, s := range sources() {
		all.Sources = append(all.Sources, control.Source{Name: s}, control.Source{Name: s})
	}
	of := func(n int) int {
		f := &fake{}
		for i := range n {
			d := all
			d.UUID = fmt.Sprintf("%08x-f6a4-8304-79aa-97f2502e193f", i)
			f.domains = append(f.domains, d)
		}
		n, err := testutil.GatherAndCount(New(f).registry, names()...)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	none := of(0)
	for _, n := range []int{1, 100} {
		if got, want := of(n)-none, n*SeriesOfDomain(); got != want {
			t.Errorf("%d domains have %d series; want %d", n, got, want)
		}
	}
	for _, f := range All() {
		if f.ofDomain() && f.Name != "virtsentry_domain_info" && slices.ContainsFunc(f.Labels[1:], func(l Label) bool { return l.Values == nil }) {
			t.Errorf("%s has a label that may be anything", f.Name)
		}
	}
}

// A label's value that is not in its list would be in no reference, and nothing would bound it.
func TestListsAreClosed(t *testing.T) {
	m := New(&fake{domains: []control.DomainStatus{guest(), fresh()}})
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, family := range families {
		i := slices.Index(names(), family.GetName())
		if i < 0 {
			continue // of the library
		}
		found[family.GetName()] = true
		labels := All()[i].Labels
		for _, series := range family.GetMetric() {
			for _, pair := range series.GetLabel() {
				at := slices.IndexFunc(labels, func(l Label) bool { return l.Name == pair.GetName() })
				if list := labels[at].Values; list != nil && !slices.Contains(list, pair.GetValue()) {
					t.Errorf("%s{%s=%q}: not in %q", family.GetName(), pair.GetName(), pair.GetValue(), list)
				}
			}
		}
	}
	for _, name := range names() {
		if !found[name] {
			t.Errorf("%s is not shown", name)
		}
	}
}

// Scrapes and what is measured do not race.
func TestConcurrently(t *testing.T) {
	f := &fake{}
	m := New(f)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 50 {
				m.Verdict(time.Second)
				m.Training(time.Second, monitor.TrainingRefused)
				f.mu.Lock()
				f.domains = []control.DomainStatus{guest(), fresh()}[:1+i%2]
				f.mu.Unlock()
				if _, err := m.registry.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := testutil.CollectAndCount(m.trainings); n != len(monitor.TrainingOutcomes()) {
		t.Errorf("%d series of trainings", n)
	}
}

func TestReferenceIsFresh(t *testing.T) {
	text, err := os.ReadFile("../../../packaging/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), Reference()); diff != "" {
		t.Errorf("packaging/METRICS.md is old: go run ./cmd/internal/metrics/reference packaging/METRICS.md (-file +code):\n%s", diff)
	}
	for _, name := range names() {
		if strings.Count(string(text), "| `"+name+"` |") == 0 {
			t.Errorf("%s is not in it", name)
		}
	}
}
