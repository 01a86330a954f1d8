package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

func profileCommand(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:   "profile",
		Short: "Show, move and restore what domains are judged by",
		Long: "Show, move and restore profiles: what is normal for each domain. DOMAIN may be one that does not run: by its UUID, or by the name in its\n" +
			"profile. What is changed of a running domain is in force at once.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(profileList(client), profileShow(client), profileExport(client), profileImport(client), profileClone(client),
		profileRollback(client), profileDelete(client))
	return c
}

func profileList(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the kept profiles", Args: cobra.NoArgs}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		list, err := client().Profiles(c.Context())
		switch {
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(c.OutOrStdout(), list)
		}
		return writeProfiles(c.OutOrStdout(), list)
	}
	return c
}

func profileShow(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use: "show DOMAIN", Short: "Show all that is known of a profile", Args: cobra.ExactArgs(1), ValidArgsFunction: profileNames(client),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := client().Profile(c.Context(), args[0])
		switch {
		case err != nil:
			return err
		case *format == "json":
			return writeJSON(c.OutOrStdout(), p)
		}
		return writeProfile(c.OutOrStdout(), p)
	}
	return c
}

func profileExport(client func() *control.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "export DOMAIN [FILE]",
		Short: "Write a profile to a file (default -, standard output)",
		Long: "Write a profile to a file (default -, standard output). The units that it was learnt from are not in it: where it is imported, it cannot be\n" +
			"relearnt, but learnt anew.",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: firstThenFiles(profileNames(client)),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := client().ExportProfile(c.Context(), args[0])
			if err != nil {
				return err
			}
			write := func(w io.Writer) error {
				_, err := w.Write(file)
				return err
			}
			if len(args) == 1 || args[1] == "-" {
				return write(c.OutOrStdout())
			}
			return unit.WriteFile(args[1], write)
		},
	}
}

func profileImport(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:   "import DOMAIN FILE",
		Short: "Put an exported profile in force for a domain (FILE may be -)",
		Long: "Put an exported profile in force for a domain, whichever domain it was learnt from; FILE may be -, standard input. It is refused where it was\n" +
			"learnt on another QEMU, machine type, accelerator, on other devices or with other features.",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: firstThenFiles(domainNames(client, 1)),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := readProfile(args[1], c.InOrStdin())
		if err != nil {
			return err
		}
		p, err := client().ImportProfile(c.Context(), args[0], file)
		if err != nil {
			return err
		}
		return writeOutcome(c.OutOrStdout(), *format, "imported", p)
	}
	return c
}

// readProfile reads a profile's file, - being in, as far as one may go.
func readProfile(name string, in io.Reader) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read profile: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	file, err := io.ReadAll(io.LimitReader(in, control.MaxProfileBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read profile: %w", err)
	case len(file) > control.MaxProfileBytes:
		return nil, fmt.Errorf("read profile: %s: more than %d bytes: no profile", name, control.MaxProfileBytes)
	}
	return file, nil
}

func profileClone(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:               "clone FROM TO",
		Short:             "Put a copy of one domain's profile in force for another one",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: domainNames(client, 2),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := client().CloneProfile(c.Context(), args[0], args[1])
		if err != nil {
			return err
		}
		return writeOutcome(c.OutOrStdout(), *format, "cloned", p)
	}
	return c
}

func profileRollback(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:   "rollback DOMAIN",
		Short: "Put the profile before the present one back in force",
		Long:  "Put the profile before the present one back in force; the present one can be had again by another rollback.",
		Args:  cobra.ExactArgs(1), ValidArgsFunction: profileNames(client),
	}
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := client().RollbackProfile(c.Context(), args[0])
		if err != nil {
			return err
		}
		return writeOutcome(c.OutOrStdout(), *format, "rolled back", p)
	}
	return c
}

func profileDelete(client func() *control.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "delete DOMAIN",
		Short: "Forget a domain's profile and the one before it; a running domain learns anew",
		Args:  cobra.ExactArgs(1), ValidArgsFunction: profileNames(client),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := client().Profile(c.Context(), args[0])
			what := fmt.Sprintf("the profile of %s (%d units)", day(p.Created), p.Units)
			switch {
			case errors.Is(err, control.ErrRefused): // all the more reason to delete it
				p.Name, p.UUID, what = args[0], args[0], "a profile that cannot be used"
			case err != nil:
				return err
			case p.Previous:
				what += " and the one before it"
			}
			if err := client().DeleteProfile(c.Context(), p.UUID); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: deleted %s\n", oneLine(label(p)), what)
			return err
		},
	}
}

// writeOutcome says what was done, and what the profile is now.
func writeOutcome(w io.Writer, format output, done string, p control.ProfileInfo) error {
	if format == "json" {
		return writeJSON(w, p)
	}
	_, err := fmt.Fprintf(w, "%s: %s: a profile of %d units, learnt %s, %s\n", oneLine(label(p)), done, p.Units, day(p.Created), force(p))
	return err
}

func label(p control.ProfileInfo) string {
	if p.Name != "" {
		return p.Name
	}
	return p.UUID
}

func force(p control.ProfileInfo) string {
	if p.InForce {
		return "in force"
	}
	return "not in force (the domain does not run)"
}

func writeProfiles(w io.Writer, list []control.ProfileInfo) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no profile is kept")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "NAME\tUUID\tLEARNT\tUNITS\tVECTORS\tENGINE\tIN FORCE\tPREVIOUS")
	for _, p := range list {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", oneLine(label(p)), oneLine(p.UUID), day(p.Created), p.Units, p.Support, oneLine(p.Engine),
			yesNo(p.InForce), yesNo(p.Previous))
	}
	return t.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func writeProfile(w io.Writer, p control.ProfileInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", name, oneLine(fmt.Sprintf(format, args...)))
	}
	line("Name", "%s", p.Name)
	line("UUID", "%s", p.UUID)
	line("Learnt", "%s, from %d units (%d left out)", day(p.Created), p.Units, p.Dropped)
	for _, t := range p.Trimmed {
		line("Left out", "%d units that stand far out from the rest, %s to %s", t.Units, day(t.From), clock(t.To))
	}
	if p.Converged != nil {
		line("Enough", "%s: %s", yesNo(*p.Converged), p.Convergence)
	}
	line("In force", "%s", yesNo(p.InForce))
	line("Previous", "%s", yesNo(p.Previous))
	line("Catalogue", "%s", p.Catalogue)
	line("Machine", "%d support vectors, nu %g, gamma %.4g, rho %.4g", p.Support, p.Nu, p.Gamma, p.Rho)
	line("Solved by", "%s, residual %.2g", p.Engine, p.KKTResidual)
	line("Level", "%g", p.Level)
	line("QEMU build", "%s", orDash(p.QEMUBuild))
	line("Machine type", "%s", orDash(p.MachineType))
	line("Accelerator", "%s", orDash(p.Accelerator))
	line("Source", "%s", orDash(p.Source))
	line("Devices", "%s", orDash(strings.Join(p.Devices, ", ")))
	if err := t.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "SUBSYSTEM\tFEATURE\tLOW\tTYPICAL\tHIGH\tMEANING")
	for _, f := range p.Features {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%.0f\t%.0f\t%.0f\t%s\n", oneLine(f.Subsystem), oneLine(f.Feature), f.Low, f.Typical, f.High, oneLine(f.Words))
	}
	return t.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
