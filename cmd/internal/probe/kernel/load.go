package kernel

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// Names in bpf/unit.bpf.h.
const (
	countsMap     = "counts"
	meterVariable = "meter"
)

// removeMemlock lifts the limit of locked memory, which kernels before 5.11 charge maps to.
var removeMemlock = sync.OnceValue(rlimit.RemoveMemlock)

// loadSpec loads programs and maps that count so many columns. The caller closes the collection.
func loadSpec(spec *ebpf.CollectionSpec, columns int) (*ebpf.Collection, error) {
	if m := spec.Maps[countsMap]; m != nil && int(m.ValueSize) != 8*columns {
		return nil, fmt.Errorf("the programs count %d columns, of which %d are described", m.ValueSize/8, columns)
	}
	return loadCollection(spec)
}

// loadCollection loads programs and maps. The caller closes the collection.
func loadCollection(spec *ebpf.CollectionSpec) (*ebpf.Collection, error) {
	if err := removeMemlock(); err != nil {
		return nil, explain("lift the limit of locked memory", err)
	}
	c, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, explain("load the programs", err)
	}
	return c, nil
}

// exclusive returns the part of an instrument that is the same for all sources whose programs serve one domain alone: those that
// include bpf/unit.bpf.h without SHARED.
func exclusive(c *ebpf.Collection, programs ...*ebpf.Program) instrument {
	v := c.Variables[meterVariable]
	return instrument{
		counts:   c.Maps[countsMap],
		programs: programs,
		use:      func() use { return used(programs) },
		set: func(m meter) error {
			if v == nil {
				return errors.New("the programs have no meter")
			}
			return explain("write the meter (kernel 5.5 and later)", v.Set(m))
		},
		close: func() error { c.Close(); return nil },
	}
}

// used returns what programs have done.
func used(programs []*ebpf.Program) (u use) {
	for _, p := range programs {
		if s, err := p.Stats(); err == nil {
			u.hits += s.RunCount
			u.ns += uint64(s.Runtime)
		}
	}
	return u
}
