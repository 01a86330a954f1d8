package monitor

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

func TestAnomalies(t *testing.T) {
	at := func(i int) time.Time { return time.Unix(1000, 0).Add(time.Duration(i) * unit.Width) }
	var a anomalies
	// n: usual, a: unusual, w: unusual together with the five units before; upper case: the incident is open after it.
	for i, c := range "nannaaAANAANNnnwwW" {
		u := control.UnitReport{Start: at(i), State: stateNormal}
		text := ""
		switch c {
		case 'a', 'A':
			u.Anomalous = true
		case 'w', 'W':
			u.Anomalous, u.Explain = true, []control.Variable{{Seconds: 12}}
		}
		if c == 'a' || c == 'w' {
			u.State = stateSuspect
		}
		if strings.ContainsRune("ANW", c) {
			u.State, text = stateAnomalous, "packets"
		}
		before := a.list
		if changed := a.observe(&u, text); changed != !cmp.Equal(before, a.list) {
			t.Errorf("unit %d: changed %v, from %v to %v", i, changed, before, a.list)
		}
	}
	want := []control.Anomaly{
		{Number: 1, Begin: at(4), End: at(11), Units: 6, Text: "packets"},
		{Number: 2, Begin: at(10), End: at(18), Open: true, Units: 3, Text: "packets"},
	}
	if diff := cmp.Diff(want, a.list); diff != "" {
		t.Error(diff)
	}
	d := control.DomainStatus{Anomalies: a.list}
	for number, n := range map[string]int{"last": 2, "1": 1, "2": 2, "3": 0, "0": 0, "": 0, "first": 0} {
		if got, err := anomaly(d, number); got.Number != n || (err == nil) != (n > 0) {
			t.Errorf("%q: %+v, %v", number, got, err)
		}
	}
	for range 3 * anomaliesKept {
		a.observe(&control.UnitReport{State: stateAnomalous, Anomalous: true}, "x")
		a.observe(&control.UnitReport{State: stateNormal}, "")
	}
	if n := len(a.list); n != anomaliesKept || a.list[n-1].Number != 1+3*anomaliesKept {
		t.Errorf("%d are kept, the last %+v", n, a.list[n-1])
	}
}
