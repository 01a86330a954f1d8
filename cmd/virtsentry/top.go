package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// topWidth is how wide a table is that goes to no terminal.
const topWidth = 160

func topCommand(client func() *control.Client) *cobra.Command {
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the states and scores of all domains in the terminal",
		Long: "Shows all domains and what was seen of each in the last hour, and goes on showing it. Each character of LAST HOUR is a minute: the taller,\n" +
			"the less probable its least probable unit; ! where the domain was anomalous; a letter where nothing was scored (blind, unkno(k)wn, paused,\n" +
			"s(t)arting, learning, disabled as x); a dot where nothing is known.\n\n" +
			"Keys: arrows or j and k choose a domain, Enter shows all that is known of it, Esc goes back, / filters, s sorts by another column, r turns the\n" +
			"order round, ? helps, q ends. Where the output is no terminal, it is written once.",
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	every := c.Flags().Duration("every", 2*time.Second, "`TIME` between two looks, a second at least")
	sorted := topSort("state")
	c.Flags().Var(&sorted, "sort", "what the domains are sorted by")
	if err := c.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(topSorts, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *every < time.Second {
			return fmt.Errorf("--every %v is less than a second", *every)
		}
		first := look(c.Context(), client())
		if first.err != nil {
			return first.err
		}
		m := newTop(first, string(sorted))
		out, file := c.OutOrStdout().(*os.File)
		if !file || !term.IsTerminal(out.Fd()) {
			m.width, m.height = topWidth, 0
			_, err := io.WriteString(c.OutOrStdout(), plain(m.table()))
			return err
		}
		m.look = func() tea.Msg {
			pause(c.Context(), *every)
			return look(c.Context(), client())
		}
		m.domain = func(ref string) tea.Msg {
			d, err := client().Domain(c.Context(), ref)
			return topDomain{ref, d, err}
		}
		_, err := tea.NewProgram(m, tea.WithContext(c.Context()), tea.WithOutput(out)).Run()
		return err
	}
	return c
}

// topSort is the --sort flag.
type topSort string

var topSorts = []string{"state", "name", "score", "scored", "cost", "incidents"}

func (s *topSort) String() string { return string(*s) }
func (s *topSort) Type() string   { return strings.Join(topSorts, "|") }
func (s *topSort) Set(v string) error {
	if !slices.Contains(topSorts, v) {
		return fmt.Errorf("%q is none of %s", v, strings.Join(topSorts, ", "))
	}
	*s = topSort(v)
	return nil
}

// topLook is what the daemon says of all domains.
type topLook struct {
	at      time.Time
	domains []control.DomainStatus
	ribbons map[string]control.Ribbon
	err     error
}

// topDomain is what the daemon says of one.
type topDomain struct {
	ref    string
	domain control.DomainStatus
	err    error
}

func look(ctx context.Context, c *control.Client) topLook {
	l := topLook{at: now()}
	if l.domains, l.err = c.Domains(ctx); l.err == nil {
		l.ribbons, l.err = c.Ribbons(ctx)
	}
	return l
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
