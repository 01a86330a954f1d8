package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// field is where a value is in the record of a trace point, bytes.
type field struct{ offset, size uint32 }

// maxFormat bounds what is read of a format.
const maxFormat = 1 << 20

// tracefs returns where it is mounted.
func tracefs() (string, error) {
	for _, path := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		var s unix.Statfs_t
		if err := unix.Statfs(path, &s); err == nil && (s.Type == unix.TRACEFS_MAGIC || s.Type == unix.DEBUGFS_MAGIC) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: tracefs is not mounted; mount -t tracefs tracefs /sys/kernel/tracing", ErrUnsupported)
}

// readFormat returns the fields of a trace point from tracefs.
func readFormat(root, group, name string) (map[string]field, error) {
	what := "read the format of the trace point " + group + ":" + name
	f, err := os.Open(filepath.Join(root, "events", group, name, "format"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: there is none; the kernel needs the module kvm: %w", what, ErrUnsupported)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: %w: %w; tracefs is open to its owner only, unless mounted with gid=", what, ErrPermission, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	fields, err := parseFormat(io.LimitReader(f, maxFormat))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return fields, nil
}

// parseFormat parses lines such as "field:unsigned int exit_reason;	offset:8;	size:4;	signed:0;" (Documentation/trace/events.rst of Linux).
func parseFormat(r io.Reader) (map[string]field, error) {
	fields := make(map[string]field)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxFormat)
	for lines.Scan() {
		declaration, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "field:")
		if !ok {
			continue
		}
		parts := strings.Split(declaration, ";")
		words := strings.Fields(parts[0])
		if len(parts) < 3 || len(words) == 0 {
			return nil, fmt.Errorf("field %q: no offset and size", declaration)
		}
		var f field
		for i, p := range []struct {
			name string
			to   *uint32
		}{{"offset:", &f.offset}, {"size:", &f.size}} {
			text, ok := strings.CutPrefix(strings.TrimSpace(parts[1+i]), p.name)
			n, err := strconv.ParseUint(text, 10, 16)
			if !ok || err != nil {
				return nil, fmt.Errorf("field %q: no %s", declaration, p.name)
			}
			*p.to = uint32(n)
		}
		fields[words[len(words)-1]] = f
	}
	return fields, lines.Err()
}
