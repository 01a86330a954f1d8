package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/model/evaluation"
)

// TrainName is the benchmark of what learning costs.
const TrainName = "train"

// What must hold: seconds of CPU time that a day is learnt in, of the engine's rows and a machine's support vectors, and our solving to the tool's.
const (
	trainMost   = 10
	trainRows   = 4096
	trainKept   = 512
	solvingMost = 1.5
)

// Training is what the benchmark found.
type Training struct {
	Day      TrainedDay       `json:"day"`
	Solving  Solving          `json:"solving"`
	Profiles []TrainedProfile `json:"profiles"` // of recordings
	Limits   []TrainLimit     `json:"limits"`
}

// TrainedDay is a profile learnt from a simulated day.
type TrainedDay struct {
	Features int            `json:"features"`
	Seconds  []float64      `json:"seconds"` // CPU time of each round
	Profile  TrainedProfile `json:"profile"`
	Most     int            `json:"most"` // rows that an engine was given at once
}

// TrainedProfile says how large a profile became.
type TrainedProfile struct {
	Name    string `json:"name"`
	Units   int    `json:"units"` // learnt from
	Columns int    `json:"columns"`
	Views   int    `json:"views"`
	Vectors int    `json:"vectors"` // of all views
	Largest int    `json:"largest"` // of one
	Bytes   int    `json:"bytes"`   // of the file
	Packed  int    `json:"packed"`  // by gzip
}

// Solving compares what we do for one machine with svm-train, as whole commands.
type Solving struct {
	Rows    int       `json:"rows"`
	Columns int       `json:"columns"`
	Nu      float64   `json:"nu"`
	Engine  string    `json:"engine"`
	Ours    []float64 `json:"ours"` // seconds of CPU time, by round
	Tool    []float64 `json:"tool"`
}

// TrainLimit is how well a guest is judged when an engine is given so many rows at most, and a machine keeps so many support vectors.
type TrainLimit struct {
	Corpus         string  `json:"corpus"`
	Units          int     `json:"units"` // to learn from
	Rows           int     `json:"rows"`
	Vectors        int     `json:"vectors"`
	Largest        int     `json:"largest"` // support vectors of a view
	F              float64 `json:"f"`       // median over attacks, by unit
	Sequence       float64 `json:"sequence"`
	Worst          float64 `json:"worst"` // least F by unit
	FalsePositives int     `json:"false_positives"`
	FalseAlarms    int     `json:"false_alarms"`
	Normal         int     `json:"normal"` // units in which these are
}

// TrainSection is the benchmark's tables.
func TrainSection(dir string) (string, bool, error) {
	f, ok, err := Read[Training](dir, TrainName)
	if !ok || err != nil {
		return "", ok, err
	}
	var b strings.Builder
	day, solving := f.Result.Day, f.Result.Solving
	ratio := solving.ratio()
	b.WriteString("| | found | must be | |\n|---|--:|--:|---|\n")
	line := func(what, found, must string, holds bool) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", what, found, must, map[bool]string{true: "holds", false: "**does not hold**"}[holds])
	}
	seconds := alarmQuantile(day.Seconds, 0.5)
	line(fmt.Sprintf("CPU time to learn %d units of %d features, median of %d", day.Profile.Units, day.Features, len(day.Seconds)),
		fmt.Sprintf("**%.1f s** (%.1f to %.1f)", seconds, slices.Min(day.Seconds), slices.Max(day.Seconds)), fmt.Sprintf("%d s", trainMost), seconds <= trainMost)
	line("units given to an engine at once", fmt.Sprint(day.Most), fmt.Sprint(trainRows), day.Most <= trainRows)
	line("support vectors kept of a view", fmt.Sprint(day.Profile.Largest), fmt.Sprint(trainKept), day.Profile.Largest <= trainKept)
	line(fmt.Sprintf("solving %d rows of %d to what `svm-train -s 2` takes, median of %d", solving.Rows, solving.Columns, len(solving.Ours)),
		fmt.Sprintf("**%.2f** (%.2f to %.2f)", ratio.Median, ratio.Low, ratio.High), fmt.Sprint(solvingMost), ratio.High <= solvingMost)
	fmt.Fprintf(&b, "\nThe tool took %.0f ms of CPU time, we (%s, with the certificate) %.0f ms.\n\n", 1000*alarmQuantile(solving.Tool, 0.5), solving.Engine, 1000*alarmQuantile(solving.Ours, 0.5))
	b.WriteString("Profiles, the file's size and that by gzip:\n\n| learnt from | units | columns | views | support vectors | KB | KB by gzip |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, p := range append([]TrainedProfile{day.Profile}, f.Result.Profiles...) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %.0f | %.0f |\n", p.Name, p.Units, p.Columns, p.Views, p.Vectors, float64(p.Bytes)/1000, float64(p.Packed)/1000)
	}
	b.WriteString("\nWhat the limits cost: units given to an engine, and support vectors kept, at most. " +
		"A limit that is above what there is changes nothing, and says how it is without.\n\n" +
		"| recordings | units | at most | vectors at most | of a view | F by unit: median | least | F by sequence | false positives | false alarms |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, l := range f.Result.Limits {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %.3f | %.3f | %.3f | %d of %d | %d |\n",
			l.Corpus, l.Units, l.Rows, l.Vectors, l.Largest, l.F, l.Worst, l.Sequence, l.FalsePositives, l.Normal, l.FalseAlarms)
	}
	if f.Short {
		b.WriteString("\nThis was a short run, which only shows that all of it works: its figures count for nothing.\n")
	}
	fmt.Fprintf(&b, "\n`virtsentry-lab bench train`, %s, %s.\n", f.Begin.Format(time.DateOnly), f.Machine)
	return b.String(), true, nil
}

// ratio is ours to the tool's, by round.
func (s Solving) ratio() evaluation.Ratio {
	p := evaluation.Price{Arms: []string{evaluation.Off, "ours"}}
	for i := range s.Ours {
		p.Rates = append(p.Rates, []float64{s.Tool[i], s.Ours[i]})
	}
	return p.Ratio("ours")
}
