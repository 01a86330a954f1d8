package model

import (
	"fmt"
	"math"
	"testing"
)

// What is passed over because it shows to be no news, and what views share, would have changed nothing.
func TestPassedOver(t *testing.T) {
	p, g := trained(t, 5, 400)
	t.Run("one source", func(t *testing.T) { passedOver(t, p, g) })
	d, g := ofParts(t, 400)
	for j, part := range []string{"tap:a", "tap:a", "tap:a", "tap:b", "tap:b", "tap:c", "tap:c", "functions:a", "functions:a", "functions:a", "functions:b", "functions:b", "functions:b", "functions:c"} {
		d.Features[j] = fmt.Sprintf("%s:len=%d-%d", part, 64+8*j, 71+8*j)
	}
	p, err := Train(smo{}, d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	shared := 0
	for i := range p.Views {
		if v := &p.Views[i]; v.Part != "" && v.same != nil {
			shared++
		}
	}
	if shared < 4 || len(p.Views) != 18 {
		t.Fatalf("%d of %d views share columns", shared, len(p.Views))
	}
	t.Run("two sources", func(t *testing.T) { passedOver(t, p, g) })
}

// passedOver compares verdicts with what each view says by itself.
func passedOver(t *testing.T, p *Profile, g *guest) {
	s := p.Sequence(0)
	if len(p.Views) < 3 {
		t.Fatalf("%d views", len(p.Views))
	}
	whole := func(i int, values []float64) float64 {
		v := &p.Views[i]
		if v.Octaves {
			values = gather(nil, p.groups, values)
		}
		return v.Calibration.Tail(v.score(make([]float64, v.room()), values))
	}
	seen := map[int]int{}
	for k := range 600 {
		u := g.unit(1)
		switch {
		case k >= 100 && k < 150:
			u.Values[4] *= 1.3
		case k >= 200 && k < 240:
			u.Values[6] += 4000
		case k >= 300 && k < 340:
			u.Values[2] += 1e9
		case k >= 400 && k%3 == 0:
			u.Values[9]++
		}
		got, err := s.Judge(u.Start, u.Values, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, view := math.Inf(1), 0
		for i := range p.Views {
			n := p.Views[i].Units
			if n > len(s.past) {
				continue
			}
			tail := whole(i, u.Values)
			if n > 1 {
				sums := s.sights[i].fine.values
				tail = whole(i, sums)
				if tail <= leaveOut {
					odd := len(s.past) - n
					for j := odd; j < len(s.past); j++ {
						if s.past[j].score < s.past[odd].score {
							odd = j
						}
					}
					without := make([]float64, len(sums))
					for j, x := range s.past[odd].values {
						without[j] = (sums[j] - min(x, mostSummed)) * float64(n) / float64(n-1)
					}
					tail = max(tail, whole(i, without))
				}
			}
			if e := math.Log(tail / s.level[i]); e < want {
				want, view = e, i
			}
		}
		want += math.Log(p.Level)
		if math.Abs(got.evidence-want) > 1e-6*(1+math.Abs(want)) || got.view != view && math.Abs(got.evidence-want) > 1e-12 {
			t.Fatalf("unit %d: %v of view %d, want %v of %d", k, got.evidence, got.view, want, view)
		}
		seen[got.view]++
	}
	if len(seen) < 2 {
		t.Errorf("views that told most: %v", seen)
	}
}
