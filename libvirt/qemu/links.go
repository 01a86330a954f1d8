package qemu

import (
	"fmt"
	"strings"
)

// Links says whether a process's executable needs a shared library, by the beginning of its name, such as "liblttng-ust.so" (elf(5),
// DT_NEEDED). Errors: ErrNoProcess; or the caller may not look.
func (p Processes) Links(q Process, library string) (bool, error) {
	e, f, err := p.executable(q)
	if err != nil {
		return false, fmt.Errorf("qemu: read libraries of process %d: %w", q.PID, err)
	}
	defer func() { _ = f.Close() }()
	names, err := e.ImportedLibraries()
	if err != nil {
		return false, fmt.Errorf("qemu: read libraries of process %d: %w", q.PID, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, library) {
			return true, nil
		}
	}
	return false, nil
}
