package judging

import (
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvmgo"
)

// The first three of what an alarm on a recording is explained with name the device and the direction: of the paper's eight attacks, at weak
// rates, and of the loads that stress one part of a guest. What stresses memory shows in no device.
func TestExplainRecordings(t *testing.T) {
	const units = "../../../testdata/units/"
	profiles := map[string]*model.Profile{}
	for _, tc := range []struct {
		learnt, recording string
		words             []string // each is in the sentence
	}{
		{"swing/normal-1", "swing/weak-synflood_target", []string{"packets of 64 to 71 bytes received by the guest"}},
		{"swing/normal-1", "swing/weak-synflood_source", []string{"packets of 64 to 71 bytes sent by the guest"}},
		{"swing/normal-1", "swing/weak-portscan_target", []string{"packets of 64 to 71 bytes received by the guest"}},
		{"swing/normal-1", "swing/weak-portscan_source", []string{"packets of 64 to 71 bytes sent by the guest"}},
		{"swing/normal-1", "swing/weak-bruteforce_target", []string{"received by the guest", "sent by the guest"}},
		{"swing/normal-1", "swing/weak-bruteforce_source", []string{"received by the guest", "sent by the guest"}},
		{"swing/normal-1", "swing/weak-slowhttp_target", []string{"packets of 88 to 95 bytes received by the guest"}},
		{"swing/normal-1", "swing/weak-slowhttp_source", []string{"packets of 88 to 95 bytes sent by the guest"}},
		{"stress/idle", "stress/stress_disk", []string{"disk writes"}},
		{"stress/idle", "stress/stress_io", []string{"flushes of disks"}},
		{"stress/idle", "stress/stress_network", []string{"received by the guest", "sent by the guest"}},
	} {
		set, err := catalogue.Load(catalogue.DefaultSet)
		if err != nil {
			t.Fatal(err)
		}
		p := profiles[tc.learnt]
		if p == nil {
			if p, err = model.Train(libsvmgo.Engine{}, dataset(t, units+tc.learnt), model.Options{}); err != nil {
				t.Fatal(err)
			}
			profiles[tc.learnt] = p
		}
		judge, err := New(model.DeciderConfig{}, set)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range dataset(t, units+tc.recording).Rows {
			report := control.UnitReport{Start: time.Unix(0, r.Start)}
			if err := judge.Observe(p, r.Values, nil, &report); err != nil {
				t.Fatal(err)
			}
			if judge.State() != Anomalous {
				continue
			}
			t.Logf("%s: %s", tc.recording, judge.Why())
			for _, w := range tc.words {
				if !strings.Contains(judge.Why(), w) {
					t.Errorf("%s: no %q in %q", tc.recording, w, judge.Why())
				}
			}
			break
		}
		if judge.State() != Anomalous {
			t.Errorf("%s: no alarm", tc.recording)
		}
	}
}

// dataset reads the full units without losses of a recording.
func dataset(t *testing.T, name string) model.Dataset {
	t.Helper()
	f, err := unit.ReadFile(name + ".csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	d := model.Dataset{Features: f.Features}
	same := model.Align(f.Features, f.Features)
	for _, u := range f.Units {
		if u.Full() && u.Lost == 0 {
			d.Rows = append(d.Rows, model.Row{Start: u.Start, Values: same.Apply(nil, u.Counts)})
		}
	}
	return d
}
