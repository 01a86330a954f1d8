package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"libvirt.org/go/libvirt"
)

// Task is work that a guest does as fast as it can.
type Task struct {
	Name, What, Unit string
	Slice            time.Duration // in which so much of it is done that it can be told how much: as short as can be, as the noise of a host swings slowly

	prepare func(ctx context.Context, l *Lab, g GuestDef) error
	work    func(ctx context.Context, l *Lab, g GuestDef, d time.Duration) ([]Done, error)
}

// Done is how much work had been done at a time, in units of work since some begin.
type Done struct {
	At   time.Time
	Work float64
}

// Tasks lists them: the paper's two (section 4.5: sysbench's prime numbers and its transactions of MySQL), and two that go through QEMU's devices.
func Tasks() []Task { return slices.Clone(tasks) }

// Kept is work beside [Tasks]: what they have no part in.
func Kept() Task { return kept }

// Prepare has the guest get ready for a task.
func (l *Lab) Prepare(ctx context.Context, guest string, t Task) error {
	g, err := l.Guest(guest)
	if err != nil || t.prepare == nil {
		return err
	}
	return t.prepare(ctx, l, g)
}

// Work has the guest do a task for some time, and returns how far it was at what times, in their order.
func (l *Lab) Work(ctx context.Context, guest string, t Task, d time.Duration) ([]Done, error) {
	g, err := l.Guest(guest)
	if err != nil {
		return nil, err
	}
	return t.work(ctx, l, g, d)
}

var tasks = []Task{
	{Name: "cpu", What: "prime numbers up to 2,000 (as sysbench cpu)", Unit: "runs", Slice: time.Second / 10, work: told(cpuTest, "")},
	{
		Name: "database", What: "transactions of MariaDB (sysbench oltp_read_write)", Unit: "transactions", Slice: time.Second / 10,
		prepare: prepareDatabase, work: told(databaseTest, oltp),
	},
	{
		Name: "disk", What: "random reads and writes past the guest's memory (sysbench fileio)", Unit: "requests", Slice: time.Second / 10,
		prepare: prepareDisk, work: workDisk,
	},
	{Name: "web", What: "a static page, a connection each", Unit: "requests", Slice: time.Second / 5, prepare: prepareWeb, work: workWeb},
}

var kept = Task{Name: "kept", What: "a static page again and again, by connections that are kept", Unit: "requests", Slice: time.Second / 10, prepare: prepareWeb, work: workKept}

// oltp is what sysbench needs to use the guest's MariaDB as root.
const oltp = "--db-driver=mysql --mysql-user=root --mysql-socket=/run/mysqld/mysqld.sock --mysql-db=sbtest --tables=1 --table-size=10000"

func prepareDatabase(ctx context.Context, l *Lab, g GuestDef) error {
	script := `mariadb -e "DROP DATABASE IF EXISTS sbtest; CREATE DATABASE sbtest" && sysbench oltp_read_write ` + oltp + " prepare"
	res, err := l.Exec(ctx, g.Name, bounded(5*time.Minute, "TERM", "/bin/sh", "-c", script)...)
	if err != nil {
		return err
	}
	return judgeRun("prepare the data base", res)
}

// What sysbench runs: progressTest goes before the others.
var (
	//go:embed impact_progress.lua
	progressTest string
	//go:embed impact_cpu.lua
	cpuTest string
	//go:embed impact_database.lua
	databaseTest string
)

// told is work of which a test of sysbench tells how much it has done.
func told(test, options string) func(ctx context.Context, l *Lab, g GuestDef, d time.Duration) ([]Done, error) {
	return func(ctx context.Context, l *Lab, g GuestDef, d time.Duration) ([]Done, error) {
		ahead, err := l.clockAhead(g.Name)
		if err != nil {
			return nil, err
		}
		script := fmt.Sprintf("cat >/var/tmp/test.lua <<'END'\n%s\n%s\nEND\nexec sysbench /var/tmp/test.lua %s --time=%d --events=0 run",
			progressTest, test, options, int(d.Seconds()))
		res, err := l.execFor(ctx, g.Name, d, bounded(2*d+time.Minute, "TERM", "/bin/sh", "-c", script))
		if err != nil {
			return nil, err
		}
		if err := judgeRun("sysbench", res); err != nil {
			return nil, err
		}
		return parseTold(string(res.Stdout), ahead)
	}
}

var toldLine = regexp.MustCompile(`(?m)^at ([0-9]{1,12})\.([0-9]{9}) ([0-9]+) ([0-9])$`)

// parseTold takes what was done out of what a test has told, by the guest's clock, which is ahead of the host's. Each step of an event counts as the part of it that such
// steps took of all the time.
func parseTold(text string, ahead time.Duration) (list []Done, err error) {
	var steps []int
	var took [10]time.Duration // for each step, in all; that which ends an event is number 0
	for _, m := range toldLine.FindAllStringSubmatch(text, -1) {
		var n [4]int64
		for i := range n {
			if n[i], err = strconv.ParseInt(m[1+i], 10, 64); err != nil {
				return nil, fmt.Errorf("sysbench: %w", err)
			}
		}
		d, step := Done{At: time.Unix(n[0], n[1]).Add(-ahead), Work: float64(n[2])}, int(n[3])
		if i := len(list) - 1; i >= 0 {
			before := list[i]
			if d.At.Before(before.At) || d.Work < before.Work || d.Work == before.Work && step <= steps[i] {
				return nil, fmt.Errorf("sysbench: %q goes back", m[0])
			}
			took[step] += d.At.Sub(before.At)
		}
		list, steps = append(list, d), append(steps, step)
	}
	if len(list) < 2 {
		return nil, fmt.Errorf("sysbench: told %d times how much was done, want more: %s", len(list), tail([]byte(text)))
	}
	var all, until time.Duration
	for _, t := range took {
		all += t
	}
	var part [len(took)]float64 // of an event, at the end of a step
	for step, t := range took[1:] {
		until += t
		part[1+step] = until.Seconds() / all.Seconds()
	}
	for i, step := range steps {
		if step > 0 {
			list[i].Work += part[step]
		}
	}
	return list, nil
}

// clockAhead is how far a guest's clock is ahead of the host's, to some hundredths of a second.
func (l *Lab) clockAhead(guest string) (ahead time.Duration, err error) {
	err = l.withDomain(guest, func(dom *libvirt.Domain) error {
		var ns int64
		before := time.Now()
		if err := agentCall(dom, "guest-get-time", map[string]any{}, &ns); err != nil {
			return err
		}
		ahead = time.Unix(0, ns).Sub(before.Add(time.Since(before) / 2))
		return nil
	})
	return ahead, err
}

// watchEvery is how often it is seen how far work is.
const watchEvery = 20 * time.Millisecond

// watchWork asks how far work is until ctx ends.
func watchWork(ctx context.Context, far func() (float64, error)) (list []Done, err error) {
	for {
		work, err := far()
		if err != nil {
			return nil, err
		}
		list = append(list, Done{At: time.Now(), Work: work})
		if sleep(ctx, watchEvery) != nil {
			return list, nil //nolint:nilerr // that is its end
		}
	}
}

// workDisk has four requests of 16 KiB under way at all times. How many were done, the kernel's account of the QEMU says (proc(5), /proc/PID/io).
func workDisk(ctx context.Context, l *Lab, g GuestDef, d time.Duration) (list []Done, err error) {
	pid, err := l.GuestPID(g.Name)
	if err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var watched sync.WaitGroup
	var watchErr error
	watched.Go(func() {
		list, watchErr = watchWork(watching, func() (float64, error) {
			n, err := ioBytes(pid)
			return float64(n) / (16 << 10), err
		})
	})
	script := fmt.Sprintf("%s--file-extra-flags=direct --threads=4 --time=%d --events=0 run", diskFiles, int(d.Seconds()))
	res, err := l.execFor(ctx, g.Name, d, bounded(2*d+time.Minute, "TERM", "/bin/sh", "-c", script))
	stop()
	watched.Wait()
	if err := errors.Join(err, watchErr); err != nil {
		return nil, err
	}
	return list, judgeRun("sysbench fileio", res)
}

// ioBytes is how many bytes a process has read from and written to disks.
func ioBytes(pid int) (sum uint64, err error) {
	raw, err := os.ReadFile(procPath(pid, "io"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if key, value, _ := strings.Cut(line, ": "); key == "read_bytes" || key == "write_bytes" {
			n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 63)
			if err != nil {
				return 0, fmt.Errorf("disk traffic of process %d: %w", pid, err)
			}
			sum += n
		}
	}
	return sum, nil
}

// workWeb has clients in the lab's network get pages, a connection each.
func workWeb(ctx context.Context, l *Lab, g GuestDef, d time.Duration) (list []Done, err error) {
	return workPages(ctx, &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true}, g, d)
}

// workKept has them keep their connections.
func workKept(ctx context.Context, l *Lab, g GuestDef, d time.Duration) (list []Done, err error) {
	transport := &http.Transport{DialContext: l.DialContext, MaxIdleConnsPerHost: webClients}
	defer transport.CloseIdleConnections()
	return workPages(ctx, transport, g, d)
}

func workPages(ctx context.Context, transport *http.Transport, g GuestDef, d time.Duration) (list []Done, err error) {
	client := &http.Client{Transport: transport}
	var pages atomic.Int64
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var watched sync.WaitGroup
	watched.Go(func() {
		list, _ = watchWork(watching, func() (float64, error) { return float64(pages.Load()), nil })
	})
	err = getPages(ctx, client, g, d, &pages)
	stop()
	watched.Wait()
	return list, err
}
