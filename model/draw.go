package model

import (
	"cmp"
	"math"
	"slices"
)

// An engine's work grows faster than the rows that it is given, and so does what judging costs, so that of a long training
// an engine is given a sample:
//
//   - in blocks, so that each brings along what the guest did around that time. They are short: what lasts a minute and comes twice a day is to
//     be hit by one;
//   - the same share of each stretch of time, and in it of each level of load: its blocks are put in the order of
//     their loads, and of these every so-and-so-manieth is taken;
//   - and beside them what is far out from a sample, and is kept all the same ([Options.Trim]): what happens seldom and more than once.
//
// Windows of several units overlap. Of a long training those that share more than half of their units with
// another one tell next to nothing new, and are passed over first.
//
// The same rows give the same sample. Scores of held-out blocks are those of all their rows, whatever the machine was
// given.
const (
	// sampleBlock is the length of a block in rows, and leastBlocks how many there are at least, shorter ones if need be.
	sampleBlock = 8
	leastBlocks = 32
	// sampleBlocks is how many blocks are taken of a stretch of time.
	sampleBlocks = 32
	// seldomShare is the share of a sample that may be of what happens seldom.
	seldomShare = 0.125
)

// draw chooses at most limit of rows, which are sums of so many units, and returns their places in ascending order. Those that
// are seldom, if that is not nil, come first.
func draw(rows []Row, units, limit int, seldom map[int64]bool) []int {
	places := make([]int, len(rows))
	for i := range places {
		places[i] = i
	}
	if len(rows) <= limit {
		return places
	}
	var chosen []int
	if len(seldom) > 0 {
		chosen = slices.DeleteFunc(slices.Clone(places), func(i int) bool { return !seldom[rows[i].Start] })
		chosen = thin(chosen, int(seldomShare*float64(limit)))
	}
	if stride := min(units/2, len(rows)/limit); stride > 1 {
		places = thin(places, len(rows)/stride)
	}
	chosen = append(chosen, drawBlocks(rows, places, limit-len(chosen))...)
	slices.Sort(chosen)
	return slices.Compact(chosen)
}

// drawBlocks chooses whole blocks, of at most limit rows together, of those at places.
func drawBlocks(rows []Row, places []int, limit int) []int {
	if len(places) <= limit {
		return places
	}
	type block struct {
		at   []int
		load float64
	}
	length := max(1, min(sampleBlock, limit/leastBlocks))
	var blocks []block
	for at := range slices.Chunk(places, length) {
		b := block{at: at}
		for _, i := range at {
			for _, count := range rows[i].Values {
				b.load += math.Sqrt(count) // of every count about the same part is noise
			}
		}
		b.load /= float64(len(at))
		blocks = append(blocks, b)
	}
	wanted := limit / length
	stretches := (wanted + sampleBlocks - 1) / sampleBlocks
	var chosen []int
	for s := range stretches {
		stretch := blocks[s*len(blocks)/stretches : (s+1)*len(blocks)/stretches]
		slices.SortStableFunc(stretch, func(a, b block) int { return cmp.Compare(a.load, b.load) })
		taken := (s+1)*wanted/stretches - s*wanted/stretches
		for i := range taken {
			chosen = append(chosen, stretch[(2*i+1)*len(stretch)/(2*taken)].at...)
		}
	}
	return chosen
}

// thin returns at most limit of list, evenly spread, always the same ones.
func thin[T any](list []T, limit int) []T {
	if len(list) <= limit {
		return list
	}
	kept := make([]T, limit)
	for i := range kept {
		kept[i] = list[i*len(list)/limit]
	}
	return kept
}
