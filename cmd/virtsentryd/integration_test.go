//go:build integration

package main

import (
	"cmp"
	"os"
	"path/filepath"
	"testing"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

// wayLab names TestIntegrationWay's lab in the environment. Two runs on one machine at a time need two names, also in two mount namespaces: a lab's disks lie in
// /var/tmp under its name.
const wayLab = "VIRTSENTRY_WAY_LAB"

// TestIntegrationWay goes the whole way on the real stack: libvirt, QEMU with UST, LTTng and a Debian guest. The promises are named by its steps,
// which share one lab and one daemon. Each step makes ready what it needs, so that any one can be run alone (-run TestIntegrationWay/reset), and
// leaves a guest that is watched. After each one, every second of each guest's life is accounted for and no session is left over.
func TestIntegrationWay(t *testing.T) {
	if err := lab.CheckRoot(); err != nil {
		t.Fatal(err)
	}
	s := newStack(t, lab.Config{Dir: filepath.Join("/run", cmp.Or(os.Getenv(wayLab), "virtsentry-lab-test")), Guest: "web", DefineOnly: true})
	s.web = s.guest(t, "web")
	for _, step := range []struct {
		name string
		f    func(*testing.T)
	}{
		{"attach to a guest already running", s.testAttachRunning},
		{"a libvirt client sees each state as metadata and as an event", s.testLearn},
		{"without faults nearly every second is scored", s.testQuiet},
		{"metrics tell what the status tells", s.testMetrics},
		{"the doctor finds nothing wrong with a healthy guest", s.testDoctor},
		{"a paused guest is said to be paused", s.testPause},
		{"two guests at once have nothing to do with each other", s.testTwoGuests},
		{"a guest that reboots is starting", s.testReboot},
		{"a guest that is reset is starting", s.testReset},
		{"a guest that is restored does not boot", s.testRestore},
		{"a guest that is taken back to a snapshot does not boot", s.testSnapshot},
		{"a guest whose definition goes and comes back keeps its profile", s.testUndefine},
		{"a copy of a guest under another UUID does not get its profile", s.testCopy},
		{"a guest destroyed in mid-unit leaves no session", s.testDestroy},
		{"attach at start, with the profile of last time", s.testAttachAtStart},
		{"destroyed and started at once, twice", s.testQuick},
		{"a renamed guest is the same guest", s.testRename},
		{"a guest that Nova defines anew keeps its policy and its profile", s.testNova},
		{"an agent in Python follows each state, through a restart of libvirt", s.testAgent},
		{"a session daemon that is killed: blind until there is one again", s.testSessionDaemon},
		{"a libvirt daemon that is killed: watched on, and recorded again when it is back", s.testLibvirt},
		{"a daemon that is killed leaves blind behind, and no session", s.testKill},
		{"a guest that migrates takes its profile along", s.testMigrate},
		{"a device that is plugged in is a change of hardware", s.testHotPlug},
		{"a process that claims to be the guest's QEMU is not believed", s.testClaim},
		{"a process that registers as the guest's QEMU is found out", s.testIdentity},
		{"trace points and what the kernel sees count the same packets in the same units", s.testJoined},
		{"an incident outlives a daemon that is killed", s.testIncident},
		{"a daemon that stops says so and leaves no session", s.testStop},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.f(t); s.sound(t) }) {
			t.FailNow()
		}
	}
}
