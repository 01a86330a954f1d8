// Command virtsentry-keeper looks at a guest's system calls by introspection through QEMU's gdb stub, and sees to it that the guest runs on, whatever happens.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/keeper"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/cmd/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// No second signal ends the process at once: the guest is to be let run first, which takes no longer than the signal's sender can wait.
	err := command(os.Stdin, os.Stdout, os.Stderr).ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "virtsentry-keeper:", err)
		os.Exit(1)
	}
}

// settings are those of the command line.
type settings struct {
	config   string
	runDir   string
	socket   string
	allow    []string
	idle     time.Duration
	logLevel string
}

func command(in io.Reader, out, to io.Writer) *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "virtsentry-keeper",
		Short: "Looks at guests' system calls by introspection, and lets the guests run on whatever happens",
		Long: "virtsentry-keeper serves virtsentryd on a UNIX socket. For a domain that is named by its UUID, it breaks on the system-call entry of the guest's kernel through\n" +
			"QEMU's gdb stub, and counts calls by number and virtual CPU. It does nothing unless the operator has allowed it: guest_syscalls = true in\n" +
			keeper.DefaultConfig + ", and no guest-syscalls=\"no\" in the domain's policy element.\n\n" +
			"Each call stops the guest for a moment. How often, and for which share of the time, is limited; what is beyond is sampled, and said to be.\n" +
			"A look ends with its time, with its client's connection, when the domain migrates, is saved or paused, and with this process. Should this process be killed, its\n" +
			"guard, a second process, removes the break, closes the stub and lets the guest run.",
		Version:       version.String(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logger(s.logLevel, to)
			if err != nil {
				return err
			}
			return serve(c.Context(), s, log)
		},
	}
	c.PersistentFlags().StringVar(&s.config, "config", keeper.DefaultConfig, "read what is allowed from `FILE`; without the file, nothing is")
	c.PersistentFlags().StringVar(&s.runDir, "run-dir", keeper.DefaultRunDir, "note down open stubs in `DIRECTORY`")
	c.PersistentFlags().StringVar(&s.logLevel, "log-level", "info", "`LEVEL` of what is logged: debug, info, warning, error")
	c.Flags().StringVar(&s.socket, "socket", keeper.DefaultSocket, "listen on `FILE`, unless the service manager passes a socket")
	c.Flags().StringSliceVar(&s.allow, "allow", nil, "`USER` (or group; :GROUP is a group in any case) who may connect, beside root; may be repeated. The socket gets the first one's group")
	c.Flags().DurationVar(&s.idle, "idle", 30*time.Second, "with a socket of the service manager: end after this `TIME` without a connection; 0: never")
	c.AddCommand(traceCommand(&s, out, to), releaseCommand(&s), guardCommand(&s, in, out))
	return c
}

func logger(level string, to io.Writer) (*logrus.Logger, error) {
	l, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	log := logrus.New()
	log.SetOutput(to)
	log.SetLevel(l)
	log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true})
	return log, nil
}

// serve repairs what was left behind, and serves.
func serve(ctx context.Context, s settings, log *logrus.Logger) error {
	if s.idle < 0 {
		return fmt.Errorf("--idle %v: a time cannot be negative", s.idle)
	}
	config, err := keeper.ReadConfig(s.config)
	if err != nil {
		return err
	}
	allowed, err := probe.ParseAllowed(s.allow)
	if err != nil {
		return fmt.Errorf("--allow: %w", err)
	}
	if err := release(ctx, s.runDir); err != nil {
		log.WithError(err).Error("what an earlier keeper has left is not repaired")
	}
	l, passed, err := listen(s.socket, allowed)
	if err != nil {
		return err
	}
	k := keeper.Keeper{Config: config, RunDir: s.runDir, Log: log}
	server := keeper.Server{Trace: k.Trace, Allowed: allowed, Domains: config.Domains, Log: log}
	if passed {
		server.Idle = s.idle
	}
	log.WithFields(logrus.Fields{"socket": l.Addr(), "guest_syscalls": config.GuestSyscalls, "allowed": append([]string{"root"}, s.allow...)}).Info("listens")
	return server.Serve(ctx, l)
}

// listen takes the socket that the service manager passes, or makes one: sd_listen_fds(3).
func listen(path string, allowed probe.Allowed) (l net.Listener, passed bool, err error) {
	list, err := activation.Listeners()
	if err != nil {
		return nil, false, fmt.Errorf("take the service manager's socket: %w", err)
	}
	switch {
	case len(list) == 0:
		l, err = probe.Listen(path, allowed.SocketGroup())
		return l, false, err
	case len(list) > 1:
		return nil, false, fmt.Errorf("the service manager passes %d sockets; one is wanted", len(list))
	case list[0] == nil || list[0].Addr().Network() != "unix":
		return nil, false, errors.New("the service manager passes no UNIX stream socket (ListenStream=)")
	}
	return list[0], true, nil
}

// releaseTime is for how long it is tried to close stubs.
const releaseTime = time.Minute

func release(ctx context.Context, runDir string) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	return keeper.Release(ctx, runDir)
}

func releaseCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "release",
		Short: "Close what keepers have left open that were killed, and let those guests run",
		Long:  "release closes the gdb stubs that are noted down, removes breaks, and lets the guests run. Only what a keeper and its guard, both killed, have left is there to be closed.",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return release(c.Context(), s.runDir) },
	}
}

func guardCommand(s *settings, in io.Reader, out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:    "guard",
		Short:  "Wait for a keeper's end, and do what it has left to do",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			// What ends the keeper, ends the guard when that is done: signals are caught by main, and not heeded.
			return keeper.Guard(context.Background(), s.runDir, in, out)
		},
	}
}
