package bench

import (
	"fmt"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/model/evaluation"
)

// DecodeName is the benchmark of how fast traces are read.
const DecodeName = "decode"

const (
	decodeSlope  = 40        // times babeltrace2's counter sink in events a second, from event to event
	decodeWhole  = 10        // times it as whole commands on a trace of so many events
	decodeEvents = 3_600_000 //
	decodeShort  = decodeEvents / 10
)

// What reads traces: the arms of the comparison.
const (
	decodeBabeltrace = "babeltrace2"
	decodeCounts     = "counts"  // a column for each event
	decodeDefault    = "default" // the feature set that the daemon has by itself
)

var decodeReaders = []string{decodeBabeltrace, decodeCounts, decodeDefault}

// Decode is what the benchmark found.
type Decode struct {
	Babeltrace string        `json:"babeltrace"` // its version
	Traces     []DecodeTrace `json:"traces"`
}

// DecodeTrace is a kind of trace in two lengths, and how long each reader took for them.
type DecodeTrace struct {
	Name    string        `json:"name"`
	Short   DecodeInput   `json:"short"`
	Long    DecodeInput   `json:"long"`
	Readers []string      `json:"readers"` // "counts" and "default" are virtsentry's, by feature set
	Rounds  []DecodeRound `json:"rounds"`
}

// DecodeInput is one trace.
type DecodeInput struct {
	Events uint64 `json:"events"`
	Bytes  int64  `json:"bytes"` // of its data files
	Kinds  int    `json:"kinds"` // events that occur, whose totals are equal in all readers
}

// DecodeRound is the CPU time of each reader's whole command, in seconds, all one after the other, by reader.
type DecodeRound struct {
	Short []float64 `json:"short"`
	Long  []float64 `json:"long"`
	Read  float64   `json:"read"` // of reading the long trace's files into memory, and nothing else
}

// check says what is wrong with a trace that was read.
func (t DecodeTrace) check() error {
	if len(t.Readers) == 0 || len(t.Rounds) == 0 || t.Long.Events <= t.Short.Events {
		return fmt.Errorf("trace %q: no reader, no round, or a long one that is not longer", t.Name)
	}
	for i, r := range t.Rounds {
		if len(r.Short) != len(t.Readers) || len(r.Long) != len(t.Readers) {
			return fmt.Errorf("trace %q: round %d is not of %d readers", t.Name, i+1, len(t.Readers))
		}
	}
	return nil
}

// slope is a reader's CPU time for one more event, in nanoseconds.
func (t DecodeTrace) slope(r DecodeRound, reader int) float64 {
	return (r.Long[reader] - r.Short[reader]) * 1e9 / float64(t.Long.Events-t.Short.Events)
}

// ratio compares what babeltrace2 takes with what a reader takes: above 1 where that is faster.
func (t DecodeTrace) ratio(reader int, cost func(DecodeRound, int) float64) evaluation.Ratio {
	p := evaluation.Price{Arms: []string{evaluation.Off, "reader"}}
	for _, r := range t.Rounds {
		p.Rates = append(p.Rates, []float64{1 / cost(r, 0), 1 / cost(r, reader)}) // babeltrace2 is the first
	}
	return p.Ratio("reader")
}

// each is the median over rounds.
func (t DecodeTrace) each(cost func(DecodeRound) float64) float64 {
	list := make([]float64, len(t.Rounds))
	for i, r := range t.Rounds {
		list[i] = cost(r)
	}
	return alarmQuantile(list, 0.5)
}

func decodeLong(r DecodeRound, reader int) float64 { return r.Long[reader] }

// DecodeSection is the benchmark's table.
func DecodeSection(dir string) (string, bool, error) {
	f, ok, err := Read[Decode](dir, DecodeName)
	if !ok || err != nil {
		return "", ok, err
	}
	if len(f.Result.Traces) == 0 {
		return "", false, fmt.Errorf("%s.json has no trace: run the benchmark again", DecodeName)
	}
	for _, t := range f.Result.Traces {
		if err := t.check(); err != nil {
			return "", false, fmt.Errorf("%s.json: %w: run the benchmark again", DecodeName, err)
		}
	}
	var b strings.Builder
	b.WriteString("| trace | events, short and long | bytes an event | reader | ns an event | times babeltrace2 | whole command | times babeltrace2 |\n")
	b.WriteString("|---|--:|--:|---|--:|--:|--:|--:|\n")
	var fails []string
	for _, t := range f.Result.Traces {
		perEvent := float64(t.Long.Bytes) / float64(t.Long.Events)
		for i, reader := range t.Readers {
			slope, whole := t.ratio(i, t.slope), t.ratio(i, decodeLong)
			name := "`virtsentry replay --features " + reader + "`"
			times, wholeTimes := decodeTimes(slope), decodeTimes(whole)
			if i == 0 {
				name, times, wholeTimes = "babeltrace2", "1", "1"
			} else if reader == decodeCounts && slope.Median < decodeSlope {
				fails = append(fails, fmt.Sprintf("the slope of %s is %.1f times", t.Name, slope.Median))
			}
			if i > 0 && whole.Median < decodeWhole {
				fails = append(fails, fmt.Sprintf("the whole command with %s on %s is %.1f times", reader, t.Name, whole.Median))
			}
			fmt.Fprintf(&b, "| %s | %d, %d | %.0f | %s | %.1f | %s | %.0f ms | %s |\n", t.Name, t.Short.Events, t.Long.Events, perEvent, name,
				t.each(func(r DecodeRound) float64 { return t.slope(r, i) }), times, 1e3*t.each(func(r DecodeRound) float64 { return r.Long[i] }), wholeTimes)
		}
		fmt.Fprintf(&b, "| %s | | | the files' bytes are read, no more | %.1f | | %.0f ms | |\n", t.Name,
			t.each(func(r DecodeRound) float64 { return r.Read * 1e9 / float64(t.Long.Events) }), 1e3*t.each(func(r DecodeRound) float64 { return r.Read }))
	}
	fmt.Fprintf(&b, "\nCPU time (user and system) of whole processes on one core, readers in turns, medians of %d rounds with intervals of the sign test; "+
		"the slope is from the short trace to the long one. Counting events (`counts`) must be %d times babeltrace2's counter sink by slope, and whole commands %d times: ",
		len(f.Result.Traces[0].Rounds), decodeSlope, decodeWhole)
	if len(fails) == 0 {
		b.WriteString("this holds.")
	} else {
		fmt.Fprintf(&b, "this **does not hold**: %s.", strings.Join(fails, ", "))
	}
	b.WriteString(" Totals of each event are those of babeltrace2 in all traces.")
	if f.Short {
		b.WriteString(" This was a short run, which only shows that all of it works: its figures count for nothing.")
	}
	fmt.Fprintf(&b, "\n\n`virtsentry-lab bench decode`, %s, %s, %s.\n", f.Begin.Format(time.DateOnly), f.Result.Babeltrace, f.Machine)
	return b.String(), true, nil
}

func decodeTimes(r evaluation.Ratio) string {
	return fmt.Sprintf("**%.1f** (%.1f – %.1f)", r.Median, r.Low, r.High)
}
