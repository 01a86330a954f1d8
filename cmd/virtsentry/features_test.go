package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model/selection"
)

// families is a set with every family of columns.
const families = "../../lttng/unit/testdata/families.toml"

// labelledFile writes 30 units, of which the first is partial and the last lost events, and returns the file's name. Counts are near their means; columns
// without one are 0.
func labelledFile(t *testing.T, random *rand.Rand, columns []string, means map[string]float64) string {
	t.Helper()
	f := unit.File{Features: columns}
	for i := range 30 {
		u := unit.Unit{Start: int64(1000+i) * int64(unit.Width), Duration: int64(unit.Width)}
		switch i {
		case 0:
			u.Start, u.Duration = u.Start+1000, u.Duration-1000
		case 29:
			u.Lost = 7
		}
		for _, name := range columns {
			mean := means[name]
			u.Counts = append(u.Counts, uint64(max(0, mean+mean/8*random.NormFloat64()+0.5)))
		}
		f.Units = append(f.Units, u)
	}
	path := filepath.Join(t.TempDir(), "units.csv")
	if err := unit.WriteFile(path, func(w io.Writer) error { return unit.Write(w, f) }); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t testing.TB, name string) *catalogue.Set {
	t.Helper()
	set, err := catalogue.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// stressArgs are unit files of a guest that is idle, pinged and writes, cut by the default set.
func stressArgs(t *testing.T) []string {
	random := rand.New(rand.NewPCG(21, 22))
	columns := mustLoad(t, "default").Names()
	idle := map[string]float64{"virtio_queue_notify:blk": 4, "virtqueue_fill:blk": 4, "virtio_blk_handle_write": 3, "blk_co_pwritev:bytes=4096-5119": 3}
	with := func(more map[string]float64) map[string]float64 {
		all := map[string]float64{}
		for _, m := range []map[string]float64{idle, more} {
			for name, mean := range m {
				all[name] += mean
			}
		}
		return all
	}
	ping := with(map[string]float64{
		"virtqueue_fill:net.rx:len=104-111": 900, "virtqueue_fill:net.tx": 900, "received:size=96-103": 900, "sent:size=96-103": 900,
		"virtio_queue_notify:net.tx": 500, "virtio_notify:net.rx": 700,
	})
	write := with(map[string]float64{
		"virtqueue_fill:blk": 160, "virtio_queue_notify:blk": 160, "virtio_blk_handle_write": 160, "blk_co_pwritev:bytes=1048576-1310719": 70,
		"bdrv_aio_flush": 2, "qcow2_handle_alloc": 9,
	})
	return []string{
		"features", "select", "--class", "idle=" + labelledFile(t, random, columns, idle), "--class", "stress_network=" + labelledFile(t, random, columns, ping),
		"--class", "stress_disk=" + labelledFile(t, random, columns, write), "--class", "idle=" + labelledFile(t, random, columns, idle),
	}
}

// scrub takes out the tests' directories.
func scrub(args []string, text string) string {
	for i, arg := range args {
		if _, path, ok := strings.Cut(arg, "="); ok && filepath.IsAbs(path) {
			text = strings.ReplaceAll(text, path, fmt.Sprintf("units%d.csv", i))
		}
	}
	return text
}

func TestFeaturesSelect(t *testing.T) {
	args := stressArgs(t)
	for name, more := range map[string][]string{
		"features.txt":         {"--compare", "paper,default"},
		"features.json":        {"--compare", "paper", "--size", "2", "-o", "json"},
		"features-column.txt":  {"--by", "column", "--scale", "raw", "--size", "3"},
		"features-budget.txt":  {"--max-cost", "0.001%", "--size", "5"},
		"features-written.txt": {"--size", "3", "--cost-weight", "5", "--write", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := run(t.Context(), append(slices.Clone(args), more...)...)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, scrub(args, got))
			for line := range strings.Lines(got) {
				if filepath.Ext(name) == ".txt" && name != "features-written.txt" && utf8.RuneCountInString(line) > tableWidth+1 {
					t.Errorf("a line of %d characters: %s", utf8.RuneCountInString(line), line)
				}
			}
		})
	}
}

func TestFeaturesList(t *testing.T) {
	for name, args := range map[string][]string{
		"features-list.txt":  {"features", "list"},
		"features-list.json": {"features", "list", "-o", "json"},
		"features-show.txt":  {"features", "show", "default"},
		"features-show.json": {"features", "show", "paper", "-o", "json"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := run(t.Context(), args...)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, got)
		})
	}
}

// A set that was written cuts a trace into the same columns as the set that it was chosen from.
func TestFeaturesWritten(t *testing.T) {
	boot := filepath.Join(traces, "boot")
	idle := labelledFile(t, rand.New(rand.NewPCG(1, 1)), mustLoad(t, "wide").Names(), map[string]float64{"virtqueue_fill:rest": 40, "virtio_queue_notify:unknown": 9})
	for _, by := range []string{byEvent, byColumn} {
		path := filepath.Join(t.TempDir(), "mine.toml")
		out, _, err := run(t.Context(), "features", "select", "--class", "idle="+idle, "--class", "boot="+boot, "--features", "wide", "--by", by,
			"--size", "4", "--write", path, "-o", "json")
		if err != nil {
			t.Fatal(err)
		}
		var r selectionReport
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		written := mustLoad(t, path)
		if r.Written.Version != written.Version() || written.Name() != "mine" || r.Written.Columns != len(written.Names()) {
			t.Errorf("%+v is %s", r.Written, written.Version())
		}
		for _, f := range r.Selected {
			if by == byColumn && !slices.Contains(written.Names(), f.Name) {
				t.Errorf("column %s is not in %v", f.Name, written.Names())
			}
		}
		want, err := unit.Cut(boot, "wide")
		if err != nil {
			t.Fatal(err)
		}
		got, err := unit.Cut(boot, path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(pick(want, got.Features), pick(got, got.Features)); diff != "" {
			t.Errorf("by %s:\n%s", by, diff)
		}
	}
}

// odd has values and buckets together, the value before and after the range.
const odd = `name = "odd"
version = 3
[[feature]]
event = "virtio_blk_handle_write"
subsystem = "disk"
words = "{value} of {range} to disks"
buckets = { field = "nsectors", unit = "sectors", per_octave = 2, min = 2, max = 64 }
values = { field = "name", others = "less or more", list = [{ prefix = "a", words = "less" }, { prefix = "b", words = "more" }] }
[[feature]]
name = "after"
event = "virtio_blk_handle_write"
subsystem = "disk"
words = "{range} since the last of {value}"
gap = { unit = "ns", per_octave = 1, min = 1024, max = 1048576 }
values = { field = "name", others = "others", list = [{ prefix = "a", words = "a" }] }
[[feature]]
name = "numbers"
event = "virtqueue_fill"
subsystem = "virtio"
queues = ["net.rx", "net.tx"]
words = "of {range} in {queue} 1"
buckets = { field = "idx", per_octave = 4, min = 4, max = 64 }
`

// Whatever is chosen, the set that is written has its columns, with the same words, and enables just the events that its price was asked for.
func TestFeaturesRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd.toml")
	if err := os.WriteFile(path, []byte(odd), 0o600); err != nil {
		t.Fatal(err)
	}
	var pools []*candidates
	for _, name := range append([]string{families, path}, shippedSets...) {
		set := mustLoad(t, name)
		file := unit.File{Features: append(set.Names(), "apic_deliver_irq", "no event")}
		data := &labelled{set: set, classes: []*labelledClass{{name: "idle", sources: []*labelledSource{{File: file}}}}}
		for _, byColumn := range []bool{false, true} {
			pool := newCandidates(data, byColumn, true)
			if diff := cmp.Diff([]string{"no event"}, pool.unknown); diff != "" {
				t.Errorf("%s: unknown columns:\n%s", name, diff)
			}
			all := make([]int, len(pool.features))
			for i := range all {
				all[i] = i
			}
			text, err := pool.setFile(all, "all", "")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := catalogue.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range set.Columns() {
				if !slices.Contains(got.Columns(), c) {
					t.Fatalf("%s: %+v is not in what was written", name, c)
				}
			}
			if want := len(set.Names()) + 1; len(got.Names()) != want {
				t.Errorf("%s: %d columns; want %d", name, len(got.Names()), want)
			}
			pools = append(pools, pool)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		pool := rapid.SampledFrom(pools).Draw(t, "pool")
		chosen := rapid.SliceOfNDistinct(rapid.IntRange(0, len(pool.features)-1), 1, 4, rapid.ID[int]).Draw(t, "chosen")
		text, err := pool.setFile(chosen, "some", "what for")
		if err != nil {
			t.Fatal(err)
		}
		got, err := catalogue.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var features []selection.Feature
		for _, i := range chosen {
			features = append(features, pool.features[i])
			for _, j := range pool.features[i].Columns {
				if !slices.Contains(got.Names(), pool.columns[j]) {
					t.Fatalf("%s is not in what was written", pool.columns[j])
				}
			}
		}
		if diff := cmp.Diff(selection.Events(features), got.Events()); diff != "" {
			t.Fatalf("events (-asked the price of +enabled):\n%s", diff)
		}
	})
}

// The hits of an event are found in its columns, where these count all of them.
func TestCountedHits(t *testing.T) {
	boot := filepath.Join(traces, "boot")
	exact, err := unit.Cut(boot, unit.Counts)
	if err != nil {
		t.Fatal(err)
	}
	s := &labelledSource{trace: true, hits: exact}
	found := 0
	for _, name := range append([]string{families}, shippedSets...) {
		set := mustLoad(t, name)
		f := exact
		if name != unit.Counts {
			if f, err = unit.Cut(boot, name); err != nil {
				t.Fatal(err)
			}
		}
		want := s.eventHits(set, set.Events())
		for _, event := range set.Events() {
			got := countedHits(set, f, event)
			for i, n := range want[event] {
				switch all := countsAll(set, f.Features, event); {
				case all && got[i] != n || got[i] > n:
					t.Errorf("%s: %s: unit %d has %v hits of %v", name, event, i, got[i], n)
				case all:
					found++
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d counts were compared", found)
	}
}

func TestCountsAll(t *testing.T) {
	for _, tc := range []struct {
		set, event string
		want       bool
	}{
		{"default", "virtqueue_fill", true},        // all queues
		{"default", "qemu_deliver_packet", true},   // a condition and its opposite
		{"default", "virtio_rng_pushed", false},    // only tells queues apart
		{"wide", "memory_region_ops_write", false}, // under a condition
		{"wide", "virtqueue_fill", true},           // gaps beside the sizes
		{families, "virtqueue_fill", true},         // "*"
		{families, "virtio_notify", true},          // only in pairs
		{families, "virtio_set_status", false},     //
		{"default", "apic_deliver_irq", true},      // a column of its name
		{"default", "apic_local_deliver", false},   // not even that
		{"paper", "memory_region_ops_write", true}, //
		{"default", "resettable_phase_hold_exec", false},
	} {
		if got := countsAll(mustLoad(t, tc.set), []string{"apic_deliver_irq"}, tc.event); got != tc.want {
			t.Errorf("%s, %s: %t", tc.set, tc.event, got)
		}
	}
}

// Columns that nobody knows are left out, and named; those that are the count of an event may take part.
func TestFeaturesUnknown(t *testing.T) {
	random := rand.New(rand.NewPCG(31, 32))
	columns := []string{"apic_deliver_irq", "virtqueue_fill", "web requests"}
	idle := labelledFile(t, random, columns, map[string]float64{"apic_deliver_irq": 100, "virtqueue_fill": 20, "web requests": 1})
	busy := labelledFile(t, random, columns, map[string]float64{"apic_deliver_irq": 900, "virtqueue_fill": 30, "web requests": 80})
	args := []string{"features", "select", "--class", "idle=" + idle, "--class", "busy=" + busy}
	out, _, err := run(t.Context(), args...)
	if err != nil || !strings.Contains(out, "2 columns left out, which counts/") || !strings.Contains(out, "apic_deliver_irq, web requests") {
		t.Errorf("%s, %v", out, err)
	}
	out, _, err = run(t.Context(), append(args, "--any-event", "--size", "1", "--write", "-")...)
	if err != nil || !strings.Contains(out, `event = "apic_deliver_irq"`) {
		t.Errorf("%s, %v", out, err)
	}
	if _, _, err = run(t.Context(), append(args, "--features", "default")...); err == nil || !strings.Contains(err.Error(), "has none of the columns (apic_deliver_irq, virtqueue_fill") {
		t.Error(err)
	}
}

func TestFeaturesRefuses(t *testing.T) {
	args := stressArgs(t)[2:]
	idle, network := args[1], args[3]
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	header := "start_ns,duration_ns,lost,virtqueue_fill\n"
	one, flat := file("one.csv", header+"0,2000000000,0,5\n"), file("flat.csv", header+"0,2000000000,0,5\n2000000000,2000000000,0,5\n")
	for _, tc := range []struct {
		name string
		args []string
		says string
	}{
		{"nothing", nil, "--class"},
		{"one class", []string{"--class", idle}, `there is only "idle"`},
		{"no name", []string{"--class", "=" + flat}, "want NAME=FILE"},
		{"no file", []string{"--class", idle, "--class", "busy=" + dir + "/absent.csv"}, "absent.csv"},
		{"no trace", []string{"--class", idle, "--class", "busy=" + dir}, dir},
		{"no unit file", []string{"--class", idle, "--class", "busy=" + file("text.csv", "hello\n")}, "text.csv: "},
		{"NaN", []string{"--class", idle, "--class", "busy=" + file("nan.csv", header+"0,2000000000,0,NaN\n")}, "nan.csv: unit file: line 2, column 4"},
		{"one unit", []string{"--class", idle, "--class", "busy=" + one}, `class "busy" has 1 whole unit`},
		{"reference", []string{"--class", idle, "--class", network, "--reference", "quiet"}, `no class "quiet" to be the reference: name one of idle, stress_network`},
		{"size", []string{"--class", idle, "--class", network, "--size", "99"}, "99 features are wanted"},
		{"negative size", []string{"--class", idle, "--class", network, "--size", "-1"}, "--size"},
		{"nothing varies", []string{"--class", "idle=" + flat, "--class", "busy=" + flat}, "no feature varies"},
		{"cost", []string{"--class", idle, "--class", network, "--max-cost", "much"}, "such as 0.1%"},
		{"no cost", []string{"--class", idle, "--class", network, "--max-cost", "0"}, "such as 0.1%"},
		{"cost of two guests", []string{"--class", idle, "--class", network, "--max-cost", "200%"}, "such as 0.1%"},
		{"too dear", []string{"--class", idle, "--class", network, "--max-cost", "0.0000000001%"}, "the cheapest, "},
		{"price", []string{"--class", idle, "--class", network, "--cost-weight", "NaN"}, "--cost-weight"},
		{"by", []string{"--class", idle, "--class", network, "--by", "hand"}, "neither event nor column"},
		{"scale", []string{"--class", idle, "--class", network, "--scale", "sqrt"}, "neither log nor raw"},
		{"features", []string{"--class", idle, "--class", network, "--features", "nothing"}, "nothing"},
		{"compare", []string{"--class", idle, "--class", network, "--compare", "nothing"}, "--compare: "},
		{"write", []string{"--class", idle, "--class", network, "--write", dir + "/none/set.toml"}, "none"},
		{"an argument", []string{"--class", idle, "--class", network, "x"}, "unknown command"},
	} {
		out, code, err := run(t.Context(), append([]string{"features", "select"}, tc.args...)...)
		if err == nil || code != exitFailure || !strings.Contains(err.Error(), tc.says) || out != "" {
			t.Errorf("%s: exit status %d, %v, wrote %q", tc.name, code, err, out)
		}
	}
	for _, args := range [][]string{{"features", "show", "nothing"}, {"features", "show"}, {"features", "show", flat}} {
		if out, _, err := run(t.Context(), args...); err == nil || out != "" {
			t.Errorf("%v: %q", args, out)
		}
	}
}

func TestFeaturesInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, _, err := run(ctx, stressArgs(t)...); !errors.Is(err, errInterrupted) {
		t.Error(err)
	}
}

func TestGuestShare(t *testing.T) {
	for text, want := range map[string]guestShare{"0.1%": 0.001, "0.1 %": 0.001, "0.5": 0.5, "100%": 1, "1e-3%": 1e-5} {
		var s guestShare
		if err := s.Set(text); err != nil || s < want*0.999999 || s > want*1.000001 {
			t.Errorf("%q is %v, %v", text, float64(s), err)
		}
	}
	for _, text := range []string{"", "%", "-1%", "0", "101%", "NaN", "Inf", "1%%"} {
		var s guestShare
		if err := s.Set(text); err == nil {
			t.Errorf("%q is %v", text, float64(s))
		}
	}
}

func TestSetName(t *testing.T) {
	for path, want := range map[string]string{
		"/tmp/web.toml": "web", "web": "web", "": "selected", "-": "selected", "my set.toml": "selected", "default.toml": "selected", "a\"b\n.toml": "selected",
	} {
		if got := setName(path); got != want {
			t.Errorf("setName(%q) = %q; want %q", path, got, want)
		}
	}
}

func TestWrapped(t *testing.T) {
	for _, tc := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 5, []string{""}},
		{"one two three", 7, []string{"one two", "three"}},
		{"µµµ µµµ", 7, []string{"µµµ µµµ"}},
		{"unbreakable and", 5, []string{"unbreakable", "and"}},
	} {
		if diff := cmp.Diff(tc.want, wrapped(tc.text, tc.width)); diff != "" {
			t.Errorf("%q:\n%s", tc.text, diff)
		}
	}
}
