package monitor

import (
	"errors"
	"os"
	"testing"
	"time"
)

func TestPulse(t *testing.T) {
	p := &pulse{}
	if at := p.beaten(7); at != 0 {
		t.Errorf("beaten %d before anything was heard", at)
	}
	p.beat(7, 100)
	p.beat(7, 50) // of a domain that was looked at later
	p.beat(8, 200)
	if p.beaten(7) != 100 || p.beaten(8) != 200 {
		t.Errorf("beaten %d and %d; want 100 and 200", p.beaten(7), p.beaten(8))
	}
	p.beat(9, 150+pulseKept)
	if p.beaten(7) != 0 || p.beaten(8) != 200 {
		t.Errorf("beaten %d and %d an hour later; want 0 and 200", p.beaten(7), p.beaten(8))
	}
}

// One domain asks for all.
func TestPulseAsk(t *testing.T) {
	p := &pulse{}
	if !p.ask(7, 1) || !p.ask(7, 2) {
		t.Error("a consumer daemon of which nothing is known is not asked")
	}
	p.beat(7, 100)
	at := 10 * askEach
	for i, want := range []bool{true, false, false, true} {
		if got := p.ask(7, at+int64(i)*askEach*2/5); got != want {
			t.Errorf("ask %d: %v; want %v", i, got, want)
		}
	}
	if !p.ask(8, at) {
		t.Error("another consumer daemon is not asked")
	}
	if p.beaten(7) != 100 {
		t.Errorf("beaten %d by a question", p.beaten(7))
	}
}

// A unit is given out when the consumer daemon has worked since the switch timer went off after its end; where nobody knows whether it works, a rotation tells; at once, as
// long as nobody knows when that timer goes off.
func TestSettled(t *testing.T) {
	const second = int64(time.Second)
	end := 1000 * second // of a unit
	for _, c := range []struct {
		name  string
		base  time.Duration // after a unit's end the timer has gone off, and what it has flushed is written
		beat  int64         // of the consumer daemon
		until int64
		want  int64
		err   error
	}{
		{"seen to work just now", switchTimer + writeTime, end + second*23/10, end + second/10, end + second/10, nil},
		{"by the domain's own packet, when the timer went off", 300*time.Millisecond + writeTime, end + second*3/10, end, end, nil},
		{"just before that", 300*time.Millisecond + writeTime, end + second*2/10, end, end - second*8/100, nil},
		{"perhaps before the timer has gone off", switchTimer + writeTime, end + second/2, end, end + second/2 - second*198/100, nil},
		{"not for longer than a unit", switchTimer + writeTime, end - second*11/10, end, 0, errSilence},
		{"long ago", 300*time.Millisecond + writeTime, end - 20*second, end, 0, errSilence},
		{"never", switchTimer + writeTime, 0, end, 0, errSilence},
		{"on a host that has just come up", switchTimer + writeTime, second / 2, second / 4, 0, nil},
	} {
		p := &pulse{}
		p.beat(7, c.beat)
		f := &following{knows: true, base: c.base, pulse: p, consumer: &os.Process{Pid: 7}}
		if got, err := f.settled(c.until); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: settled until %v, %v; want %v, %v", c.name, time.Duration(got), err, time.Duration(c.want), c.err)
		}
	}
	for beat, want := range map[int64]error{end + second/2: errSilence, end + second*19/10: errSilence, end + second*2: nil} {
		p := &pulse{}
		p.beat(7, beat)
		f := &following{base: switchTimer + writeTime, pulse: p, consumer: &os.Process{Pid: 7}}
		if _, err := f.settled(end); !errors.Is(err, want) {
			t.Errorf("settled %v after the unit's end, while nobody knows when the timer goes off: %v; want %v", time.Duration(beat-end), err, want)
		}
		p.ask(7, now()+int64(time.Hour))
		if got, err := f.settled(end); got != min(end, beat-second*198/100) || err != nil {
			t.Errorf("while another asks: settled until %v, %v", time.Duration(got), err)
		}
	}
	// While another domain asks, it waits, but not for ever.
	asked := &pulse{}
	asked.beat(7, end)
	asked.ask(7, now()+int64(time.Hour)) // however slow this test is
	waiting := &following{knows: true, base: time.Second + writeTime, pulse: asked, consumer: &os.Process{Pid: 7}}
	for until, want := range map[int64]error{end + second*3/2: nil, end + second*5/2: nil, end + second*7/2: errSilence} {
		if _, err := waiting.settled(until); !errors.Is(err, want) {
			t.Errorf("settled(%v) while another asks: %v; want %v", time.Duration(until), err, want)
		}
	}
	// Another domain's consumer daemon says nothing of this one's.
	p := &pulse{}
	p.beat(8, end+second)
	f := &following{base: switchTimer + writeTime, pulse: p, consumer: &os.Process{Pid: 7}}
	if _, err := f.settled(end); !errors.Is(err, errSilence) {
		t.Errorf("settled by another consumer daemon: %v", err)
	}
}

// What a file says of when it was written is believed within what is known of it.
func TestWrote(t *testing.T) {
	looked := now() - int64(2*time.Second)
	f := &following{looked: looked}
	within := looked + int64(time.Second)
	for _, c := range []struct{ at, want int64 }{
		{within, within}, {looked - int64(time.Hour), looked}, {now() + int64(time.Hour), looked},
	} {
		if got := f.wrote(c.at); got != c.want {
			t.Errorf("wrote(%d) = %d; want %d", c.at, got, c.want)
		}
	}
}
