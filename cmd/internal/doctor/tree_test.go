package doctor

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

const (
	webUUID     = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"
	sessiondPID = 311
	webPID      = 4711
	ownSocket   = "/run/virtsentry/control.sock"
)

// host is a made-up one. It is that of a healthy guest, until a test changes it.
type host struct {
	t    *testing.T
	root string
	fake
}

// fake is System and Asked.
type fake struct {
	listens  map[string]Peer // by path below the root
	peers    map[int]string  // by file descriptor, of any process
	peerErr  error
	unsynced bool
	free     uint64
	denied   map[string]bool
	domains  []control.DomainStatus
	asked    error
	helper   error // what virtsentry-probe's client says
	root     string
}

func (f *fake) Dial(path string) (Peer, error) {
	if p, is := f.listens[strings.TrimPrefix(path, f.root)]; is {
		return p, nil
	}
	return Peer{}, syscall.ECONNREFUSED
}
func (f *fake) Helper(context.Context, string) error { return f.helper }
func (f *fake) PeerName(_, fd int) (string, error)   { return f.peers[fd], f.peerErr }
func (f *fake) Writable(path string) error {
	if f.denied[strings.TrimPrefix(path, f.root)] {
		return fs.ErrPermission
	}
	_, err := os.Stat(path)
	return err
}
func (f *fake) ClockSynchronised() (bool, error) { return !f.unsynced, nil }
func (f *fake) Free(string) (uint64, error)      { return f.free, nil }
func (f *fake) Domains(context.Context) ([]control.DomainStatus, error) {
	return f.domains, f.asked
}

func healthy(t *testing.T) *host {
	t.Helper()
	root := t.TempDir()
	h := &host{t: t, root: root, fake: fake{
		root:    root,
		listens: map[string]Peer{lttngDir + "/lttng-ust-sock-8": {PID: sessiondPID}},
		peers:   map[int]string{12: lttngDir + "/lttng-ust-sock-8"},
		free:    1 << 30,
		denied:  map[string]bool{},
		domains: []control.DomainStatus{{
			UUID: webUUID, Name: "web", ID: 3, PID: webPID, State: "normal", Coverage: "full", BufferBytes: 1 << 20,
			Ledger: control.Ledger{Life: 3600, Scored: 3420, Reasons: map[string]float64{"starting": 120, "gathering": 60}},
		}},
	}}
	h.write(lttngDir+"/lttng-ust-sock-8", "")
	h.chmod(lttngDir+"/lttng-ust-sock-8", 0o666)
	h.write(clientSocket, "")
	h.write("/dev/shm/lttng-ust-wait-8", "")
	h.chmod("/dev/shm/lttng-ust-wait-8", 0o664)
	h.write("/run/lttng/x", "")
	h.write(possibleCPUs, "0-3\n")
	h.write(clockSource+"current_clocksource", "tsc\n")
	h.write(clockSource+"available_clocksource", "tsc hpet acpi_pm\n")
	h.write(bpfSetting, "2\n")
	h.write(kernelRelease, "6.18.1-generic\n")
	h.write(lockdownFile, "none [integrity] confidentiality\n")
	h.write(tracefsEvents+"/kvm/enable", "0\n")
	for _, kind := range []string{"pid", "user", "time"} {
		h.link("/proc/self/ns/"+kind, kind+":[1]")
	}
	h.executable(ofProcess(sessiondPID, "exe"), "liblttng-ust-ctl.so.5", "libc.so.6")
	h.guest("web", webUUID, webPID, "-netdev", `{"type":"tap","fd":"33","id":"hostnet0"}`,
		"-device", `{"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","mac":"52:54:00:4d:00:0a"}`)
	return h
}

// guest makes a running domain with UST trace points.
func (h *host) guest(name, uuid string, pid int, args ...string) {
	of := func(file string) string { return ofProcess(pid, file) }
	cmdline := append([]string{"/usr/bin/qemu-system-x86_64", "-name", "guest=" + name, "-uuid", uuid}, args...)
	h.write("/run/libvirt/qemu/"+name+".pid", strconv.Itoa(pid))
	h.write(of("stat"), strconv.Itoa(pid)+" (qemu) S"+strings.Repeat(" 7", 18)+" 99 8\n")
	h.write("/proc/uptime", "4000.00 7900.00\n")
	h.write(of("cmdline"), strings.Join(cmdline, "\x00")+"\x00")
	h.executable("/usr/bin/qemu-system-x86_64", "liblttng-ust.so.1", "libc.so.6")
	h.link(of("exe"), h.root+"/usr/bin/qemu-system-x86_64")
	h.write(of("environ"), "PATH=/bin\x00HOME=/\x00")
	h.write(of("maps"), "55d0-55d1 r-xp 00000000 fe:01 77 /usr/bin/qemu-system-x86_64\n7f00-7f10 r--p 00000000 fe:01 99 /usr/lib/liblttng-ust.so.1.0.0\n7f20-7f30 rw-p 0 00:00 0\n")
	h.write(of("map_files/7f00-7f10"), "\x7fELF lttng-ust-sock-8\x00")
	h.link(of("root"), h.root)
	for _, kind := range []string{"pid", "user", "time"} {
		h.link(of("ns/"+kind), kind+":[1]")
	}
	h.link(of("fd/3"), "/dev/kvm")
	h.link(of("fd/11"), "socket:[1001]")
	h.link(of("fd/12"), "socket:[1002]")
}

func (h *host) check(refs ...string) ([]Finding, error) {
	return Check(context.Background(), Host{Root: h.root, Config: "/etc/virtsentry/virtsentry.toml", Socket: ownSocket, Asked: h, System: h}, refs...)
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) make(name string) string {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	h.must(os.MkdirAll(filepath.Dir(path), 0o755))
	h.must(os.RemoveAll(path))
	return path
}

func (h *host) write(name, text string) {
	h.t.Helper()
	h.must(os.WriteFile(h.make(name), []byte(text), 0o644))
}
func (h *host) link(name, to string) { h.t.Helper(); h.must(os.Symlink(to, h.make(name))) }
func (h *host) remove(name string)   { h.t.Helper(); h.must(os.RemoveAll(filepath.Join(h.root, name))) }
func (h *host) chmod(name string, mode os.FileMode) {
	h.t.Helper()
	h.must(os.Chmod(filepath.Join(h.root, name), mode))
}

// executable makes an ELF file that has nothing but a list of the libraries that it needs.
func (h *host) executable(name string, needed ...string) {
	h.t.Helper()
	names := []byte("\x00")
	var dynamic bytes.Buffer
	put := func(to *bytes.Buffer, v any) { h.t.Helper(); h.must(binary.Write(to, binary.LittleEndian, v)) }
	for _, lib := range needed {
		put(&dynamic, elf.Dyn64{Tag: int64(elf.DT_NEEDED), Val: uint64(len(names))})
		names = append(names, lib+"\x00"...)
	}
	put(&dynamic, elf.Dyn64{})
	const head, section = 64, 64
	stringsAt := uint64(head + 3*section)
	dynamicAt := stringsAt + uint64(len(names))
	var file bytes.Buffer
	put(&file, elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Shoff: head, Ehsize: head, Shentsize: section, Shnum: 3, Shstrndx: 1,
	})
	put(&file, elf.Section64{})
	put(&file, elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: stringsAt, Size: uint64(len(names))})
	put(&file, elf.Section64{Type: uint32(elf.SHT_DYNAMIC), Off: dynamicAt, Size: uint64(dynamic.Len()), Link: 1, Entsize: 16})
	file.Write(names)
	file.Write(dynamic.Bytes())
	h.must(os.WriteFile(h.make(name), file.Bytes(), 0o755))
}
