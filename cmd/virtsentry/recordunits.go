package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// recordUnits writes a domain's units of so long from now on, at most a day, as a unit file. What there is when it is interrupted is written.
func recordUnits(c *cobra.Command, client *control.Client, ref, file string, length time.Duration) error {
	if length <= 0 || length > 24*time.Hour {
		return fmt.Errorf("record: --for %v: want more than 0 and at most 24h", length)
	}
	d, err := client.Domain(c.Context(), ref)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), length)
	defer cancel()
	var got gathered
	err = client.Units(ctx, func(u control.UnitReport) error {
		if u.Domain == d.UUID {
			got.add(u)
		}
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) || c.Context().Err() != nil {
		err = nil
	}
	if len(got.units) == 0 {
		return errors.Join(err, fmt.Errorf("record: %s: no unit came in %v (virtsentry status %s says why)", oneLine(ref), length, oneLine(ref)))
	}
	err = errors.Join(err, writeUnits(file, c.OutOrStdout(), func(w io.Writer) error { return unit.Write(w, got.file()) }))
	if file == "-" {
		return err
	}
	_, writeErr := fmt.Fprintf(c.OutOrStdout(), "%s: %d units of %d features recorded: %s\n", oneLine(ref), len(got.units), len(got.columns), file)
	return errors.Join(err, writeErr)
}

// gathered are units as reports tell of them: features that were not hit are not named.
type gathered struct {
	columns map[string]int
	units   []unit.Unit
}

func (g *gathered) add(r control.UnitReport) {
	if g.columns == nil {
		g.columns = map[string]int{}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		if _, ok := g.columns[name]; !ok {
			g.columns[name] = len(g.columns)
		}
	}
	u := unit.Unit{Start: r.Start.UnixNano(), Duration: int64(r.Duration * float64(time.Second)), Lost: r.Lost, Counts: make([]uint64, len(g.columns))}
	for name, n := range r.Counts {
		u.Counts[g.columns[name]] = n
	}
	g.units = append(g.units, u)
}

// file has a column for every feature that was hit at all, by name.
func (g *gathered) file() unit.File {
	f := unit.File{Features: slices.Sorted(maps.Keys(g.columns))}
	for _, u := range g.units {
		counts := make([]uint64, len(f.Features))
		for i, name := range f.Features {
			if at := g.columns[name]; at < len(u.Counts) {
				counts[i] = u.Counts[at]
			}
		}
		u.Counts = counts
		f.Units = append(f.Units, u)
	}
	return f
}
