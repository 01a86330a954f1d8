package monitor

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

// What a time line remembers. A day of units in full would take megabytes of a host with many domains, and a database that is written to all the time would
// take its disk; so the newest units are remembered each on its own, and the day by the minute. Of a minute the most serious state and the least probable unit
// are what an operator looks for: they are exact, and what is let go is what was usual.
const (
	timelineUnits   = 870     // 29 minutes
	timelineMinutes = 24 * 60 // a day
	stepBytes       = 7
)

// timeline is what a domain's units were judged to be, in less than 16 KiB. The zero value is ready; it is safe for concurrent use.
type timeline struct {
	mu      sync.Mutex // guards the fields below
	units   [timelineUnits]step
	minutes [timelineMinutes]step
	newest  int64 // unit of two seconds since 1970 of the last step that was written; 0: none was
	state   uint8 // that was noted last, as step has it
	reason  uint8
}

// step is one unit, or the minute's worth of them:
//
//	0  state, from 1 in the order of seriousness; 0: nothing is known
//	1  code of the reason why something was not scored, from 1; 0: all was
//	2  units that were scored; the highest bit: one of them was unusual
//	3  score, the upper half of an IEEE 754 single
//	5  -4096 log10 of the p-value, capped at 16 bits
type step [stepBytes]byte

const unusualBit = 0x80

// seriousness lists the states: of those in a minute, the last is shown. What was not seen must not pass for normal, and an alarm must not hide behind it.
var seriousness = []string{
	stateNormal, stateLearning, stateStarting, stateDisabled, statePaused, stateUnknown, stateBlind, stateSuspect, stateAnomalous,
}

// letters are what control.Ribbon shows of them.
const letters = "nltxpkbsa"

// timelineReasons are the codes of reasons that a step can hold.
var timelineReasons = []string{
	reasonBooting, reasonAttaching, reasonLateAttach, reasonPartial, reasonPolicy, reasonBuffers, reasonIdentity, reasonGathering, reasonNoUnit, reasonPaused,
	reasonUnseen, reasonEventsLost, reasonOverBudget, reasonUnreadable, reasonNoProcess, reasonNoDaemon, reasonNoAccess, reasonNoHelper, reasonNoTracePoints,
	reasonAttachFailed, reasonCollectFailed, reasonProfile, reasonRefused, reasonStopped, reasonSuspicion, reasonAnomaly,
}

// number is the place of a word in a list, from 1; 0: it is not there.
func number(list []string, word string) uint8 {
	for i, w := range list {
		if w == word {
			return uint8(i + 1) //nolint:gosec // the lists are short
		}
	}
	return 0
}

// gridUnit is the unit of two seconds that a time is in.
func gridUnit(t time.Time) int64 { return t.UnixNano() / int64(unit.Width) }

const minuteUnits = int64(time.Minute / unit.Width)

// note remembers the state of now, whether a unit comes of this time or not, and that it was the last one noted since then.
func (l *timeline) note(t time.Time, state, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := gridUnit(t)
	if at <= l.newest-timelineUnits {
		// The host's clock was set back by more than a unit is ever late: what is remembered lies in a future that comes once more.
		clear(l.units[:])
		clear(l.minutes[:])
		l.newest = 0
	}
	if l.newest > 0 && at > l.newest {
		// What changes a state notes it, so until now it was as it was noted last.
		for i := max(l.newest+1, at-timelineMinutes*minuteUnits); i < at; i++ {
			l.enter(i, l.state, l.reason)
		}
	}
	l.state, l.reason = number(seriousness, state), number(timelineReasons, reason)
	l.enter(at, l.state, l.reason)
}

// enter notes a state for a unit's time, unless a unit or the same is there already.
func (l *timeline) enter(at int64, state, reason uint8) {
	u, m := l.reach(at)
	if u == nil {
		return
	}
	if u[2] == 0 {
		u[0], u[1] = state, reason
	}
	if state > m[0] {
		m[0] = state
	}
	if unscored(state) {
		m[1] = reason
	}
}

// unscored says whether a state alone means that units are not scored.
func unscored(state uint8) bool {
	return state > number(seriousness, stateNormal) && state < number(seriousness, stateSuspect)
}

// reach makes room for a unit's time, and returns its step and its minute's; nil: it is too long ago.
func (l *timeline) reach(at int64) (u, m *step) {
	if at <= 0 || l.newest > 0 && at <= l.newest-timelineUnits {
		return nil, nil
	}
	if l.newest > 0 && at > l.newest {
		for i := max(l.newest+1, at-timelineUnits+1); i <= at; i++ {
			l.units[i%timelineUnits] = step{}
		}
		newest := at / minuteUnits
		for i := max(l.newest/minuteUnits+1, newest-timelineMinutes+1); i <= newest; i++ {
			l.minutes[i%timelineMinutes] = step{}
		}
	}
	l.newest = max(l.newest, at)
	return &l.units[at%timelineUnits], &l.minutes[at/minuteUnits%timelineMinutes]
}

// unit remembers what a unit was judged to be; code says why it was not scored.
func (l *timeline) unit(r *control.UnitReport, code string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u, m := l.reach(gridUnit(r.Start))
	if u == nil {
		return
	}
	now := step{number(seriousness, r.State), number(timelineReasons, code)}
	if code == "" {
		now[2] = 1
		if r.Anomalous {
			now[2] |= unusualBit
		}
		binary.BigEndian.PutUint16(now[3:], packScore(r.Score))
		binary.BigEndian.PutUint16(now[5:], packTail(r.PValue))
	}
	*u = now
	if now[0] > m[0] {
		m[0] = now[0]
	}
	if code != "" {
		m[1] = now[1]
		return
	}
	first := m[2]&^unusualBit == 0
	if first || r.Score < unpackScore(binary.BigEndian.Uint16(m[3:])) {
		copy(m[3:5], now[3:5])
	}
	if first || binary.BigEndian.Uint16(now[5:]) > binary.BigEndian.Uint16(m[5:]) {
		copy(m[5:7], now[5:7])
	}
	m[2] = (m[2]&^unusualBit + 1) | (m[2]|now[2])&unusualBit
}

// packScore keeps the upper half of a score as a single, rounded: two or three digits.
func packScore(score float64) uint16 {
	bits := math.Float32bits(float32(max(-1e30, min(score, 1e30))))
	return uint16((bits + 0x7fff) >> 16) //nolint:gosec // 16 bits are left
}

func unpackScore(p uint16) float64 {
	v := float64(math.Float32frombits(uint32(p) << 16))
	return roundTo(v, 3)
}

// packTail keeps a p-value: the larger, the less probable.
func packTail(p float64) uint16 {
	if !(p > 0) {
		return math.MaxUint16
	}
	return uint16(max(0, min(-4096*math.Log10(p), math.MaxUint16)))
}

func unpackTail(v uint16) float64 { return roundTo(math.Pow(10, -float64(v)/4096), 3) }

// roundTo cuts a figure to so many digits.
func roundTo(v float64, digits int) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, float64(digits-1)-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// tracks shows what is remembered up to now, each without the time before anything was.
func (l *timeline) tracks() (units, minutes control.Track) {
	l.mu.Lock()
	defer l.mu.Unlock()
	units = track(l.units[:], l.newest, unit.Width)
	minutes = track(l.minutes[:], l.newest/minuteUnits, time.Minute)
	return units, minutes
}

func track(ring []step, newest int64, width time.Duration) control.Track {
	t := control.Track{Step: width.Seconds(), States: seriousness, Reasons: timelineReasons}
	if newest == 0 {
		return t
	}
	first := max(0, newest-int64(len(ring))+1)
	for first < newest && ring[first%int64(len(ring))] == (step{}) {
		first++
	}
	t.Start = time.Unix(0, first*int64(width)).UTC()
	for i := first; i <= newest; i++ {
		s := ring[i%int64(len(ring))]
		t.State = append(t.State, int(s[0])-1)
		t.Reason = append(t.Reason, int(s[1])-1)
		t.Scored = append(t.Scored, int(s[2]&^unusualBit))
		t.Unusual = append(t.Unusual, s[2]&unusualBit != 0)
		score, tail := 0.0, 0.0
		if s[2] != 0 {
			score, tail = unpackScore(binary.BigEndian.Uint16(s[3:])), unpackTail(binary.BigEndian.Uint16(s[5:]))
		}
		t.Score = append(t.Score, score)
		t.PValue = append(t.PValue, tail)
	}
	return t
}

// ribbon is the last hour up to a time.
func (l *timeline) ribbon(until time.Time) control.Ribbon {
	l.mu.Lock()
	defer l.mu.Unlock()
	var states, unusual strings.Builder
	last := gridUnit(until) / minuteUnits
	newest := l.newest / minuteUnits
	for i := last - control.RibbonMinutes + 1; i <= last; i++ {
		letter, digit := byte('.'), byte('.')
		if i >= 0 && i <= newest && i > newest-timelineMinutes {
			s := l.minutes[i%timelineMinutes]
			if s[0] > 0 {
				letter = letters[s[0]-1]
			}
			if s[2] != 0 {
				digit = '0' + byte(min(9, binary.BigEndian.Uint16(s[5:])/2048))
			}
		}
		states.WriteByte(letter)
		unusual.WriteByte(digit)
	}
	return control.Ribbon{States: states.String(), Unusual: unusual.String()}
}

// Ribbons is the last hour of each running domain, control.Timelines.
func (m *Monitor) Ribbons() map[string]control.Ribbon {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, until := make(map[string]control.Ribbon, len(m.watchers)), time.Now()
	for uuid, w := range m.watchers {
		all[uuid] = w.timeline.ribbon(until)
	}
	return all
}

// Timeline is what a domain's units were judged to be, control.Timelines.
func (m *Monitor) Timeline(ref string) (control.Timeline, error) {
	w, err := m.watched(ref)
	if err != nil {
		return control.Timeline{}, err
	}
	t := control.Timeline{UUID: w.domain.UUID}
	t.Units, t.Minutes = w.timeline.tracks()
	p, _, err := w.judged()
	if p != nil {
		t.Level = p.Level
	}
	return t, err
}

// watched finds the watcher of a domain. Errors: control.ErrNoDomain.
func (m *Monitor) watched(ref string) (*watcher, error) {
	d, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	w := m.watcher(d.UUID)
	if w == nil {
		return nil, fmt.Errorf("%.256s: %w", ref, control.ErrNoDomain)
	}
	return w, nil
}

// judged is the profile in force (nil: there is none) and what is counted. Errors: those of ask.
func (w *watcher) judged() (p *model.Profile, features []string, err error) {
	err = w.ask(func() error { p, features = w.judge.profile, w.judge.features; return nil })
	return p, features, err
}

// Counts is what was counted in a domain in a span of the last hour, control.Timelines.
func (m *Monitor) Counts(ref string, span control.CountsSpan) (control.Counts, error) {
	if err := span.Check(); err != nil {
		return control.Counts{}, err
	}
	w, err := m.watched(ref)
	if err != nil {
		return control.Counts{}, err
	}
	p, features, err := w.judged()
	if err != nil {
		return control.Counts{}, err
	}
	if span.To.IsZero() {
		span.To = time.Now().Add(unit.Width)
	}
	units, oldest, newest := w.recent.between(span.From, span.To)
	if oldest.After(span.From) {
		span.From = oldest
	}
	if newest.Before(span.To) {
		span.To = newest
	}
	c := sumUp(units, span, m.usualCounts(features, p))
	c.Profile = p != nil
	if !oldest.IsZero() {
		c.Oldest = oldest.UTC()
	}
	return c, nil
}

// usualCounts is what features mean, and what is usual of them by a profile; nil: nothing is known of that.
func (m *Monitor) usualCounts(features []string, p *model.Profile) []control.UsualCounts {
	list := make([]control.UsualCounts, len(features))
	for i, f := range features {
		list[i].Feature = f
		list[i].Subsystem, list[i].Words = m.known.Describe(f)
	}
	if p == nil {
		return list
	}
	for i, u := range p.Usual() {
		if k := slices.Index(features, p.Features[i]); k >= 0 {
			list[k].Low, list[k].Typical, list[k].High = u.Low, u.Typical, u.High
		}
	}
	return list
}

// sumUp puts units into columns of a span that holds them.
func sumUp(units []unit.Unit, span control.CountsSpan, features []control.UsualCounts) control.Counts {
	if len(units) == 0 {
		return control.Counts{}
	}
	if span.Columns == 0 {
		span.Columns = control.MostColumns
	}
	all := int64((span.To.Sub(span.From) + unit.Width - 1) / unit.Width)
	width := max(1, (all+int64(span.Columns)-1)/int64(span.Columns)) // units in a column
	columns := int((all + width - 1) / width)
	c := control.Counts{Start: span.From.UTC(), Step: (time.Duration(width) * unit.Width).Seconds(), Units: make([]int, columns), Total: len(units)}
	sums := make([][]float64, len(features))
	for _, u := range units {
		at := min(columns-1, max(0, int(time.Unix(0, u.Start).Sub(span.From)/(time.Duration(width)*unit.Width))))
		c.Units[at]++
		for i, n := range u.Counts {
			if n == 0 || i >= len(features) {
				continue
			}
			if sums[i] == nil {
				sums[i] = make([]float64, columns)
			}
			sums[i][at] += float64(n)
		}
	}
	for i, values := range sums {
		if values == nil && features[i].High == 0 {
			continue
		}
		if values == nil { // it is usual, and was not seen
			values = make([]float64, columns)
		}
		row := control.CountsRow{UsualCounts: features[i], Values: values}
		for k := range values {
			row.Mean += values[k]
			values[k] = roundTo(values[k]/float64(max(1, c.Units[k])), 4)
		}
		row.Mean = roundTo(row.Mean/float64(len(units)), 4)
		c.Rows = append(c.Rows, row)
	}
	return c
}
