package monitor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// Domains lists the watched domains by name, control.Backend.
func (m *Monitor) Domains() []control.DomainStatus {
	m.mu.Lock()
	list := make([]control.DomainStatus, 0, len(m.watchers))
	for _, w := range m.watchers {
		list = append(list, bare(w.status()))
	}
	m.mu.Unlock()
	kept := m.history.Status()
	for i := range list {
		list[i].History, list[i].Aside = kept.Error, kept.Aside
	}
	slices.SortFunc(list, func(a, b control.DomainStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UUID, b.UUID))
	})
	return list
}

// Domain finds a watched domain as virsh does, control.Backend: by id, if ref is a number, then by UUID, then by name. What stands around it comes with it.
func (m *Monitor) Domain(ref string) (control.DomainStatus, error) {
	d, err := m.find(ref)
	if err != nil {
		return d, err
	}
	return m.surround(d), nil
}

// find is Domain without what stands around it.
func (m *Monitor) find(ref string) (control.DomainStatus, error) {
	list := m.Domains()
	id, err := strconv.ParseUint(ref, 10, 31) // digits alone
	for _, is := range []func(control.DomainStatus) bool{
		func(d control.DomainStatus) bool { return err == nil && id > 0 && d.ID == int(id) },
		func(d control.DomainStatus) bool { return strings.EqualFold(d.UUID, ref) },
		func(d control.DomainStatus) bool { return d.Name == ref },
	} {
		if i := slices.IndexFunc(list, is); i >= 0 {
			return list[i], nil
		}
	}
	return control.DomainStatus{}, fmt.Errorf("%.256s: %w", ref, control.ErrNoDomain)
}

// Learn makes a domain learn anew, control.Backend.
func (m *Monitor) Learn(ref string, units int) error {
	d, err := m.find(ref)
	if err != nil {
		return err
	}
	const fewest, most = 30, 43200
	if units != 0 && (units < fewest || units > most) {
		return fmt.Errorf("%w: %d units; between %d and %d are learnt from", control.ErrRefused, units, fewest, most)
	}
	w := m.watcher(d.UUID)
	if w == nil {
		return fmt.Errorf("%s: %w", ref, control.ErrNoDomain)
	}
	return w.ask(func() error {
		err := told(ref, w.judge.relearn(units))
		w.refresh()
		return err
	})
}

// Subscribe delivers all units to come, control.Backend.
func (m *Monitor) Subscribe(ctx context.Context) <-chan control.UnitReport {
	return m.units.subscribe(ctx)
}
