package lab

import (
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// SourceSpans are how long the recordings of [SourcesPlan] are.
type SourceSpans struct {
	Train, Judge time.Duration // of normal load: to learn from, and to judge false alarms by
	Each         time.Duration // of each attack
}

// Spans of the sources' plan: as the project's evaluation has them, and for a test that all of it works.
var (
	FullSourceSpans  = SourceSpans{Train: 12 * time.Minute, Judge: 5 * time.Minute, Each: 130 * time.Second}
	ShortSourceSpans = SourceSpans{Train: 24 * time.Second, Judge: 16 * time.Second, Each: 12 * time.Second}
)

// SourcesSeed is the seed of the recordings that the sources were first compared by.
const SourcesSeed = 51

// SourcesPlan is what sources are compared by: the ordinary load of [EvaluationPlan] with other seeds, and its eight attacks at weak rates.
// The loads' seeds follow seed: another one makes a recording that no choice was made by.
func SourcesPlan(s SourceSpans, seed uint64) []Step {
	steps := []Step{
		{Name: "train", Kind: KindTrain, Scenario: "normal", For: s.Train, Load: ordinaryLoad(s.Train, seed)},
		{Name: "judge", Kind: KindNormal, Scenario: "normal", For: s.Judge, Load: ordinaryLoad(s.Judge, seed+1)},
	}
	return append(steps, attackSteps(Weak, s.Each, seed+10)...)
}

// observable says by what a lab's guests can be observed.
type observable struct {
	ust    bool           // QEMU's trace points
	kernel []probe.Source // the host's kernel
}

// observable looks at the lab's QEMU. What it has no part in, and KVM under TCG, is not recorded; what then cannot be attached is an error.
func (l *Lab) observable() (o observable, err error) {
	st, err := l.loadState()
	if err != nil {
		return o, err
	}
	if st.QEMU == "" {
		return o, ErrNotUp
	}
	if o.ust, err = hasUST(st.QEMU); err != nil {
		return o, err
	}
	functions, err := hasFunctions(st.QEMU)
	if err != nil {
		return o, err
	}
	o.kernel = []probe.Source{probe.Tap, probe.Functions, probe.Syscalls}
	if !functions {
		l.log.Infof("%s exports no functions, as it was built without modules: they are not recorded", st.QEMU)
		o.kernel = []probe.Source{probe.Tap, probe.Syscalls}
	}
	return o, nil
}

// files are the unit files of a recording of sources: one for each, and the default feature set where QEMU has UST trace points.
func (o observable) files() []string {
	var names []string
	if o.ust {
		names = append(names, FileDefault)
	}
	for _, s := range o.kernel {
		names = append(names, string(s))
	}
	return names
}
