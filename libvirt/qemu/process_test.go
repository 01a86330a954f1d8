package qemu

import (
	"context"
	"errors"
	"os"
	"os/exec"
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

// What a process runs is read only where nobody but root, or the caller, could have made it.
func TestExecutableOfOthers(t *testing.T) {
	data, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, prepare := range map[string]func(file string) error{
		"own":              func(string) error { return nil },
		"others may write": func(file string) error { return os.Chmod(file, 0o757) },
		"group may write":  func(file string) error { return os.Chmod(file, 0o775) },
		"a directory":      func(file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o700)) },
		"of the guest's user": func(file string) error {
			if os.Geteuid() != 0 {
				return os.Chmod(file, 0o777)
			}
			return os.Chown(file, 4321, 4321)
		},
	} {
		file := filepath.Join(t.TempDir(), "qemu")
		p := Processes{ProcDir: t.TempDir()}
		err := errors.Join(os.WriteFile(file, data, 0o755), prepare(file), os.Mkdir(filepath.Join(p.ProcDir, "7"), 0o700),
			os.Symlink(file, filepath.Join(p.ProcDir, "7", "exe")))
		if err != nil {
			t.Fatal(err)
		}
		_, idErr := p.BuildID(Process{PID: 7})
		_, linksErr := p.Links(Process{PID: 7}, "libc.so")
		if refused := name != "own"; errors.Is(idErr, errNotTrusted) != refused || errors.Is(linksErr, errNotTrusted) != refused {
			t.Errorf("%s: %v, %v", name, idErr, linksErr)
		}
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
	f.Fuzz(func(t *testing.T, stat []byte) {
		state, start, err := parseStat(stat)
		if err == nil && !strings.Contains(string(stat), strconv.FormatUint(start, 10)) && !strings.Contains(string(stat), "0") || err == nil && state == 0 {
			t.Errorf("%q: state %q, started at %d", stat, state, start)
		}
	})
}

// FuzzProcess takes any bytes for what a process shows of itself, and for its PID file: nobody but the process that was started for the domain is found.
func FuzzProcess(f *testing.F) {
	f.Add([]byte("4321\n"), []byte(statLine("CPU 0/KVM", "S", 99)), []byte("qemu\x00-uuid\x00"+someUUID+"\x00"), []byte("1000.00 1.0\n"))
	f.Add([]byte("-1"), []byte(statLine("a) S (b", "Z", 1<<63)), []byte("-uuid"), []byte("NaN"))
	f.Add([]byte("4321"), []byte("() R"), []byte("\x00\x00-uuid\x00-uuid\x00"+strings.ToUpper(someUUID)), []byte("1e400"))
	p := Processes{RunDir: f.TempDir(), ProcDir: f.TempDir()}
	if err := errors.Join(os.Mkdir(filepath.Join(p.RunDir, "qemu"), 0o700), os.Mkdir(filepath.Join(p.ProcDir, "4321"), 0o700)); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, pidFile, stat, cmdline, uptime []byte) {
		for file, data := range map[string][]byte{
			filepath.Join(p.RunDir, "qemu", "web.pid"): pidFile, filepath.Join(p.ProcDir, "uptime"): uptime,
			filepath.Join(p.ProcDir, "4321", "stat"): stat, filepath.Join(p.ProcDir, "4321", "cmdline"): cmdline,
		} {
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		q, err := p.Find(Domain{UUID: someUUID, Name: "web"})
		if err == nil && (q.PID != 4321 || !strings.Contains(strings.ToLower(string(cmdline)), someUUID)) {
			t.Errorf("found %+v for arguments %q", q, cmdline)
		}
		if d, err := p.Identify("web"); err == nil && (!uuidForm.MatchString(d.UUID) || d.UUID != strings.ToLower(d.UUID)) {
			t.Errorf("identified %+v", d)
		}
		_, _ = p.Restored(Process{PID: 4321})
		if age, err := p.Age(q); err == nil && age < 0 {
			t.Errorf("age %v", age)
		}
	})
}

// A process of which nothing can be read is not taken for one that has ended.
func TestAliveUnknown(t *testing.T) {
	p := Processes{ProcDir: t.TempDir()}
	if p.Alive(Process{PID: 4321, Start: 500}) {
		t.Error("a process that there is not")
	}
	if err := os.MkdirAll(filepath.Join(p.ProcDir, "4321", "stat"), 0o700); err != nil { // no file
		t.Fatal(err)
	}
	if !p.Alive(Process{PID: 4321, Start: 500}) {
		t.Error("a process whose stat cannot be read has ended")
	}
}

// A process that is watched is there until it has ended, whether it was waited for or not; another one of its PID is not there.
func TestWatch(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	p := Processes{ProcDir: DefaultProcDir}
	start, err := p.startTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other, end := p.Watch(Process{PID: cmd.Process.Pid, Start: start + 1})
	defer end()
	if other() {
		t.Error("a process of another start time is there")
	}
	alive, end := p.Watch(Process{PID: cmd.Process.Pid, Start: start})
	defer end()
	if !alive() {
		t.Error("it has ended")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); alive(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is still there after it was killed")
		}
	}
	gone, end := p.Watch(Process{PID: cmd.Process.Pid, Start: start})
	defer end()
	if gone() {
		t.Error("a zombie is there")
	}
}
