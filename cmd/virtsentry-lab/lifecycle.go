package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

func (a *app) upCommand() *cobra.Command {
	var cfg lab.Config
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make the lab, or complete one that is there in part",
		Long: `up makes the network namespace, its libvirtd and the first guest, and waits until
the guest's web page answers. QEMU and the guest's image are built by the
source tree's recipes when not named; both are cached. Where a libvirt client
finds the lab is printed on standard output.

Kinds of guest (--variant):
` + variantList(),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Dir, cfg.Log = a.dir, a.log
			l, err := lab.Up(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), l.URI())
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Guest, "guest", lab.DefaultGuest, "name of the first guest")
	f.BoolVar(&cfg.NoGuest, "no-guest", false, "make no guest")
	f.BoolVar(&cfg.DefineOnly, "define-only", false, "define the guest but do not start it")
	f.IntVar(&cfg.MemoryMiB, "memory", 768, "the guest's memory in MiB")
	f.StringVar(&cfg.Variant, "variant", lab.DefaultVariant, variantHelp("kind of the first guest"))
	f.StringVar(&cfg.QEMU, "qemu", "", "QEMU binary, or stock: the distribution's own (default: built from packaging/qemu)")
	f.StringVar(&cfg.Image, "image", "", "directory of the guest's image (default: built from packaging/lab/image)")
	f.StringVar(&cfg.Checkout, "checkout", "", "source tree (default: found from the working directory)")
	f.StringVar(&cfg.Accel, "accel", "tcg", "accelerator of all guests of the lab: tcg or kvm")
	f.StringVar(&cfg.Daemon, "daemon", "libvirtd", "the lab's libvirt daemon: libvirtd or virtqemud, or a path to one")
	f.DurationVar(&cfg.Timeout, "timeout", 0, "how long to wait for the web page (default 5m)")
	return cmd
}

func (a *app) downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove the lab and all that runs in it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return lab.Down(cmd.Context(), a.dir, a.log)
		},
	}
}

func (a *app) statusCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what runs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("output format %q: want table or json", format)
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			s, err := l.Status(cmd.Context())
			if err != nil {
				return err
			}
			if format == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

func printStatus(w io.Writer, s lab.Status) error {
	yes := map[bool]string{true: "yes", false: "no"}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "up\t%s\n", yes[s.Up])
	fmt.Fprintf(tw, "libvirt\t%s\t%s\n", yes[s.Libvirtd], s.URI)
	fmt.Fprintf(tw, "namespace\t%s\t%s\n", yes[s.NetnsUp], s.Netns)
	fmt.Fprintf(tw, "lttng-sessiond\t%s\n", yes[s.Sessiond])
	if s.QEMU != "" {
		fmt.Fprintf(tw, "QEMU\t%s\t%s\n", map[bool]string{true: "with UST trace points", false: "without UST trace points"}[s.UST], s.QEMU)
	}
	for _, g := range s.Guests {
		what := "shut off"
		if g.Running {
			what = fmt.Sprintf("running, process %d, web page answers: %s", g.PID, yes[g.Web])
		}
		fmt.Fprintf(tw, "guest %s\t%s\t%s\n", g.Name, g.Addr, what)
		if g.Driver != "" {
			fmt.Fprintf(tw, "network of %s\t%s\tmoves its packets\n", g.Name, map[bool]string{true: "vhost-net", false: "QEMU"}[g.Driver == lab.DriverVhost])
		}
	}
	for _, p := range s.Procs {
		fmt.Fprintf(tw, "process %d\t%s\n", p.PID, p.Name)
	}
	return tw.Flush()
}

func (a *app) guestCommand() *cobra.Command {
	var g lab.GuestDef
	var addr string
	define := &cobra.Command{
		Use:   "define NAME",
		Short: "Define one more guest, with a fresh disk; start it with virsh or \"guest start\"",
		Long: `define makes one more guest, with a fresh disk; start it with virsh or
"guest start". Its kind must be one that uses the lab's image.

Kinds of guest (--variant):
` + variantList(),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			l, err := a.open()
			if err != nil {
				return err
			}
			g.Name = args[0]
			if addr != "" {
				if g.Addr, err = netip.ParseAddr(addr); err != nil {
					return fmt.Errorf("address of guest %s: %w", g.Name, err)
				}
			}
			return l.Define(cmd.Context(), g)
		},
	}
	define.Flags().StringVar(&addr, "ip", "", "its address in "+lab.Subnet.String()+" (default: the next free one)")
	define.Flags().IntVar(&g.MemoryMiB, "memory", 768, "its memory in MiB")
	define.Flags().StringVar(&g.Variant, "variant", lab.DefaultVariant, variantHelp("its kind"))
	start := &cobra.Command{
		Use:   "start NAME",
		Short: "Start a guest and wait for its service",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			if err := l.StartGuest(args[0]); err != nil {
				return err
			}
			return l.WaitForService(cmd.Context(), args[0], lab.DefaultWait)
		},
	}
	guest := &cobra.Command{Use: "guest", Short: "Define, start and migrate guests"}
	guest.AddCommand(define, start, a.migrateCommand())
	return guest
}

func (a *app) migrateCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "migrate NAME --to DIR",
		Short: "Migrate a running guest to another lab on this machine",
		Long: `migrate moves a running guest to the lab in another directory, which must be up
("up --no-guest" is enough). Its disk stays where it is, and goes with the lab
that the guest was defined in: migrate it back, or end it, before that goes down.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			target, err := lab.Open(to, a.log)
			if err != nil {
				return err
			}
			return l.Migrate(cmd.Context(), args[0], target)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "runtime directory of the other lab")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

func (a *app) execCommand() *cobra.Command {
	var guest string
	cmd := &cobra.Command{
		Use:   "exec [--guest web] -- COMMAND [ARGUMENT...]",
		Short: "Run a command in a guest, as root, through its agent",
		Long: `exec runs a command in a guest through the guest's agent and prints what it has
written when it has ended. It ends with the command's own exit code.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			res, err := l.Exec(cmd.Context(), guest, args...)
			if err != nil {
				return err
			}
			_, _ = cmd.OutOrStdout().Write(res.Stdout)
			_, _ = cmd.ErrOrStderr().Write(res.Stderr)
			if res.Truncated {
				a.log.Warn("the guest's agent has dropped a part of the output")
			}
			if res.Code != 0 {
				return exitCode(res.Code)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&guest, "guest", lab.DefaultGuest, "the guest")
	return cmd
}
