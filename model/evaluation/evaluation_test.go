package evaluation

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvmgo"
)

func TestFill(t *testing.T) {
	page := "# Page\n<!-- table: a -->\nold\n<!-- end of table -->\nbetween\n<!-- table: b -->\n<!-- end of table -->\nend\n"
	got, err := Fill(page, map[string]string{"a": "new\n", "b": "| x |"})
	if err != nil {
		t.Fatal(err)
	}
	want := "# Page\n<!-- table: a -->\n\nnew\n\n<!-- end of table -->\nbetween\n<!-- table: b -->\n\n| x |\n\n<!-- end of table -->\nend\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	again, err := Fill(got, map[string]string{"a": "new\n", "b": "| x |"})
	if err != nil || again != got {
		t.Errorf("filled twice: %q, %v", again, err)
	}
	for name, broken := range map[string]struct {
		page   string
		tables map[string]string
		want   string
	}{
		"no place":  {"", map[string]string{"a": ""}, "0 places"},
		"twice":     {page + page, map[string]string{"a": "", "b": ""}, "2 places"},
		"no end":    {"<!-- table: a -->\n", map[string]string{"a": ""}, "no end"},
		"no table":  {page, map[string]string{"a": ""}, "there are 1"},
		"both gone": {page, nil, "there are 0"},
	} {
		if _, err := Fill(broken.page, broken.tables); err == nil || !strings.Contains(err.Error(), broken.want) {
			t.Errorf("%s: %v, want %q", name, err, broken.want)
		}
	}
}

func TestRegroup(t *testing.T) {
	r := model.Recording{
		Name: "r", Features: []string{"received:size=64-71", "sent:size=64-71", "received:size=72-79", "blk"},
		Units: []model.Observation{{Start: 2, Counts: []uint64{1, 2, 4, 8}}, {Start: 4, Counts: []uint64{16}, Lossy: true}},
	}
	want := model.Recording{
		Name: "r", Features: []string{"received", "sent:size=64-71", "blk"},
		Units: []model.Observation{{Start: 2, Counts: []uint64{5, 2, 8}}, {Start: 4, Counts: []uint64{16, 0, 0}, Lossy: true}},
	}
	if diff := cmp.Diff(want, regroup(r, summed(receivedSizes))); diff != "" {
		t.Error(diff)
	}
	if got := regroup(r, dropped(receivedSizes)).Features; len(got) != 2 {
		t.Errorf("dropped: %v", got)
	}
	if r.Units[0].Counts[0] != 1 {
		t.Error("the recording was changed")
	}
}

// The limit of a unit by itself is known: one in so many.
func TestLimitFor(t *testing.T) {
	if got, want := limitFor(last{}, 100), math.Log(unitsPerDay); math.Abs(got-want) > 0.2 {
		t.Errorf("limit %.3f, want %.3f", got, want)
	}
}

func TestRules(t *testing.T) {
	usual, odd := model.Verdict{Tail: 0.5}, model.Verdict{Tail: 1e-4, Anomalous: true}
	for name, of := range map[string]struct {
		rule model.Rule
		odd  int // units in a row to an alarm
	}{
		"unit":  {&unitRule{}, 1},
		"votes": {&votes{need: 3, of: 5}, 3},
		"kth":   {&above{statistic: &kth{k: 2, n: 3}, limit: 5}, 2},
		"cusum": {&above{statistic: &cusum{mean: 4}, limit: 11}, 3},
		"ewma":  {&above{statistic: &ewma{weight: 0.2}, limit: 3}, 3},
		"ours":  {ours(), 3},
	} {
		of.rule.Reset()
		for range 100 {
			if s := of.rule.Observe(usual, false); s != model.Normal {
				t.Fatalf("%s: an ordinary unit gives %v", name, s)
			}
		}
		n := 1
		for of.rule.Observe(odd, false) != model.Anomalous {
			if n++; n > 20 {
				t.Fatalf("%s: no alarm", name)
			}
		}
		if n != of.odd {
			t.Errorf("%s: alarm after %d units, want %d", name, n, of.odd)
		}
		n = 0
		for of.rule.Observe(usual, false) == model.Anomalous {
			if n++; n > 200 {
				t.Fatalf("%s: the alarm does not end", name)
			}
		}
		if name != "unit" && n < quiet-1 {
			t.Errorf("%s: the alarm ended after %d units", name, n)
		}
	}
}

// synthetic makes units of a guest whose packets have two sizes; an attack adds others.
func synthetic(name string, seed uint64, start int64, units int, attack float64) model.Recording {
	random := rand.New(rand.NewPCG(seed, 7))
	r := model.Recording{Name: name, Features: []string{"virtqueue_fill:net.rx:len=64-71", "received:size=64-71", "sent:size=96-103", "virtio_notify:net.rx", "blk_co_preadv:bytes=4096-5119", "rare"}}
	for i := range units {
		load := 60 + 30*math.Sin(float64(i)/20) + 4*random.NormFloat64()
		n := func(mean float64) uint64 { return uint64(max(0, mean+math.Sqrt(mean)*random.NormFloat64())) }
		r.Units = append(r.Units, model.Observation{
			Start: start + int64(i)*int64(model.Width), Counts: []uint64{n(load + attack), n(load), n(load), n(load + attack), n(5), n(attack)},
		})
	}
	return r
}

func syntheticData() *Data {
	d := &Data{Engine: libsvmgo.Engine{}, Sets: map[string]Recordings{}, Swing: Recordings{}, SimulatedDays: 1, Describe: func(f string) (string, string) { return "network", f + " received" }}
	add := func(name, kind, scenario, strength string, seed uint64, units int, attack float64) {
		d.Plan = append(d.Plan, Recorded{Name: name, Kind: kind, Scenario: scenario, Strength: strength, Units: units, Seconds: float64(2 * units)})
		for _, set := range []string{SetDefault, SetPaper} {
			if d.Sets[set] == nil {
				d.Sets[set] = Recordings{}
			}
			d.Sets[set][name] = synthetic(name, seed, int64(seed)*int64(time.Hour), units, attack)
		}
	}
	add("train", "train", "normal", "", 1, 110, 0)
	add("judge-1", "normal", "normal", "", 2, 40, 0)
	add("weak-synflood_target", "anomaly", "synflood_target", "weak", 3, 20, 60)
	add("strong-synflood_target", "anomaly", "synflood_target", "strong", 4, 20, 300)
	add("idle", "stress", "idle", "", 5, 40, 0)
	add("stress_network", "stress", "stress_network", "", 6, 20, 100)
	add("peak-1", "peak", "normal", "", 7, 40, 20)
	add("peak-2", "peak", "normal", "", 8, 40, 20)
	d.Swing["normal-1"], d.Swing["normal-2"] = synthetic("normal-1", 9, 0, 60, 0), synthetic("normal-2", 10, 0, 40, 0)
	d.Swing["weak-portscan_source"] = synthetic("weak-portscan_source", 11, 0, 20, 60)
	start := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	d.Everyday = &Everyday{Recording: synthetic("everyday", 12, start.UnixNano(), 660, 0)}
	for i := range 10 { // a job that nobody expects
		for j := range d.Everyday.Recording.Units[640+i].Counts {
			d.Everyday.Recording.Units[640+i].Counts[j] *= 8
		}
	}
	d.Everyday.Jobs = []Job{
		{Name: "minute", From: start.Add(time.Minute), To: start.Add(time.Minute + time.Second)},
		{Name: "backup", From: start.Add(1280 * time.Second), To: start.Add(1300 * time.Second)},
	}
	d.Guests = []Guest{{Name: "other", Sets: map[string]Recordings{SetDefault: {
		"normal": synthetic("normal", 13, 0, 60, 0), "normal2": synthetic("normal2", 14, 0, 40, 0), "synflood_target": synthetic("synflood_target", 15, 0, 20, 200),
	}}}}
	d.SourceLabs = []SourceLab{syntheticLab("ust", SetDefault, SetTap, SetFunctions, SetSyscalls), syntheticLab("stock", SetTap, SetFunctions, SetSyscalls),
		syntheticLab("ust"+Again, SetDefault, SetTap, SetSyscalls), syntheticLab("stock"+Again, SetTap, SetFunctions)}
	d.OfHeaders = func(column string) bool { return column == SetTap+":rare" }
	return d
}

// syntheticLab has recordings of several sources, which see the same.
func syntheticLab(name string, sets ...string) SourceLab {
	l := SourceLab{Name: name, Sets: map[string]Recordings{}, Costs: map[string]map[string]SourceCost{}}
	for i, x := range []struct {
		name, kind string
		units      int
		attack     float64
	}{{"train", "train", 110, 0}, {"judge", "normal", 40, 0}, {"weak-synflood_target", "anomaly", 20, 60}} {
		l.Plan = append(l.Plan, Recorded{Name: x.name, Kind: x.kind})
		l.Costs[x.name] = map[string]SourceCost{}
		for _, set := range sets {
			r := synthetic(x.name, uint64(20+i), int64(20+i)*int64(time.Hour), x.units, x.attack)
			for j := range r.Features {
				r.Features[j] = set + ":" + r.Features[j]
			}
			if l.Sets[set] == nil {
				l.Sets[set] = Recordings{}
			}
			l.Sets[set][x.name] = r
			l.Costs[x.name][set] = SourceCost{Hits: 1000, TimeNS: 50000, Seconds: float64(2 * x.units)}
		}
		if name == "ust" {
			l.Costs[x.name][SetDefault] = SourceCost{Hits: 5000, Seconds: float64(2 * x.units)}
		}
	}
	l.Prices = []Price{{Workload: "web", Unit: "requests/s", Arms: []string{Off, SetTap}, Rates: [][]float64{{100, 90}, {120, 114}}}}
	return l
}

// All parts find what was put into made-up recordings.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("learns some sixty times")
	}
	r, err := Run(context.Background(), syntheticData())
	if err != nil {
		t.Fatal(err)
	}
	tables := r.Tables()
	for name, text := range tables {
		if strings.TrimSpace(text) == nothing {
			t.Errorf("table %s is empty", name)
		}
		width := 0
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			if n := strings.Count(strings.ReplaceAll(line, "\\|", ""), "|"); width != 0 && n != width {
				t.Errorf("table %s has lines of %d and %d cells: %s", name, width, n, line)
			} else {
				width = n
			}
		}
	}
	for name, want := range map[string]string{
		"everyday-alarms": "backup", "explanations": "yes: network: received", "relearnt-scenarios": "strong-synflood_target", "transfer": "| other |",
		"decisions": "everyday: false alarms", "arms": "0.62 (0.46)",
		"sources": "| stock QEMU | tap + functions | 11 |", "sources-prices": "| QEMU with UST | web | tap | 0.925 | 0.900 to 0.950 | 2 |",
		"summary": "tap + functions, recorded on stock QEMU: median F by sequence",
	} {
		if !strings.Contains(tables[name], want) {
			t.Errorf("table %s lacks %q:\n%s", name, want, tables[name])
		}
	}
	if a := r.Everyday[0].Alarms; len(a) == 0 || len(a[0].Jobs) != 1 {
		t.Errorf("alarms of everyday: %+v", a)
	}
}

// Without recordings there is nothing to do, and a context that has ended ends it.
func TestRunLittle(t *testing.T) {
	r, err := Run(context.Background(), &Data{Engine: libsvmgo.Engine{}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range r.Tables() {
		if strings.TrimSpace(text) != nothing {
			t.Errorf("table %s: %s", name, text)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, syntheticData()); err == nil {
		t.Error("it ran though its context had ended")
	}
}

func ExampleFill() {
	page, err := Fill("<!-- table: speed -->\n<!-- end of table -->\n", map[string]string{"speed": "| km/h |\n|---|\n| 5 |"})
	fmt.Println(page, err)
	// Output:
	// <!-- table: speed -->
	//
	// | km/h |
	// |---|
	// | 5 |
	//
	// <!-- end of table -->
	//  <nil>
}
