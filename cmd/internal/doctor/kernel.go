package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

const (
	lockdownFile  = "/sys/kernel/security/lockdown"
	bpfSetting    = "/proc/sys/kernel/unprivileged_bpf_disabled" // whatever it says: only a kernel with eBPF has it
	kernelRelease = "/proc/sys/kernel/osrelease"
	tracefsEvents = "/sys/kernel/tracing/events"
	debugfsEvents = "/sys/kernel/debug/tracing/events"
)

// inKernel is what is known of the sources that virtsentry-probe has.
type inKernel struct {
	helps   bool // virtsentry-probe answers
	tracefs bool
	refused map[probe.Source]string // why the kernel does not do it
}

// helper looks for virtsentry-probe, and for what its kernel lets it do.
func (x *examination) helper(ctx context.Context) {
	socket := x.cfg.Sources.Socket
	x.kernel.refused = map[probe.Source]string{}
	if !slices.ContainsFunc(probe.Sources(), x.wanted) {
		x.say(ok(Helper, "not needed: sources.use in %s wants none of what it has", x.Config))
		return
	}
	switch err := x.System.Helper(ctx, x.path(socket)); {
	case err == nil:
		x.kernel.helps = true
		x.say(ok(Helper, "answers on %s", socket))
	case errors.Is(err, probe.ErrNoHelper):
		x.say(bad(Helper, Warning, "start it (systemctl start virtsentry-probe.socket, or virtsentry-probe as root), or name its socket as sources.socket in "+x.Config,
			"nobody listens on %s: of a domain nothing is seen but the trace points of its QEMU, where it has any", socket))
	case errors.Is(err, probe.ErrRefused):
		x.say(bad(Helper, Unknown, asRoot, "this user may not ask it: %s is for root and whom virtsentry-probe --allow names", socket))
	default:
		x.say(bad(Helper, Problem, "look into its log (journalctl -u virtsentry-probe), and start it again if it hangs (systemctl restart virtsentry-probe)", "it gives no answer on %s: %s", socket, strings.ReplaceAll(err.Error(), x.path(socket), socket)))
	}
	x.ebpf()
	x.tracefs()
}

// wanted says whether the daemon may use a source.
func (x *examination) wanted(s probe.Source) bool {
	use := x.cfg.Sources.Use
	return slices.Contains(use, config.Auto) || slices.Contains(use, string(s))
}

// ebpf looks whether the kernel has what programs of virtsentry-probe need.
func (x *examination) ebpf() {
	const still = "; QEMU's own trace points (UST) need none of it"
	refuse := func(why string, list ...probe.Source) {
		for _, s := range list {
			x.kernel.refused[s] = why
		}
	}
	release, err := x.line(kernelRelease)
	if err != nil {
		x.say(unread(EBPF, kernelRelease, err))
		return
	}
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 {
		x.say(bad(EBPF, Unknown, "look into virtsentry-probe's log for what the kernel answers", "Linux %.40q: no version is known of it", release))
		return
	}
	older := func(a, b int) bool { return major < a || major == a && minor < b }
	lockdown, _ := x.line(lockdownFile) // a kernel that cannot be locked down has none
	_, bpfErr := x.stat(bpfSetting)
	switch {
	case errors.Is(bpfErr, fs.ErrNotExist):
		refuse("the kernel has no eBPF", probe.Sources()...)
		x.say(bad(EBPF, Warning, "for what virtsentry-probe sees, run a kernel built with CONFIG_BPF_SYSCALL"+still, "Linux %s has no eBPF: virtsentry-probe can see nothing", release))
	case older(5, 8):
		refuse("the kernel is too old", probe.Sources()...)
		x.say(bad(EBPF, Warning, "for what virtsentry-probe sees, run Linux 6.10 or later"+still, "Linux %s lacks CAP_BPF (5.8): virtsentry-probe does not start", release))
	case strings.Contains(lockdown, "[confidentiality]"):
		refuse("the kernel is locked down", probe.Functions, probe.Syscalls, probe.KVM)
		x.say(bad(EBPF, Warning, "boot with lockdown=integrity, or without, for the other sources"+still,
			"the kernel is locked down (confidentiality: %s): it lets nobody read its memory or trace points. Of virtsentry-probe's sources only tap works", lockdownFile))
	case older(6, 10):
		refuse("the kernel is too old", probe.Functions)
		x.say(bad(EBPF, Warning, "for the source functions, run Linux 6.10 or later"+still,
			"Linux %s gives uprobes of one process (6.10) to CAP_SYS_ADMIN alone, which virtsentry-probe has not: the source functions does not work, the others do", release))
	default:
		x.say(ok(EBPF, "Linux %s has what virtsentry-probe needs", release))
	}
}

// tracefs looks whether it is mounted, for the source kvm alone.
func (x *examination) tracefs() {
	_, err := x.stat(tracefsEvents)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = x.stat(debugfsEvents)
	}
	if x.kernel.tracefs = err == nil || errors.Is(err, fs.ErrPermission); x.kernel.tracefs { // an empty mount point may be looked into by all
		x.say(ok(Tracefs, "mounted"))
		return
	}
	x.kernel.refused[probe.KVM] = "tracefs is not mounted"
	x.say(bad(Tracefs, Warning, "mount -t tracefs tracefs /sys/kernel/tracing", "tracefs is not mounted: virtsentry-probe's source kvm does not work, the others do"))
}

// sees says whether virtsentry-probe can observe a domain by a source now, as far as that is a matter of the host.
func (x *examination) sees(s probe.Source) bool {
	return x.kernel.helps && x.wanted(s) && x.kernel.refused[s] == ""
}

// sources tells what virtsentry-probe could see of a domain.
func (x *examination) sources(pid int) {
	args := x.arguments(pid)
	if len(args) == 0 || !slices.ContainsFunc(probe.Sources(), x.wanted) {
		return
	}
	var could, not []string
	for _, s := range probe.Sources() {
		what, lacks := applies(s, args)
		switch why := x.kernel.refused[s]; {
		case lacks != "":
			not = append(not, fmt.Sprintf("%s (%s)", s, lacks))
		case why != "":
			not = append(not, fmt.Sprintf("%s (%s)", s, why))
		default:
			could = append(could, fmt.Sprintf("%s (%s)", s, what))
		}
	}
	text := "virtsentry-probe can see: " + strings.Join(could, ", ")
	if len(could) == 0 {
		text = "virtsentry-probe can see nothing"
	}
	if len(not) > 0 {
		text += "; not: " + strings.Join(not, ", ")
	}
	if !x.kernel.helps {
		text += ". It did not answer"
	}
	x.say(ok(Sources, "%s", text))
}

// applies says what of a domain a source would see, or what the domain lacks for it.
func applies(s probe.Source, args []string) (what, lacks string) {
	switch s {
	case probe.Tap:
		n := countTaps(args)
		if n == 0 {
			return "", "no interface that it was started with has a tap device"
		}
		return fmt.Sprintf("%d %s", n, plural(n, "interface")), ""
	case probe.Functions:
		return "what its QEMU exports", ""
	case probe.Syscalls:
		return "of its QEMU", ""
	}
	if !underKVM(args) {
		return "", "it does not run under KVM"
	}
	return "exits by reason", ""
}

func countTaps(args []string) (n int) {
	for i := 1; i < len(args); i++ {
		if args[i-1] == "-netdev" && parseOption(args[i])["type"] == "tap" {
			n++
		}
	}
	return n
}

// underKVM says whether QEMU was told to use KVM, in one of the ways that it takes.
func underKVM(args []string) bool {
	for i, a := range args {
		if a == "-enable-kvm" || i > 0 && (args[i-1] == "-accel" && parseOption(a)["type"] == "kvm" || args[i-1] == "-machine" && strings.Contains(a, "accel=kvm")) {
			return true
		}
	}
	return false
}
