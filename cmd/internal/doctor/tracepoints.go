package doctor

import (
	"errors"
	"path"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// library is the LTTng-UST that a process has.
type library struct {
	soname string
	pages  string // the name in /proc/PID/map_files; empty: not known to be mapped
	file   string
}

const ustLibrary = "liblttng-ust.so."

// tracePoints looks whether QEMU's executable asks for LTTng-UST, and whether that is mapped. A library of QEMU's may have mapped it as well (Ceph's
// do), which gives QEMU no trace points. A user who may not see the process is told of the file that its command line names.
func (x *examination) tracePoints(t target, pid int) (library, bool) {
	exe := ofProcess(pid, "exe")
	name, linkErr := x.readlink(exe)
	libs, err := x.needed(exe)
	maps, mapsErr := x.read(ofProcess(pid, "maps"), maxText)
	if err = errors.Join(linkErr, err, mapsErr); err != nil {
		return x.presumedTracePoints(t, pid, err)
	}
	lib, mapped := mappedUST(string(maps))
	switch {
	case usesUST(libs) == "":
		f := x.without(t, "QEMU has no UST trace points: %s does not use %s*", name, ustLibrary)
		if mapped {
			f.Text += " (a library of it does, for itself: " + lib.file + " is mapped)"
		}
		x.say(f)
		return library{}, false
	case !mapped:
		x.say(bad(TracePoints, Unknown, "if the domain has just been started, run virtsentry doctor again", "%s uses %s, which is not mapped", name, usesUST(libs)))
		return library{}, false
	}
	x.say(ok(TracePoints, "%s uses %s", name, lib.soname))
	return lib, true
}

func (x *examination) presumedTracePoints(t target, pid int, unseen error) (library, bool) {
	args := x.arguments(pid)
	if len(args) == 0 || !path.IsAbs(args[0]) {
		x.say(unread(TracePoints, "what its QEMU has mapped", unseen))
		return library{}, false
	}
	libs, err := x.needed(args[0])
	soname := usesUST(libs)
	switch {
	case err != nil:
		x.say(unread(TracePoints, "what its QEMU has mapped", unseen))
	case soname == "":
		x.say(x.without(t, "QEMU has no UST trace points: %s, which its command line names, does not use %s*", args[0], ustLibrary))
	default:
		x.say(bad(TracePoints, Unknown, asRoot, "%s, which its command line names, uses %s; whether the process does may not be seen by this user", args[0], soname))
	}
	return library{soname: soname}, soname != ""
}

// without is said of a QEMU without UST trace points.
func (x *examination) without(t target, format string, args ...any) Finding {
	if !x.sees(probe.Functions) {
		return bad(TracePoints, Problem, "have virtsentry-probe see what QEMU calls (see virtsentry-probe and ebpf above); or "+buildQEMU(t), format, args...)
	}
	f := bad(TracePoints, Warning, "to see more of it for less, "+buildQEMU(t), format, args...)
	f.Text += "; virtsentry-probe sees what it calls (functions)"
	return f
}

func buildQEMU(t target) string {
	return "have a QEMU built with the ust trace backend (packaging/qemu/README.md), name it as <emulator> (virsh edit " + quoted(t.Name) + "), shut the domain down and start it"
}

// usesUST is which LTTng-UST is among the libraries; empty: none.
func usesUST(libs []string) string {
	for _, l := range libs {
		if strings.HasPrefix(l, ustLibrary) {
			return l
		}
	}
	return ""
}

func (x *examination) arguments(pid int) []string {
	text, err := x.read(ofProcess(pid, "cmdline"), maxText)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// mappedUST finds LTTng-UST in a process's mappings: proc_pid_maps(5).
func mappedUST(maps string) (library, bool) {
	for line := range strings.Lines(maps) {
		fields := strings.Fields(line)
		const pages, file = 0, 5
		if len(fields) <= file {
			continue
		}
		if base := path.Base(fields[file]); strings.HasPrefix(base, ustLibrary) {
			return library{soname: shortened(base), pages: fields[pages], file: fields[file]}, true
		}
	}
	return library{}, false
}

// shortened makes liblttng-ust.so.1 of liblttng-ust.so.1.0.0.
func shortened(file string) string {
	major, _, _ := strings.Cut(strings.TrimPrefix(file, ustLibrary), ".")
	return ustLibrary + major
}

// libraryABI reads the version from the very file that is mapped, also when an update has replaced it since.
func (x *examination) libraryABI(pid int, lib library) (abi, error) {
	content, err := x.read(ofProcess(pid, path.Join("map_files", lib.pages)), maxLibrary)
	if err != nil {
		var again error
		if content, again = x.read(ofProcess(pid, path.Join("root", lib.file)), maxLibrary); again != nil {
			return abi{}, err
		}
	}
	return libraryABI(lib.soname, content)
}
