package qemu

import (
	"debug/elf"
	"fmt"
	"strings"
)

// Links says whether a process's executable needs a shared library, by the beginning of its name, such as "liblttng-ust.so" (elf(5),
// DT_NEEDED). Errors: ErrNoProcess; or the caller may not look.
func (p Processes) Links(q Process, library string) (bool, error) {
	f, err := elf.Open(p.proc(q.PID, "exe"))
	if err != nil {
		return false, fmt.Errorf("qemu: read libraries of process %d: %w", q.PID, noProcess(err))
	}
	defer func() { _ = f.Close() }()
	names, err := f.ImportedLibraries()
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
