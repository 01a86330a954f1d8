package probe

import (
	"bufio"
	"bytes"
	"errors"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// TestAnswers: what the helper says is checked.
func TestAnswers(t *testing.T) {
	const width = int64(unit.Width)
	columns := len(Tap.Columns())
	good := func() []unit.Unit {
		return []unit.Unit{
			{Start: width + 5, Duration: width - 5, Counts: make([]uint64, columns)},
			{Start: 2 * width, Duration: width, Counts: make([]uint64, columns), Lost: 3, LostIn: []unit.Columns{{From: 0, To: 1}, {From: 1, To: columns}}},
		}
	}
	for name, test := range map[string]struct {
		change func(u []unit.Unit)
		want   string
	}{
		"good":              {func([]unit.Unit) {}, ""},
		"gap":               {func(u []unit.Unit) { u[1].Start += width }, ""},
		"too few counts":    {func(u []unit.Unit) { u[0].Counts = u[0].Counts[1:] }, "counts"},
		"too many counts":   {func(u []unit.Unit) { u[0].Counts = append(u[0].Counts, 1) }, "counts"},
		"order":             {func(u []unit.Unit) { u[0], u[1] = u[1], u[0] }, "before the end"},
		"overlap":           {func(u []unit.Unit) { u[1].Start, u[1].Duration = width+9, 1 }, "before the end"},
		"across the grid":   {func(u []unit.Unit) { u[1].Start += 5 }, "takes"},
		"no duration":       {func(u []unit.Unit) { u[0].Duration = 0 }, "takes"},
		"negative duration": {func(u []unit.Unit) { u[0].Duration = -width }, "takes"},
		"huge duration":     {func(u []unit.Unit) { u[0].Duration = math.MaxInt64 }, "takes"},
		"negative start":    {func(u []unit.Unit) { u[0].Start = -width }, "begins at"},
		"huge start":        {func(u []unit.Unit) { u[1].Start = math.MaxInt64 }, "begins at"},
		"lost beyond":       {func(u []unit.Unit) { u[1].LostIn[1].To++ }, "has lost"},
		"lost out of order": {func(u []unit.Unit) { u[1].LostIn[0].To = 2 }, "has lost"},
	} {
		units := good()
		test.change(units)
		c := &Client{asked: []Source{Tap, KVM}, ends: map[Source]int64{}}
		err := c.checkCollected(Collected{Sources: []Units{{Source: Tap, Units: units}}})
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", name, err, test.want)
		}
	}
	c := &Client{asked: []Source{Tap, KVM}, ends: map[Source]int64{}}
	answer := Collected{Sources: []Units{{Source: Tap, Units: good()}}}
	if err := c.checkCollected(answer); err != nil {
		t.Error(err)
	}
	if err := c.checkCollected(answer); err == nil {
		t.Error("the same units again: no error")
	}
	for _, sources := range [][]Units{{{Source: Syscalls}}, {{Source: "x"}}, {{Source: KVM}, {Source: KVM}}} {
		if err := c.checkCollected(Collected{Sources: sources}); err == nil {
			t.Errorf("%+v: no error", sources)
		}
	}
	asked := Attach{UUID: webUUID, Sources: []Source{Tap}}
	said := []Observed{{Source: Tap}}
	for _, a := range []Attached{{}, {PID: 1, Sources: said}, {PID: -1, Start: 1, Sources: said}, {PID: 1, Start: 1}, {PID: 1, Start: 1, Sources: []Observed{{Source: KVM}}}} {
		if err := checkAttached(asked, a); err == nil {
			t.Errorf("%+v: no error", a)
		}
	}
}

// TestClient talks to what is no helper, or dies.
func TestClient(t *testing.T) {
	ask := func(answer string) error {
		here, there := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = bufio.NewReader(there).ReadString('\n')
			_, _ = there.Write([]byte(answer))
			_ = there.Close()
		}()
		c := &Client{wire: newWire(here, 1000), socket: "pipe"}
		_, err := c.Attach(t.Context(), Attach{UUID: webUUID, Sources: []Source{Tap}})
		<-done
		return errors.Join(err, c.Close())
	}
	for name, test := range map[string]struct {
		answer string
		is     error
		want   string
	}{
		"good":          {`{"pid":1,"start":2,"sources":[{"source":"tap"}]}` + "\n", nil, ""},
		"gone":          {"", ErrNoHelper, "has gone"},
		"gone midway":   {`{"pid":1`, ErrNoHelper, "has gone"},
		"refused":       {`{"pid":0,"start":0,"sources":null,"error":"because\u001b[31m"}` + "\n", ErrRefused, `"because\x1b[31m"`},
		"too long":      {strings.Repeat(" ", 2000) + "\n", errTooLong, ""},
		"unknown field": {`{"pid":1,"start":2,"more":3}` + "\n", nil, "unknown field"},
		"other sources": {`{"pid":1,"start":2,"sources":[]}` + "\n", nil, "other sources"},
		"no JSON":       {"hello\n", nil, "no JSON object"},
	} {
		err := ask(test.answer)
		if (err == nil) != (test.is == nil && test.want == "") || test.is != nil && !errors.Is(err, test.is) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	c := &Client{wire: newWire(here, 1000)}
	if _, err := c.Collect(t.Context(), false); err == nil {
		t.Error("Collect before Attach: no error")
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error("Close twice:", err)
	}
}

func TestPace(t *testing.T) {
	now := time.Unix(1000, 0)
	p := pace{every: 100 * time.Millisecond, burst: 3}
	for i, want := range []time.Duration{0, 0, 0, 100 * time.Millisecond, 200 * time.Millisecond} {
		if got := p.delay(now); got != want {
			t.Errorf("%d: %v; want %v", i, got, want)
		}
	}
	if got := p.delay(now.Add(time.Hour)); got != 0 {
		t.Errorf("after a pause: %v", got)
	}
}

// FuzzRequest is about all that a client can send.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"uuid":"`+webUUID+`","sources":["tap","kvm"],"offset":-5,"headers":true}`+"\n"), 100)
	f.Add([]byte(`{"last":true}`+"\n{}"), 7)
	f.Add([]byte("{\"uuid\":\"\\ud800\"}\n"), 4096)
	f.Fuzz(func(t *testing.T, text []byte, most int) {
		most = max(1, most%maxRequest)
		line, err := readLine(bufio.NewReaderSize(bytes.NewReader(text), 16), most)
		if err != nil {
			return
		}
		if len(line) > most || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Errorf("line of %d bytes; %d are allowed", len(line), most)
		}
		var a Attach
		if decode(line, &a) == nil && checkAttach(a) == nil && len(a.Sources) > len(Sources()) {
			t.Errorf("%+v", a)
		}
		_ = decode(line, new(Collect))
		var answer Collected
		if decode(line, &answer) == nil {
			_ = (&Client{asked: Sources(), ends: map[Source]int64{}}).checkCollected(answer)
		}
	})
}
