package libvirt

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	golibvirt "libvirt.org/go/libvirt"
)

// ErrStubTaken says that somebody else uses QEMU's gdb stub of a domain already.
var ErrStubTaken = errors.New("the gdb stub of its QEMU is in use")

// gdbChardev is the name that QEMU gives the character device of a stub that was opened by a path or port.
const gdbChardev = "gdb"

// OpenStub opens the gdb stub of a running domain's QEMU and returns our end of it. The stub is on a pair of connected sockets, of which QEMU gets one over
// libvirt's monitor passthrough (libvirt 8.2, QEMU 2.12): there is no path that anybody else could reach, and none that a security driver or QEMU's user would have to be
// allowed. QEMU stops the guest as soon as it has the connection; it stays so until whoever reads here lets it run.
// id names the character device in that QEMU, letters and digits: CloseStub takes it again. libvirt marks the domain as tainted (custom-monitor).
// Errors: ErrNoDomain; ErrStubTaken; another one if QEMU or libvirt refuses.
func (c *Connection) OpenStub(uuid, id string) (net.Conn, error) {
	var ours net.Conn
	err := c.with(uuid, func(d *golibvirt.Domain) (err error) {
		ours, err = openStub(d, id)
		return err
	})
	if err != nil {
		return nil, elementError(uuid, "open the gdb stub", err)
	}
	return ours, nil
}

func openStub(d *golibvirt.Domain, id string) (net.Conn, error) {
	taken, err := chardevs(d)
	if err != nil {
		return nil, err
	}
	for label := range taken {
		if label == gdbChardev || strings.HasPrefix(label, StubPrefix) {
			return nil, fmt.Errorf("%w (character device %.40q)", ErrStubTaken, label)
		}
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	near, far := os.NewFile(uintptr(pair[0]), "gdb"), os.NewFile(uintptr(pair[1]), "gdb of QEMU")
	defer func() { _ = near.Close(); _ = far.Close() }()
	// net.FileConn has a descriptor of its own.
	ours, err := net.FileConn(near)
	if err != nil {
		return nil, err
	}
	if err := handStub(d, id, far); err != nil {
		return nil, errors.Join(err, ours.Close(), closeStub(d, id))
	}
	return ours, nil
}

// handStub gives QEMU a connected socket, and puts its stub there.
func handStub(d *golibvirt.Domain, id string, far *os.File) error {
	getfd, err := command("getfd", map[string]any{"fdname": id})
	if err != nil {
		return err
	}
	answer, files, err := d.QemuMonitorCommandWithFiles(getfd, []os.File{*far}, golibvirt.DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT) //nolint:govet // libvirt's binding takes it by value, and only asks for its number
	for _, f := range files {
		_ = f.Close()
	}
	if err == nil {
		err = refusal(answer)
	}
	if err != nil {
		return fmt.Errorf("hand QEMU a socket: %w", err)
	}
	backend := map[string]any{"type": "socket", "data": map[string]any{
		"server": false, "addr": map[string]any{"type": "fd", "data": map[string]any{"str": id}},
	}}
	if err := ask(d, nil, "chardev-add", map[string]any{"id": id, "backend": backend}); err != nil {
		return errors.Join(err, ask(d, nil, "closefd", map[string]any{"fdname": id}))
	}
	said, err := d.QemuMonitorCommand("gdbserver chardev:"+id, golibvirt.DOMAIN_QEMU_MONITOR_COMMAND_HMP)
	if err == nil && !strings.HasPrefix(said, "Waiting for gdb connection") {
		err = fmt.Errorf("QEMU says %.200q", said)
	}
	if err != nil {
		return fmt.Errorf("monitor command gdbserver: %w", err)
	}
	return nil
}

// StubPrefix is what the ids of our stubs begin with.
const StubPrefix = "virtsentry-gdb"

// CloseStub takes the stub away from a domain's QEMU. Breakpoints that are still set stay, and stop the guest for good when it gets there: they are to be
// removed before. It is no error if there is none. Errors: ErrNoDomain; another one if QEMU or libvirt refuses.
func (c *Connection) CloseStub(uuid, id string) error {
	err := c.with(uuid, func(d *golibvirt.Domain) error { return closeStub(d, id) })
	if err != nil {
		return elementError(uuid, "close the gdb stub", err)
	}
	return nil
}

// closeStub ends the stub, where its character device is still there.
func closeStub(d *golibvirt.Domain, id string) error {
	there, err := chardevs(d)
	if err != nil {
		return err
	}
	if _, is := there[id]; !is {
		return nil
	}
	said, err := d.QemuMonitorCommand("gdbserver none", golibvirt.DOMAIN_QEMU_MONITOR_COMMAND_HMP)
	if err == nil && !strings.HasPrefix(said, "Disabled gdbserver") {
		err = fmt.Errorf("QEMU says %.200q", said)
	}
	if err != nil {
		return fmt.Errorf("monitor command gdbserver: %w", err)
	}
	// QEMU deletes the device together with the stub. One that never came to be the stub's is left.
	if there, err = chardevs(d); err != nil {
		return err
	}
	if _, left := there[id]; left {
		return ask(d, nil, "chardev-remove", map[string]any{"id": id})
	}
	return nil
}

// Stubs are the ids of our stubs that a domain's QEMU has. Errors: ErrNoDomain.
func (c *Connection) Stubs(uuid string) (ids []string, err error) {
	err = c.with(uuid, func(d *golibvirt.Domain) error {
		there, err := chardevs(d)
		for label := range there {
			if strings.HasPrefix(label, StubPrefix) {
				ids = append(ids, label)
			}
		}
		return err
	})
	if err != nil {
		return nil, elementError(uuid, "look for a gdb stub", err)
	}
	return ids, nil
}

// RunState is what QEMU itself says that the guest's CPUs do: the run state of its monitor, "running", "paused" or "debug" among others. Errors: ErrNoDomain.
func (c *Connection) RunState(uuid string) (string, error) {
	var status struct {
		Status string `json:"status"`
	}
	err := c.with(uuid, func(d *golibvirt.Domain) error { return ask(d, &status, "query-status", nil) })
	if err != nil {
		return "", elementError(uuid, "ask for the run state", err)
	}
	return status.Status, nil
}

// ContinueDebugged lets a guest run on that a breakpoint or a stub has stopped (QEMU's run states debug and paused, with no reason of libvirt's), and no other. Errors: ErrNoDomain; another one if
// QEMU or libvirt refuses.
func (c *Connection) ContinueDebugged(uuid string) error {
	err := c.with(uuid, func(d *golibvirt.Domain) error {
		var status struct {
			Status string `json:"status"`
		}
		if err := ask(d, &status, "query-status", nil); err != nil || status.Status != "debug" && status.Status != "paused" {
			return err
		}
		// A pause of which libvirt knows the reason is somebody else's: an operator's, a snapshot's, that of a disk which failed.
		state, why, err := d.GetState()
		if err != nil || state == golibvirt.DOMAIN_PAUSED && golibvirt.DomainPausedReason(why) != golibvirt.DOMAIN_PAUSED_UNKNOWN {
			return err
		}
		return ask(d, nil, "cont", nil)
	})
	if err != nil {
		return elementError(uuid, "let it run on", err)
	}
	return nil
}

// PausedUnexplained says whether a domain is paused, and libvirt does not know why: nobody has asked it to, so QEMU has done it by itself, or its stub. Errors: ErrNoDomain.
func (c *Connection) PausedUnexplained(uuid string) (paused bool, err error) {
	err = c.with(uuid, func(d *golibvirt.Domain) error {
		state, reason, err := d.GetState()
		paused = state == golibvirt.DOMAIN_PAUSED && golibvirt.DomainPausedReason(reason) == golibvirt.DOMAIN_PAUSED_UNKNOWN
		return err
	})
	if err != nil {
		return false, elementError(uuid, "ask why it is paused", err)
	}
	return paused, nil
}

// Leaving says whether the domain migrates, is saved or dumped at the moment, so that its CPUs are not ours to resume. Errors: ErrNoDomain.
func (c *Connection) Leaving(uuid string) (leaving bool, err error) {
	err = c.with(uuid, func(d *golibvirt.Domain) error {
		info, err := d.GetJobInfo()
		if err == nil {
			leaving = info.Type == golibvirt.DOMAIN_JOB_BOUNDED || info.Type == golibvirt.DOMAIN_JOB_UNBOUNDED
		}
		return err
	})
	if err != nil {
		return false, elementError(uuid, "look for a job", err)
	}
	return leaving, nil
}

// DescriptorTable is what the monitor says of the interrupt descriptor table of a domain's first virtual CPU, and whether that runs in 64-bit mode. Errors: ErrNoDomain;
// ErrGarbled.
func (c *Connection) DescriptorTable(uuid string) (base uint64, limit uint32, err error) {
	err = c.with(uuid, func(d *golibvirt.Domain) error {
		text, err := d.QemuMonitorCommand("info registers", golibvirt.DOMAIN_QEMU_MONITOR_COMMAND_HMP)
		if err == nil {
			base, limit, err = parseDescriptorTable(text)
		}
		return err
	})
	if err != nil {
		return 0, 0, elementError(uuid, "read the interrupt descriptor table's address", err)
	}
	return base, limit, nil
}

// parseDescriptorTable reads the line "IDT=     fffffe0000000000 00000fff" of "info registers".
func parseDescriptorTable(text string) (base uint64, limit uint32, err error) {
	const most = 64 << 10
	for line := range strings.Lines(text[:min(len(text), most)]) {
		rest, is := strings.CutPrefix(strings.TrimSpace(line), "IDT=")
		if !is {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) != 2 {
			break
		}
		at, atErr := strconv.ParseUint(fields[0], 16, 64)
		most, mostErr := strconv.ParseUint(fields[1], 16, 32)
		if atErr == nil && mostErr == nil {
			return at, uint32(most), nil
		}
		break
	}
	return 0, 0, &garbledError{"info registers", "there is no line of the interrupt descriptor table"}
}

// chardevs are the labels of QEMU's character devices.
func chardevs(d *golibvirt.Domain) (map[string]bool, error) {
	var list []struct {
		Label string `json:"label"`
	}
	if err := ask(d, &list, "query-chardev", nil); err != nil {
		return nil, err
	}
	labels := map[string]bool{}
	for _, c := range list {
		labels[c.Label] = true
	}
	return labels, nil
}

// ask sends QEMU a command and reads what it returns, if that is wanted.
func ask(d *golibvirt.Domain, into any, execute string, arguments map[string]any) error {
	text, err := command(execute, arguments)
	if err != nil {
		return err
	}
	answer, err := d.QemuMonitorCommand(text, golibvirt.DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
	if err == nil {
		err = refusal(answer)
	}
	if err == nil && into != nil {
		err = json.Unmarshal([]byte(answer), &struct {
			Return any `json:"return"`
		}{into})
	}
	if err != nil {
		return fmt.Errorf("monitor command %s: %w", execute, err)
	}
	return nil
}

func command(execute string, arguments map[string]any) (string, error) {
	c := map[string]any{"execute": execute}
	if arguments != nil {
		c["arguments"] = arguments
	}
	text, err := json.Marshal(c)
	return string(text), err
}

// refusal is the error that an answer of QEMU's monitor carries; nil: none.
func refusal(answer string) error {
	const most = 4 << 20
	if len(answer) > most {
		return fmt.Errorf("QEMU answers by %d bytes", len(answer))
	}
	var a struct {
		Error *struct {
			Class       string `json:"class"`
			Description string `json:"desc"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		return fmt.Errorf("QEMU's answer is not understood: %w", err)
	}
	if a.Error != nil {
		return fmt.Errorf("QEMU refuses: %.200q", a.Error.Description)
	}
	return nil
}
