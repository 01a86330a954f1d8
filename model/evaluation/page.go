package evaluation

import (
	"fmt"
	"strings"
)

// The lines around a table in a page.
const (
	beginMark = "<!-- table: %s -->"
	endMark   = "<!-- end of table -->"
)

// Fill replaces what stands between the marks of each table in a page, "<!-- table: NAME -->" and "<!-- end of table -->", each on a line
// of its own. It fails where a table has no place, a place has no table, or marks do not match.
func Fill(page string, tables map[string]string) (string, error) {
	for name, text := range tables {
		begin := fmt.Sprintf(beginMark, name) + "\n"
		if n := strings.Count(page, begin); n != 1 {
			return "", fmt.Errorf("fill page: %d places for table %q, want 1: put the lines %q and %q where it belongs", n, name, strings.TrimSpace(begin), endMark)
		}
		before, rest, _ := strings.Cut(page, begin)
		_, after, ok := strings.Cut(rest, endMark)
		if !ok {
			return "", fmt.Errorf("fill page: table %q has no end: put the line %q after it", name, endMark)
		}
		page = before + begin + "\n" + strings.TrimSpace(text) + "\n\n" + endMark + after
	}
	prefix, _, _ := strings.Cut(beginMark, "%")
	if have := strings.Count(page, prefix); have != len(tables) {
		return "", fmt.Errorf("fill page: it has places for %d tables, and there are %d: remove those of unknown names", have, len(tables))
	}
	return page, nil
}

// nothing stands for a table that there are no recordings for.
const nothing = "*Not recorded.*"

// table is a Markdown table.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String writes the table; one without rows is [nothing].
func (t *table) String() string {
	if len(t.rows) == 0 {
		return nothing
	}
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line(t.header)
	b.WriteString("|" + strings.Repeat("---|", len(t.header)) + "\n")
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// percent writes a share.
func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// figure writes a measure between 0 and 1.
func figure(x float64) string { return fmt.Sprintf("%.3f", x) }

// cell makes text fit for a table's cell.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(text)
}
