package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

func (a *app) attackCommand() *cobra.Command {
	var at lab.Attack
	var side, addr string
	var table strings.Builder
	for _, name := range lab.AttackNames() {
		r := lab.RateOf(name)
		fmt.Fprintf(&table, "  %-11s %4d (target) %4d (source), at most %4d %s\n", name, r.Target, r.Source, r.Max, r.Unit)
	}
	cmd := &cobra.Command{
		Use:   "attack NAME",
		Short: "Run one bounded attack against a guest (target) or from it (source)",
		Long: `attack runs one of the paper's attacks for a time. Side "target" attacks the guest
from the bridge's host; side "source" lets the guest attack the bridge's host.
No address outside the lab is ever attacked. Rates and their defaults:
` + table.String(),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: lab.AttackNames(),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			l, err := a.open()
			if err != nil {
				return err
			}
			at.Name, at.Side = args[0], lab.Side(side)
			if addr != "" {
				if at.Addr, err = netip.ParseAddr(addr); err != nil {
					return fmt.Errorf("attacked address: %w", err)
				}
			}
			return l.Attack(cmd.Context(), at)
		},
	}
	f := cmd.Flags()
	f.StringVar(&side, "side", string(lab.Target), "target or source")
	f.DurationVar(&at.For, "for", time.Minute, "how long")
	f.IntVar(&at.Rate, "rate", 0, "rate or number of connections (default: by attack, above)")
	f.StringVar(&at.Guest, "guest", lab.DefaultGuest, "the guest")
	f.StringVar(&addr, "address", "", "attacked address in "+lab.Subnet.String()+" (default: by side)")
	return cmd
}

func (a *app) stressCommand() *cobra.Command {
	var s lab.Stress
	cmd := &cobra.Command{
		Use:       "stress KIND",
		Short:     "Stress one part of a guest: " + strings.Join(lab.StressKinds(), ", "),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: lab.StressKinds(),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			s.Kind = args[0]
			return l.Stress(cmd.Context(), s)
		},
	}
	cmd.Flags().DurationVar(&s.For, "for", time.Minute, "how long")
	cmd.Flags().StringVar(&s.Guest, "guest", lab.DefaultGuest, "the guest")
	return cmd
}
