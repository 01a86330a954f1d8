package monitor

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"

	"golang.org/x/sys/unix"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
)

// errBuffers says that a domain's ring buffers would take more memory than is allowed.
var errBuffers = errors.New("no memory left for ring buffers")

// sharedMemory is where LTTng makes ring buffers, shm_overview(7).
const sharedMemory = "/dev/shm"

// possibleCPUs is the file in which the kernel lists the CPUs that the host may ever have (sysfs, ABI/stable). LTTng allocates a ring buffer for each.
const possibleCPUs = "/sys/devices/system/cpu/possible"

// smallest sub-buffer: a page, as LTTng demands.
const smallestSubBuffer = 4096

// buffers accounts for the memory of all domains' ring buffers. It may be used by several goroutines.
type buffers struct {
	cpus   uint64
	domain uint64 // most that a domain may take, bytes
	total  uint64 // most that all may take
	shm    string // sharedMemory

	mu   sync.Mutex // guards used
	used uint64
}

func newBuffers(cfg config.LTTng, log logrus.FieldLogger) *buffers {
	cpus, err := countCPUs(possibleCPUs)
	if err != nil {
		cpus = uint64(runtime.NumCPU())
		log.WithError(err).Warn("ring buffers are accounted for by the CPUs that there are now")
	}
	return &buffers{cpus: cpus, domain: cfg.DomainBufferBytes, total: cfg.TotalBufferBytes, shm: sharedMemory}
}

// room makes sure that so many bytes of ring buffers can be made. LTTng's consumer daemon (2.13) keeps a descriptor for ever each time that it cannot. Errors:
// errBuffers.
func (b *buffers) room(bytes uint64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(b.shm, &fs); err != nil {
		return nil //nolint:nilerr // LTTng may see another one
	}
	if free := fs.Bfree * uint64(fs.Bsize); free < bytes {
		return fmt.Errorf("%w: %d bytes are free in %s, want %d (make room there, or mount it with a larger size)", errBuffers, free, b.shm, bytes)
	}
	return nil
}

// reserve finds the largest size of sub-buffers, at most size, with which a domain stays within its limit, and takes the memory of them from
// what all domains share. Errors: errBuffers.
func (b *buffers) reserve(size, count uint64) (subBuffer, bytes uint64, err error) {
	count++ // LTTng-UST has room for one more in each buffer
	for b.cpus*count*size > b.domain && size > smallestSubBuffer {
		size /= 2
	}
	bytes = b.cpus * count * size
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case bytes > b.domain:
		return 0, 0, fmt.Errorf("%w: %d CPUs x %d sub-buffers of %d bytes are more than lttng.domain_buffer_bytes = %d", errBuffers, b.cpus, count, size, b.domain)
	case b.used+bytes > b.total:
		return 0, 0, fmt.Errorf("%w: %d bytes beside the %d in use are more than lttng.total_buffer_bytes = %d", errBuffers, bytes, b.used, b.total)
	}
	b.used += bytes
	return size, bytes, nil
}

func (b *buffers) release(bytes uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= bytes
}

// taken is what all domains' ring buffers take, and what they may take.
func (b *buffers) taken() (used, limit uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.total
}

// countCPUs reads a list of CPUs such as 0-3,8 (cpuset(7), list format): how many there are, by the highest number, since LTTng has a buffer for
// each number.
func countCPUs(file string) (uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read the possible CPUs: %w", err)
	}
	list := strings.TrimSpace(string(text))
	last := list[strings.LastIndexAny(list, "-,")+1:]
	n, err := strconv.ParseUint(last, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("read the possible CPUs: %s: %q is no list of CPUs", file, list)
	}
	return n + 1, nil
}
