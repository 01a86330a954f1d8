package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

func TestDay(t *testing.T) {
	d := day(3000, 1)
	if diff := cmp.Diff(d, day(3000, 1)); diff != "" {
		t.Error("another day of the same seed")
	}
	if len(d.Features) != 30 || len(d.Rows) != 3000 {
		t.Fatalf("%d units of %d features", len(d.Rows), len(d.Features))
	}
	sum := make([]float64, len(d.Features))
	for _, r := range d.Rows {
		for j, n := range r.Values {
			sum[j] += n
		}
	}
	for j, s := range sum {
		if s == 0 {
			t.Errorf("%s never happens", d.Features[j])
		}
	}
}

// All of both benchmarks works, on some hours and the project's recordings.
func TestTrainAndScore(t *testing.T) {
	const units = "../../../testdata/units"
	quiet := func(string) {}
	dir := t.TempDir()
	training, err := TrainRun{Engine: libsvm.Engine{}, Units: units, Day: 1500, Rounds: 1, Solves: 1, Vectors: []int{32}, Report: quiet}.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if training.Day.Seconds[0] <= 0 || training.Solving.Ours[0] <= 0 || training.Solving.Tool[0] <= 0 || len(training.Limits) != 3 || len(training.Profiles) != 5 {
		t.Errorf("%+v", training)
	}
	if err := Write(dir, File[Training]{Name: TrainName, Short: true, Result: training}); err != nil {
		t.Fatal(err)
	}
	if text, ok, err := TrainSection(dir); !ok || err != nil || !strings.Contains(text, "count for nothing") {
		t.Errorf("%v, %v: %s", ok, err, text)
	}
	scoring, err := ScoreRun{Engine: libsvm.Engine{}, Units: units, Day: 1500, Judged: 200, Rounds: 1, Report: quiet}.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, File[Scoring]{Name: ScoreName, Result: scoring}); err != nil {
		t.Fatal(err)
	}
	text, ok, err := ScoreSection(dir)
	if !ok || err != nil || !strings.Contains(text, "no unit may leave garbage (holds)") {
		t.Errorf("%v, %v: %s", ok, err, text)
	}
}

func TestJoined(t *testing.T) {
	a := model.Recording{Features: []string{"a"}, Units: []model.Observation{
		{Start: 2e9, Counts: []uint64{1}}, {Start: 4e9, Counts: []uint64{2}, Lossy: true}, {Start: 6e9}, {Start: 8e9, Counts: []uint64{4}},
	}}
	b := model.Recording{Features: []string{"b"}, Units: []model.Observation{
		{Start: 2e9, Counts: []uint64{5}}, {Start: 4e9, Counts: []uint64{6}}, {Start: 6e9, Counts: []uint64{7}}, {Start: 10e9},
	}}
	want := model.Dataset{Features: []string{"a", "b"}, Rows: []model.Row{{Start: 2e9, Values: []float64{1, 5}}, {Start: 6e9, Values: []float64{0, 7}}}}
	if diff := cmp.Diff(want, joined(a, b)); diff != "" {
		t.Error(diff)
	}
}
