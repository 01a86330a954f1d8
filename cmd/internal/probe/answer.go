package probe

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// The helper is trusted to count. That it says what can be is checked all the same, because judging relies on it.

// checkAttached checks that an answer is about what was asked for.
func checkAttached(asked Attach, answer Attached) error {
	if answer.PID <= 0 || answer.Start == 0 {
		return fmt.Errorf("the helper names process %d, started at %d", answer.PID, answer.Start)
	}
	if !slices.EqualFunc(asked.Sources, answer.Sources, func(s Source, o Observed) bool { return s == o.Source }) {
		return errors.New("the helper's answer is about other sources than those that were asked for")
	}
	return nil
}

// checkCollected checks the units of all sources, and keeps when the last ones end.
func (c *Client) checkCollected(answer Collected) error {
	seen := map[Source]bool{}
	for _, u := range answer.Sources {
		if seen[u.Source] || !slices.Contains(c.asked, u.Source) {
			return fmt.Errorf("the helper has units of source %q, which was not asked for or is there twice", u.Source)
		}
		seen[u.Source] = true
		end, known := c.ends[u.Source]
		if !known {
			end = math.MinInt64
		}
		end, err := checkUnits(u.Units, len(u.Source.Columns()), end)
		if err != nil {
			return fmt.Errorf("source %s: %w", u.Source, err)
		}
		if len(u.Units) > 0 {
			c.ends[u.Source] = end
		}
	}
	return nil
}

// checkUnits checks that each unit begins where the one before has ended, or later, lies within one interval of the grid, and has a count for each
// column. It returns the end of the last one.
func checkUnits(units []unit.Unit, columns int, end int64) (int64, error) {
	const width = int64(unit.Width)
	for i, u := range units {
		switch {
		case u.Start < 0 || u.Start > math.MaxInt64-2*width:
			return 0, fmt.Errorf("unit %d begins at %d", i, u.Start)
		case u.Duration <= 0 || u.Duration > width-u.Start%width:
			return 0, fmt.Errorf("unit %d, which begins at %d, takes %d ns", i, u.Start, u.Duration)
		case u.Start < end:
			return 0, fmt.Errorf("unit %d begins at %d, before the end of the one before it at %d", i, u.Start, end)
		case len(u.Counts) != columns:
			return 0, fmt.Errorf("unit %d has %d counts; there are %d columns", i, len(u.Counts), columns)
		}
		from := 0
		for _, c := range u.LostIn {
			if c.From < from || c.To <= c.From || c.To > columns {
				return 0, fmt.Errorf("unit %d has lost something of columns %d to %d", i, c.From, c.To)
			}
			from = c.To
		}
		end = u.Start + u.Duration
	}
	return end, nil
}
