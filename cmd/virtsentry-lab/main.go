// Command virtsentry-lab makes the project's laboratory on one machine, puts
// load, attacks and stress on its guests, records what QEMU says meanwhile,
// and removes all of it again.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/version"
	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := newRoot().ExecuteContext(ctx)
	stop()
	var code exitCode
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	default:
		fmt.Fprintln(os.Stderr, "virtsentry-lab:", err)
		os.Exit(1)
	}
}

// exitCode is the exit code of a command that ran in a guest.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// app is what the sub-commands share.
type app struct {
	dir     string
	verbose bool
	log     *logrus.Logger
}

func newRoot() *cobra.Command {
	a := &app{log: logrus.New()}
	root := &cobra.Command{
		Use:   "virtsentry-lab",
		Short: "A laboratory for virtsentry: guests, load, attacks, recordings",
		Long: `virtsentry-lab makes a network namespace with a bridge, a libvirtd of its own
inside it, and guests that serve a web application. Load, attacks and stress
stay inside that namespace and are bounded in rate and time; "down" removes
everything, also after a crash. All of it needs root.`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if a.verbose {
				a.log.SetLevel(logrus.DebugLevel)
			}
			if cmd.Name() == "help" || cmd.Parent() == nil || cmd.Parent().Name() == "completion" {
				return nil
			}
			return lab.CheckRoot()
		},
	}
	root.PersistentFlags().StringVar(&a.dir, "dir", lab.DefaultDir, "runtime directory; its last element names the lab")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "say more")
	root.AddCommand(a.upCommand(), a.downCommand(), a.statusCommand(), a.guestCommand(), a.execCommand(),
		a.attackCommand(), a.stressCommand(), a.loadCommand(), a.recordCommand(), a.evaluationCommand(), a.sourcesCommand(), a.benchCommand(), a.costCommand(), compareCommand(), reliabilityCommand())
	return root
}

func (a *app) open() (*lab.Lab, error) { return lab.Open(a.dir, a.log) }
