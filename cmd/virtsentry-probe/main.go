// Command virtsentry-probe is the privileged helper of virtsentryd: it has the kernel count what can be seen of a domain.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/coreos/go-systemd/v22/activation"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
	"github.com/virtsentry/virtsentry/cmd/internal/probe/kernel"
	"github.com/virtsentry/virtsentry/cmd/internal/version"
	"github.com/virtsentry/virtsentry/libvirt/qemu"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := command(os.Stderr).ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "virtsentry-probe:", err)
		os.Exit(1)
	}
}

// settings are those of the command line.
type settings struct {
	socket   string
	runDir   string
	allow    []string
	idle     time.Duration
	logLevel string
}

func command(to io.Writer) *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "virtsentry-probe",
		Short: "The privileged helper of virtsentryd: has the kernel count what it sees of domains",
		Long: "virtsentry-probe serves virtsentryd on a UNIX socket. For a domain that is named by its UUID, it has the kernel count, by eBPF programs, packets on\n" +
			"its tap devices, functions and system calls of its QEMU, and what KVM does for it. It finds the domain's process and devices itself, from what\n" +
			"libvirt and the kernel say. A domain's programs end with the connection that asked for them, and all of them with this process.\n\n" +
			"It is to be started as root, and keeps of root's capabilities only " + names(kept) + " (before Linux 6.6 also CAP_NET_RAW). Nothing can be asked of it but counts.\n" +
			"The socket may come from the service manager (systemd.socket(5), ListenStream=); then it ends by itself when nobody needs it.",
		Version:       version.String(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logger(s.logLevel, to)
			if err != nil {
				return err
			}
			return run(c.Context(), s, log)
		},
	}
	c.Flags().StringVar(&s.socket, "socket", probe.DefaultSocket, "listen on `FILE`, unless the service manager passes a socket")
	c.Flags().StringVar(&s.runDir, "run-dir", qemu.DefaultRunDir, "libvirt's run-time `DIRECTORY`, in which qemu/NAME.xml and qemu/NAME.pid are")
	c.Flags().StringSliceVar(&s.allow, "allow", nil, "`USER` (or group; :GROUP is a group in any case) who may connect, beside root; may be repeated. The socket gets the first one's group")
	c.Flags().DurationVar(&s.idle, "idle", 30*time.Second, "with a socket of the service manager: end after this `TIME` without a connection; 0: never")
	c.Flags().StringVar(&s.logLevel, "log-level", "info", "`LEVEL` of what is logged: debug, info, warning, error")
	return c
}

func logger(level string, to io.Writer) (*logrus.Logger, error) {
	l, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	log := logrus.New()
	log.SetOutput(to)
	log.SetLevel(l)
	log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true})
	return log, nil
}

// run does what takes root's rights, gives those away, and serves.
func run(ctx context.Context, s settings, log *logrus.Logger) error {
	if err := require(kept); err != nil {
		return err
	}
	if s.idle < 0 {
		return fmt.Errorf("--idle %v: a time cannot be negative", s.idle)
	}
	allowed, err := probe.ParseAllowed(s.allow)
	if err != nil {
		return fmt.Errorf("--allow: %w", err)
	}
	l, passed, err := listen(s.socket, allowed)
	if err != nil {
		return err
	}
	keep := kept
	if !hasTCX() && require([]capability{netRaw}) == nil {
		keep = append(slices.Clone(kept), netRaw) // for packet sockets, the other way to see packets
	}
	err = rlimit.RemoveMemlock() // before Linux 5.11, maps count as locked memory
	if err == nil {
		err = confine(keep)
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	log.WithFields(logrus.Fields{"socket": l.Addr(), "run-dir": s.runDir, "allowed": append([]string{"root"}, s.allow...)}).
		Infof("listens; has no privilege but %s, and can get none", names(keep))
	server := probe.Server{
		Domains: probe.Domains{RunDir: s.runDir, ProcDir: qemu.DefaultProcDir},
		Attach:  attach,
		Allowed: allowed,
		Log:     log,
	}
	if passed {
		server.Idle = s.idle
	}
	return server.Serve(ctx, l)
}

// listen takes the socket that the service manager passes, or makes one: sd_listen_fds(3).
func listen(path string, allowed probe.Allowed) (l net.Listener, passed bool, err error) {
	list, err := activation.Listeners()
	if err != nil {
		return nil, false, fmt.Errorf("take the service manager's socket: %w", err)
	}
	switch {
	case len(list) == 0:
		l, err = probe.Listen(path, allowed.SocketGroup())
		return l, false, err
	case len(list) > 1:
		return nil, false, fmt.Errorf("the service manager passes %d sockets; one is wanted", len(list))
	case list[0] == nil || list[0].Addr().Network() != "unix":
		return nil, false, errors.New("the service manager passes no UNIX stream socket (ListenStream=)")
	}
	return list[0], true, nil
}

// attach has package kernel count.
func attach(s probe.Source, t probe.Target, o probe.Options) (probe.Counter, error) {
	target := kernel.Target{PID: t.Process.PID, Executable: t.Executable}
	for _, d := range t.Taps {
		target.Taps = append(target.Taps, kernel.TapDevice{Name: d.Name, Index: d.Index})
	}
	c, err := kernel.Attach(s, target, kernel.Options{Offset: o.Offset, Headers: o.Headers})
	if err != nil {
		return nil, err // and no interface that holds a nil pointer
	}
	return c, nil
}

// hasTCX says whether programs can be attached to network devices by tcx, which Linux has from 6.6 on. It asks for those of the loop device.
func hasTCX() bool {
	const loop = 1
	_, err := link.QueryPrograms(link.QueryOptions{Target: loop, Attach: ebpf.AttachTCXIngress})
	return !errors.Is(err, ebpf.ErrNotSupported) && !errors.Is(err, syscall.EINVAL)
}

// names lists capabilities as people call them.
func names(list []capability) string {
	var all []string
	for _, c := range list {
		all = append(all, c.name)
	}
	return strings.Join(all, ", ")
}
