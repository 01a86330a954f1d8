package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/doctor"
)

func doctorCommand(client func() *control.Client) *cobra.Command {
	host := doctor.Host{Root: "/", System: doctor.Live{}}
	c := &cobra.Command{
		Use:   "doctor [DOMAIN]",
		Short: "Find out why domains are not seen, and say what to do about it",
		Long: "Look at this host, and at one running domain or all of them, for what keeps virtsentry from seeing domains: a QEMU without UST trace points,\n" +
			"no session daemon of LTTng or one of another version, AppArmor, vhost-net, missing permissions, clocks. Nothing is changed. Where virtsentryd\n" +
			"answers, what it says of a domain is shown too; without it, the rest is looked at all the same. Whoever is not root is told what could not be\n" +
			"found out.\n\n" +
			"A line is ok, warning (works, but less well than it could), unknown (could not be found out; never to be taken for ok) or problem.\n\n" +
			"Exit status: 0 nothing is wrong (there may be warnings), 1 there is a problem or something is unknown, 3 no such domain.\n" +
			"DOMAIN is a name or UUID; where virtsentryd answers, also libvirt's id of it.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: domainNames(client, 1),
	}
	c.Flags().StringVar(&host.RunDir, "run-dir", "", "libvirt's run-time `DIRECTORY`, in which qemu/NAME.pid is (default: libvirt.run_dir of virtsentryd)")
	c.Flags().StringVar(&host.Config, "config", config.DefaultFile, "configuration `FILE` of virtsentryd")
	format := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		host.Socket, host.Asked = c.Flag("socket").Value.String(), client()
		findings, err := doctor.Check(c.Context(), host, args...)
		if err == nil {
			err = verdict(findings)
		}
		write := writeFindings
		if *format == "json" {
			write = func(w io.Writer, f []doctor.Finding) error { return writeJSON(w, f) }
		}
		if writeErr := write(c.OutOrStdout(), findings); writeErr != nil {
			return writeErr
		}
		return err
	}
	return c
}

// verdict is an error where something is wrong, or may be.
func verdict(findings []doctor.Finding) error {
	problems, unknown := doctor.Count(findings, doctor.Problem), doctor.Count(findings, doctor.Unknown)
	if problems == 0 && unknown == 0 {
		return nil
	}
	return fmt.Errorf("doctor: problems: %d, unknown: %d", problems, unknown)
}

// writeFindings writes them grouped by host and domain, in the order that they come in, each remedy below what it is for.
func writeFindings(w io.Writer, findings []doctor.Finding) error {
	domain, first := "", true
	var b strings.Builder
	for _, f := range findings {
		if first || f.Domain != domain {
			domain, first = f.Domain, false
			b.WriteString(heading(f))
		}
		fmt.Fprintf(&b, "  %-8s %-15s %s\n", f.Status, f.Check, oneLine(f.Text))
		if f.Remedy != "" {
			fmt.Fprintf(&b, "  %-8s %-15s remedy: %s\n", "", "", oneLine(f.Remedy))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func heading(f doctor.Finding) string {
	if f.Domain == "" {
		return "host\n"
	}
	if f.UUID == "" {
		return fmt.Sprintf("\ndomain %s\n", oneLine(f.Domain))
	}
	return fmt.Sprintf("\ndomain %s (%s)\n", oneLine(f.Domain), oneLine(f.UUID))
}
