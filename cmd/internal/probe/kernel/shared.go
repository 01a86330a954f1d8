package kernel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// places is how many places for processes a program has: DOMAINS of bpf/shared.bpf.h.
const places = 1024

// pool has the programs of a source that serve all domains at once: those that include bpf/shared.bpf.h. They are attached while at
// least one process is observed.
type pool struct {
	source probe.Source
	read   func() (*ebpf.CollectionSpec, error)
	attach func(*ebpf.Collection) ([]link.Link, error) // all links, or none and an error

	mu     sync.Mutex
	serves []*service // guarded by mu
}

// service is a set of programs that is attached. It serves each process once; where somebody observes one twice, there are two services.
// All of it is guarded by its pool's mu.
type service struct {
	*ebpf.Collection
	inner    *ebpf.MapSpec // of a member's counts
	links    []link.Link
	programs []*ebpf.Program
	members  map[int]*member // by process ID
	used     [places]bool
	last     uint32 // place that was given away last: one that has just become free is not used again at once
	shared   use    // what of the programs' use the members have borne
}

// use is what programs have done.
type use struct {
	hits uint64
	ns   uint64 // that it took
}

// member is a process that is observed.
type member struct {
	pool   *pool
	at     *service
	pid    int
	place  uint32
	counts *ebpf.Map
	use    use // guarded by the pool's mu
}

// join begins to serve a process, which leave ends. Nothing is counted before the meter is set.
func (p *pool) join(pid int) (*member, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.serves, func(s *service) bool { return s.members[pid] == nil && len(s.members) < places-1 })
	if i < 0 {
		s, err := p.start()
		if err != nil {
			return nil, err
		}
		p.serves = append(p.serves, s)
		i = len(p.serves) - 1
	}
	m := &member{pool: p, at: p.serves[i], pid: pid}
	m.at.share()
	if err := m.at.admit(m); err != nil {
		return nil, errors.Join(fmt.Errorf("begin to observe process %d: %w", pid, err), p.stopUnused(m.at))
	}
	return m, nil
}

// start loads and attaches the programs.
func (p *pool) start() (*service, error) {
	spec, err := p.read()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	inner := spec.Maps["counts_of"].InnerMap
	if want := 8 * len(p.source.Columns()); int(inner.ValueSize) != want {
		return nil, fmt.Errorf("the programs count %d bytes of columns, of which %d are described", inner.ValueSize, want)
	}
	c, err := loadCollection(spec)
	if err != nil {
		return nil, err
	}
	links, err := p.attach(c)
	if err != nil {
		c.Close()
		return nil, explain("attach the programs", err)
	}
	return &service{Collection: c, inner: inner, links: links, programs: slices.Collect(maps.Values(c.Programs)), members: make(map[int]*member)}, nil
}

// stopUnused ends the programs if they serve nobody.
func (p *pool) stopUnused(s *service) (err error) {
	if len(s.members) > 0 {
		return nil
	}
	p.serves = slices.DeleteFunc(p.serves, func(x *service) bool { return x == s })
	for _, l := range s.links {
		err = errors.Join(err, l.Close())
	}
	s.Close()
	return err
}

// admit gives a process a place and counts of its own. One place is always free.
func (s *service) admit(m *member) error {
	for s.last = (s.last + 1) % places; s.used[s.last]; {
		s.last = (s.last + 1) % places
	}
	m.place = s.last
	var err error
	if m.counts, err = ebpf.NewMap(s.inner); err != nil {
		return explain("make a map of counts", err)
	}
	err = errors.Join(s.Maps["meters"].Put(m.place, meter{}), s.Maps["counts_of"].Put(m.place, m.counts))
	if err == nil {
		err = s.Maps["places"].Put(uint32(m.pid), m.place)
	}
	if err != nil {
		return errors.Join(err, m.counts.Close())
	}
	s.members[m.pid], s.used[m.place] = m, true
	return nil
}

// share lets all members bear the same share of what the programs have done since the last time. What cannot be divided stays for the
// next.
func (s *service) share() {
	now := used(s.programs)
	n := uint64(len(s.members))
	if n == 0 {
		s.shared = now
		return
	}
	hits, ns := (now.hits-s.shared.hits)/n, (now.ns-s.shared.ns)/n
	for _, m := range s.members {
		m.use.hits += hits
		m.use.ns += ns
	}
	s.shared.hits += n * hits
	s.shared.ns += n * ns
}

// instrument returns the part of an instrument that is the same for all sources with shared programs.
func (m *member) instrument() instrument {
	return instrument{
		counts:   m.counts,
		set:      func(v meter) error { return m.at.Maps["meters"].Put(m.place, v) },
		programs: m.at.programs,
		use:      m.used,
		detach:   m.detach,
		close:    m.leave,
	}
}

// used returns the member's share of what the programs have done.
func (m *member) used() use {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	m.at.share()
	return m.use
}

// detach ends the counting for the process.
func (m *member) detach() error {
	if err := m.at.Maps["places"].Delete(uint32(m.pid)); err != nil {
		return fmt.Errorf("cease to observe process %d: %w", m.pid, err)
	}
	return nil
}

// leave frees the place, after detach, and ends the programs if they serve nobody else.
func (m *member) leave() error {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	s := m.at
	s.share()
	err := errors.Join(s.Maps["counts_of"].Delete(m.place), m.counts.Close())
	delete(s.members, m.pid)
	s.used[m.place] = false
	return errors.Join(err, m.pool.stopUnused(s))
}
