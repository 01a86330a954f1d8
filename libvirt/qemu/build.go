package qemu

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// errNoBuildID says that an executable carries no build id.
var errNoBuildID = errors.New("no GNU build id")

// BuildID is the GNU build id of a process's executable, in hexadecimal: which build of QEMU it is (elf(5), NT_GNU_BUILD_ID).
func (p Processes) BuildID(q Process) (string, error) {
	e, f, err := p.executable(q)
	if err != nil {
		return "", fmt.Errorf("qemu: read build id of process %d: %w", q.PID, err)
	}
	defer func() { _ = f.Close() }()
	section := e.Section(".note.gnu.build-id")
	if section == nil {
		return "", fmt.Errorf("qemu: read build id of process %d: %w", q.PID, errNoBuildID)
	}
	note, err := section.Data()
	if err != nil {
		return "", fmt.Errorf("qemu: read build id of process %d: %w", q.PID, err)
	}
	// Sizes of name and description, type, "GNU\0", and then the id.
	const head, most = 4 + 4 + 4 + 4, 64
	if len(note) <= head || len(note) > head+most {
		return "", fmt.Errorf("qemu: read build id of process %d: note of %d bytes", q.PID, len(note))
	}
	return hex.EncodeToString(note[head:]), nil
}
