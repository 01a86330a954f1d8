package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

// askLimit is how long the daemon may take to answer.
const askLimit = 5 * time.Second

// examination is what is known of the host while it is looked at.
type examination struct {
	*Host
	cfg     config.Config
	watched []control.DomainStatus // by the daemon
	asked   error                  // why the daemon did not say
	hidden  error                  // why libvirt's list of domains could not be read
	session session                // LTTng's session daemon
	armour  armour                 // AppArmor's rules
	kernel  inKernel               // what virtsentry-probe can do
	out     []Finding
}

// Check looks at the host, and at the running domains with these names, UUIDs or (where the daemon answers) libvirt ids; at all of them, if there
// are none. Nothing is changed. Errors: control.ErrNoDomain, with the findings on the host.
func Check(ctx context.Context, h Host, refs ...string) ([]Finding, error) {
	x := &examination{Host: &h, cfg: config.Default()}
	x.configuration()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	x.daemon(ctx)
	all := x.libvirt()
	x.sessionDaemon()
	x.waitFile()
	x.memory(len(all))
	x.clock()
	x.security()
	x.helper(ctx)

	chosen, err := x.choose(all, refs)
	for _, t := range chosen {
		x.domain(t)
	}
	return x.out, err
}

func (x *examination) say(f Finding) { x.out = append(x.out, f) }

// configuration reads the daemon's file, for what it says of directories and buffers.
func (x *examination) configuration() {
	c, err := config.Read(x.path(x.Config), true)
	if err != nil {
		x.say(withRemedy(unread(Configuration, x.Config, err), "correct "+x.Config+"; virtsentryd does not start with it"))
		return
	}
	x.cfg = c
	if x.RunDir == "" {
		x.RunDir = c.Libvirt.RunDir
	}
}

// target is a domain to look at.
type target struct {
	qemu.Domain
	err error // why nothing more is known of its process
}

// libvirt lists the running domains, by the files in which libvirt keeps their processes' ids.
func (x *examination) libvirt() (list []target) {
	if x.RunDir == "" {
		x.RunDir = qemu.DefaultRunDir
	}
	dir := x.RunDir + "/qemu"
	entries, err := x.readDir(dir)
	if err != nil {
		f := unread(Libvirt, dir, err)
		if f.Remedy != asRoot {
			f.Status = Problem
			f.Remedy = "start libvirt (systemctl start libvirtd), or name its run-time directory with --run-dir, and in virtsentryd's configuration as libvirt.run_dir"
		}
		x.say(f)
		x.hidden = err
		return nil
	}
	for _, e := range entries {
		name, isPID := strings.CutSuffix(e.Name(), ".pid")
		if !isPID {
			continue
		}
		d, err := x.processes().Identify(name)
		d.Name = name
		if d.UUID == "" && errors.Is(err, qemu.ErrNoProcess) && !x.knows(name) {
			continue // a file that outlived its process
		}
		list = append(list, target{d, err})
	}
	x.say(ok(Libvirt, "%s: %d running %s", dir, len(list), plural(len(list), "domain")))
	return list
}

// knows says whether the daemon watches a domain of that name.
func (x *examination) knows(name string) bool {
	return slices.ContainsFunc(x.watched, func(d control.DomainStatus) bool { return d.Name == name })
}

// choose picks the domains that are asked for. One that only the daemon knows is taken from it.
func (x *examination) choose(all []target, refs []string) ([]target, error) {
	for _, d := range x.watched {
		if !slices.ContainsFunc(all, func(t target) bool { return t.Name == d.Name }) {
			all = append(all, target{Domain: qemu.Domain{UUID: d.UUID, Name: d.Name}})
		}
	}
	if len(refs) == 0 {
		return all, nil
	}
	var chosen []target
	var missing error
	for _, ref := range refs {
		i := slices.IndexFunc(all, func(t target) bool { return x.named(t, ref) })
		if i < 0 && errors.Is(x.hidden, fs.ErrPermission) { // it may well be there
			chosen = append(chosen, target{Domain: qemu.Domain{Name: ref}, err: x.hidden})
			continue
		}
		if i < 0 {
			missing = errors.Join(missing, fmt.Errorf("%s: %w", ref, control.ErrNoDomain))
			continue
		}
		chosen = append(chosen, all[i])
	}
	return chosen, missing
}

func (x *examination) named(t target, ref string) bool {
	if ref == t.Name || strings.EqualFold(ref, t.UUID) {
		return true
	}
	id, err := strconv.Atoi(ref)
	return err == nil && id > 0 && slices.ContainsFunc(x.watched, func(d control.DomainStatus) bool { return d.ID == id && d.UUID == t.UUID })
}

// domain looks at one domain. What follows from a finding is not looked at: without trace points nothing registers.
func (x *examination) domain(t target) {
	from := len(x.out)
	defer func() {
		for i := from; i < len(x.out); i++ {
			x.out[i].Domain, x.out[i].UUID = t.Name, t.UUID
		}
	}()
	defer x.state(t)
	pid, found := x.process(t)
	if !found {
		return
	}
	if lib, has := x.tracePoints(t, pid); has {
		connected := x.registration(t, pid, lib)
		x.confinement(pid, connected)
		x.namespaces(pid)
		x.traceClock(pid)
	}
	x.devices(t, pid)
	x.sources(pid)
}

func (x *examination) process(t target) (pid int, found bool) {
	if t.err == nil {
		p, err := x.processes().Find(t.Domain)
		if err == nil {
			x.say(ok(Process, "QEMU is process %d", p.PID))
			return p.PID, true
		}
		t.err = err
	}
	f := unread(Process, "its QEMU process", t.err)
	if errors.Is(t.err, qemu.ErrNoProcess) {
		f = bad(Process, Problem, fmt.Sprintf("if it runs (virsh domstate %s), --run-dir and libvirt.run_dir must name the run-time directory of its libvirt; it is %s now", quoted(t.Name), x.RunDir),
			"no QEMU process by %s/qemu/%s.pid", x.RunDir, t.Name)
	}
	x.say(f)
	return 0, false
}

func withRemedy(f Finding, remedy string) Finding {
	if f.Remedy != asRoot {
		f.Status, f.Remedy = Problem, remedy
	}
	return f
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// quoted is a domain's name as a shell takes it.
func quoted(name string) string {
	if name != "" && strings.IndexFunc(name, func(r rune) bool {
		return !strings.ContainsRune("-_.", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0 {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
