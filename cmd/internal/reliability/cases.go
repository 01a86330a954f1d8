// Package reliability has the closed list of faults that the fault suite causes, each with what is promised of it, and keeps what was seen.
//
// The suite's tests are elsewhere (cmd/virtsentryd, cmd/virtsentry-lab): they take a case by its ID, cause the fault, check the promise, and note a
// [Result]. packaging/RELIABILITY.md is written from the results.
package reliability

import "slices"

// Case is a fault, and what is promised of it beside what is promised of all of them.
type Case struct {
	ID      string // of its test, and the name of its file of results
	Group   string // the heading that it stands under
	Fault   string // what is done
	Promise string // what must hold
}

// The groups, in the order of the page.
const (
	groupKilled  = "Killed (SIGKILL)"
	groupHung    = "Hung"
	groupRoom    = "No room left"
	groupGarbled = "Garbled"
	groupGuests  = "Guests that come and go"
	groupTime    = "The clock"
)

// Cases are all faults, in the order of the page.
var Cases = []Case{
	{ID: "kill-daemon", Group: groupKilled, Fault: "virtsentryd is killed: once `virtsentryd --stopped` runs after it, once it does not",
		Promise: "Clients read blind (`daemon-stopped`) after `--stopped`. The next daemon ends the sessions that are left, and judges by the profile of before."},
	{ID: "kill-incident", Group: groupKilled, Fault: "virtsentryd is killed as soon as the metadata tells of an incident",
		Promise: "The next daemon knows the incident, once, and goes on with it until it is over."},
	{ID: "kill-libvirtd", Group: groupKilled, Fault: "libvirtd is killed, and started again later",
		Promise: "Units are judged on in the same session. Once it is back, its events are heard and states are written again."},
	{ID: "kill-virtlogd", Group: groupKilled, Fault: "virtlogd is killed, and started again later",
		Promise: "Every unit is judged as before."},
	{ID: "kill-sessiond", Group: groupKilled, Fault: "lttng-sessiond is killed, and started again later",
		Promise: "The guest is blind (`no-session-daemon`) until there is one again, and then judged by the profile of before."},
	{ID: "kill-consumerd", Group: groupKilled, Fault: "LTTng's consumer daemon is killed; the session daemon is started anew later",
		Promise: "The guest is blind, with a reason, until there is a session daemon that works, and then judged by the profile of before."},
	{ID: "kill-qemu", Group: groupKilled, Fault: "QEMU is killed, and the guest is started again",
		Promise: "No session and no file of the old QEMU is left. The new one is seen from its start, by the profile of before."},

	{ID: "stop-libvirtd", Group: groupHung, Fault: "libvirtd does not answer for 15 seconds (SIGSTOP)",
		Promise: "Every unit is judged meanwhile. What happens after it is heard of and written in time."},
	{ID: "stop-sessiond", Group: groupHung, Fault: "lttng-sessiond does not answer for 20 seconds (SIGSTOP)",
		Promise: "What cannot be read is not taken for normal. Afterwards the guest is judged by the profile of before."},
	{ID: "stop-daemon", Group: groupHung, Fault: "virtsentryd does not run for 20 seconds (SIGSTOP)",
		Promise: "The account of the guest's life is whole: units of that time are scored, or lossy. Afterwards units come in time."},
	{ID: "modify-job", Group: groupHung, Fault: "the domain's modify job is held for 15 seconds, by a monitor command that QEMU does not answer",
		Promise: "Nothing of virtsentryd waits for it. What changed meanwhile is in the metadata once it is free."},

	{ID: "full-profiles", Group: groupRoom, Fault: "the file system of the profiles is full when a profile is to be kept",
		Promise: "The guest is judged by the profile that was learnt. It is kept as soon as there is room, and in force after a restart."},
	{ID: "full-history", Group: groupRoom, Fault: "the file system of the incidents is full when one opens, and also when virtsentryd starts",
		Promise: "The incident is told of in time, the status says that it is not written, and units are judged. It is on disk once there is room, and the next daemon knows it."},
	{ID: "full-traces", Group: groupRoom, Fault: "the file system of the traces is full for 30 seconds",
		Promise: "What could not be written is lost data or blindness, with a reason, never usual. Afterwards the guest is judged by the profile of before."},
	{ID: "full-start", Group: groupRoom, Fault: "the file system of the traces is full when virtsentryd starts",
		Promise: "The guest is not called normal, and there is a reason. With room, it is judged, with nobody's help."},
	{ID: "small-shm", Group: groupRoom, Fault: "/dev/shm has no room for the ring buffers of another guest, which starts",
		Promise: "No QEMU dies of it. The first guest is judged on; the second one is blind (`buffer-memory`) until there is room."},
	{ID: "few-descriptors", Group: groupRoom, Fault: "virtsentryd may open two more files (RLIMIT_NOFILE), and another guest starts",
		Promise: "virtsentryd lives. When it may open files again, it observes both guests."},

	{ID: "profile-files", Group: groupGarbled, Fault: "a profile file is changed in one byte, cut, empty, another domain's, of a future version, or a directory",
		Promise: "Nothing is judged by it. Where the domain's metadata has no copy, the guest is learnt anew, and the reason (`profile-unusable`) names the file. The right file is in force after a restart."},
	{ID: "profile-copy", Group: groupGarbled, Fault: "a profile file is cut, or a directory, and the domain's metadata has a copy",
		Promise: "The guest is judged by the copy, which is kept as the profile file; what was in its place is kept apart."},
	{ID: "history-files", Group: groupGarbled, Fault: "the database of incidents is garbled, cut, of a future version, or a directory",
		Promise: "Units are judged on. One that is damaged is moved aside, and incidents are kept in a new one; another one stays as it is, and incidents are in memory. Status and log say so."},
	{ID: "metadata", Group: groupGarbled, Fault: "somebody removes, garbles or changes the state element",
		Promise: "The state is written again."},
	{ID: "profile-element", Group: groupGarbled, Fault: "somebody garbles the profile element, and virtsentryd is started again",
		Promise: "The profile file is in force; what is in the element does no harm."},
	{ID: "policy-element", Group: groupGarbled, Fault: "an operator's policy element is garbled, and removed later",
		Promise: "It is not in force, and an incident (`policy`) is open until it is right. The guest is judged on."},
	{ID: "two-daemons", Group: groupGarbled, Fault: "a second virtsentryd is started, with the same socket, and with the same trace directory",
		Promise: "It ends with an error that names what is in use. The first one judges every unit."},

	{ID: "quick-restarts", Group: groupGuests, Fault: "a guest is destroyed and started at once, twice",
		Promise: "It is seen from its start, or soon after, by the profile of before; the observation of the QEMU before it ends first."},
	{ID: "dies-attaching", Group: groupGuests, Fault: "QEMUs are killed in their first two seconds, while they are attached to",
		Promise: "Nothing of them is left, and the others are judged on."},
	{ID: "guest-churn", Group: groupGuests, Fault: "real guests start and stop",
		Promise: "Each is attached to before it stops. Nothing of them is left."},
	{ID: "migrate-load", Group: groupGuests, Fault: "a guest with visitors migrates to another host and back, and there once more while it is attacked",
		Promise: "Its profile is in force on the other host, nothing is learnt again, and nothing is unusual. For less than 10 seconds it is not seen. The incident goes on, and ends, there."},
	{ID: "player-churn", Group: groupGuests, Fault: "domains of libvirt's test driver, with UST applications for QEMUs, start and stop, ten at a time",
		Promise: "Each is attached to before it stops. Nothing of them is left, and memory and descriptors of all daemons are as they were."},

	{ID: "clock-steps", Group: groupTime, Fault: "the host's clock is set an hour ahead, and back",
		Promise: "No unit is lost or unusual by it. States are valid by the new clock within two units."},
}

// ByID finds a case; ok is false where there is none of that ID.
func ByID(id string) (c Case, ok bool) {
	i := slices.IndexFunc(Cases, func(c Case) bool { return c.ID == id })
	if i < 0 {
		return Case{}, false
	}
	return Cases[i], true
}
