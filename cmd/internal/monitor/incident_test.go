package monitor

import "testing"

func TestLossWatch(t *testing.T) {
	var w lossWatch
	observe := func(n int, lost bool) (open bool) {
		for range n {
			open = w.observe(lost)
		}
		return open
	}
	if observe(lossOpen-1, true) {
		t.Errorf("open after %d lossy units", lossOpen-1)
	}
	if !observe(1, true) {
		t.Errorf("not open after %d lossy units", lossOpen)
	}
	if !observe(lossWindow-lossShut-1, false) {
		t.Error("ended while more lossy units than allowed are in the window")
	}
	if observe(lossWindow, false) {
		t.Error("still open a window after the last loss")
	}
	if observe(lossOpen-1, true) {
		t.Error("open again too early")
	}
}

func TestIncidents(t *testing.T) {
	var l incidents
	if !l.open(incidentLoss, "a") || l.open(incidentLoss, "b") || !l.open(incidentAnomaly, "c") {
		t.Error("what is open is opened once")
	}
	before := l
	l.open(incidentLoss, "d")
	if len(l) != 2 || l[0].Kind != incidentAnomaly || l[1].Text != "d" || before[1].Text != "b" {
		t.Errorf("%+v, and %+v before", l, before)
	}
	if !l.shut(incidentLoss) || l.shut(incidentLoss) || len(l) != 1 || len(before) != 2 {
		t.Errorf("%+v, and %+v before", l, before)
	}
}
