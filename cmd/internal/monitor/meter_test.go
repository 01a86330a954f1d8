package monitor

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// tally is a meter that counts.
type tally struct {
	mu        sync.Mutex
	verdicts  []time.Duration
	trainings map[string]int
}

func (y *tally) Verdict(after time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.verdicts = append(y.verdicts, after)
}

func (y *tally) Training(_ time.Duration, outcome string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.trainings[outcome]++
}

func (y *tally) so(t *testing.T, verdicts int, trainings map[string]int) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.verdicts) != verdicts {
		t.Errorf("%d verdicts were measured; want %d", len(y.verdicts), verdicts)
	}
	for _, after := range y.verdicts {
		if after < 0 {
			t.Errorf("a verdict %v after its unit's end", after)
		}
	}
	if diff := cmp.Diff(trainings, y.trainings); diff != "" {
		t.Errorf("trainings (-want +got):\n%s", diff)
	}
}

func TestMeasured(t *testing.T) {
	meter := &tally{trainings: map[string]int{}}
	b := newIdleBench(t, testConfig(t), testSet)
	if got := b.Totals(); got.Connected || got.Connections != 0 {
		t.Errorf("before it runs: %+v", got)
	}
	b.Measure(meter)
	b.start()
	b.await(stateLearning, reasonGathering)
	past := time.Now().Add(-time.Hour)
	b.source.put(batch{units: load(60, past, 1, 0)})
	b.await(stateStarting, reasonNoUnit)
	b.source.put(batch{units: load(1, past.Add(150*time.Second), 1, 0)})
	b.await(stateNormal, "")
	b.source.put(batch{units: load(5, past.Add(200*time.Second), 20, 0)})
	b.await(stateAnomalous, reasonAnomaly)
	b.source.put(batch{units: load(4, past.Add(300*time.Second), 1, 9)})
	counted := func() control.DomainStatus {
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			d, err := b.Domain(b.domain.UUID)
			if err != nil {
				t.Fatal(err)
			}
			if d.Units.Seen == 70 || time.Now().After(end) {
				return d
			}
		}
	}()
	if got := counted.Units; got.Seen != 70 || got.Judged != 10 || got.Unusual != 5 || got.Unknown != 4 || got.Lossy != 4 || got.Lost != 36 || got.Hits == 0 {
		t.Errorf("units %+v", got)
	}
	if diff := cmp.Diff(map[string]uint64{incidentAnomaly: 1}, counted.Opened); diff != "" {
		t.Errorf("incidents (-want +got):\n%s", diff)
	}
	meter.so(t, 10, map[string]int{TrainingLearnt: 1})
	want := Totals{Connected: true, Connections: 1, BufferLimit: b.cfg.LTTng.TotalBufferBytes}
	if diff := cmp.Diff(want, b.Totals()); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
}
