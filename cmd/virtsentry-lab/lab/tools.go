package lab

import (
	"fmt"
	"os/exec"
	"strings"
)

type hostTool struct{ name, pkg string }

// hostTools are the programs that a lab needs on the host and the Debian
// packages they come from.
var hostTools = []hostTool{
	{"ip", "iproute2"},
	{"virtlogd", "libvirt-daemon"},
	{"qemu-img", "qemu-utils"},
	{"lttng", "lttng-tools"},
	{"lttng-sessiond", "lttng-tools"},
	{"timeout", "coreutils"},
	{"hping3", "hping3"},
	{"nmap", "nmap"},
	{"ncrack", "ncrack"},
	{"slowhttptest", "slowhttptest"},
	{"ping", "iputils-ping"},
}

// checkTools names everything that is missing at once, with the packages.
// The libvirt daemon of the lab is one of the tools.
func checkTools(daemon string, look func(string) (string, error)) error {
	var tools, pkgs []string
	for _, t := range append([]hostTool{{daemon, "libvirt-daemon"}}, hostTools...) {
		if _, err := look(t.name); err != nil {
			tools = append(tools, t.name)
			if len(pkgs) == 0 || pkgs[len(pkgs)-1] != t.pkg {
				pkgs = append(pkgs, t.pkg)
			}
		}
	}
	if len(tools) > 0 {
		return fmt.Errorf("programs missing: %s; on Debian: apt-get install %s",
			strings.Join(tools, ", "), strings.Join(pkgs, " "))
	}
	return nil
}

func checkHostTools(daemon string) error { return checkTools(daemon, exec.LookPath) }
