package qemu

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wroteAgo says since when the PID file is there.
func wroteAgo(t *testing.T, p Processes, ago time.Duration) {
	t.Helper()
	then := time.Now().Add(-ago)
	if err := os.Chtimes(p.pidFile("web"), then, then); err != nil {
		t.Fatal(err)
	}
}

// TestMain is also the process that TestFindAfterTheClockWasSet has hold a lock.
func TestMain(m *testing.M) {
	if file := os.Getenv("VIRTSENTRY_TEST_LOCK"); file != "" {
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err == nil {
			err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK})
		}
		if err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString("locked")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
		return
	}
	os.Exit(m.Run())
}

// A clock that was set makes any process look too young. One that has the lock on its PID file is the one.
func TestFindAfterTheClockWasSet(t *testing.T) {
	holder := exec.Command(os.Args[0])
	end, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "lock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	holder.Env = append(os.Environ(), "VIRTSENTRY_TEST_LOCK="+file)
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = end.Close(), holder.Wait() }()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(holder.Process.Pid)
	p := roots(t, pid, statLine("q", "S", 99), "qemu -uuid "+someUUID)
	if err := os.Rename(filepath.Join(p.ProcDir, "4321"), filepath.Join(p.ProcDir, pid)); err != nil {
		t.Fatal(err)
	}
	wroteAgo(t, p, 24*time.Hour)
	d := Domain{UUID: someUUID, Name: "web"}
	if q, err := p.Find(d); !errors.Is(err, ErrNoProcess) || !strings.Contains(err.Error(), "after") {
		t.Errorf("Find = %v, %v; want none that is younger than its PID file", q, err)
	}
	text, err := os.ReadFile(p.pidFile("web"))
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-24 * time.Hour)
	if err := errors.Join(os.WriteFile(file, text, 0o600), os.Chtimes(file, then, then), os.Rename(file, p.pidFile("web"))); err != nil {
		t.Fatal(err)
	}
	if q, err := p.Find(d); err != nil || q != (Process{holder.Process.Pid, 99}) {
		t.Errorf("Find = %v, %v", q, err)
	}
}

func TestFindOddFiles(t *testing.T) {
	d := Domain{UUID: someUUID, Name: "web"}
	p := roots(t, "4321", statLine("q", "S", 99), "qemu -uuid "+someUUID)
	cmdline := filepath.Join(p.ProcDir, "4321", "cmdline")
	if err := os.Truncate(cmdline, mostCmdline+1); err != nil { // a sparse file
		t.Fatal(err)
	}
	if _, err := p.Find(d); err == nil || errors.Is(err, ErrNoProcess) {
		t.Errorf("Find with a huge command line: %v", err)
	}
	if err := errors.Join(os.Remove(p.pidFile("web")), syscall.Mkfifo(p.pidFile("web"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Find(d); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("Find with a FIFO for a PID file: %v", err)
	}
	if err := errors.Join(os.Remove(p.pidFile("web")), os.Mkdir(p.pidFile("web"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Find(d); err == nil || errors.Is(err, ErrNoProcess) {
		t.Errorf("Find with a directory for a PID file: %v", err)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	qemu, other, script := file("qemu", "\x7fELF"), file("other", "\x7fELF"), file("script", "#!/bin/sh\n")
	link, hard := filepath.Join(dir, "link"), filepath.Join(dir, "hard")
	if err := errors.Join(os.Symlink(qemu, link), os.Link(qemu, hard)); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		runs, emulator string
		want           error
	}{
		"it":                     {qemu, qemu, nil},
		"by a symbolic link":     {qemu, link, nil},
		"by a hard link":         {qemu, hard, nil},
		"upgraded":               {qemu + " (deleted)", qemu, nil},
		"upgraded, by a link":    {qemu + " (deleted)", link, nil},
		"other":                  {other, qemu, ErrOtherExecutable},
		"other, deleted":         {other + " (deleted)", qemu, ErrOtherExecutable},
		"emulator is a script":   {qemu, script, nil},
		"emulator is not there":  {qemu, filepath.Join(dir, "none"), ErrOtherExecutable},
		"both are not there":     {filepath.Join(dir, "none"), filepath.Join(dir, "none"), nil},
		"no emulator is defined": {qemu, "", ErrOtherExecutable},
		"no process":             {"", qemu, ErrNoProcess},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := Processes{ProcDir: t.TempDir()}
			if test.runs != "" {
				if err := errors.Join(os.Mkdir(filepath.Join(p.ProcDir, "7"), 0o700), os.Symlink(test.runs, filepath.Join(p.ProcDir, "7", "exe"))); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Check(Process{PID: 7}, test.emulator); !errors.Is(err, test.want) {
				t.Errorf("Check = %v; want %v", err, test.want)
			}
			if path, err := p.Executable(Process{PID: 7}); path != test.runs || (err != nil) != (test.runs == "") {
				t.Errorf("Executable = %q, %v", path, err)
			}
		})
	}
}

func TestRestored(t *testing.T) {
	for cmdline, want := range map[string]bool{
		"qemu -uuid " + someUUID + " -S":               false,
		"qemu -uuid " + someUUID + " -incoming defer":  true,
		"qemu -uuid " + someUUID + " -loadvm snapshot": true,
		"qemu -name guest=-incoming":                   false,
		"":                                             false,
	} {
		p := roots(t, "", statLine("q", "S", 1), cmdline)
		if got, err := p.Restored(Process{PID: 4321}); got != want || err != nil {
			t.Errorf("Restored of %q = %v, %v", cmdline, got, err)
		}
	}
	if _, err := (Processes{ProcDir: t.TempDir()}).Restored(Process{PID: 7}); !errors.Is(err, ErrNoProcess) {
		t.Errorf("Restored of no process: %v", err)
	}
}
