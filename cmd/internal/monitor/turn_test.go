package monitor

import (
	"context"
	"testing"
	"time"
)

// No more domains than there are turns are attached to at once; who waits still answers, and can be stopped.
func TestTurns(t *testing.T) {
	m := &Monitor{turns: newTurns(attachingMost)}
	var first []*watcher
	for range attachingMost {
		w := &watcher{m: m, requests: make(chan func(), 1), news: newNews()}
		for range 2 { // it has one already, the second time
			if !w.awaitTurn(t.Context()) {
				t.Fatal("no turn")
			}
		}
		first = append(first, w)
	}
	w := &watcher{m: m, requests: make(chan func(), 1), news: newNews()}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan bool)
	go func() { stopped <- w.awaitTurn(ctx) }()
	answered := make(chan struct{})
	w.requests <- func() { close(answered) }
	<-answered
	select {
	case <-stopped:
		t.Fatal("one more than there are turns")
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	if <-stopped {
		t.Error("a turn after it was stopped")
	}
	go func() { stopped <- w.awaitTurn(t.Context()) }()
	first[3].endTurn()
	first[3].endTurn() // it has none any more
	if !<-stopped {
		t.Error("no turn when another's has ended")
	}
	w.endTurn()
	for _, x := range first {
		x.endTurn()
	}
	if len(m.turns) != attachingMost {
		t.Errorf("%d turns are left of %d", len(m.turns), attachingMost)
	}
}
