package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/model"
)

// TrainRun is one measurement of what learning costs.
type TrainRun struct {
	Engine model.Engine
	Units  string // directory of recorded units: testdata/units
	Day    int    // units of the simulated day; 0: a day
	Rounds int    // of the day
	Solves int    // of our solving and the tool's, in turns
	// Rows and Vectors are the limits that are tried.
	Rows, Vectors []int
	// Report hears of what is being measured.
	Report func(what string)
}

// Measure learns a day, solves one of its problems beside svm-train, and tries limits on recordings. Errors name what failed; the tool
// (Debian's libsvm-tools) must be there.
func (r TrainRun) Measure(ctx context.Context) (t Training, err error) {
	setDay(&r.Day)
	engine := &watched{Engine: r.Engine, ctx: ctx}
	d := day(r.Day, 1)
	t.Day.Features = len(d.Features)
	for i := range r.Rounds {
		r.Report(fmt.Sprintf("learning a day, %d of %d", i+1, r.Rounds))
		var p *model.Profile
		seconds, err := ownCPU(func() (err error) {
			p, err = model.Train(engine, d, model.Options{Trim: model.TrimShare})
			return err
		})
		if err != nil {
			return t, err
		}
		t.Day.Seconds = append(t.Day.Seconds, seconds)
		if t.Day.Profile, err = profileSize("a simulated day", p); err != nil {
			return t, err
		}
	}
	t.Day.Most = engine.most
	if t.Solving, err = r.solve(ctx, engine.problem); err != nil {
		return t, err
	}
	recorded, err := readRecorded(r.Units)
	if err != nil {
		return t, err
	}
	for _, c := range recorded.profiles {
		r.Report("learning " + c.name)
		p, err := model.TrainTrimmed(engine, c.data, model.Options{})
		if err != nil {
			return t, err
		}
		size, err := profileSize(c.name, p)
		if err != nil {
			return t, err
		}
		t.Profiles = append(t.Profiles, size)
	}
	for _, c := range recorded.corpora {
		for _, l := range r.limits() {
			r.Report(fmt.Sprintf("judging %s, %d units and %d support vectors at most", c.name, l.MaxRows, l.MaxVectors))
			limit, err := c.judge(engine, l)
			if err != nil {
				return t, err
			}
			t.Limits = append(t.Limits, limit)
		}
	}
	return t, nil
}

// limits are those of rows, without one of support vectors, and those of support vectors, without one of rows.
func (r TrainRun) limits() []model.Options {
	var list []model.Options
	for _, n := range r.Rows {
		list = append(list, model.Options{MaxRows: n, MaxVectors: n})
	}
	for _, n := range r.Vectors {
		list = append(list, model.Options{MaxRows: trainRows, MaxVectors: n})
	}
	return list
}

func setDay(units *int) {
	if *units == 0 {
		*units = unitsOfDay
	}
}

// watched is an engine that remembers its largest problem, and starts none once the context has ended.
type watched struct {
	model.Engine
	ctx     context.Context
	most    int
	problem problem
}

// problem is a one-class problem.
type problem struct {
	rows      [][]float64
	nu, gamma float64
}

// OneClass implements model.Engine.
func (w *watched) OneClass(x [][]float64, nu, gamma float64) (model.Solution, error) {
	if err := w.ctx.Err(); err != nil {
		return model.Solution{}, err
	}
	if len(x) > w.most {
		w.most, w.problem = len(x), problem{rows: slices.Clone(x), nu: nu, gamma: gamma}
	}
	return w.Engine.OneClass(x, nu, gamma)
}

// solve has us and svm-train solve a problem, in turns, rows in an order by chance that is the same for both.
func (r TrainRun) solve(ctx context.Context, p problem) (s Solving, err error) {
	rand.New(rand.NewPCG(1, 0)).Shuffle(len(p.rows), func(i, j int) { p.rows[i], p.rows[j] = p.rows[j], p.rows[i] })
	s = Solving{Rows: len(p.rows), Columns: len(p.rows[0]), Nu: p.nu, Engine: r.Engine.Name()}
	dir, err := os.MkdirTemp("", "virtsentry-bench-train-")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, toolText(p.rows), 0o600); err != nil {
		return s, err
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	for i := range r.Solves {
		r.Report(fmt.Sprintf("solving beside svm-train, %d of %d", i+1, r.Solves))
		ours := func() error {
			seconds, err := ownCPU(func() error {
				_, err := model.Solve(r.Engine, slices.Clone(p.rows), p.nu, p.gamma)
				return err
			})
			s.Ours = append(s.Ours, seconds)
			return err
		}
		tool := func() error {
			cmd := exec.CommandContext(ctx, "svm-train", "-q", "-s", "2", "-t", "2", "-n", number(p.nu), "-g", number(p.gamma), data, filepath.Join(dir, "model"))
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("svm-train (package libsvm-tools): %w: %s", err, out)
			}
			s.Tool = append(s.Tool, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
			return nil
		}
		turns := []func() error{ours, tool}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// toolText is rows in svm-train's format.
func toolText(rows [][]float64) []byte {
	var b bytes.Buffer
	for _, row := range rows {
		b.WriteByte('1')
		for j, v := range row {
			fmt.Fprintf(&b, " %d:%s", j+1, strconv.FormatFloat(v, 'g', -1, 64))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// ownCPU is the CPU time in seconds that this process takes while do runs (getrusage(2)).
func ownCPU(do func() error) (float64, error) {
	taken := func() (time.Duration, error) {
		var u unix.Rusage
		err := unix.Getrusage(unix.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
	}
	before, err := taken()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := taken()
	return (after - before).Seconds(), err
}

// profileSize says how large a profile is.
func profileSize(name string, p *model.Profile) (TrainedProfile, error) {
	file, err := p.Encode()
	if err != nil {
		return TrainedProfile{}, err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(file); err != nil {
		return TrainedProfile{}, err
	}
	if err := w.Close(); err != nil {
		return TrainedProfile{}, err
	}
	size := TrainedProfile{
		Name: strings.TrimSpace(name), Units: p.Training.Units, Columns: len(p.Features), Views: len(p.Views), Vectors: p.SupportVectors(), Bytes: len(file), Packed: packed.Len(),
	}
	for i := range p.Views {
		size.Largest = max(size.Largest, len(p.Views[i].Machine.Alpha))
	}
	return size, nil
}
