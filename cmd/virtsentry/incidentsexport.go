package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// exported is an incident with its units, a line of an export.
type exported struct {
	control.IncidentRecord
	Around control.IncidentUnits `json:"around"`
}

func incidentsExport(client func() *control.Client) *cobra.Command {
	var file, units string
	c := &cobra.Command{
		Use:   "export [ID...]",
		Short: "Write incidents with the units around them as JSON, one a line, or the units of one as a unit file",
		Long: "Write incidents with the units around them as JSON, one a line: those that are named, or all that the flags choose. With --units, write the units of one\n" +
			"incident as a unit file, which virtsentry replay and eval read.",
		ValidArgsFunction: incidentIDs(client),
	}
	filter := filterFlags(c, client)
	c.Flags().StringVar(&file, "file", "-", "`FILE` to write, - for standard output")
	c.Flags().StringVar(&units, "units", "", "unit `FILE` to write for one incident, - for standard output")
	c.MarkFlagsMutuallyExclusive("file", "units")
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := filter()
		if err != nil {
			return err
		}
		chosen := f != control.IncidentFilter{}
		switch {
		case chosen && len(args) > 0:
			return errors.New("incidents are named, or chosen by flags; not both")
		case units != "" && len(args) != 1:
			return errors.New("--units is for one incident: name its ID")
		case units != "":
			return exportUnits(c, client(), args[0], units)
		}
		list, err := named(c, client(), args, f)
		if err != nil {
			return err
		}
		return toFile(c, file, func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			for _, r := range list {
				around, err := client().IncidentUnits(c.Context(), r.ID)
				if err != nil {
					return err
				}
				if err := encoder.Encode(exported{r, around}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c
}

// named are the incidents of ids, or all that a filter chooses where there are none.
func named(c *cobra.Command, client *control.Client, ids []string, f control.IncidentFilter) ([]control.IncidentRecord, error) {
	if len(ids) == 0 {
		return client.ListIncidents(c.Context(), f)
	}
	var list []control.IncidentRecord
	for _, id := range ids {
		r, err := client.Incident(c.Context(), id)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// exportUnits writes the units of an incident as a unit file.
func exportUnits(c *cobra.Command, client *control.Client, id, file string) error {
	list, err := client.IncidentUnits(c.Context(), id)
	if err != nil {
		return err
	}
	if len(list.Units) == 0 {
		return fmt.Errorf("no unit is kept with incident %s (history.units and history.unit_days say which are)", oneLine(id))
	}
	f := unit.File{Features: list.Features}
	for _, k := range list.Units {
		u := unit.Unit{Start: k.Start.UnixNano(), Duration: int64(k.Duration * 1e9), Lost: k.Lost, Counts: make([]uint64, len(list.Features))}
		for i, name := range list.Features {
			u.Counts[i] = k.Counts[name]
		}
		f.Units = append(f.Units, u)
	}
	return toFile(c, file, func(w io.Writer) error { return unit.Write(w, f) })
}

// toFile writes a file, - being standard output.
func toFile(c *cobra.Command, file string, write func(io.Writer) error) error {
	if file == "-" {
		return write(c.OutOrStdout())
	}
	return unit.WriteFile(file, write)
}
