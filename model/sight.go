package model

import (
	"math"
	"math/bits"
	"slices"
)

// hits has a bit for each column, or for some: most columns have no hits, and are passed over 64 at once.
type hits []uint64

func makeHits(columns int) hits { return make(hits, (columns+63)/64) }

// hitsAt has the bits of some of so many columns.
func hitsAt(list []int32, columns int) hits {
	h := makeHits(columns)
	for _, j := range list {
		h.add(int(j))
	}
	return h
}

func (h hits) add(column int) { h[column/64] |= 1 << (column % 64) }

// read sets the bits of those columns that have hits, and no others.
func (h hits) read(values []float64) {
	for w := range h {
		var word uint64
		for k, v := range values[w*64 : min(len(values), w*64+64)] {
			b := math.Float64bits(v)
			word |= (b | -b) >> 63 << (k & 63) // without a branch, which could not be foreseen
		}
		h[w] = word
	}
}

// sight is what all views of as many units look at: counts, or sums of counts, and what is worked out of them for more than one view.
type sight struct {
	fine, coarse counted // coarse is by octaves
	gathered     bool    // coarse is up to date
	missing      int     // the unit that is left out; -1: not up to date
}

// counted are counts of columns.
type counted struct {
	values []float64
	hits   hits      // those of columns that may not be 0
	plain  []float64 // what they come to before whitening in the view of all features; nil where there is no such view
	scaled bool      // plain is up to date
}

// newSights returns one for each view that is the first one of so many units. Its fine values and hits are not there yet.
func (p *Profile) newSights() []*sight {
	list := make([]*sight, len(p.Views))
	for i := range p.Views {
		v := &p.Views[i]
		first := slices.IndexFunc(p.Views, func(other View) bool { return other.Units == v.Units })
		if first == i {
			list[i] = &sight{}
		}
		list[i] = list[first]
		if v.whole != i {
			continue
		}
		c := &list[i].fine
		if v.Octaves {
			c = &list[i].coarse
		}
		c.plain = make([]float64, len(v.Scaling.Columns))
	}
	for i := range p.Views {
		if p.Views[i].Octaves && list[i].coarse.values == nil {
			list[i].coarse.values, list[i].coarse.hits = make([]float64, len(p.groups)), makeHits(len(p.groups))
		}
	}
	return list
}

// changed says that the fine values or hits are others.
func (g *sight) changed() { g.gathered, g.fine.scaled, g.coarse.scaled = false, false, false }

// add adds a unit to the sums.
func (g *sight) add(unit *kept) {
	for w, word := range unit.hits {
		for ; word != 0; word &= word - 1 {
			j := w*64 + bits.TrailingZeros64(word)
			g.fine.values[j] += min(unit.values[j], mostSummed)
		}
	}
}

// take takes a unit from the sums.
func (g *sight) take(unit *kept) {
	for w, word := range unit.hits {
		for ; word != 0; word &= word - 1 {
			j := w*64 + bits.TrailingZeros64(word)
			g.fine.values[j] -= min(unit.values[j], mostSummed)
		}
	}
}

// leave becomes what sums are without one of their units, the one at a place, as if there were as many.
func (g *sight) leave(at int, unit *kept, sums *sight, stretch float64) {
	if g.missing == at {
		return
	}
	g.missing = at
	g.changed()
	copy(g.fine.hits, sums.fine.hits)
	for j, x := range unit.values {
		g.fine.values[j] = (sums.fine.values[j] - min(x, mostSummed)) * stretch
	}
}

// of is what a view of p looks at.
func (g *sight) of(p *Profile, v *View) *counted {
	if !v.Octaves {
		return &g.fine
	}
	if !g.gathered {
		g.gathered = true
		clear(g.coarse.values)
		clear(g.coarse.hits)
		for w, word := range g.fine.hits {
			for ; word != 0; word &= word - 1 {
				j := w*64 + bits.TrailingZeros64(word)
				at := int(p.group[j])
				g.coarse.values[at] += g.fine.values[j]
				g.coarse.hits.add(at)
			}
		}
	}
	return &g.coarse
}

// see is View.scale for what the view looks at in a sight.
func (p *Profile) see(v *View, c *counted, z []float64) (scaled, room []float64) {
	s := &v.Scaling
	size := s.size()
	scaled, room = z[:size], z[size:]
	if v.same == nil {
		s.plain(scaled, c.values)
	} else {
		if !c.scaled {
			c.scaled = true
			p.Views[v.whole].Scaling.plain(c.plain, c.values)
		}
		if plain := c.plain; v.alike {
			copy(scaled, plain)
		} else {
			for k, at := range v.same {
				scaled[k] = plain[at]
			}
		}
	}
	strange := 0.0
	for w, word := range c.hits {
		for word &= s.odd[w]; word != 0; word &= word - 1 {
			if x := c.values[w*64+bits.TrailingZeros64(word)]; x > 0 {
				strange += s.strange(x)
			}
		}
	}
	scaled[size-1] = math.Sqrt(strange)
	s.whiten(scaled, room)
	return scaled, room
}

// shareColumns finds what views have in common: a column is often scaled in the view of a source as it is in that of all features.
func (p *Profile) shareColumns() {
	for i := range p.Views {
		v := &p.Views[i]
		v.whole = slices.IndexFunc(p.Views, func(other View) bool {
			return other.Units == v.Units && other.Octaves == v.Octaves && other.Part == ""
		})
		if v.same = nil; v.whole < 0 {
			continue
		}
		s, all := &v.Scaling, &p.Views[v.whole].Scaling
		place := make(map[int]int, len(all.Columns))
		for k, j := range all.Columns {
			place[j] = k
		}
		same := make([]int32, 0, len(s.Columns))
		for k, j := range s.Columns {
			at, ok := place[j]
			if !ok || s.Mean[k] != all.Mean[at] || s.Center[k] != all.Center[at] || s.Spread[k] != all.Spread[at] {
				break
			}
			same = append(same, int32(at))
		}
		if len(same) == len(s.Columns) && (v.whole != i || len(p.Views) > 1) {
			v.same, v.alike = same, slices.Equal(s.Columns, all.Columns)
		}
	}
}
