package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// workload is work that a guest does as fast as it can.
type workload struct {
	name, unit string
	prepare    func(ctx context.Context, l *Lab, g GuestDef) error
	// run works for d and returns the rate.
	run func(ctx context.Context, l *Lab, g GuestDef, d time.Duration) (float64, error)
}

// workloads use what the sources observe: the network, and the disk.
var workloads = []workload{
	{name: "a static page over the network", unit: "requests/s", prepare: prepareWeb, run: runWeb},
	{name: "random reads and writes of the disk", unit: "requests/s", prepare: prepareDisk, run: runDisk},
}

const (
	// webClients ask for the next page as soon as they have one.
	webClients = 4
	webPath    = "/style.css"
	// diskFiles is where the guest's files of the workload are, on its disk and not in its memory.
	diskFiles = "cd /var/tmp && exec sysbench fileio --file-total-size=64M --file-num=4 --file-test-mode=rndrw "
)

func prepareWeb(ctx context.Context, l *Lab, g GuestDef) error { return l.webPage(ctx, g) }

// runWeb counts the pages that clients in the lab's network get.
func runWeb(ctx context.Context, l *Lab, g GuestDef, d time.Duration) (float64, error) {
	transport := &http.Transport{DialContext: l.DialContext, MaxIdleConnsPerHost: webClients}
	defer transport.CloseIdleConnections()
	var pages atomic.Int64
	begin := time.Now()
	if err := getPages(ctx, &http.Client{Transport: transport}, g, d, &pages); err != nil {
		return 0, err
	}
	return float64(pages.Load()) / time.Since(begin).Seconds(), nil
}

// getPages has clients get pages for d, and counts these.
func getPages(ctx context.Context, client *http.Client, g GuestDef, d time.Duration, pages *atomic.Int64) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for range webClients {
		group.Go(func() error {
			for {
				err := wholePage(ctx, client, "http://"+g.Addr.String()+webPath)
				if ctx.Err() != nil {
					return nil //nolint:nilerr // the time is over
				}
				if err != nil {
					return err
				}
				pages.Add(1)
			}
		})
	}
	return group.Wait()
}

// wholePage reads a page to its end, so that its connection can be used again.
func wholePage(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func prepareDisk(ctx context.Context, l *Lab, g GuestDef) error {
	res, err := l.Exec(ctx, g.Name, bounded(time.Minute, "TERM", "/bin/sh", "-c", diskFiles+"prepare")...)
	if err != nil {
		return err
	}
	return judgeRun("prepare files", res)
}

// runDisk has the guest read and write its disk past its memory, and count the requests.
func runDisk(ctx context.Context, l *Lab, g GuestDef, d time.Duration) (float64, error) {
	script := fmt.Sprintf("%s--file-extra-flags=direct --time=%d --max-requests=0 run", diskFiles, int(d.Seconds()))
	res, err := l.execFor(ctx, g.Name, d, bounded(2*d+time.Minute, "TERM", "/bin/sh", "-c", script))
	if err != nil {
		return 0, err
	}
	if err := judgeRun("sysbench fileio", res); err != nil {
		return 0, err
	}
	return parseFileio(string(res.Stdout))
}

var fileioRate = regexp.MustCompile(`(?m)^\s*(reads|writes|fsyncs)/s:\s+([0-9.]+)\s*$`)

// parseFileio adds up the rates of requests that sysbench fileio prints.
func parseFileio(text string) (float64, error) {
	found := fileioRate.FindAllStringSubmatch(text, -1)
	if len(found) != 3 {
		return 0, fmt.Errorf("sysbench fileio: %d rates, want 3, in: %s", len(found), tail([]byte(text)))
	}
	sum := 0.0
	for _, f := range found {
		rate, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			return 0, fmt.Errorf("sysbench fileio: %w", err)
		}
		sum += rate
	}
	return sum, nil
}
