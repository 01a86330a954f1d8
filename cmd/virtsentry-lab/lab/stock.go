package lab

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// StockQEMU is, as [Config].QEMU, the QEMU that the distribution ships. None that is known has UST trace points.
const StockQEMU = "stock"

// What moves the packets of a guest's virtio network card.
const (
	DriverQEMU  = "qemu"  // QEMU, whose trace points see them
	DriverVhost = "vhost" // the kernel's vhost-net, past QEMU
)

const vhostNet = "/dev/vhost-net"

// findStock finds the distribution's QEMU.
func findStock() (string, error) {
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return "", fmt.Errorf("find stock QEMU: %w; on Debian: apt-get install qemu-system-x86", err)
	}
	return path, nil
}

// hasUST says whether a QEMU has UST trace points: whether it is linked to LTTng's library.
func hasUST(qemu string) (bool, error) {
	f, err := elf.Open(qemu)
	if err != nil {
		return false, fmt.Errorf("look for trace points in %s: %w", qemu, err)
	}
	defer func() { _ = f.Close() }()
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return false, fmt.Errorf("look for trace points in %s: %w", qemu, err)
	}
	for _, name := range libraries {
		if strings.HasPrefix(name, "liblttng-ust") {
			return true, nil
		}
	}
	return false, nil
}

// hasFunctions says whether a QEMU lets its functions be counted: whether it exports them, as it does for its modules, or has SDT probes.
func hasFunctions(qemu string) (bool, error) {
	f, err := elf.Open(qemu)
	if err != nil {
		return false, fmt.Errorf("look for functions in %s: %w", qemu, err)
	}
	defer func() { _ = f.Close() }()
	if f.Section(".note.stapsdt") != nil {
		return true, nil
	}
	symbols, err := f.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return false, fmt.Errorf("look for functions in %s: %w", qemu, err)
	}
	return slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == "virtqueue_fill" && s.Section != elf.SHN_UNDEF }), nil
}

// networkDriver chooses what moves the packets of a guest that is being defined. With trace points in QEMU they are to see the packets.
// Without, it is what a host of this kind would have: vhost-net, where the kernel has it at device. Only virtio cards have a choice ("" for others).
func networkDriver(ust bool, nic, device string) (string, error) {
	if nic != "virtio" {
		return "", nil
	}
	if ust {
		return DriverQEMU, nil
	}
	switch _, err := os.Stat(device); {
	case errors.Is(err, fs.ErrNotExist):
		return DriverQEMU, nil
	case err != nil:
		return "", fmt.Errorf("look for vhost-net: %w", err)
	}
	return DriverVhost, nil
}
