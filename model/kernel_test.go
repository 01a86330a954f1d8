package model

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestKernelSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nearest := rapid.Float64Range(0, 1e6).Draw(t, "nearest")
		gamma := rapid.Float64Range(1e-6, 1e3).Draw(t, "gamma")
		var weight, distance []float64
		want := 0.0
		for range rapid.IntRange(0, 5).Draw(t, "terms") {
			w, x := rapid.Float64Range(0, 1).Draw(t, "weight"), rapid.Float64Range(0, 800).Draw(t, "exponent")
			weight, distance = append(weight, w), append(distance, nearest+x/gamma)
			want += w * math.Exp(-gamma*(distance[len(distance)-1]-nearest))
		}
		if got := kernelSum(weight, distance, gamma, nearest); math.Abs(got-want) > 1e-13*want+1e-300 {
			t.Errorf("%v, want %v", got, want)
		}
	})
	for x, want := range map[float64]float64{0: 1, math.Inf(1): 0, 1e300: 0, 692.9: math.Exp(-692.9), 694: 0} {
		if got := kernelSum([]float64{1}, []float64{x}, 1, 0); math.Abs(got-want) > 1e-13*want {
			t.Errorf("e^-%v is %v, want %v", x, got, want)
		}
	}
}

func BenchmarkKernelSum(b *testing.B) {
	weight, distance := make([]float64, 512), make([]float64, 512)
	for i := range weight {
		weight[i], distance[i] = 1, float64(i)/50
	}
	for b.Loop() {
		kernelSum(weight, distance, 1, 0)
	}
}

// What is told of a score at a glance is never more than the score.
func TestLeastScore(t *testing.T) {
	p, g := trained(t, 2, 300)
	near := 0
	for i := range 500 {
		u := g.unit(1 + float64(i%50)/10).Values
		for k := range p.Views {
			v := &p.Views[k]
			z, room := v.scale(make([]float64, v.room()), u)
			least, score := v.Machine.leastScore(z, i%len(v.Machine.Alpha)), v.Machine.scoreIn(z, room)
			if least > score+1e-9 {
				t.Fatalf("view %d: at least %v, but %v", k, least, score)
			}
			if score-least < 0.5 {
				near++
			}
		}
	}
	if near < 20 {
		t.Errorf("only %d times near the score", near)
	}
}
