package kernel

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -no-global-types functions bpf/functions.bpf.c -- -O2 -mcpu=v2 -Wall -Wextra -Werror

// function is one function of QEMU that is counted.
type function struct {
	name      string
	first     string // its first column, without FunctionsPrefix
	kind      kind
	parameter int    // index of the parameter that is looked at
	size      uint64 // of it, bytes
	signed    bool
	// sdt is the index of the same argument in the SDT probe of the function's name, which is hit as often; -1: there is no such probe.
	sdt int
}

// functions are those that are counted: few, since each hit costs the guest a microsecond, and each tells something that the others do not.
// They were chosen by their hits in Debian's QEMU 7.2, under TCG, idle and with visitors of the guest's web site. Left out are
// what is also hit when there is nothing to do (virtqueue_pop, qemu_net_queue_flush, tap_read_packet), what repeats another one
// (virtqueue_push, virtio_notify, msi_send_message, blk_aio_preadv), QEMU's plumbing (timer_mod_ns, qemu_bh_schedule, event_notifier_set) and
// memory_region_dispatch_read, which is hit as often by an idle guest as by a busy one. They save a register first, as large functions do: that the kernel
// emulates, whereas small ones (qemu_send_packet_async) begin with what it must step over, which costs eight times as much. The
// parameters are the same from QEMU 4.2 on.
var functions = []function{
	{name: "virtqueue_fill", first: "virtqueue_fill:taken", kind: kindQueue, parameter: 2, size: 4, sdt: 2},
	{name: "block_acct_start", first: "block_acct_start:read:len<512", kind: kindAccount, parameter: 2, size: 8, signed: true, sdt: -1},
	{name: "bdrv_co_preadv_part", first: "bdrv_co_preadv_part:len<512", kind: kindRequest, parameter: 2, size: 8, signed: true, sdt: 2},
	{name: "bdrv_co_pwritev_part", first: "bdrv_co_pwritev_part:len<512", kind: kindRequest, parameter: 2, size: 8, signed: true, sdt: 2},
	{name: "qemu_net_queue_send", first: "qemu_net_queue_send:len<32", kind: kindPacket, parameter: 4, size: 8, signed: true, sdt: -1},
	{name: "qemu_net_queue_send_iov", first: "qemu_net_queue_send_iov:len<32", kind: kindVector, parameter: 3, size: 8, sdt: -1},
	{name: "msix_notify", first: "msix_notify", kind: kindCalls, sdt: -1},
	{name: "memory_region_dispatch_write", first: "memory_region_dispatch_write:bytes1", kind: kindWrite, parameter: 3, size: 4, sdt: -1},
}

// functionsProgram is the name of the program in bpf/functions.bpf.c.
const functionsProgram = "functions_hit"

// sdtProvider is that of QEMU's trace points.
const sdtProvider = "qemu"

// site is a place in an executable that is watched.
type site struct {
	offset    uint64 // in the file
	semaphore uint64 // its offset in the file; 0: none
	cookie    uint64
}

// chosen is what of an executable is watched.
type chosen struct {
	sites   []site
	entries []string // functions that are watched at their entry
	sdt     []string // functions whose SDT probes are
	missing []string // functions that the executable does not have
}

// maxSites bounds how many places are watched: an inlined function has several.
const maxSites = 128

// attachFunctions attaches the program of [probe.Functions].
func attachFunctions(t Target, _ Options) (_ instrument, err error) {
	x, err := openExecutable(t.Executable)
	if err != nil {
		return instrument{}, err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	what, err := choose(x)
	if err != nil {
		return instrument{}, fmt.Errorf("executable %s: %w", t.Executable, err)
	}
	in, err := attachMulti(x, t.PID, what)
	if errors.Is(err, ErrUnsupported) {
		in, err = attachEach(x, t.PID, what)
	}
	return in, err
}

// choose finds the functions.
func choose(x *executable) (chosen, error) {
	probes, err := readSDT(x.elf)
	if err != nil {
		return chosen{}, err
	}
	wanted := make(map[string]bool)
	for _, f := range functions {
		wanted[f.name] = true
	}
	exported, err := x.exported(wanted)
	if err != nil {
		return chosen{}, err
	}
	columns := functionColumns()
	var c chosen
	for _, f := range functions {
		column, ok := columns[f.first]
		if !ok {
			return chosen{}, fmt.Errorf("function %s: there is no column %q", f.name, f.first)
		}
		if sites := f.probed(x, probes, column); len(sites) > 0 && len(c.sites)+len(sites) <= maxSites {
			c.sites, c.sdt = append(c.sites, sites...), append(c.sdt, f.name)
			continue
		}
		s, ok := f.entry(x, exported, column)
		if !ok || len(c.sites) >= maxSites {
			c.missing = append(c.missing, f.name)
			continue
		}
		c.sites, c.entries = append(c.sites, s), append(c.entries, f.name)
	}
	if len(c.sites) == 0 {
		return chosen{}, fmt.Errorf("it exports none of %s, and has no SDT probes of these names: %w", strings.Join(c.missing, ", "), ErrUnsupported)
	}
	return c, nil
}

// functionColumns returns the indexes of the columns by their names without FunctionsPrefix.
func functionColumns() map[string]int {
	m := make(map[string]int)
	for i, c := range probe.Functions.Columns() {
		m[strings.TrimPrefix(c.Name, probe.FunctionsPrefix)] = i
	}
	return m
}

// entry returns the place where the function begins.
func (f function) entry(x *executable, exported map[string]uint64, column int) (site, bool) {
	address, ok := exported[f.name]
	if !ok {
		return site{}, false
	}
	offset, ok := x.offset(address, elf.PF_X)
	if !ok {
		return site{}, false
	}
	offset += x.mark(offset)
	var a argument
	if f.kind != kindCalls {
		a = argument{place: placeRegister, register: parameters[f.parameter], size: f.size, signed: f.signed}
	}
	c, err := cookie(column, f.kind, a)
	return site{offset: offset, cookie: c}, err == nil
}

// probed returns the places of the function's SDT probe, or none if there is one that cannot be used.
func (f function) probed(x *executable, probes []sdtProbe, column int) []site {
	var sites []site
	for _, p := range probes {
		if f.sdt < 0 || p.provider != sdtProvider || p.name != f.name {
			continue
		}
		if len(sites) == maxSites {
			return nil
		}
		a, err := sdtArgument(p.arguments, f.sdt)
		if err != nil {
			return nil
		}
		s := site{}
		var ok bool
		if s.offset, ok = x.offset(p.location, elf.PF_X); !ok {
			return nil
		}
		if p.semaphore != 0 {
			if s.semaphore, ok = x.offset(p.semaphore, elf.PF_W); !ok {
				return nil
			}
		}
		if s.cookie, err = cookie(column, f.kind, a); err != nil {
			return nil
		}
		sites = append(sites, s)
	}
	return sites
}

// loadFunction loads the program, to be attached in the given way.
func loadFunction(way ebpf.AttachType) (*ebpf.Collection, error) {
	spec, err := loadFunctions()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	spec.Programs[functionsProgram].AttachType = way
	return loadSpec(spec, len(probe.Functions.Columns()))
}

// attachMulti attaches the program to all places by one link, which Linux has from 6.6 on. The error is ErrUnsupported where it has none, or
// one that filters by thread: those of Linux 6.6 to 6.9. libbpf tells these apart in the same way, by the answer to a process that cannot be.
func attachMulti(x *executable, pid int, what chosen) (instrument, error) {
	c, err := loadFunction(ebpf.AttachTraceUprobeMulti)
	if err != nil {
		return instrument{}, err
	}
	l, err := linkMulti(x, pid, c.Programs[functionsProgram], what.sites)
	if err != nil {
		c.Close()
		return instrument{}, explain(fmt.Sprintf("watch functions of process %d", pid), err)
	}
	return watching(c, []link.Link{l}, what.String()), nil
}

func linkMulti(x *executable, pid int, program *ebpf.Program, sites []site) (link.Link, error) {
	file, err := link.OpenExecutable(x.path())
	if err != nil {
		return nil, err
	}
	o := link.UprobeMultiOptions{Addresses: []uint64{sites[0].offset}, PID: math.MaxUint32}
	switch l, err := file.UprobeMulti(nil, program, &o); {
	case err == nil:
		return nil, errors.Join(errors.New("the kernel takes a process that cannot be"), l.Close())
	case errors.Is(err, link.ErrNotSupported):
		return nil, err
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("uprobe_multi filters by thread: %w", ErrUnsupported)
	}
	o = link.UprobeMultiOptions{PID: uint32(pid)}
	semaphores := false
	for _, s := range sites {
		o.Addresses = append(o.Addresses, s.offset)
		o.Cookies = append(o.Cookies, s.cookie)
		o.RefCtrOffsets = append(o.RefCtrOffsets, s.semaphore)
		semaphores = semaphores || s.semaphore != 0
	}
	if !semaphores {
		o.RefCtrOffsets = nil
	}
	l, err := file.UprobeMulti(nil, program, &o)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrGone, err)
	}
	return l, err
}

// attachEach attaches the program by a perf event for each place. For that the kernel wants CAP_SYS_ADMIN.
func attachEach(x *executable, pid int, what chosen) (instrument, error) {
	c, err := loadFunction(ebpf.AttachNone)
	if err != nil {
		return instrument{}, err
	}
	links, err := linkEach(x, pid, c.Programs[functionsProgram], what.sites)
	if err != nil {
		c.Close()
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: %w; before Linux 6.10 it needs CAP_SYS_ADMIN", ErrPermission, err)
		}
		return instrument{}, explain(fmt.Sprintf("watch functions of process %d by perf events", pid), err)
	}
	return watching(c, links, what.String()+"; by perf events"), nil
}

func linkEach(x *executable, pid int, program *ebpf.Program, sites []site) ([]link.Link, error) {
	file, err := link.OpenExecutable(x.path())
	if err != nil {
		return nil, err
	}
	var links []link.Link
	for _, s := range sites {
		l, err := file.Uprobe("", program, &link.UprobeOptions{Address: s.offset, RefCtrOffset: s.semaphore, Cookie: s.cookie, PID: pid})
		if err != nil {
			return nil, errors.Join(err, closeLinks(links))
		}
		links = append(links, l)
	}
	return links, nil
}

// watching returns the instrument of a program that is attached.
func watching(c *ebpf.Collection, links []link.Link, detail string) instrument {
	in := exclusive(c, c.Programs[functionsProgram])
	in.detach = func() error { return closeLinks(links) }
	in.detail = func() string { return detail }
	return in
}

// closeLinks closes links from the last one to the first.
func closeLinks(links []link.Link) error {
	var errs []error
	for i := len(links) - 1; i >= 0; i-- {
		errs = append(errs, links[i].Close())
	}
	return errors.Join(errs...)
}

// String says for people what is watched.
func (c chosen) String() string {
	s := fmt.Sprintf("%d functions at %d places", len(c.entries)+len(c.sdt), len(c.sites))
	if len(c.sdt) > 0 {
		s += ", by SDT probes " + strings.Join(c.sdt, ", ")
	}
	if len(c.missing) > 0 {
		s += "; this QEMU does not export " + strings.Join(c.missing, ", ")
	}
	return s
}
