package bench

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what a benchmark ran on.
type Machine struct {
	CPU    string `json:"cpu"` // model name of proc(5), /proc/cpuinfo
	CPUs   int    `json:"cpus"`
	Memory uint64 `json:"memory"` // bytes
	Kernel string `json:"kernel"` // uname(2), release
	Go     string `json:"go"`
}

// ThisMachine describes the machine that the program runs on.
func ThisMachine() (Machine, error) {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	m.Kernel, _, _ = strings.Cut(unix.ByteSliceToString(name.Release[:]), "-") // what follows the version names who built it
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	m.Memory = info.Totalram * uint64(info.Unit)
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, value, _ := strings.Cut(s.Text(), ":"); strings.TrimSpace(key) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m, nil
}

// String describes it in a sentence's part.
func (m Machine) String() string {
	return fmt.Sprintf("%d processors (%s), %d GiB of memory, Linux %s, %s", m.CPUs, m.CPU, m.Memory>>30, m.Kernel, m.Go)
}
