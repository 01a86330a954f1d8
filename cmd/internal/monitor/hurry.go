package monitor

// hurriedMost is how many suspect domains' units are collected at once: each takes a rotation, which takes the session daemon's and the consumer daemon's time.
const hurriedMost = 8

// hurry has the domain's next units collected right after their end while it is suspect, at the price of a rotation each, so that it is soon known whether
// it is anomalous. Where too many are suspect already, they are collected as ever.
func (w *watcher) hurry(suspect bool) {
	switch {
	case suspect && !w.hurried:
		select {
		case <-w.m.hurries:
			w.hurried = true
		default:
		}
	case !suspect && w.hurried:
		w.hurried = false
		w.m.hurries <- struct{}{}
	}
}
