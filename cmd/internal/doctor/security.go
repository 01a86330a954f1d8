package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

const (
	armourEnabled = "/sys/module/apparmor/parameters/enabled"
	abstraction   = "/etc/apparmor.d/abstractions/libvirt-qemu"
	localRules    = "/etc/apparmor.d/local/abstractions/libvirt-qemu"
)

// armour is what AppArmor's rules for all of libvirt's guests say of LTTng.
type armour struct {
	enabled bool
	denies  string // where the first deny of the wait file stands; empty: nowhere
	allows  bool   // the application socket may be used
	err     error  // why the rules could not be read
}

// A deny beats every allow, wherever it stands: apparmor.d(5).
var (
	denyRule  = regexp.MustCompile(`^\s*(audit\s+)?deny\s.*lttng-ust-wait`)
	allowRule = regexp.MustCompile(`^\s*(audit\s+)?(allow\s+)?(owner\s+)?(file\s+)?"?/\S*lttng-ust-sock-\S*\s+[a-z]*w`)
)

const allowLTTng = "virtsentry-apparmor allow lets guests use it (virtsentry-apparmor(8) says what that opens), or by hand: take the lines with deny and lttng-ust-wait from " + abstraction + "; write \"/dev/shm/lttng-ust-wait-* r,\" and \"/run/lttng/lttng-ust-sock-* rw,\" into " +
	localRules + "; then shut the domain down and start it, for rules count from a domain's start"

// security looks at the two kinds of mandatory access control that libvirt confines guests with.
func (x *examination) security() {
	x.armour = x.readArmour()
	switch a := x.armour; {
	case !a.enabled && a.err != nil:
		x.say(unread(AppArmor, armourEnabled, a.err))
	case !a.enabled:
		x.say(ok(AppArmor, "not enabled"))
	case errors.Is(a.err, fs.ErrNotExist):
		x.say(ok(AppArmor, "enabled, but libvirt's rules for guests (%s) are not installed", abstraction))
	case a.err != nil:
		x.say(unread(AppArmor, "libvirt's rules for guests", a.err))
	case a.denies != "":
		x.say(bad(AppArmor, Problem, allowLTTng, "libvirt's rules deny every guest LTTng's wait file: %s", a.denies))
	case !a.allows:
		x.say(bad(AppArmor, Problem, allowLTTng, "libvirt's rules do not let guests use LTTng's socket"))
	default:
		x.say(ok(AppArmor, "enabled, and libvirt's rules let guests use LTTng"))
	}

	const enforce = "/sys/fs/selinux/enforce"
	switch mode, err := x.line(enforce); {
	case errors.Is(err, fs.ErrNotExist):
		x.say(ok(SELinux, "not enabled"))
	case err != nil:
		x.say(unread(SELinux, enforce, err))
	case mode == "1":
		x.say(bad(SELinux, Warning, "ausearch -m avc -ts recent -c qemu-system-x86 shows what was refused; make a rule of it with audit2allow, if a domain is not registered",
			"enforcing: whether its policy lets guests (svirt_t) use LTTng was never tried"))
	default:
		x.say(ok(SELinux, "permissive"))
	}
}

func (x *examination) readArmour() (a armour) {
	enabled, err := x.line(armourEnabled)
	if errors.Is(err, fs.ErrNotExist) {
		return a // a kernel without AppArmor
	}
	if a.enabled = enabled == "Y"; err != nil || !a.enabled {
		a.err = err
		return a
	}
	for _, file := range []string{abstraction, localRules} {
		text, err := x.read(file, maxText)
		if errors.Is(err, fs.ErrNotExist) && file == localRules {
			continue
		}
		if err != nil {
			a.err = err
			return a
		}
		for i, line := range strings.Split(string(text), "\n") {
			if denyRule.MatchString(line) && a.denies == "" {
				a.denies = fmt.Sprintf("%s:%d: %s", file, i+1, strings.TrimSpace(line))
			}
			a.allows = a.allows || allowRule.MatchString(line)
		}
	}
	return a
}

// confinement looks under which of AppArmor's profiles QEMU runs, and what that means for one that is not connected.
func (x *examination) confinement(pid int, connected bool) {
	if !x.armour.enabled {
		return
	}
	label, err := x.line(ofProcess(pid, "attr/apparmor/current"))
	if errors.Is(err, fs.ErrNotExist) { // a kernel before 5.8
		label, err = x.line(ofProcess(pid, "attr/current"))
	}
	profile, mode, _ := strings.Cut(strings.TrimRight(label, "\x00"), " ")
	switch {
	case err != nil:
		x.say(unread(Confinement, "its AppArmor profile", err))
	case profile == "unconfined" || mode == "(complain)":
		x.say(ok(Confinement, "AppArmor does not confine it (%s)", label))
	case connected:
		x.say(ok(Confinement, "confined by AppArmor (%s), and registered all the same", label))
	case x.armour.denies != "" || !x.armour.allows:
		x.say(bad(Confinement, Problem, allowLTTng, "confined by AppArmor (%s), whose rules keep it from LTTng; it is not registered", label))
	default:
		x.say(bad(Confinement, Problem, "if it was started before the rules were changed, shut it down and start it; journalctl -k --grep DENIED shows what is refused",
			"confined by AppArmor (%s), whose rules let it now; it is not registered", label))
	}
}
