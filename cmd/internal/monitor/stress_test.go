package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt"
)

// Everything at once: lives follow each other quickly, sessions fail, and operators ask for all there is. It is for the race detector; and
// nothing may be left over.
func TestEverythingAtOnce(t *testing.T) {
	cfg := testConfig(t)
	cfg.Learning.Units = 30
	b := newBench(t, cfg)
	b.await(stateLearning, "")
	b.mu.Lock()
	b.make = func() (source, error) {
		if rand.IntN(4) == 0 {
			return nil, errors.New("no")
		}
		time.Sleep(time.Duration(rand.Int64N(int64(50 * time.Millisecond))))
		_, bytes, err := b.buffers.reserve(65536, 8)
		if err != nil {
			return nil, err
		}
		s := &heavySource{bytes: bytes}
		s.put(batch{registered: true, units: load(rand.IntN(60), time.Now(), 1, 0)})
		if rand.IntN(4) == 0 {
			s.fail(errors.New("sometimes"))
		}
		return s, nil
	}
	b.mu.Unlock()

	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	watching, endWatching := context.WithCancel(t.Context())
	defer endWatching()
	var all sync.WaitGroup
	loop := func(every time.Duration, f func(i int)) {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				f(i)
				time.Sleep(time.Duration(rand.Int64N(int64(every))))
			}
		})
	}
	no := false
	off := cfg
	off.Domains = []config.Match{{Name: "*", Override: config.Override{Watch: &no}}}
	loop(time.Second, func(i int) { b.Reload([]config.Config{cfg, off}[i%2]) })
	loop(time.Second, func(i int) {
		pid := fmt.Sprint(5000 + i)
		for path, text := range map[string]string{
			filepath.Join(b.processes.ProcDir, pid, "stat"):                 fmt.Sprintf("%s (qemu) S%s %d 0\n", pid, strings.Repeat(" 1", 18), 500+i),
			filepath.Join(b.processes.ProcDir, pid, "cmdline"):              "qemu\x00-uuid\x00" + b.domain.UUID + "\x00",
			filepath.Join(cfg.Libvirt.RunDir, "qemu", b.domain.Name+".pid"): pid + "\n",
		} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
				t.Error(err)
			}
		}
		_ = os.RemoveAll(filepath.Join(b.processes.ProcDir, fmt.Sprint(4999+i)))
		_ = os.RemoveAll(filepath.Join(b.processes.ProcDir, "4321"))
	})
	loop(100*time.Millisecond, func(int) {
		b.event(watching, libvirt.Event{Kind: libvirt.EventKind(1 + rand.IntN(9)), Domain: b.domain}, now())
	})
	loop(300*time.Millisecond, func(int) { b.reconcile(watching, b.client) })
	var file []byte
	loop(200*time.Millisecond, func(i int) {
		var err error
		switch i % 6 {
		case 0:
			err = b.Learn(b.domain.UUID, 30)
		case 1:
			if f, exportErr := b.ExportProfile(b.domain.UUID); exportErr == nil {
				file = f
			}
		case 2:
			if file != nil {
				_, err = b.ImportProfile(b.domain.UUID, file)
			}
		case 3:
			_, err = b.RollbackProfile(b.domain.UUID)
		case 4:
			_, err = b.Relearn(b.domain.UUID, control.RelearnRequest{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)})
		case 5:
			err = b.DeleteProfile(b.domain.UUID)
		}
		_ = err // which of them is refused depends on the moment
	})
	loop(time.Second, func(int) {
		c, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		_ = b.Record(c, b.domain.UUID, io.Discard)
	})
	loop(10*time.Millisecond, func(int) { b.Domains() })
	all.Wait()
	endWatching()
	b.end()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		b.buffers.mu.Lock()
		used := b.buffers.used
		b.buffers.mu.Unlock()
		if used == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d bytes of ring buffers are accounted for and not there", used)
		}
	}
}
