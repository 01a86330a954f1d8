package lab

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	tail := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21"
	for _, tt := range []struct {
		line  string
		state byte
		start uint64
		ok    bool
	}{
		{"17 (sleep)" + tail, 'S', 4242, true},
		{"17 (a) Z (b) c)" + tail, 'S', 4242, true},
		{"17 sleep" + tail, 0, 0, false},
		{"17 (sleep) S 1 2", 0, 0, false},
		{"17 (sleep) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x", 0, 0, false},
		{"", 0, 0, false},
	} {
		state, start, err := parseStat([]byte(tt.line))
		if (err == nil) != tt.ok || state != tt.state || start != tt.start {
			t.Errorf("parseStat(%q) = %c, %d, %v", tt.line, state, start, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("17 (sleep) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if state, _, err := parseStat(raw); err != nil && state != 0 {
			t.Errorf("a state %c beside the error %v", state, err)
		}
	})
}

const mountinfo = `22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:25 / /run rw - tmpfs tmpfs rw
31 30 0:25 /virtsentry-lab/run-libvirt /run/libvirt rw - tmpfs tmpfs rw
32 30 0:25 / /run/virtsentry-lab/a\040b rw - tmpfs tmpfs rw
33 30 0:25 / /run/virtsentry-lab rw - tmpfs tmpfs rw
34 30 0:25 / /run/virtsentry-lab-b/c rw - tmpfs tmpfs rw
short
`

func TestMounts(t *testing.T) {
	got := mountsBelow([]byte(mountinfo), "/run/virtsentry-lab")
	if diff := cmp.Diff([]string{"/run/virtsentry-lab/a b", "/run/virtsentry-lab"}, got); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	for name, want := range map[string]bool{"virtsentry-lab": true, "virtsentry-lab-b": false, "lab": false} {
		if hasLabMount([]byte(mountinfo), name) != want {
			t.Errorf("mount namespace taken for that of %s: %v", name, !want)
		}
	}
	deleted := "31 30 8:1 /run/virtsentry-lab/run-libvirt//deleted /run/libvirt rw - ext4 /dev/a rw\n"
	if !hasLabMount([]byte(deleted), "virtsentry-lab") {
		t.Error("a lab's mount namespace was not known after its directory had gone")
	}
}

func FuzzMounts(f *testing.F) {
	f.Add([]byte(mountinfo))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, p := range mountsBelow(raw, "/run/x") {
			if len(p) < len("/run/x") {
				t.Errorf("%q is not below /run/x", p)
			}
		}
		hasLabMount(raw, "virtsentry-lab")
	})
}

func TestProcIsNotItsPID(t *testing.T) {
	self, err := identify("self", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !self.Alive() {
		t.Error("this process is said to be dead")
	}
	for name, p := range map[string]Proc{
		"another start":      {PID: self.PID, Start: self.Start + 1, Exe: self.Exe},
		"another executable": {PID: self.PID, Start: self.Start, Exe: "/bin/other"},
	} {
		if p.Alive() {
			t.Errorf("a process with %s is said to live", name)
		}
	}
}

func TestTerminate(t *testing.T) {
	var procs []Proc
	for _, script := range []string{"echo up; sleep 300", "trap '' TERM; echo up; while :; do sleep 300; done"} {
		cmd := exec.Command("/bin/sh", "-c", script)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		p, err := identify("sh", cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		procs = append(procs, p)
		t.Cleanup(func() { _ = killGroup(cmd); _ = cmd.Wait() })
	}
	other := Proc{PID: os.Getpid(), Start: 1, Exe: "/bin/other"} // our PID, somebody else's identity
	if err := terminate(t.Context(), append(procs, other), 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		if p.Alive() {
			t.Errorf("process %d lives", p.PID)
		}
	}
}

// killGroup ends what a shell has left running.
func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
