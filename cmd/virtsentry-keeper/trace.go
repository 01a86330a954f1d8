package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/guestcalls"
	"github.com/virtsentry/virtsentry/cmd/internal/keeper"
	"github.com/virtsentry/virtsentry/libvirt"
)

func traceCommand(s *settings, out, to io.Writer) *cobra.Command {
	var length time.Duration
	var share, stops float64
	var each bool
	c := &cobra.Command{
		Use:   "trace DOMAIN",
		Short: "Count a guest's system calls for a while, and print them",
		Long: "trace does what the daemon asks a keeper for, at once and by itself, and prints the calls by number and virtual CPU when it is over, or is interrupted;\n" +
			"with --each, also each call that was seen, with the registers of its arguments: a call with fewer of them leaves the others as they were. DOMAIN is a name or a UUID. The configuration must allow it.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			config, err := keeper.ReadConfig(s.config)
			if err != nil {
				return err
			}
			log, err := logger(s.logLevel, to)
			if err != nil {
				return err
			}
			uuid, err := uuidOf(config.URI, args[0])
			if err != nil {
				return err
			}
			k := keeper.Keeper{Config: config, RunDir: s.runDir, Log: log}
			r := keeper.Request{UUID: uuid, Seconds: length.Seconds(), Share: share, Stops: stops}
			if r.Offset, err = keeper.WallClock(); err != nil {
				return err
			}
			return trace(c.Context(), k.Trace, r, each, out)
		},
	}
	c.Flags().DurationVar(&length, "for", 10*time.Second, "`TIME` after which it ends")
	c.Flags().Float64Var(&share, "share", 0, "`SHARE` of the time, 0 to 1, in which the guest may be stopped; 0: as configured, which is the most")
	c.Flags().Float64Var(&stops, "stops", 0, "`STOPS` of the guest a second; 0: as configured, which is the most")
	c.Flags().BoolVar(&each, "each", false, "print each call, too, two seconds of them at once")
	return c
}

// uuidOf finds a running domain by its name or UUID.
func uuidOf(uri, name string) (uuid string, err error) {
	c, err := libvirt.Connect(uri)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	list, err := c.Running()
	if err != nil {
		return "", err
	}
	for _, d := range list {
		if d.Name == name || d.UUID == name {
			return d.UUID, nil
		}
	}
	return "", fmt.Errorf("no domain %q runs (virsh list says which do)", name)
}

// trace runs a trace and prints its sums; each: and its calls, by the time of day.
func trace(ctx context.Context, run func(context.Context, keeper.Request, keeper.Sink) keeper.End, r keeper.Request, each bool, out io.Writer) error {
	var sum sums
	end := run(ctx, r, keeper.Sink{
		Begin: func(b keeper.Begin) error {
			_, err := fmt.Fprintf(out, "system-call entry at %#x; at most %g %% of the time stopped, %g stops a second\n", b.Entry, 100*b.Share, b.Stops)
			return err
		},
		Unit: func(u guestcalls.Unit) error {
			sum.add(u)
			if !each {
				return nil
			}
			for _, c := range u.Each {
				if _, err := fmt.Fprintln(out, time.Unix(0, c.At).Format("15:04:05.000000"), c); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if end.Error != "" {
		return errors.New(end.Error)
	}
	if err := sum.print(out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nended: %s; the guest is let go\n", end.Reason)
	return err
}

// sums are those of several units.
type sums struct {
	calls map[[2]int]guestcalls.Calls // by number and virtual CPU
	shape map[[2]int]map[string]uint64
	last  map[[2]int]guestcalls.Call
	all   guestcalls.Unit
}

func (s *sums) add(u guestcalls.Unit) {
	if s.calls == nil {
		s.calls, s.shape, s.last = map[[2]int]guestcalls.Calls{}, map[[2]int]map[string]uint64{}, map[[2]int]guestcalls.Call{}
	}
	for _, c := range u.Calls {
		k := [2]int{c.Number, c.CPU}
		x := s.calls[k]
		s.calls[k] = guestcalls.Calls{Number: c.Number, CPU: c.CPU, Seen: x.Seen + c.Seen, Count: x.Count + c.Count}
		if s.shape[k] == nil {
			s.shape[k] = map[string]uint64{}
		}
		for _, h := range c.Shapes {
			s.shape[k][h.Text] += h.Seen
		}
	}
	for _, c := range u.Each {
		s.last[[2]int{c.Number, c.CPU}] = c
	}
	s.all.Duration += u.Duration
	s.all.Stops += u.Stops
	s.all.Stopped += u.Stopped
	s.all.Armed += u.Armed
	s.all.Running += u.Running
	s.all.Sampled = s.all.Sampled || u.Sampled
	s.all.AtLeast = s.all.AtLeast || u.AtLeast
}

func (s *sums) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(w, "\ncalls\tseen\tcpu\tnr\t  call\t  arguments, mostly\t  of the last\t\n")
	order := func(a, b guestcalls.Calls) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Number, b.Number), cmp.Compare(a.CPU, b.CPU))
	}
	for _, c := range slices.SortedFunc(maps.Values(s.calls), order) {
		k, last := [2]int{c.Number, c.CPU}, ""
		if c, seen := s.last[k]; seen {
			last = guestcalls.Arguments(c.Arguments)
		}
		_, _ = fmt.Fprintf(w, "%.0f\t%d\t%d\t%d\t  %s\t  %s\t  %s\t\n", c.Count, c.Seen, c.CPU, c.Number, guestcalls.Name(c.Number), most(s.shape[k]), last)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	seconds := func(ns int64) float64 { return time.Duration(ns).Seconds() }
	_, err := fmt.Fprintf(out, "\n%.1f s: %d stops, %.2f s stopped (%.1f %%); seen %.2f s of %.2f s that it ran\n", seconds(s.all.Duration), s.all.Stops,
		seconds(s.all.Stopped), 100*float64(s.all.Stopped)/max(1, float64(s.all.Duration)), seconds(s.all.Armed), seconds(s.all.Running))
	switch {
	case err != nil:
	case s.all.AtLeast:
		_, err = fmt.Fprintln(out, "sampled: there were at least so many calls; they came faster than the limits let be seen. Their shares hold")
	case s.all.Sampled:
		_, err = fmt.Fprintln(out, "sampled: calls are estimates, since there were more than the limits let be seen")
	}
	return err
}

// most is the most frequent of some shapes.
func most(shapes map[string]uint64) (text string) {
	for _, s := range slices.Sorted(maps.Keys(shapes)) {
		if text == "" || shapes[s] > shapes[text] {
			text = s
		}
	}
	return text
}
