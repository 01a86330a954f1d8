package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

// Target is a running domain, as the helper has found it.
type Target struct {
	UUID       string // lower case
	Name       string
	Process    qemu.Process
	Executable string   // path of the file that its process runs
	NoProgram  error    // why functions of that cannot be observed; nil: they can
	Taps       []Device // its interfaces' tap devices
	Others     []string // interfaces' devices that are none, and why
}

// Device is a network device of the host.
type Device struct {
	Name  string
	Index int
}

// Domains finds domains by what libvirt and the kernel say of them. It takes a UUID from whoever asks, and nothing else.
type Domains struct {
	RunDir  string // libvirt's run-time directory
	ProcDir string // proc(5)
}

// ErrNoDomain says that libvirt runs no domain of that UUID.
var ErrNoDomain = errors.New("libvirt runs no such domain")

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Find finds a running domain. Errors: ErrNoDomain, qemu.ErrNoProcess; both may mean that it is just being started.
func (d Domains) Find(uuid string) (Target, error) {
	uuid = strings.ToLower(uuid)
	if !uuidForm.MatchString(uuid) {
		return Target{}, fmt.Errorf("%.60q is no UUID", uuid)
	}
	s, err := d.status(uuid)
	if err != nil {
		return Target{}, err
	}
	t := Target{UUID: uuid, Name: s.Domain.Name, Executable: s.Domain.Emulator}
	if t.Process, err = d.processes().Find(qemu.Domain{UUID: uuid, Name: t.Name}); err != nil {
		return Target{}, err
	}
	if t.Process.PID != s.PID {
		return Target{}, fmt.Errorf("domain %s: libvirt's status names process %d, its PID file %d: %w", uuid, s.PID, t.Process.PID, qemu.ErrNoProcess)
	}
	t.NoProgram = d.checkExecutable(t.Process, t.Executable)
	t.Taps, t.Others, err = taps(s.taps())
	return t, err
}

// Alive says whether the very process that was found still runs.
func (d Domains) Alive(t Target) bool { return d.processes().Alive(t.Process) }

func (d Domains) processes() qemu.Processes {
	return qemu.Processes{RunDir: d.RunDir, ProcDir: d.ProcDir}
}

// status looks for the file of the domain.
func (d Domains) status(uuid string) (status, error) {
	dir := filepath.Join(d.RunDir, "qemu")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return status{}, fmt.Errorf("list libvirt's domains (--run-dir): %w", err)
	}
	var broken error
	for _, e := range entries {
		name, isXML := strings.CutSuffix(e.Name(), ".xml")
		if !isXML {
			continue
		}
		text, err := readStatus(filepath.Join(dir, e.Name()))
		if err != nil {
			broken = errors.Join(broken, err)
			continue
		}
		if !bytes.Contains(bytes.ToLower(text), []byte(uuid)) {
			continue // much cheaper than to parse all of them
		}
		s, err := parseStatus(text)
		switch {
		case err != nil:
			broken = errors.Join(broken, fmt.Errorf("%s: %w", e.Name(), err))
		case strings.EqualFold(strings.TrimSpace(s.Domain.UUID), uuid) && s.Domain.Name == name:
			return s, nil
		}
	}
	if broken != nil {
		return status{}, fmt.Errorf("domain %s: %w; of these files nothing is known: %w", uuid, ErrNoDomain, broken)
	}
	return status{}, fmt.Errorf("domain %s: %w", uuid, ErrNoDomain)
}

// readStatus reads a status file: a regular one of root, or of the user who runs the helper, that nobody else may write.
func readStatus(path string) ([]byte, error) {
	const most = 4 << 20
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := trustworthy(s.Mode, s.Uid); err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	return text, err
}

// trustworthy says what makes a file one that others than root could have written.
func trustworthy(mode, uid uint32) error {
	switch {
	case mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("is no regular file")
	case uid != 0 && int(uid) != os.Geteuid():
		return fmt.Errorf("belongs to user %d, not to root", uid)
	case mode&0o022 != 0:
		return errors.New("may be written by others than its owner")
	}
	return nil
}

// changed says whether two findings of a domain differ in its tap devices, whatever their order.
func (t Target) changed(now Target) bool {
	order := func(a, b Device) int { return a.Index - b.Index }
	return !slices.Equal(slices.SortedFunc(slices.Values(t.Taps), order), slices.SortedFunc(slices.Values(now.Taps), order))
}
