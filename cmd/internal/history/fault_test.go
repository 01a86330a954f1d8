package history

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// children are what this test's own program does as a child.
var children = map[string]func(){"write": writeForEver, "full": fillDisk}

// child is this test's own program, as one of children.
func child(ctx context.Context, work string, file string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0])
	c.Env = append(os.Environ(), "HISTORY_TEST_CHILD="+work, "HISTORY_TEST_FILE="+file)
	c.Stderr = os.Stderr
	return c
}

// writeForEver opens and closes incidents, with units, and says of each what was done once it is on disk.
func writeForEver() {
	log := logrus.New()
	log.SetOutput(io.Discard)
	s := New(Config{File: os.Getenv("HISTORY_TEST_FILE"), Days: 1, Incidents: 1 << 20, UnitDays: 1}, log)
	go s.Run(context.Background())
	<-s.Ready()
	for _, r := range s.Inherit(web, "life") {
		fmt.Println("inherited", r.ID)
		r.Closed, r.Until = control.ClosedOver, time.Now()
		s.Put(r, true)
	}
	for n := 0; ; n++ {
		now := time.Now()
		r := s.Open(control.IncidentRecord{UUID: web, Kind: "kind " + strconv.Itoa(n), Life: "life", Since: now, Updated: now, Text: strings.Repeat("x", 3000)})
		s.Await(web, time.Minute)
		fmt.Println("opened", r.ID)
		for i := range 20 {
			s.AddUnits(r.ID, "counts/1", []string{"a", "b"}, control.KeptUnit{Start: now.Add(time.Duration(i)), Counts: map[string]uint64{"b": uint64(i)}})
		}
		if n%3 == 0 {
			continue // left open
		}
		r.Closed, r.Until = control.ClosedOver, now
		s.Put(r, true)
		if _, err := s.Note(r.ID, func(r *control.IncidentRecord) { r.Label = control.LabelTrue }); err == nil {
			fmt.Println("labelled", r.ID)
		}
	}
}

// TestKilled kills a process that writes, again and again. What it had announced is there, each incident once, and the file is sound.
func TestKilled(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	file := filepath.Join(t.TempDir(), "history.db")
	opened, labelled, open := map[string]bool{}, map[string]bool{}, map[string]bool{}
	inherited := 0
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		c := child(ctx, "write", file)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		most := 1 + rand.IntN(60) // lines that are waited for
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			what, id, _ := strings.Cut(lines.Text(), " ")
			switch what {
			case "opened":
				if opened[id] {
					t.Errorf("round %d: %s was opened twice", round, id)
				}
				opened[id] = true
			case "labelled":
				labelled[id] = true
			case "inherited":
				if !open[id] {
					t.Errorf("round %d: %s was inherited, and was not open", round, id)
				}
				delete(open, id)
				inherited++
			}
			if n == most {
				time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
				cancel() // SIGKILL; what is in the pipe is read to its end
			}
		}
		cancel()
		_ = c.Wait()
		all := kept(t, file)
		for id := range opened {
			if _, ok := all[id]; !ok {
				t.Fatalf("round %d: incident %s was announced and is lost", round, id)
			}
		}
		for id := range labelled {
			if all[id].Label != control.LabelTrue {
				t.Errorf("round %d: the label of %s is lost", round, id)
			}
		}
		clear(open)
		for id, r := range all {
			if open[id] = r.Open(); !r.Open() {
				delete(open, id)
			}
		}
	}
	if len(opened) < 3*rounds || inherited == 0 {
		t.Errorf("%d opened, %d labelled, %d inherited: that is no test", len(opened), len(labelled), inherited)
	}
	t.Logf("%d rounds: %d incidents announced, %d labelled, %d inherited", rounds, len(opened), len(labelled), inherited)
}

// TestNoRoom has SQLite itself say that there is no room.
func TestNoRoom(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg, nil)
	before := s.Open(anomaly(web, 1))
	s.Await(web, time.Minute)
	pages := func(n int) {
		t.Helper()
		if _, err := s.connection().Exec(fmt.Sprint("PRAGMA max_page_count = ", n)); err != nil {
			t.Fatal(err)
		}
	}
	pages(1) // SQLite takes the pages that there are
	var ids []string
	for i := range 20 {
		r := anomaly(db, i)
		r.Kind, r.Text = fmt.Sprint(i), strings.Repeat("x", 5000)
		r = s.Open(r)
		s.AddUnits(r.ID, "counts/1", []string{"a"}, control.KeptUnit{Start: noon, Counts: map[string]uint64{"a": 1}})
		ids = append(ids, r.ID)
	}
	for end := time.Now().Add(time.Minute); s.Trouble() == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is wrong")
		}
	}
	if h := s.Status(); !strings.Contains(h.Error, "no room on its disk") || h.Waiting == 0 {
		t.Errorf("status %+v", h)
	}
	if _, err := s.Note(before.ID, func(r *control.IncidentRecord) { r.Label = control.LabelTrue }); err != nil {
		t.Errorf("a label: %v", err)
	}
	if list, err := s.List(control.IncidentFilter{}); err != nil || len(list) != 21 {
		t.Errorf("%d incidents are known, %v; want 21", len(list), err)
	}
	pages(1 << 20)
	awaitWritten(t, s)
	s.stop()
	all := kept(t, cfg.File)
	for _, id := range ids {
		if _, ok := all[id]; !ok {
			t.Errorf("incident %s is lost", id)
		}
	}
	if len(all) != 21 || all[before.ID].Label != control.LabelTrue {
		t.Errorf("%d incidents are on disk, the first %+v", len(all), all[before.ID])
	}
}

// fillDisk is TestFullDisk in a mount namespace of its own.
func fillDisk() {
	dir := os.Getenv("HISTORY_TEST_FILE")
	must := func(err error) {
		if err != nil {
			fmt.Println("FAIL", err)
			os.Exit(1)
		}
	}
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"))
	log := logrus.New()
	log.SetOutput(os.Stdout)
	s := New(Config{File: filepath.Join(dir, "history.db"), Days: 1, Incidents: 1000, UnitDays: 1}, log)
	s.retryFirst, s.retryMost = time.Millisecond, 20*time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	<-s.Ready()
	waitFor := func(what string, ok func(control.HistoryStatus) bool) {
		for end := time.Now().Add(time.Minute); !ok(s.Status()); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				must(fmt.Errorf("%s: %+v", what, s.Status()))
			}
		}
	}
	open := func(n int) {
		now := time.Now()
		s.Open(control.IncidentRecord{UUID: web, Kind: strconv.Itoa(n), Since: now, Updated: now, Text: strings.Repeat("x", 4000)})
	}
	open(0)
	s.Await(web, time.Minute)
	// Somebody else fills the disk.
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	must(err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		must(err)
	}
	must(f.Close())
	for n := range 30 {
		open(n + 1)
	}
	waitFor("the full disk is not noticed", func(h control.HistoryStatus) bool {
		return h.Error != "" && h.Waiting > 0 && h.Failures > 0 && !h.Failed.IsZero()
	})
	for n := range 10 {
		open(n + 31)
	}
	if n := s.Status().Waiting; n < 10 {
		must(fmt.Errorf("%d incidents wait", n))
	}
	must(os.Truncate(ballast, 0))
	must(unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=4m"))
	waitFor("nothing is written after the disk was full", func(h control.HistoryStatus) bool { return h.Error == "" && h.Waiting == 0 && h.Bytes > 0 })
	stop()
	<-ended
	d, err := openDatabase(filepath.Join(dir, "history.db"))
	must(err)
	must(d.check())
	list, err := d.records("SELECT record FROM incident")
	must(err)
	must(d.close())
	fmt.Println("on disk:", len(list))
}

// TestFullDisk fills a small file system, and makes room on it again.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small file system; TestNoRoom is run by all")
	}
	c := child(t.Context(), "full", t.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := c.Output()
	text := string(out)
	switch {
	case errors.Is(err, syscall.EPERM):
		t.Skip("no mount namespace may be made here")
	case err != nil || !strings.Contains(text, "on disk: 41\n"):
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{"incidents are not written; they are kept in memory", "incidents are written again"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("the log does not say once: %s\n%s", want, text)
		}
	}
}

func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, file string){
		"garbage":   func(t *testing.T, file string) { write(t, file, []byte(strings.Repeat("garbage ", 1000))) },
		"cut off":   func(t *testing.T, file string) { truncate(t, file, 8192+100) },
		"a page":    func(t *testing.T, file string) { overwrite(t, file, 4096, 4096*5) },
		"no schema": func(t *testing.T, file string) { overwrite(t, file, 100, 4096) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			s := start(t, cfg, nil)
			for i := range 40 {
				s.Put(closed(s.Open(anomaly(web, i))), true)
			}
			open := s.Open(anomaly(db, 1))
			s.stop()
			damage(t, cfg.File)
			s = start(t, cfg, nil)
			mine := s.Open(anomaly(web, 99))
			awaitWritten(t, s)
			if said := s.Status().Aside; !strings.HasPrefix(said, cfg.File+".damaged-") {
				t.Errorf("the status says %q of the damaged file", said)
			}
			s.stop()
			all := kept(t, cfg.File)
			if _, ok := all[mine.ID]; !ok {
				t.Errorf("what was opened since is not in the new file: %v", all)
			}
			_ = open // it may have been read before the damage was found
			aside, err := filepath.Glob(cfg.File + ".damaged-*")
			if err != nil || len(aside) == 0 {
				t.Errorf("the damaged file was not moved aside: %v, %v", aside, err)
			}
			if text := s.log.String(); !strings.Contains(text, "the database is damaged; a new one is begun") || !strings.Contains(text, "moved_to=") {
				t.Errorf("the log says\n%s", text)
			}
		})
	}
}

// TestDamagedWhileOpen: what is in memory is written into the new file.
func TestDamagedWhileOpen(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg, nil)
	first := s.Open(anomaly(web, 1))
	s.Await(web, time.Minute)
	if _, err := s.connection().Exec("PRAGMA wal_checkpoint(truncate); PRAGMA cache_size = 0; PRAGMA shrink_memory"); err != nil {
		t.Fatal(err)
	}
	overwrite(t, cfg.File, 4096, 4096*20)
	for i := range 5 {
		r := anomaly(db, i)
		r.Kind = fmt.Sprint(i)
		s.Open(r)
		s.Await(db, time.Minute)
	}
	awaitWritten(t, s)
	s.stop()
	if all := kept(t, cfg.File); len(all) != 6 || all[first.ID].ID == "" {
		t.Errorf("%d incidents are in the new file; want 6\n%s", len(all), s.log.String())
	}
}

func TestAsideIsBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "history.db")
	for i := range 6 {
		write(t, file, []byte("x"))
		write(t, file+"-wal", []byte("x"))
		if _, err := moveAside(file, noon.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2*asideKept {
		t.Errorf("%v, %v; want %d files", entries, err, 2*asideKept)
	}
}

// TestOthersFile: a file of a newer release or of another program is left as it is, and the daemon goes on without.
func TestOthersFile(t *testing.T) {
	for name, tc := range map[string]struct{ sql, complaint string }{
		"newer": {fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = 7; CREATE TABLE x (y)", applicationID), "it is of version 7, and this virtsentryd knows versions up to 1"},
		"other": {"CREATE TABLE x (y)", "a database of another program"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			if err := os.MkdirAll(filepath.Dir(cfg.File), 0o700); err != nil {
				t.Fatal(err)
			}
			execute(t, cfg.File, tc.sql)
			before, err := os.ReadFile(cfg.File)
			if err != nil {
				t.Fatal(err)
			}
			s := start(t, cfg, nil)
			s.Open(anomaly(web, 1))
			s.Await(web, time.Minute)
			if h := s.Status(); !strings.Contains(h.Error, tc.complaint) || h.Waiting != 1 {
				t.Errorf("status %+v", h)
			}
			if list, err := s.List(control.IncidentFilter{}); err != nil || len(list) != 1 {
				t.Errorf("List = %v, %v", list, err)
			}
			s.stop()
			if after, err := os.ReadFile(cfg.File); err != nil || string(after) != string(before) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}

// TestTwoAtOnce: a file belongs to one process.
func TestTwoAtOnce(t *testing.T) {
	cfg := testConfig(t)
	first := start(t, cfg, nil)
	first.Open(anomaly(web, 1))
	first.Await(web, time.Minute)
	second := start(t, cfg, nil)
	mine := second.Open(anomaly(db, 1))
	if h := second.Status(); !strings.Contains(h.Error, "another process has it open") {
		t.Errorf("status %+v", h)
	}
	first.stop()
	awaitWritten(t, second)
	second.stop()
	if all := kept(t, cfg.File); len(all) != 2 || all[mine.ID].ID == "" {
		t.Errorf("%v", all)
	}
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, file string, size int64) {
	t.Helper()
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
}

// overwrite makes garbage of a part of a file.
func overwrite(t *testing.T, file string, from, to int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < min(to, len(text)); i++ {
		text[i] = 0xa5
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
