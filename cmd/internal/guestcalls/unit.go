package guestcalls

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/syscallname"
)

// Length of a unit.
const Length = 2 * time.Second

// Bounds of what a unit keeps: the guest chooses the numbers of calls, and what their arguments look like.
const (
	mostNumber = 1024 // numbers of Linux on x86_64 are below 600
	mostKinds  = 4096 // of number and virtual CPU
	mostShapes = 8    // of one kind
	mostEach   = 1000 // calls, one by one
)

// Unknown stands for numbers that no call of Linux has, and for those that found no room.
const Unknown = -1

// Calls are the calls of one number on one virtual CPU.
type Calls struct {
	Number int     `json:"nr"` // of the system call on x86_64, or Unknown
	CPU    int     `json:"cpu"`
	Seen   uint64  `json:"seen"`  // at the break
	Count  float64 `json:"count"` // Seen, scaled to all of the time in which the guest ran
	Shapes []Shape `json:"shapes,omitempty"`
}

// Call is one call that was seen.
type Call struct {
	At     int64 `json:"at"` // nanoseconds of the caller's clock
	Number int   `json:"nr"` // as in Calls
	CPU    int   `json:"cpu"`
	// Arguments are what stood in rdi, rsi, rdx, r10, r8 and r9. A call with fewer arguments leaves the others as they were.
	Arguments [6]uint64 `json:"arguments"`
}

// String is the call as a person reads it, "vcpu0 openat(-100, 0x7ffd34a0, 0, 0, 0, 0)": small numbers and small negative ones in decimal, all else in hexadecimal digits.
func (c Call) String() string {
	return fmt.Sprintf("vcpu%d %s%s", c.CPU, Name(c.Number), Arguments(c.Arguments))
}

// Shape is what the first three arguments look like, and how often that was so. A call with fewer arguments leaves the others as they were.
type Shape struct {
	Text string `json:"text"` // "n p n": see shapeOf
	Seen uint64 `json:"seen"`
}

// Unit is what was counted in two seconds on the grid of the caller's clock; the first and the last may be shorter. Times within are those of the tracer, nanoseconds.
type Unit struct {
	Start    int64   `json:"start"` // nanoseconds of the caller's clock
	Duration int64   `json:"duration"`
	Calls    []Calls `json:"calls"`
	Each     []Call  `json:"each,omitempty"` // the first thousand that were seen, in the order of time
	Stops    uint64  `json:"stops"`          // of the guest, on our account
	Stopped  int64   `json:"stopped"`        // in all
	Armed    int64   `json:"armed"`          // the guest ran, and the break was armed
	Running  int64   `json:"running"`        // the guest ran
	// Sampled says that the break was not armed all the time, as calls came too often: Count is an estimate then.
	Sampled bool `json:"sampled,omitempty"`
	// AtLeast says that calls came faster than stops can follow each other: Count is a lower bound then. How the numbers share in it holds all the same.
	AtLeast bool `json:"at_least,omitempty"`
}

// kind is what is counted apart.
type kind struct{ number, cpu int }

// tally gathers a unit. Calls of a period are held back until it is known what part of it was seen.
type tally struct {
	unit   Unit
	calls  map[kind]*Calls
	period map[kind]uint64
}

func newTally(start int64) *tally {
	return &tally{unit: Unit{Start: start}, calls: map[kind]*Calls{}, period: map[kind]uint64{}}
}

// add counts a call.
func (t *tally) add(at int64, number uint64, cpu int, arguments [6]uint64) {
	k := kind{Unknown, cpu}
	if number < mostNumber {
		k.number = int(number)
	}
	c := t.calls[k]
	if c == nil && len(t.calls) >= mostKinds {
		k = kind{Unknown, 0}
		c = t.calls[k]
	}
	if c == nil {
		c = &Calls{Number: k.number, CPU: k.cpu}
		t.calls[k] = c
	}
	c.Seen++
	t.period[k]++
	if len(t.unit.Each) < mostEach {
		t.unit.Each = append(t.unit.Each, Call{at, k.number, cpu, arguments})
	}
	shape := shapeOf([3]uint64(arguments[:3]))
	i := slices.IndexFunc(c.Shapes, func(s Shape) bool { return s.Text == shape })
	switch {
	case i >= 0:
		c.Shapes[i].Seen++
	case len(c.Shapes) < mostShapes:
		c.Shapes = append(c.Shapes, Shape{Text: shape, Seen: 1})
	}
}

// close ends a period: each of its calls stands for so many.
func (t *tally) close(weight float64) {
	for k, n := range t.period {
		c := t.calls[k]
		if c == nil { // the period began in the unit before
			c = &Calls{Number: k.number, CPU: k.cpu}
			t.calls[k] = c
		}
		c.Count += weight * float64(n)
	}
	clear(t.period)
}

// end returns the unit, and begins the next one. A period that is not closed goes over to it.
func (t *tally) end(at int64) Unit {
	u := t.unit
	u.Duration = at - u.Start
	u.Calls = make([]Calls, 0, len(t.calls))
	for _, c := range t.calls {
		slices.SortFunc(c.Shapes, func(a, b Shape) int { return cmp.Or(cmp.Compare(b.Seen, a.Seen), cmp.Compare(a.Text, b.Text)) })
		u.Calls = append(u.Calls, *c)
	}
	slices.SortFunc(u.Calls, func(a, b Calls) int { return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.CPU, b.CPU)) })
	t.unit, t.calls = Unit{Start: at}, map[kind]*Calls{}
	return u
}

// Name is that of a call's number on x86_64; the number where it has none, and "unknown" for Unknown.
func Name(number int) string {
	if number == Unknown {
		return "unknown"
	}
	return cmp.Or(syscallname.Of("amd64", number), strconv.Itoa(number))
}

// Arguments writes arguments as Call's String does.
func Arguments(list [6]uint64) string {
	const small, negative = 1 << 16, 4096
	var text []string
	for _, a := range list {
		switch {
		case a < small:
			text = append(text, strconv.FormatUint(a, 10))
		case -a < small:
			text = append(text, strconv.FormatInt(int64(a), 10)) //nolint:gosec // that is what it is
		case a>>32 == 0 && -uint32(a) <= negative: // of 32 bits, as AT_FDCWD is
			text = append(text, strconv.FormatInt(int64(int32(a)), 10)) //nolint:gosec // that is what it is
		default:
			text = append(text, "0x"+strconv.FormatUint(a, 16))
		}
	}
	return "(" + strings.Join(text, ", ") + ")"
}

// shapeOf says roughly what three arguments are: 0; n, a small number such as a descriptor or a size; p, what may be a pointer of the program; -, a small negative number; x, anything else.
func shapeOf(arguments [3]uint64) string {
	const small, lowest, highest, negative = 1 << 16, 1 << 16, 1 << 47, 4096
	text := []byte("? ? ?")
	for i, a := range arguments {
		c := byte('x')
		switch {
		case a == 0:
			c = '0'
		case a < small:
			c = 'n'
		case -a <= negative || a>>32 == 0 && -uint32(a) <= negative: // also of 32 bits, as AT_FDCWD is
			c = '-'
		case a >= lowest && a < highest:
			c = 'p'
		}
		text[2*i] = c
	}
	return string(text)
}
