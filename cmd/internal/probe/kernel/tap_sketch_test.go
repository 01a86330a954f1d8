package kernel

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/virtsentry/virtsentry/cmd/internal/probe"
)

// TestTapSketches looks for many ports and peers.
func TestTapSketches(t *testing.T) {
	for _, n := range []int{100, 1000, 5000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			newNetwork(t)
			g := newTap(t, "a0")
			c := attachBy(t, byTCX, Options{Headers: true}, g.TapDevice)
			for i := range n {
				g.send(t, frame{protocol: 6, flags: flagSYN, src: 1, dst: uint32(i / 2), port: uint16(i)}.bytes())
			}
			units, err := c.Collect(true)
			if err != nil {
				t.Fatal(err)
			}
			if len(units) > 1 {
				t.Skip("the packets are in several units")
			}
			u := units[0].Counts
			at := len(u) - 2
			for i, want := range []float64{float64(n), float64((n + 1) / 2)} {
				// Four times the standard error of linear counting with 4,096 bits.
				load := want / sketchBits
				if e := 4 * math.Sqrt(sketchBits*(math.Exp(load)-load-1)); math.Abs(float64(u[at+i])-want) > e+1 {
					t.Errorf("%s: %d, not %.0f ± %.0f", probe.TapHeaders[4+i], u[at+i], want, e)
				}
			}
		})
	}
}

func TestDistinct(t *testing.T) {
	full := bytes.Repeat([]byte{0xff}, sketchBits/8)
	if got := distinct(full); got != 34070 {
		t.Errorf("all bits: %d", got)
	}
	if got := distinct(make([]byte, sketchBits/8)); got != 0 {
		t.Errorf("no bit: %d", got)
	}
}
