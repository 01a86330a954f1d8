package doctor

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// unseen is a device whose traffic passes QEMU's trace points by.
type unseen struct {
	name string
	how  string
}

// devices looks for devices that do not pass QEMU: on its command line, and, for those that were plugged in later, among its open files.
func (x *examination) devices(t target, pid int) {
	networks, others := passingBy(x.arguments(pid))
	open, err := x.descriptors(pid)
	kernel := 0
	for _, what := range open {
		if what == "/dev/vhost-net" {
			kernel++
		}
	}
	for _, n := range networks {
		if n.how == byVhostNet {
			kernel = 0 // they are its
		}
		x.say(x.passing(Network, t, n))
	}
	switch {
	case kernel > 0:
		x.say(x.passing(Network, t, unseen{"a network interface that was plugged in", byVhostNet}))
	case err != nil && len(networks) == 0:
		x.say(unread(Network, "whether an interface that was plugged in uses vhost-net: QEMU's open files", err))
	case len(networks) == 0:
		x.say(ok(Network, "packets pass QEMU"))
	}
	for _, o := range others {
		x.say(x.passing(Devices, t, o))
	}
}

// How traffic passes QEMU by.
const (
	byVhostNet  = "vhost-net"
	byVhostUser = "vhost-user"
	byVDPA      = "vDPA"
	byVFIO      = "VFIO"
	byVirtioFS  = "virtiofs"
)

func (x *examination) passing(id ID, t target, u unseen) Finding {
	edit := "virsh edit " + quoted(t.Name) + ", then shut it down and start it"
	switch u.how {
	case byVhostNet:
		if x.sees(probe.Tap) {
			return ok(id, "%s: the kernel (vhost-net) moves its packets past QEMU; virtsentry-probe sees them (tap)", u.name)
		}
		return bad(id, Problem, "have virtsentry-probe see them (see virtsentry-probe and ebpf above), or write <driver name='qemu'/> into the <interface>: "+edit, "%s: the kernel (vhost-net) moves its packets past QEMU, they are not seen", u.name)
	case byVirtioFS:
		return bad(id, Warning, "if it must be seen, use a disk, or <filesystem> with <driver type='path'/>: "+edit, "%s: virtiofsd serves it outside of QEMU, it is not seen", u.name)
	case byVFIO:
		return bad(id, Warning, "if it must be seen, use an emulated or virtio device in place of <hostdev>: "+edit, "%s: the guest drives a device of the host itself, it is not seen", u.name)
	}
	return bad(id, Warning, "if it must be seen, use a device that QEMU serves (virtio with <driver name='qemu'/>): "+edit, "%s: %s serves it outside of QEMU, it is not seen", u.name, u.how)
}

// passingBy finds in a QEMU's arguments the network interfaces and the other devices that it does not serve itself.
func passingBy(args []string) (networks, others []unseen) {
	names := map[string]string{} // of interfaces, by their back ends
	back := map[string]string{}  // how those pass QEMU by
	var order []string
	for i := 1; i < len(args); i++ {
		switch o := parseOption(args[i]); args[i-1] {
		case "-netdev":
			if how := netdevPasses(o); how != "" {
				back[o["id"]] = how
				order = append(order, o["id"])
			}
		case "-blockdev":
			if strings.Contains(o["driver"], "vhost") {
				others = append(others, unseen{"block device " + o["node-name"], strings.TrimPrefix(o["driver"], "virtio-blk-")})
			}
		case "-device":
			driver := o["driver"]
			if driver == "" {
				driver = o["type"]
			}
			if o["netdev"] != "" {
				names[o["netdev"]] = strings.TrimSpace(o["id"] + " " + o["mac"])
			}
			if how := devicePasses(driver); how != "" {
				others = append(others, unseen{strings.TrimSpace(driver + " " + o["id"]), how})
			}
		}
	}
	for _, id := range order {
		name := names[id]
		if name == "" {
			name = id
		}
		networks = append(networks, unseen{"interface " + name, back[id]})
	}
	return networks, others
}

func netdevPasses(o map[string]string) string {
	switch on := func(key string) bool { return o[key] == "on" || o[key] == "true" || o[key] == "yes" }; {
	case o["type"] == "vhost-user":
		return byVhostUser
	case o["type"] == "vhost-vdpa":
		return byVDPA
	case on("vhost") || on("vhostforce"):
		return byVhostNet
	}
	return ""
}

func devicePasses(driver string) string {
	switch {
	case strings.HasPrefix(driver, "vhost-user-fs"):
		return byVirtioFS
	case strings.HasPrefix(driver, "vhost-user-"):
		return byVhostUser
	case strings.HasPrefix(driver, "vhost-scsi"):
		return "vhost-scsi"
	case strings.HasPrefix(driver, "vfio-"):
		return byVFIO
	}
	return ""
}

// parseOption reads an option's value in either of QEMU's two forms, JSON and type,key=value,…; what is neither yields no keys of interest.
func parseOption(text string) map[string]string {
	o := map[string]string{}
	if strings.HasPrefix(text, "{") {
		var fields map[string]any
		if json.Unmarshal([]byte(text), &fields) == nil {
			for key, value := range fields {
				o[key] = fmt.Sprint(value)
			}
		}
		return o
	}
	const comma = "\x00" // ",," is a comma within a value
	for i, part := range strings.Split(strings.ReplaceAll(text, ",,", comma), ",") {
		key, value, has := strings.Cut(strings.ReplaceAll(part, comma, ","), "=")
		if !has && i == 0 {
			key, value = "type", key
		}
		o[key] = value
	}
	return o
}
