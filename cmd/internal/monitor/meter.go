package monitor

import "time"

// The outcomes of a training, a closed list.
const (
	TrainingLearnt    = "learnt"     // a first profile was learnt and is in force
	TrainingNotEnough = "not-enough" // what is normal is still news: more units are gathered
	TrainingRelearnt  = "relearnt"   // trained again with units that an operator has marked as normal; whether it is put in force is another question
	TrainingRefused   = "refused"    // nothing can be learnt from these units
)

// TrainingOutcomes lists the outcomes of a training.
func TrainingOutcomes() []string {
	return []string{TrainingLearnt, TrainingNotEnough, TrainingRelearnt, TrainingRefused}
}

// Meter hears of how long things take, which no snapshot tells. Its methods return at once, and several goroutines use it.
type Meter interface {
	// Verdict takes the time from the end of a unit until it was judged.
	Verdict(after time.Duration)
	// Training takes how long a training took, and what came of it.
	Training(took time.Duration, outcome string)
}

type noMeter struct{}

func (noMeter) Verdict(time.Duration) {}

func (noMeter) Training(time.Duration, string) {}

// Measure has a meter hear of everything. It is called before Run, or not at all.
func (m *Monitor) Measure(meter Meter) { m.meter = meter }

// Totals is what is known of the daemon itself, and of all domains together.
type Totals struct {
	Connected   bool   // to libvirt, now
	Connections uint64 // to libvirt that were made so far
	BufferBytes uint64 // that the ring buffers of all domains take
	BufferLimit uint64 // that they may take at most: lttng.total_buffer_bytes
}

// Totals reads them.
func (m *Monitor) Totals() Totals {
	m.mu.Lock()
	t := Totals{Connected: m.conn != nil, Connections: m.connects}
	m.mu.Unlock()
	t.BufferBytes, t.BufferLimit = m.buffers.taken()
	return t
}
