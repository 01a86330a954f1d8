package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
)

// setReport is a feature set, as features list and show write it.
type setReport struct {
	Name    string         `json:"name"`
	Version string         `json:"version"`
	About   string         `json:"about"`
	Events  []string       `json:"events"`
	Columns int            `json:"columns"`
	List    []columnReport `json:"list,omitempty"`
}

type columnReport struct {
	Column    string `json:"column"`
	Event     string `json:"event,omitempty"` // empty for a pair
	Subsystem string `json:"subsystem"`
	Words     string `json:"words"`
}

func newSetReport(set *catalogue.Set) setReport {
	return setReport{Name: set.Name(), Version: set.Version(), About: set.About(), Events: set.Events(), Columns: len(set.Names())}
}

func featuresListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the feature sets of the programme",
		Args:  cobra.NoArgs,
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		sets := []setReport{}
		lines := [][]string{{"SET", "EVENTS", "COLUMNS", "VERSION", "WHAT"}}
		for _, name := range shippedSets {
			set, err := catalogue.Load(name)
			if err != nil {
				return err
			}
			r := newSetReport(set)
			sets = append(sets, r)
			lines = append(lines, []string{name, fmt.Sprint(len(r.Events)), fmt.Sprint(r.Columns), r.Version, r.About})
		}
		if *format == "json" {
			return writeJSON(c.OutOrStdout(), sets)
		}
		return tableOf(c.OutOrStdout(), lines)
	}
	return c
}

func featuresShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show SET",
		Short: "Show the events and columns of a feature set, by its name or file",
		Args:  cobra.ExactArgs(1),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		set, err := catalogue.Load(args[0])
		if err != nil {
			return err
		}
		if *format == "json" {
			r := newSetReport(set)
			for i, column := range set.Columns() {
				r.List = append(r.List, columnReport{column.Name, eventOf(set, i), column.Subsystem, column.Words})
			}
			return writeJSON(c.OutOrStdout(), r)
		}
		return tableOf(c.OutOrStdout(), groupLines(set))
	}
	return c
}

// eventOf returns the event of a set's column, by its index, "" for a pair.
func eventOf(set *catalogue.Set, column int) string {
	if at := entryAt(set, column); at >= 0 {
		return set.Entries()[at].Event
	}
	return ""
}

// groupLines is a line for each group of columns that differ by size or gap only.
func groupLines(set *catalogue.Set) [][]string {
	lines := [][]string{{"EVENT", "COLUMNS", "GROUP", "SUBSYSTEM", "MEANING"}}
	columns := set.Columns()
	counted := map[string]bool{}
	for i := 0; i < len(columns); {
		n := 1
		for i+n < len(columns) && columns[i+n].Group == columns[i].Group {
			n++
		}
		event, words := eventOf(set, i), columns[i].Words
		if n > 1 {
			before, after := around(words, columns[i+n-1].Words)
			words = before + "..." + after
		}
		counted[event] = true
		if event == "" {
			event = pairsFeature
		}
		lines = append(lines, []string{event, fmt.Sprint(n), columns[i].Group, columns[i].Subsystem, words})
		i += n
	}
	var rest []string
	for _, e := range set.Events() {
		if !counted[e] {
			rest = append(rest, e)
		}
	}
	if len(rest) > 0 {
		lines = append(lines, []string{""}, []string{"Enabled, not counted: " + strings.Join(rest, ", ")})
	}
	return lines
}
