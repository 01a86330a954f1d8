package gdb

import (
	"fmt"
	"strconv"
	"strings"
)

// Signals of stops that are told apart; they are GDB's numbers.
const (
	SignalInterrupt = 2 // somebody has stopped the guest
	SignalTrap      = 5 // a breakpoint
)

// Stop says that the guest has stopped, and why.
type Stop struct {
	Signal int
	Thread string // of the virtual CPU, as the stub names it: "01", "p01.01"; empty: it does not say
}

// CPU is the number of the virtual CPU, from 0 on. A stub counts threads from 1 on. Without a name it is 0.
func (s Stop) CPU() int {
	_, thread, has := strings.Cut(s.Thread, ".")
	if !has {
		thread = s.Thread
	}
	n, err := strconv.ParseInt(thread, 16, 32)
	if err != nil || n < 1 {
		return 0
	}
	return int(n - 1)
}

// parseStop reads a stop reply packet: T05thread:01;  S05  W00.
func parseStop(text string) (Stop, error) {
	if len(text) < 3 || text[0] != 'T' && text[0] != 'S' {
		return Stop{}, fmt.Errorf("%w: %.40q instead of a stop", ErrProtocol, text)
	}
	high, low := nibble(text[1]), nibble(text[2])
	if high < 0 || low < 0 {
		return Stop{}, fmt.Errorf("%w: a stop by signal %.2q", ErrProtocol, text[1:])
	}
	s := Stop{Signal: high<<4 | low}
	if text[0] == 'S' {
		return s, nil
	}
	for _, pair := range strings.Split(text[3:], ";") {
		if thread, is := strings.CutPrefix(pair, "thread:"); is {
			if !isThread(thread) {
				return Stop{}, fmt.Errorf("%w: a stop of thread %.40q", ErrProtocol, thread)
			}
			s.Thread = thread
		}
	}
	return s, nil
}

// isThread says whether a text is the name of one thread. It is sent back to the stub, so nothing else may be in it.
func isThread(s string) bool {
	const most = 20
	if len(s) == 0 || len(s) > most {
		return false
	}
	process, thread, has := strings.Cut(strings.TrimPrefix(s, "p"), ".")
	if has != strings.HasPrefix(s, "p") {
		return false
	}
	for _, part := range []string{process, thread} {
		for i := range len(part) {
			if nibble(part[i]) < 0 {
				return false
			}
		}
	}
	return process != "" && (!has || thread != "")
}
