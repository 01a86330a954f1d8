package monitor

import "context"

// attachingMost is how many domains are attached to at once. The session daemon serves one request after the other, and a first rotation takes the consumer daemon's time, also
// one after the other: with hundreds at once, as when the daemon is started on a full host, none would end in time.
const attachingMost = 16

// newTurns has a turn for each of so many domains that may do something at once.
func newTurns(most int) chan struct{} {
	turns := make(chan struct{}, most)
	for range most {
		turns <- struct{}{}
	}
	return turns
}

// awaitTurn waits for a turn to attach, and serves requests meanwhile. It says false when ctx ended.
func (w *watcher) awaitTurn(ctx context.Context) bool {
	for !w.turn {
		select {
		case <-ctx.Done():
			return false
		case f := <-w.requests:
			f()
		case <-w.news.wake:
			w.heed()
		case <-w.m.turns:
			w.turn = true
		}
	}
	return true
}

// endTurn lets another domain be attached to: this one has given something, or will not soon.
func (w *watcher) endTurn() {
	if w.turn {
		w.turn = false
		w.m.turns <- struct{}{}
	}
}
