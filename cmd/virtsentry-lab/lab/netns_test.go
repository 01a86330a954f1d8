package lab

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A namespace needs root and /run/netns; elsewhere there is nothing to test.
func TestNetns(t *testing.T) {
	if CheckRoot() != nil {
		t.Skip("needs root")
	}
	l, err := Open(filepath.Join(t.TempDir(), fmt.Sprintf("virtsentry-lab-u%d", os.Getpid())), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, hadDir := os.Stat(netnsDir)
	if _, err := l.DialContext(t.Context(), "tcp", "10.77.0.1:80"); err == nil {
		t.Error("connected inside a namespace that is not there")
	}
	if err := l.makeNetns(t.Context()); err != nil {
		t.Fatal(err)
	}
	removed := false
	defer func() {
		if !removed {
			_ = l.removeNetns()
		}
	}()
	ino, err := l.netnsInode()
	if err != nil || ino == 0 {
		t.Fatalf("inode %d, %v", ino, err)
	}
	testSinkInside(t, l)
	testResidents(t, l, ino)
	if _, err := l.DialContext(t.Context(), "tcp", "127.0.0.1:80"); err == nil {
		t.Error("connected to an address that is not the subnet's")
	}
	if err := l.removeNetns(); err != nil {
		t.Error(err)
	}
	removed = true
	if ino, err := l.netnsInode(); ino != 0 || err != nil {
		t.Errorf("after its removal the namespace has inode %d, %v", ino, err)
	}
	if err := l.removeNetns(); err != nil {
		t.Errorf("to remove it again: %v", err)
	}
	if _, err := os.Stat(netnsDir); os.IsNotExist(hadDir) && err == nil {
		t.Errorf("%s was left behind", netnsDir)
	}
}

// testSinkInside serves and asks on the bridge's own address, which this
// test's namespace does not have.
func testSinkInside(t *testing.T, l *Lab) {
	t.Helper()
	first, err := l.serveSink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first()
	second, err := l.serveSink(t.Context()) // as two attacks at once have it
	if err != nil {
		t.Fatal(err)
	}
	defer second()
	client := http.Client{Transport: &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true}}
	resp, err := client.Get("http://10.77.0.1/")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !strings.Contains(string(text), "page") {
		t.Errorf("the page is %q, %v", text, err)
	}
}

// testResidents finds a process by the namespace it lives in, and not this
// test, which lives elsewhere.
func testResidents(t *testing.T, l *Lab, ino uint64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "300")
	ownGroup(cmd)
	if err := l.Start(cmd); err != nil {
		t.Fatal(err)
	}
	procs, err := l.residents(ino)
	if err != nil || len(procs) != 1 || procs[0].PID != cmd.Process.Pid {
		t.Errorf("residents %+v, %v; want process %d alone", procs, err, cmd.Process.Pid)
	}
	if err := terminate(t.Context(), procs, killDelay); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("sleep ended in good order")
	}
}
