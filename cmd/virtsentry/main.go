// Command virtsentry asks and steers virtsentryd, and reads recorded traces. It needs neither libvirt's nor LTTng's libraries.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/version"
)

// Exit codes.
const (
	exitFailure  = 1
	exitNoDomain = 3
	exitNoDaemon = 4
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	stop()
	if err == nil || interrupted && errors.Is(err, context.Canceled) {
		return
	}
	fmt.Fprintln(os.Stderr, "virtsentry:", err)
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	switch {
	case errors.Is(err, control.ErrNoDomain), errors.Is(err, control.ErrNoProfile), errors.Is(err, control.ErrNoIncident), errors.Is(err, control.ErrNoAction):
		return exitNoDomain
	case errors.Is(err, control.ErrNoDaemon):
		return exitNoDaemon
	}
	return exitFailure
}

func command() *cobra.Command {
	c := &cobra.Command{
		Use:           "virtsentry",
		Short:         "Ask and steer virtsentryd, and read recorded traces",
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Long: "Exit status: 0 done, 1 failed (or refused), 3 no such domain, profile, incident or action, 4 no daemon answers.\n" +
			"Domains are named as virsh names them: by id, UUID or name.",
	}
	socket := c.PersistentFlags().String("socket", config.DefaultSocket, "control `SOCKET` of the daemon")
	client := func() *control.Client { return control.NewClient(*socket) }
	c.AddCommand(statusCommand(client), topCommand(client), watchCommand(client), explainCommand(client), incidentsCommand(client), lookCommand(client))
	c.AddCommand(learnCommand(client), relearnCommand(client))
	c.AddCommand(profileCommand(client), recordCommand(client), replayCommand(), configCommand())
	c.AddCommand(evalCommand())
	c.AddCommand(featuresCommand())
	c.AddCommand(evaluationCommand())
	c.AddCommand(doctorCommand(client), costCommand(client))
	return c
}
