package qemu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const someUUID = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"

// roots makes the two trees with one QEMU-like process in them.
func roots(t *testing.T, pidFile, stat, cmdline string) Processes {
	t.Helper()
	p := Processes{RunDir: t.TempDir(), ProcDir: t.TempDir()}
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(p.ProcDir, "uptime"), "1000.00 1.0\n")
	if pidFile != "" {
		write(filepath.Join(p.RunDir, "qemu", "web.pid"), pidFile)
	}
	if stat != "" {
		write(filepath.Join(p.ProcDir, "4321", "stat"), stat)
		write(filepath.Join(p.ProcDir, "4321", "cmdline"), strings.ReplaceAll(cmdline, " ", "\x00"))
	}
	return p
}

func statLine(name, state string, start uint64) string {
	return "4321 (" + name + ") " + state + strings.Repeat(" 7", 18) + " " + strconv.FormatUint(start, 10) + " 8 9\n"
}

func TestFind(t *testing.T) {
	ours := "qemu-system-x86_64 -name guest=web -uuid " + someUUID + " -m 1"
	tests := map[string]struct {
		pidFile, stat, cmdline string
		gone                   bool // ErrNoProcess is wanted
		want                   Process
	}{
		"found":                     {"4321\n", statLine("CPU 0/KVM", "S", 99), ours, false, Process{4321, 99}},
		"name with parenthesis":     {"4321", statLine("a) S (b", "R", 98), ours, false, Process{4321, 98}},
		"no pid file":               {"", statLine("q", "S", 1), ours, true, Process{}},
		"no process":                {"4321", "", "", true, Process{}},
		"zombie":                    {"4321", statLine("q", "Z", 1), ours, true, Process{}},
		"PID used by another guest": {"4321", statLine("q", "S", 1), "qemu-system-x86_64 -uuid 00000000-0000-0000-0000-000000000001", true, Process{}},
		"PID used by a stranger":    {"4321", statLine("q", "S", 1), "sleep " + someUUID, true, Process{}},
		"garbled pid file":          {"x4321", statLine("q", "S", 1), ours, false, Process{}},
		"negative PID":              {"-1", statLine("q", "S", 1), ours, false, Process{}},
		"started after it":          {"4321", statLine("q", "S", 97000), ours, true, Process{}},
		"endless PID file":          {strings.Repeat("4", 100), statLine("q", "S", 1), ours, false, Process{}},
		"garbled stat":              {"4321", "4321 (q S 1", ours, false, Process{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := roots(t, test.pidFile, test.stat, test.cmdline)
			if test.pidFile != "" { // 940 seconds after boot
				wroteAgo(t, p, time.Minute)
			}
			got, err := p.Find(Domain{UUID: someUUID, Name: "web"})
			if got != test.want || errors.Is(err, ErrNoProcess) != test.gone || (err == nil) != (test.want.PID != 0) {
				t.Errorf("Find = %+v, %v", got, err)
			}
			if err == nil && (!p.Alive(got) || p.Alive(Process{got.PID, got.Start + 1})) {
				t.Error("Alive does not tell this process from another with its PID")
			}
		})
	}
}

func TestStarts(t *testing.T) {
	p := roots(t, "", statLine("q", "S", 1), "libvirtd --daemon") // not yet executed
	dir := filepath.Join(p.RunDir, "qemu")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if _, err := p.Starts(ctx); err == nil {
		t.Error("Starts of a directory that is not there: no error")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	starts, err := p.Starts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"web.pid": "4321", "garbled.pid": "x", "web.xml": "4321"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmdline := "qemu\x00-uuid\x00" + someUUID + "\x00"
	if err := os.WriteFile(filepath.Join(p.ProcDir, "4321", "cmdline"), []byte(cmdline), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := <-starts; d != (Domain{UUID: someUUID, Name: "web"}) {
		t.Errorf("started: %+v", d)
	}
	stop()
	if d, open := <-starts; open {
		t.Errorf("started: %+v; want no more", d)
	}
}

func TestBuildID(t *testing.T) {
	p := Processes{ProcDir: t.TempDir()}
	dir := filepath.Join(p.ProcDir, "7")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/bin/sh", filepath.Join(dir, "exe")); err != nil {
		t.Fatal(err)
	}
	if id, err := p.BuildID(Process{PID: 7}); err != nil || len(id) != 40 {
		t.Errorf("BuildID = %q, %v; want 20 bytes in hexadecimal", id, err)
	}
	if _, err := p.BuildID(Process{PID: 8}); !errors.Is(err, ErrNoProcess) {
		t.Errorf("BuildID of no process: %v", err)
	}
}

func TestGuestTime(t *testing.T) {
	p := Processes{ProcDir: t.TempDir()}
	for tid, thread := range map[string][2]string{
		"1": {"qemu-system-x86", "900 1 1"}, "2": {"CPU 0/KVM", "1500000 7 3"}, "3": {"CPU 1/KVM", "500000 7 3"}, "4": {"IO iothread1", "900 1 1"},
	} {
		dir := filepath.Join(p.ProcDir, "7", "task", tid)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"comm", "schedstat"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(thread[i]+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := p.GuestTime(Process{PID: 7}); err != nil || got != 2*time.Millisecond {
		t.Errorf("GuestTime = %v, %v; want 2ms", got, err)
	}
	if got, err := p.GuestTime(Process{PID: 8}); err != nil || got != 0 {
		t.Errorf("GuestTime of no process = %v, %v", got, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(statLine("CPU 0/KVM", "S", 99)))
	f.Fuzz(func(_ *testing.T, stat []byte) { _, _, _ = parseStat(stat) })
}
