package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/cmd/internal/doctor"
)

// findings are of every status, with a text that would steer a terminal. What leads to which of them is tested in package doctor.
var findings = []doctor.Finding{
	{Check: doctor.SessionDaemon, Status: doctor.OK, Text: "lttng-sessiond, process 311 of root, takes connections"},
	{Check: doctor.ClockSource, Status: doctor.Warning, Text: "hpet", Remedy: "tsc"},
	{Check: doctor.Network, Domain: "web", UUID: "c7a5fdbd-cdaf-9455-926a-d65c16db1809", Status: doctor.Problem, Text: "interface net0: vhost-net", Remedy: "<driver name='qemu'/>"},
	{Check: doctor.Process, Domain: "tab\there\x1b[31m", Status: doctor.Unknown, Text: "two\nlines", Remedy: "run it as root"},
}

func TestWriteFindings(t *testing.T) {
	var b strings.Builder
	if err := writeFindings(&b, findings); err != nil {
		t.Fatal(err)
	}
	golden(t, "doctor.txt", b.String())
}

func TestVerdict(t *testing.T) {
	if err := verdict(findings[:2]); err != nil {
		t.Errorf("a warning: %v", err)
	}
	for _, some := range [][]doctor.Finding{findings[2:3], findings[3:]} {
		if err := verdict(some); err == nil || exitCode(err) != exitFailure {
			t.Errorf("%s: %v", some[0].Status, err)
		}
	}
}

// TestDoctor looks at this host, whatever it is like, with a libvirt that has no domain.
func TestDoctor(t *testing.T) {
	socket := serve(t, &backend{domains: []control.DomainStatus{}})
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "qemu"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, code, err := run(t.Context(), "--socket", socket, "doctor", "--run-dir", dir, "no-such")
	if code != exitNoDomain || err == nil || !strings.HasPrefix(out, "host\n") {
		t.Errorf("no such domain: exit status %d, %v:\n%s", code, err, out)
	}
	out, _, err = run(t.Context(), "--socket", socket, "doctor", "--run-dir", dir, "-o", "json")
	var list []doctor.Finding
	if jsonErr := json.Unmarshal([]byte(out), &list); jsonErr != nil {
		t.Fatalf("%v:\n%s", jsonErr, out)
	}
	if want := verdict(list); (err == nil) != (want == nil) {
		t.Errorf("error %v; want %v", err, want)
	}
	if len(list) == 0 || list[0].Check != doctor.Daemon || list[0].Status != doctor.OK {
		t.Errorf("the first finding: %+v", list[0])
	}
}
