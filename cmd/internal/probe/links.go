package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// link is a network device of the network namespace that the helper is in.
type link struct {
	index int
	kind  string // of virtual devices: tun, macvtap, veth, ...; rtnetlink(7), IFLA_INFO_KIND
	tun   uint8  // of kind tun: IFF_TUN or IFF_TAP; 0: the kernel does not say, before 4.20
}

// tap says whether packets of such a device are frames that a process reads and writes.
func (l link) tap() bool {
	switch l.kind {
	case "tun":
		return l.tun == unix.IFF_TAP || l.tun == 0
	case "macvtap", "ipvtap":
		return true
	}
	return false
}

// taps asks the kernel for devices. Those that are no tap devices, or not there, are among the others.
func taps(names []string) (list []Device, others []string, err error) {
	if len(names) == 0 {
		return nil, nil, nil
	}
	all, err := links()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		switch l, there := all[name]; {
		case !there:
			others = append(others, fmt.Sprintf("%.40q: there is no such device in the helper's network namespace", name))
		case !l.tap():
			others = append(others, name+": is no tap device")
		default:
			list = append(list, Device{Name: name, Index: l.index})
		}
	}
	return list, others, nil
}

// links asks the kernel for all devices, by their names: rtnetlink(7), RTM_GETLINK.
func links() (map[string]link, error) {
	answer, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	all, err := parseLinks(answer)
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	return all, nil
}

func parseLinks(answer []byte) (map[string]link, error) {
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return nil, err
	}
	all := map[string]link{}
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
			continue
		}
		attributes, err := parseAttributes(m.Data[unix.SizeofIfInfomsg:])
		if err != nil {
			return nil, err
		}
		const indexAt = 4 // struct ifinfomsg
		l := link{index: int(int32(binary.NativeEndian.Uint32(m.Data[indexAt:])))}
		info, err := parseAttributes(attributes[unix.IFLA_LINKINFO])
		if err != nil {
			return nil, err
		}
		l.kind = text(info[unix.IFLA_INFO_KIND])
		if l.kind == "tun" {
			data, err := parseAttributes(info[unix.IFLA_INFO_DATA])
			if err != nil {
				return nil, err
			}
			const tunType = 3 // IFLA_TUN_TYPE
			if v := data[tunType]; len(v) == 1 {
				l.tun = v[0]
			}
		}
		if name := text(attributes[unix.IFLA_IFNAME]); name != "" {
			all[name] = l
		}
	}
	return all, nil
}

// parseAttributes reads attributes of netlink(7) by their types. Of several of a type the last one counts.
func parseAttributes(b []byte) (map[uint16][]byte, error) {
	const head, align, flags = unix.SizeofNlAttr, unix.NLA_ALIGNTO, unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
	list := map[uint16][]byte{}
	for len(b) >= head {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < head || size > len(b) {
			return nil, errors.New("garbled attribute")
		}
		list[kind&^flags] = b[head:size]
		b = b[min(len(b), (size+align-1)&^(align-1)):]
	}
	return list, nil
}

func text(b []byte) string {
	before, _, _ := bytes.Cut(b, []byte{0})
	return string(before)
}
