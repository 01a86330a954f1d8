package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/virtsentry/virtsentry/lttng/catalogue"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// noRole stands for the role where queues are not told apart.
const noRole = catalogue.Role(255)

// countedHits returns how often an event was hit in each unit, as far as the columns of a set tell: what an entry leaves out is not there, and what
// two entries count (sizes and gaps, say) is there once.
func countedHits(set *catalogue.Set, f unit.File, event string) []float64 {
	hits := make([]float64, len(f.Units))
	parts := entryParts(set, event)
	if len(parts) == 0 {
		names := []string{event}
		if p := set.Pairs(); p != nil && slices.Contains(p.Events, event) {
			for _, next := range p.Events {
				names = append(names, "pair:"+event+">"+next)
			}
		}
		for j, name := range f.Features {
			if slices.Contains(names, name) {
				for i, n := range column(f, j) {
					hits[i] += n
				}
			}
		}
		return hits
	}
	place := make(map[string]int, len(f.Features))
	for i, name := range f.Features {
		place[name] = i
	}
	for i, u := range f.Units {
		// By role and condition the most that an entry counted.
		most := map[catalogue.Role]map[string]float64{}
		for _, p := range parts {
			n := 0.0
			for _, name := range p.columns {
				if at, ok := place[name]; ok {
					n += float64(u.Counts[at])
				}
			}
			if most[p.role] == nil {
				most[p.role] = map[string]float64{}
			}
			most[p.role][p.where] = max(most[p.role][p.where], n)
		}
		told := 0.0
		for role := range most {
			if role != noRole {
				told += ofRole(most[role])
			}
		}
		hits[i] = max(told, ofRole(most[noRole]))
	}
	return hits
}

// ofRole returns the hits of one role, given those under each condition: hits under several add up, one without a condition has them all.
func ofRole(byWhere map[string]float64) float64 {
	sum := 0.0
	for where, n := range byWhere {
		if where != "" {
			sum += n
		}
	}
	return max(sum, byWhere[""])
}

// entryPart is the columns of an entry for one role.
type entryPart struct {
	role    catalogue.Role
	where   string // the condition, "" for none
	inverse string // the opposite condition
	gap     bool
	columns []string
}

func entryParts(set *catalogue.Set, event string) []entryPart {
	var parts []entryPart
	names := set.Names()
	entries := set.Entries()
	for i := range entries {
		e := &entries[i]
		if e.Event != event {
			continue
		}
		roles := e.Roles
		if roles == nil {
			roles = []catalogue.Role{noRole}
		}
		for at, role := range roles {
			p := entryPart{role: role, gap: e.Gap, columns: names[e.Column(at, 0, 0):e.Column(at+1, 0, 0)]}
			if e.WhereField != "" {
				list := strings.Join(e.Where, ",")
				p.where, p.inverse = fmt.Sprint(e.WhereField, " ", list, " ", e.WhereNot), fmt.Sprint(e.WhereField, " ", list, " ", !e.WhereNot)
			}
			parts = append(parts, p)
		}
	}
	return parts
}

// countsAll tells whether the columns of a unit file that was cut by a set count every hit of an event.
func countsAll(set *catalogue.Set, columns []string, event string) bool {
	covered := map[string][]catalogue.Role{} // by condition
	inverse := map[string]string{}
	parts := entryParts(set, event)
	for _, p := range parts {
		if !p.gap { // the first hit has none
			covered[p.where] = append(covered[p.where], p.role)
			inverse[p.where] = p.inverse
		}
	}
	for where, roles := range covered {
		if allRoles(roles) && (where == "" || allRoles(covered[inverse[where]])) {
			return true
		}
	}
	if len(parts) > 0 {
		return false
	}
	p := set.Pairs()
	return slices.Contains(columns, event) || p != nil && slices.Contains(p.Events, event)
}

func allRoles(roles []catalogue.Role) bool {
	if slices.Contains(roles, noRole) || slices.Contains(roles, catalogue.Rest) {
		return true
	}
	roles = slices.Compact(slices.Sorted(slices.Values(roles)))
	return len(roles) == catalogue.Roles
}
