// Command virtsentryd watches the domains of a libvirt host.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/actions"
	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/monitor"
	"github.com/virtsentry/virtsentry/cmd/internal/price"
	"github.com/virtsentry/virtsentry/cmd/internal/version"
	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvm"
	"github.com/virtsentry/virtsentry/model/libsvmgo"
)

func main() {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // first: an early one must not end the process
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := command(hangup).ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "virtsentryd:", err)
		os.Exit(1)
	}
}

// command is the daemon's command line. Each value of hangup has it read its configuration again.
func command(hangup <-chan os.Signal) *cobra.Command {
	var file string
	var stopped, guards bool
	c := &cobra.Command{
		Use:   "virtsentryd",
		Short: "Anomaly detection for virtual machines, from outside",
		Long: "virtsentryd attaches to the QEMU of every domain that libvirt runs, learns what is normal for it, and records its state as\n" +
			"libvirt metadata (virsh metadata DOMAIN --uri http://virtsentry.org/xmlns/state/1).",
		Version:       version.String(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if guards {
				log, err := logger(config.Default().Log, os.Stderr)
				if err != nil {
					return err
				}
				return guarding(log)
			}
			read := reader(file, !c.Flags().Changed("config"))
			cfg, err := read()
			if err != nil {
				return err
			}
			log, err := logger(cfg.Log, os.Stderr)
			if err != nil {
				return err
			}
			if stopped {
				m, err := newMonitor(cfg, log)
				if err != nil {
					return err
				}
				return m.MarkStopped()
			}
			return run(c.Context(), cfg, read, hangup, log)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", config.DefaultFile, "configuration `FILE`")
	c.Flags().BoolVar(&stopped, "stopped", false,
		"watch nothing: end what a daemon that was killed left behind, and say blind of its domains (for ExecStopPost)")
	c.Flags().BoolVar(&guards, "guard", false,
		"watch nothing: end the recording sessions that standard input names, when it ends (the daemon starts this by itself)")
	return c
}

// reader reads the configuration, each time anew. A file that was there once is not optional any more: one that is just being replaced is no reason
// to put the defaults in force.
func reader(file string, optional bool) func() (config.Config, error) {
	return func() (config.Config, error) {
		cfg, err := config.Read(file, optional)
		optional = optional && !slices.Contains(cfg.Files, file)
		return cfg, err
	}
}

func run(ctx context.Context, cfg config.Config, read func() (config.Config, error), hangup <-chan os.Signal, log *logrus.Logger) error {
	listener, err := control.Listen(cfg.Control.Socket)
	if err != nil {
		return err
	}
	// Whichever of the two ends first ends the other.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m, err := newMonitor(cfg, log)
	if err != nil {
		return err
	}
	exported, err := export(ctx, cfg.Metrics, m, log)
	if err != nil {
		return err
	}
	shown, err := board(ctx, cfg.Dashboard, m, log)
	if err != nil {
		return err
	}
	guards, err := newGuard(log)
	if err != nil {
		return err
	}
	known := &prices{domains: m, file: price.DefaultFile}
	m.PriceActions(known, known)
	m.GuardSessions(guards)
	m.AddAction(actions.GuestCalls, guestCallsWords, guestCalls{m.ActionsConfig})
	manager := newManager(log)
	m.OnTurn(manager.alive)
	context.AfterFunc(ctx, manager.stopping)
	go reload(ctx, m, manager, read, hangup, log)
	served := make(chan error, 1)
	go func() {
		defer cancel()
		served <- control.Serve(ctx, listener, m, log)
	}()
	err = m.Run(ctx)
	cancel()
	<-exported
	<-shown
	return errors.Join(err, <-served)
}

func newMonitor(cfg config.Config, log *logrus.Logger) (*monitor.Monitor, error) {
	set, err := catalogue.Load(cfg.LTTng.Features)
	if err != nil {
		return nil, fmt.Errorf("lttng.features: %w", err)
	}
	monitor.Save()
	m := monitor.New(cfg, set, engine(cfg.Judging.Engine), log)
	if file := cfg.Migration.KeyFile; file != "" {
		keys, err := config.ReadKeys(file)
		if err != nil {
			return nil, fmt.Errorf("migration.key_file: %w", err)
		}
		m.SignWith(keys)
	}
	return m, nil
}

// reload reads the configuration again on each hangup, until ctx ends. One that is wrong changes nothing.
func reload(ctx context.Context, m *monitor.Monitor, manager *manager, read func() (config.Config, error), hangup <-chan os.Signal, log *logrus.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		manager.reloading()
		cfg, err := read()
		if err == nil {
			var level logrus.Level
			if level, err = logrus.ParseLevel(cfg.Log.Level); err == nil {
				log.SetLevel(level)
				m.Reload(cfg)
			}
		}
		if err != nil {
			log.WithError(err).Error("the configuration was not read again; the old one stays in force")
		}
		manager.reloaded()
	}
}

// engine is the one that the configuration prefers; where its solution is not certified, the other one solves the problem.
func engine(name string) model.Engine {
	if name == config.EngineLibSVMGo {
		return model.Fallback{First: libsvmgo.Engine{}, Second: libsvm.Engine{}}
	}
	return model.Fallback{First: libsvm.Engine{}, Second: libsvmgo.Engine{}}
}

func logger(cfg config.Log, to io.Writer) (*logrus.Logger, error) {
	level, err := logrus.ParseLevel(cfg.Level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	log := logrus.New()
	log.SetOutput(to)
	log.SetLevel(level)
	if cfg.Format == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	} else {
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true})
	}
	return log, nil
}
