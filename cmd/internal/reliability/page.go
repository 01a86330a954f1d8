package reliability

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/model/evaluation"
)

// notRun stands for a result that was not kept.
const notRun = "*Not run.*"

// Fill replaces the tables of packaging/RELIABILITY.md by those of the results in dir. Errors name the file that is wrong; one of no case is.
func Fill(page, dir string) (string, error) {
	faults, err := faultsTable(dir)
	soak, soakErr := soakTable(dir)
	if err := errors.Join(err, soakErr, checkNames(dir)); err != nil {
		return "", err
	}
	return evaluation.Fill(page, map[string]string{"faults": faults, SoakName: soak})
}

// faultsTable is the table of all cases, with how many of them there are results of.
func faultsTable(dir string) (string, error) {
	var b strings.Builder
	group, ran, kept, times := "", 0, 0, 0
	for _, c := range Cases {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(&b, "\n### %s\n\n| case | fault | promise | times | kept | state right after | seen |\n|---|---|---|--:|---|---|---|\n", group)
		}
		r, ok, err := Read(dir, c.ID)
		if err != nil {
			return "", err
		}
		if !ok {
			fmt.Fprintf(&b, "| `%s` | %s | %s | 0 | %s | | |\n", c.ID, cell(c.Fault), cell(c.Promise), notRun)
			continue
		}
		ran, times = ran+1, times+r.Times
		verdict := "yes"
		if r.Broken > 0 {
			verdict = fmt.Sprintf("**broken in %d**", r.Broken)
		} else {
			kept++
		}
		right := ""
		if r.Right {
			right = fmt.Sprintf("%d units, %.1f s", r.Units, r.Seconds)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %d | %s | %s | %s |\n", c.ID, cell(c.Fault), cell(c.Promise), r.Times, verdict, right, cell(r.Seen))
	}
	head := fmt.Sprintf("%d cases; %d were run, %d times in all; the promises of %d were kept each time.\n", len(Cases), ran, times, kept)
	return head + b.String(), nil
}

func soakTable(dir string) (string, error) {
	s, ok, err := ReadSoak(dir)
	if err != nil || !ok {
		return notRun, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%.0f minutes, seed %d. Promises kept: %s.\n\n| done | times |\n|---|--:|\n", s.Minutes, s.Seed, map[bool]string{true: "yes", false: "**no**"}[s.Kept])
	for _, what := range slices.Sorted(maps.Keys(s.Done)) {
		fmt.Fprintf(&b, "| %s | %d |\n", cell(what), s.Done[what])
	}
	b.WriteString("\n| of virtsentryd | at first | at last | growth an hour, with its 95 % interval | bound | flat |\n|---|--:|--:|---|--:|---|\n")
	for _, f := range s.Figures {
		fmt.Fprintf(&b, "| %s, %s | %.1f | %.1f | %.2f (%.2f to %.2f) | %g | %s |\n", cell(f.Name), cell(f.Unit), f.First, f.Last, f.Slope.PerHour, f.Slope.Low, f.Slope.High, f.Bound,
			map[bool]string{true: "yes", false: "**no**"}[f.Flat()])
	}
	return b.String(), nil
}

// cell makes text fit for a table's cell.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(text)
}
