package emulator

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// Shape is a load over time: the fraction of the sessions, 0 to 1, that are active at a time since the start.
// Implementations must be safe for concurrent use.
type Shape interface {
	At(since time.Duration) float64
}

// Constant is the same load all the time.
type Constant float64

// At implements Shape.
func (c Constant) At(time.Duration) float64 { return float64(c) }

// Swing goes from Low to High and back once in each Period, as a cosine does.
type Swing struct {
	Low, High float64
	Period    time.Duration
}

// At implements Shape. Without a period it stays at High.
func (s Swing) At(since time.Duration) float64 {
	if s.Period <= 0 {
		return s.High
	}
	phase := 2 * math.Pi * float64(since%s.Period) / float64(s.Period)
	return s.Low + (s.High-s.Low)*(1-math.Cos(phase))/2
}

// Steps holds each level for the time Each, then starts again.
type Steps struct {
	Levels []float64
	Each   time.Duration
}

// At implements Shape. Without levels or a time for each there is no load.
func (s Steps) At(since time.Duration) float64 {
	if s.Each <= 0 || len(s.Levels) == 0 {
		return 0
	}
	return s.Levels[int(since/s.Each)%len(s.Levels)]
}

// Point is a load at a time since the start.
type Point struct {
	Since time.Duration
	Level float64
}

// Piecewise runs in straight lines from point to point; after the last one it starts again. Points are in order of time,
// the first at 0.
type Piecewise []Point

// At implements Shape. Without points there is no load.
func (p Piecewise) At(since time.Duration) float64 {
	if len(p) == 0 {
		return 0
	}
	last := p[len(p)-1]
	if last.Since > 0 {
		since %= last.Since
	}
	for i := 1; i < len(p); i++ {
		a, b := p[i-1], p[i]
		if since < b.Since {
			return a.Level + (b.Level-a.Level)*float64(since-a.Since)/float64(b.Since-a.Since)
		}
	}
	return last.Level
}

// ParseShape reads a shape as an operator writes it:
//
//	constant, constant:LEVEL, swing:LOW:HIGH:PERIOD, steps:EACH:LEVEL,LEVEL,..., file:PATH
//
// Levels are fractions from 0 to 1, times Go durations. A file has one "SECONDS LEVEL" a line (see ReadPiecewise).
func ParseShape(text string) (Shape, error) {
	shape, err := parseShape(text)
	if err != nil {
		return nil, fmt.Errorf("parse load shape %q: %w", text, err)
	}
	return shape, nil
}

func parseShape(text string) (Shape, error) {
	kind, rest, _ := strings.Cut(text, ":")
	args := strings.Split(rest, ":")
	switch {
	case kind == "constant" && rest == "":
		return Constant(1), nil
	case kind == "constant" && len(args) == 1:
		level, err := parseLevel(rest)
		return Constant(level), err
	case kind == "swing" && len(args) == 3:
		low, err1 := parseLevel(args[0])
		high, err2 := parseLevel(args[1])
		period, err3 := parsePeriod(args[2])
		return Swing{Low: low, High: high, Period: period}, errors.Join(err1, err2, err3)
	case kind == "steps" && len(args) == 2:
		return parseSteps(args[0], strings.Split(args[1], ","))
	case kind == "file" && rest != "":
		f, err := os.Open(rest)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return ReadPiecewise(f)
	}
	return nil, errors.New("want constant[:LEVEL], swing:LOW:HIGH:PERIOD, steps:EACH:LEVEL,LEVEL,... or file:PATH")
}

func parseSteps(each string, levels []string) (Shape, error) {
	d, err := parsePeriod(each)
	if err != nil {
		return nil, err
	}
	steps := Steps{Each: d}
	for _, text := range levels {
		level, err := parseLevel(text)
		if err != nil {
			return nil, err
		}
		steps.Levels = append(steps.Levels, level)
	}
	return steps, nil
}

func parseLevel(text string) (float64, error) {
	level, err := strconv.ParseFloat(text, 64)
	if err != nil || !(level >= 0 && level <= 1) {
		return 0, fmt.Errorf("level %q is not a number from 0 to 1", text)
	}
	return level, nil
}

func parsePeriod(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		return 0, fmt.Errorf("time %q is not a duration of at least 1ms", text)
	}
	return d, nil
}

// maxPoints bounds a file of points; at one a second it is longer than a day.
const maxPoints = 100_000

// ReadPiecewise reads a Piecewise shape: a line for each point, seconds since the start and level, in order of time, the
// first at 0. Empty lines and those that start with # are skipped. Errors name the line.
func ReadPiecewise(r io.Reader) (Piecewise, error) {
	var p Piecewise
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		point, err := parsePoint(text)
		switch {
		case err != nil:
		case len(p) == 0 && point.Since != 0:
			err = errors.New("the first point is not at 0")
		case len(p) > 0 && point.Since <= p[len(p)-1].Since:
			err = errors.New("not later than the point before")
		case len(p) == maxPoints:
			err = fmt.Errorf("more than %d points", maxPoints)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		p = append(p, point)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(p) == 0 {
		return nil, errors.New("no points")
	}
	return p, nil
}

func parsePoint(text string) (Point, error) {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return Point{}, errors.New("want SECONDS LEVEL")
	}
	seconds, err := strconv.ParseFloat(fields[0], 64)
	if err != nil || !(seconds >= 0 && seconds <= 1e7) {
		return Point{}, fmt.Errorf("time %q is not a number of seconds", fields[0])
	}
	level, err := parseLevel(fields[1])
	if err != nil {
		return Point{}, err
	}
	return Point{Since: time.Duration(seconds * float64(time.Second)), Level: level}, nil
}
