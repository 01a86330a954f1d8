package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/judging"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
	"github.com/virtsentry/virtsentry/model"
)

func replayCommand() *cobra.Command {
	var units, features, profile string
	c := &cobra.Command{
		Use:   "replay TRACE|UNITS [--units OUT.csv] [--profile FILE]",
		Short: "Cut a recorded trace into units, or judge it by a profile",
		Long: "Cut a recorded CTF trace into units of two seconds. TRACE is a directory; all traces below it are counted together. UNITS is a unit file\n" +
			"(.csv or .csv.gz), such as record --units writes, to be judged by a profile.\n\n" +
			"With --units they are written as a unit file: CSV with the header start_ns,duration_ns,lost,<feature>... and a row for each unit, those\n" +
			"without events included. What is no regular file, such as /dev/null or a pipe, is written to directly.\n\n" +
			"With --profile every full unit is judged by an exported profile, as the daemon judges with its default settings; the state is the one after\n" +
			"the unit. Events that the trace does not have count as none, and those that the profile does not know are ignored. -o json writes an object\n" +
			"a line, as watch does.",
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&units, "units", "", "`FILE` to write the units to, - for standard output")
	c.Flags().StringVar(&features, "features", "", "feature set: default, paper, wide, a set's file, or counts, a column for every event that occurs (default: the profile's; counts without one)")
	c.Flags().StringVar(&profile, "profile", "", "exported profile `FILE` to judge the units by, - for standard input")
	c.MarkFlagsOneRequired("units", "profile")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if isUnitFile(args[0]) && units != "" {
			return fmt.Errorf("%s is a unit file already; judge it with --profile alone", args[0])
		}
		if profile == "" {
			set := cmp.Or(features, unit.Counts)
			return writeUnits(units, c.OutOrStdout(), func(w io.Writer) error { return unit.Replay(args[0], w, set) })
		}
		if units == "-" {
			return errors.New("--units - and --profile both write to standard output: name a file")
		}
		file, err := readProfile(profile, c.InOrStdin())
		if err != nil {
			return err
		}
		p, err := model.Decode(bytes.NewReader(file))
		if err != nil {
			return fmt.Errorf("profile %s: %w", profile, err)
		}
		if isUnitFile(args[0]) {
			f, err := unit.ReadFile(args[0])
			if err != nil {
				return err
			}
			return judgeUnits(c.OutOrStdout(), *format, p, wordsOf(p.Catalogue), f)
		}
		set, name, err := setOf(p.Catalogue, features)
		if err != nil {
			return fmt.Errorf("profile %s: %w", profile, err)
		}
		cut, err := unit.Cut(args[0], name)
		if err != nil {
			return err
		}
		if units != "" {
			if err := writeUnits(units, nil, func(w io.Writer) error { return unit.Write(w, cut) }); err != nil {
				return err
			}
		}
		return judgeUnits(c.OutOrStdout(), *format, p, set, cut)
	}
	return c
}

func writeUnits(name string, out io.Writer, write func(io.Writer) error) error {
	if name == "-" {
		return write(out)
	}
	return unit.WriteFile(name, write)
}

// setOf finds the feature set that a profile was learnt with, by its version, and the name to cut by: as asked for, or the set's own.
func setOf(version, asked string) (set *catalogue.Set, name string, err error) {
	if kernel := kernelSources(version); len(kernel) > 0 {
		return nil, "", fmt.Errorf("it was learnt with what the kernel sees (%s), too, of which a trace has nothing: record --units writes a unit file that can be judged", strings.Join(kernel, ", "))
	}
	name, _, _ = strings.Cut(version, "/")
	if set, err = catalogue.Load(cmp.Or(asked, name)); err != nil {
		return nil, "", err
	}
	if asked == "" && set.Version() != version {
		return nil, "", fmt.Errorf("it was learnt with the feature set %s, and this %s is %s (name its file: --features)", version, name, set.Version())
	}
	return set, cmp.Or(asked, name), nil
}

// isUnitFile says by its name whether a file holds units.
func isUnitFile(name string) bool {
	return strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".csv.gz")
}

// kernelSources are those of what the kernel sees that a profile was learnt with, by its version.
func kernelSources(version string) (list []string) {
	for _, part := range strings.Fields(version) {
		if name, _, _ := strings.Cut(part, "/"); probe.Source(name).Known() {
			list = append(list, name)
		}
	}
	return list
}

// words say what features of all kinds are, judging.Describer.
type words struct{ set *catalogue.Set } // nil: not known

// wordsOf finds words for the features that a profile was learnt with, by its version.
func wordsOf(version string) words {
	name, _, _ := strings.Cut(version, "/")
	set, err := catalogue.Load(name)
	if err != nil {
		set = nil // of the features' names, most can be understood
	}
	return words{set}
}

func (w words) Describe(feature string) (subsystem, text string) {
	if subsystem, text, ok := probe.Describe(feature); ok {
		return subsystem, text
	}
	if w.set != nil {
		return w.set.Describe(feature)
	}
	return "other", feature + " hits"
}

// judgeUnits judges full units one after the other, as the daemon does.
func judgeUnits(w io.Writer, format output, p *model.Profile, set judging.Describer, f unit.File) error {
	columns := model.Align(f.Features, p.Features)
	if len(columns.Missing) == len(p.Features) {
		return errors.New("there is none of the features that the profile counts: it is no trace of a QEMU's device events, or the profile of other ones")
	}
	judge, err := judging.New(model.DeciderConfig{}, set)
	if err != nil {
		return err
	}
	if format == "table" {
		if _, err := fmt.Fprintf(w, "%-19s  %-10s %-9s %8s %8s %6s  %s\n", "TIME", "STATE", "ANOMALOUS", "SCORE", "P-VALUE", "LOST", "WHAT"); err != nil {
			return err
		}
	}
	for _, u := range f.Units {
		if !u.Full() {
			continue
		}
		report := control.UnitReport{
			Domain: p.Domain.UUID, Name: p.Domain.Name, Start: time.Unix(0, u.Start).UTC(), Duration: time.Duration(u.Duration).Seconds(), Lost: u.Lost,
			Counts: map[string]uint64{},
		}
		if err := judge.Observe(p, columns.Apply(nil, u.Counts), u.LostIn, &report); err != nil {
			return err
		}
		report.State = string(judge.State())
		for i, n := range u.Counts {
			if n > 0 {
				report.Counts[f.Features[i]] = n
			}
		}
		if err := writeJudged(w, format, report); err != nil {
			return err
		}
	}
	return nil
}

func writeJudged(w io.Writer, format output, u control.UnitReport) error {
	if format == "json" {
		return json.NewEncoder(w).Encode(u)
	}
	line := fmt.Sprintf("%-19s  %-10s %-9s %8.2f %8.3f %6d  %s", u.Start.Local().Format("2006-01-02 15:04:05"), u.State, yesNo(u.Anomalous), u.Score, u.PValue, u.Lost, oneLine(u.Sentence))
	_, err := fmt.Fprintln(w, strings.TrimRight(line, " "))
	return err
}
