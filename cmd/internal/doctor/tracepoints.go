package doctor

import (
	"path"
	"slices"
	"strings"
)

// library is the LTTng-UST that a process has.
type library struct {
	soname string
	pages  string // the name in /proc/PID/map_files; empty: not known to be mapped
	file   string
}

const ustLibrary = "liblttng-ust.so."

// tracePoints looks for LTTng-UST in QEMU: among what it has mapped, and for a user who may not see that, in what its executable asks for.
func (x *examination) tracePoints(t target, pid int) (library, bool) {
	remedy := "have a QEMU built with the ust trace backend (packaging/qemu/README.md), name it as <emulator> (virsh edit " + quoted(t.Name) + "), shut the domain down and start it"
	maps, err := x.read(ofProcess(pid, "maps"), maxText)
	if err == nil {
		if lib, has := mappedUST(string(maps)); has {
			x.say(ok(TracePoints, "QEMU has LTTng-UST's %s mapped", lib.soname))
			return lib, true
		}
		x.say(bad(TracePoints, Problem, remedy, "QEMU has no UST trace points: %s does not use %s*", x.executable(pid), ustLibrary))
		return library{}, false
	}
	if exe := x.argument(pid, 0); path.IsAbs(exe) {
		libs, elfErr := x.needed(exe)
		i := slices.IndexFunc(libs, func(l string) bool { return strings.HasPrefix(l, ustLibrary) })
		switch {
		case elfErr == nil && i < 0:
			x.say(bad(TracePoints, Problem, remedy, "QEMU has no UST trace points: %s, which its command line names, does not use %s*", exe, ustLibrary))
			return library{}, false
		case elfErr == nil:
			x.say(bad(TracePoints, Unknown, asRoot, "%s, which its command line names, uses %s; whether the process does may not be seen by this user", exe, libs[i]))
			return library{soname: libs[i]}, true
		}
	}
	x.say(unread(TracePoints, "what its QEMU has mapped", err))
	return library{}, false
}

func (x *examination) executable(pid int) string {
	if exe, err := x.readlink(ofProcess(pid, "exe")); err == nil {
		return exe
	}
	return "its executable"
}

// argument is one of those that a process was started with; empty: there is none.
func (x *examination) argument(pid, i int) string {
	if args := x.arguments(pid); i < len(args) {
		return args[i]
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
