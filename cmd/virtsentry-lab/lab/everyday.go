package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Everyday is the scenario of a server's normal days: its visitors, and what
// it does by itself, such as backups, log rotation and package upgrades. The
// time line of that is the file everyday.log beside the trace, a line for each
// begin and end: the time, the run's number, the job, and at its end the exit
// code with the last words of one that failed.
const Everyday = "everyday"

//go:embed everyday.sh
var everydayScript string

// everyday is what a server does by itself beside serving, and a search
// engine's visits, for the length of a recording.
type everyday struct {
	guest string
	seed  uint64
	span  time.Duration // of the recording, from the start of the script
	pace  int           // times the usual frequency
	log   string        // path of the time line
}

// playEveryday plays until ctx ends, which is no error. Jobs that fail do not
// end it: they are in the time line, and told at the end.
func (l *Lab) playEveryday(ctx context.Context, e everyday, repository string) (err error) {
	g, err := l.Guest(e.guest)
	if err != nil {
		return err
	}
	line, err := newEverydayLog(e.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, line.close()) }()
	host, err := l.serveEveryday(repository, func(s string) { line.add(time.Now(), s) })
	if err != nil {
		return err
	}
	defer host.stop()
	runs := everydaySchedule(e.seed, e.span, e.pace)
	line.note("seed %d, pace %d, %d runs in %v", e.seed, e.pace, len(runs), e.span)
	line.noteClocks()
	began := time.Now()
	var crawling sync.WaitGroup
	crawlCtx, endCrawl := context.WithCancel(ctx)
	crawling.Go(func() { l.crawlBySchedule(crawlCtx, runs, e, "http://"+g.Addr.String(), line) })
	argv := append([]string{"bash", "-c", everydayScript, "everyday", HostAddr.String(), strconv.Itoa(host.httpPort),
		strconv.Itoa(host.logPort), guestSchedule(runs)}, everydayPackages...)
	res, execErr := l.execFor(ctx, e.guest, e.span+time.Minute, bounded(e.span+time.Minute, "TERM", argv...))
	elapsed := time.Since(began)
	endCrawl()
	crawling.Wait()
	line.noteClocks()
	l.everydayEnd(ctx, e, line, runs, elapsed)
	line.note("%d bytes of backups were taken", host.backups.Load())
	switch {
	case ctx.Err() != nil:
		return nil // ended, as it is to be
	case execErr != nil:
		return fmt.Errorf("everyday: %w", execErr)
	}
	return fmt.Errorf("everyday: the guest's script ended early: exit code %d: %s", res.Code, tail(append(res.Stderr, res.Stdout...)))
}

// everydayEnd completes the time line from the guest's own and tells what
// went wrong.
func (l *Lab) everydayEnd(ctx context.Context, e everyday, line *everydayLog, runs []run, elapsed time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	res, err := l.Exec(ctx, e.guest, "cat", "/var/lib/everyday/log")
	if err != nil || res.Code != 0 {
		line.note("the guest's own time line cannot be read: %v, exit code %d", err, res.Code)
		l.log.Warnf("everyday: the guest's own time line cannot be read: %v, exit code %d", err, res.Code)
	}
	if lost := line.merge(res.Stdout); lost > 0 {
		l.log.Warnf("everyday: %d lines of the time line were not heard, and have the guest's time", lost)
	}
	bad := line.verdict(runs, elapsed)
	for _, what := range bad {
		line.note("failed: %s", what)
		l.log.Warnf("everyday: %s", what)
	}
	line.note("%d of %d runs failed", len(bad), len(runs))
}
