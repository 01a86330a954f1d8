package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

func (a *app) evaluationCommand() *cobra.Command {
	spans := lab.FullSpans
	run := lab.PlanRun{}
	var short bool
	cmd := &cobra.Command{
		Use:   "evaluation --output DIR",
		Short: "Record all that the paper's evaluation needs",
		Long: `evaluation makes the recordings of the paper's evaluation, one after the other: normal
load to learn from and to judge by, the eight attacks at weak and at strong rates,
stress without load, and load at three times the usual. Each gives unit files with
the default feature set, the paper's, all trace points, and the system calls of QEMU.
DIR/manifest.json says what there is. Recordings that are complete are left as they
are, so that the command may be interrupted and called again.

It takes two hours and a half; --short some ten minutes, which shows that all of it works
but is too little to learn from. A lab that is not up is made, and removed afterwards.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if short {
				if cmd.Flags().Changed("normal") || cmd.Flags().Changed("each") {
					return errors.New("--short excludes --normal and --each")
				}
				spans = lab.ShortSpans
			}
			if run.Steps, err = lab.EvaluationPlan(spans); err != nil {
				return err
			}
			l, end, err := a.openOrUp(cmd.Context(), lab.Config{Guest: run.Guest})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, end()) }()
			line := newStatusLine(cmd.ErrOrStderr())
			defer line.Close()
			a.log.SetOutput(line)
			defer a.log.SetOutput(cmd.ErrOrStderr())
			run.Begun = func(p lab.PlanProgress) { a.stepBegun(line, p) }
			run.Done = func(p lab.PlanProgress, r lab.Recorded) {
				line.Show(nil)
				line.Do(func() { printRecorded(cmd.OutOrStdout(), p, r) })
			}
			return l.RunPlan(cmd.Context(), run)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&run.Output, "output", "o", "", "directory of the recordings, new or of a run to go on with")
	f.BoolVar(&short, "short", false, "seconds instead of minutes for each recording")
	f.DurationVar(&spans.Normal, "normal", spans.Normal, "span of normal load to judge by; the one to learn from is twice as long")
	f.DurationVar(&spans.Each, "each", spans.Each, "span of each attack and stress; peak load is half as long again")
	f.StringVar(&run.Guest, "guest", lab.DefaultGuest, "the guest")
	f.BoolVar(&run.KeepTraces, "keep-traces", false, "keep the raw traces beside the unit files")
	_ = cmd.MarkFlagRequired("output")
	return cmd
}

// openOrUp finds the lab running or makes it; end removes what it made.
func (a *app) openOrUp(ctx context.Context, cfg lab.Config) (l *lab.Lab, end func() error, err error) {
	if l, err = a.open(); err != nil {
		return nil, nil, err
	}
	status, err := l.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	if status.Up {
		return l, func() error { return nil }, nil
	}
	cfg.Dir, cfg.Log = a.dir, a.log
	if l, err = lab.Up(ctx, cfg); err != nil {
		return nil, nil, err
	}
	return l, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		return lab.Down(ctx, a.dir, a.log)
	}, nil
}

func (a *app) stepBegun(line *statusLine, p lab.PlanProgress) {
	head := fmt.Sprintf("%d of %d: %s", p.Number, p.Steps, p.Step.Name)
	if p.Skipped {
		a.log.Infof("%s is complete", head)
		return
	}
	a.log.Infof("%s until about %s; all until about %s", head, p.StepEnd.Format(time.TimeOnly), p.End.Format(time.TimeOnly))
	line.Show(func(now time.Time) string {
		left := func(t time.Time) time.Duration { return max(0, t.Sub(now)).Round(time.Second) }
		return fmt.Sprintf("%s: %v left; all: %v left", head, left(p.StepEnd), left(p.End))
	})
}

func printRecorded(w io.Writer, p lab.PlanProgress, r lab.Recorded) {
	_, _ = fmt.Fprintf(w, "%s %d/%d %s: %d units; with losses: %d, %d in system calls\n",
		time.Now().Format(time.DateTime), p.Number, p.Steps, r.Name, r.Units, r.LossyUnits, r.SyscallLossyUnits)
}
