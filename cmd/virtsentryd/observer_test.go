//go:build integration

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/hooks"
)

// observer keeps what the daemon says: every unit, by the control socket, and every change of state, by a hook of an operator's.
type observer struct {
	file string // to which the hook appends the changes

	mu    sync.Mutex // guards units
	units []control.UnitReport
}

// observe installs the hook and listens for units until the test ends, to whichever daemon answers.
func observe(t *testing.T, socket, hookDir, file string) *observer {
	t.Helper()
	if err := os.MkdirAll(hookDir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec cat >>'%s'\n", file)
	if err := os.WriteFile(filepath.Join(hookDir, "10-test"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	o := &observer{file: file}
	ctx, stop := context.WithCancel(context.Background())
	var listening sync.WaitGroup
	listening.Go(func() {
		for ctx.Err() == nil {
			// It ends with the daemon; there will be another one.
			_ = control.NewClient(socket).Units(ctx, func(u control.UnitReport) error {
				o.mu.Lock()
				defer o.mu.Unlock()
				o.units = append(o.units, u)
				return nil
			})
			time.Sleep(50 * time.Millisecond)
		}
	})
	t.Cleanup(func() { stop(); listening.Wait() })
	return o
}

// since are the units of a guest that began at a time or later.
func (o *observer) since(uuid string, from time.Time) (units []control.UnitReport) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, u := range o.units {
		if u.Domain == uuid && !u.Start.Before(from) {
			units = append(units, u)
		}
	}
	return units
}

// between are the units of a guest that lie between two times.
func (o *observer) between(uuid string, from, to time.Time) (units []control.UnitReport) {
	for _, u := range o.since(uuid, from) {
		if !end(u).After(to) {
			units = append(units, u)
		}
	}
	return units
}

// firstJudged is when the first whole, judged unit after a time ended; the time itself: there is none yet.
func (o *observer) firstJudged(uuid string, after time.Time) time.Time {
	for _, u := range o.since(uuid, after) {
		if u.Judged {
			return end(u)
		}
	}
	return after
}

// end is when a unit ended.
func end(u control.UnitReport) time.Time {
	return u.Start.Add(time.Duration(u.Duration * float64(time.Second)))
}

func (o *observer) changesText() string {
	text, _ := os.ReadFile(o.file) // empty before the first change
	return string(text)
}

// changes are all changes of state so far, of all guests.
func (o *observer) changes() (list []hooks.Change) {
	for line := range strings.Lines(o.changesText()) {
		var c hooks.Change
		if json.Unmarshal([]byte(line), &c) == nil { // the last line may be in the making
			list = append(list, c)
		}
	}
	return list
}

// change finds the first change of a guest after a time that is the right one.
func (o *observer) change(uuid string, after time.Time, right func(hooks.Change) bool) (hooks.Change, bool) {
	for _, c := range o.changes() {
		if c.UUID == uuid && c.Since.After(after) && right(c) {
			return c, true
		}
	}
	return hooks.Change{}, false
}
