// Package attacks knows what weak attacks add to a guest's counts, so that two profiles can be asked whether they see them without attacking
// anybody: a flood of SYN packets is so many received packets of 64 to 71 bytes and so many answers to each of them, whichever guest it hits.
//
// The counts are those of recordings of one guest (testdata/units/swing: the eight attacks of the paper's evaluation at a fifth to an eighth of
// their usual rates) less what that guest does at the same load otherwise. They are of the feature set default, and a minute long, as some
// attacks come in bursts every few seconds.
package attacks

import (
	"embed"
	"fmt"
	"strings"

	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

//go:generate go test -run TestFresh -update .

//go:embed *.csv
var files embed.FS

// names are those of the attacks, which are those of their files, in the order in which they are shown.
var names = []string{
	"synflood_target", "synflood_source", "portscan_target", "portscan_source",
	"bruteforce_target", "bruteforce_source", "slowhttp_target", "slowhttp_source",
}

// Attack is what an attack adds to a guest's counts.
type Attack struct {
	// Name is the attack's, and whether the guest is its target or its source: "synflood_target".
	Name  string
	added unit.File
}

// All returns the attacks, in the order in which they are shown. An error is one of the program's own.
func All() ([]Attack, error) {
	list := make([]Attack, len(names))
	for i, name := range names {
		text, err := files.ReadFile(name + ".csv")
		if err != nil {
			return nil, fmt.Errorf("attacks: %w", err)
		}
		list[i].Name = name
		if list[i].added, err = unit.Read(strings.NewReader(string(text))); err != nil {
			return nil, fmt.Errorf("attacks: %s: %w", name, err)
		}
	}
	return list, nil
}

// known is the least share of an attack's counts that a guest must be able to show, or nothing can be said of whether it is seen. A third of a
// flood's are packets' sizes, which every network device has.
const known = 0.25

// Added returns the counts that the attack adds to the units of a guest with such features, one unit after the other; then they begin anew.
// usual is how often each feature occurs in its normal operation: what is of a device that the guest does not use is left out, and so is what is not
// among its features. ok says whether enough is left for a judgement.
func (a Attack) Added(features []string, usual []float64) (counts [][]float64, ok bool) {
	used := map[string]bool{}
	for j, n := range usual {
		if n > 0 {
			used[family(features[j])] = true
		}
	}
	columns := model.Align(a.added.Features, features)
	shared, all := 0.0, 0.0
	for _, u := range a.added.Units {
		row := columns.Apply(nil, u.Counts)
		counts = append(counts, row)
		for j := range row {
			if !used[family(features[j])] {
				row[j] = 0
			}
			shared += row[j]
		}
		for _, n := range u.Counts {
			all += float64(n)
		}
	}
	return counts, shared >= known*all
}

// family is what the buckets of a feature have in common, "virtqueue_fill:net.rx" of "virtqueue_fill:net.rx:len=64-71"; what is no bucket is one by
// itself.
func family(feature string) string {
	if at := strings.LastIndexByte(feature, ':'); at >= 0 && strings.ContainsAny(feature[at:], "=<") {
		return feature[:at]
	}
	return feature
}
