package doctor

import (
	"bytes"
	"debug/elf"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// abi is a version of the interface between LTTng-UST and session daemon.
//
// It has a major version (LTTNG_UST_ABI_MAJOR_VERSION), and socket and wait file are
// named by the oldest version that their maker still takes (…_OLDEST_COMPATIBLE). From lttng-ust's history:
//
//	release      liblttng-ust  liblttng-ust-ctl  version  in file names
//	2.11, 2.12   .so.0         .so.4             8        8
//	2.13         .so.1         .so.5             9        8
//	2.14         .so.1         .so.6             10       8
//	2.15, 2.16   .so.1         .so.6             11       11
//
// A session daemon refuses an application whose version is older than that in its files' names, or newer than its own. So liblttng-ust.so.1 alone
// says little: 2.14's knocks at 2.13's door and is sent away, and 2.15's looks for another door.
type abi struct {
	files int // the number in the names of socket and wait file
	major int // 0: not known
}

func (a abi) String() string {
	return fmt.Sprintf("version %d of its interface (LTTng-UST %s)", a.major, releases(a.major))
}

// span says what a session daemon of that version takes.
func (a abi) span() string {
	switch {
	case a.major == 0:
		return fmt.Sprintf("versions from %d on of LTTng-UST's interface, up to which is not known", a.files)
	case a.files == a.major:
		return fmt.Sprintf("version %d of LTTng-UST's interface (LTTng-UST %s)", a.major, releases(a.major))
	}
	return fmt.Sprintf("versions %d to %d of LTTng-UST's interface (up to LTTng-UST %s)", a.files, a.major, releases(a.major))
}

func releases(major int) string {
	switch {
	case major <= 8:
		return "2.12 or older"
	case major == 9:
		return "2.13"
	case major == 10:
		return "2.14"
	}
	return "2.15 or newer"
}

var socketInLibrary = regexp.MustCompile(`lttng-ust-sock-([0-9]{1,4})`)

// libraryABI finds out which version a liblttng-ust speaks, from its file. Up to 2.14 the number in file names tells less than the version: 2.12 has
// another soname than 2.13, and 2.14 knows a variable that 2.13 does not.
func libraryABI(soname string, content []byte) (abi, error) {
	m := socketInLibrary.FindSubmatch(content)
	if m == nil {
		return abi{}, fmt.Errorf("%s names no socket", soname)
	}
	n, _ := strconv.Atoi(string(m[1])) // digits only
	switch {
	case n != 8 || strings.HasSuffix(soname, ".so.0"):
		return abi{n, n}, nil
	case bytes.Contains(content, []byte("LTTNG_UST_APP_PATH")):
		return abi{n, 10}, nil
	}
	return abi{n, 9}, nil
}

// daemonABI finds out the newest version that a session daemon takes, from the libraries that it needs.
func daemonABI(files int, needed []string) abi {
	a := abi{files: files}
	for _, lib := range needed {
		switch lib {
		case "liblttng-ust-ctl.so.4":
			a.major = files
		case "liblttng-ust-ctl.so.5":
			a.major = 9
		case "liblttng-ust-ctl.so.6":
			a.major = max(10, files)
		}
	}
	return a
}

// takes says whether a session daemon takes an application.
func (a abi) takes(app abi) bool {
	if app.files != a.files || app.major < a.files {
		return false
	}
	return a.major == 0 || app.major <= a.major
}

// needed is the list of libraries that an executable asks for: elf(5), DT_NEEDED.
func (h *Host) needed(name string) ([]string, error) {
	file, err := h.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	f, err := elf.NewFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return libs, nil
}
