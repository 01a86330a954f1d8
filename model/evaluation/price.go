package evaluation

import (
	"fmt"
	"math/big"
	"slices"
)

// Off is the arm of a [Price] in which nothing is observed.
const Off = "off"

// Price says how fast a guest does its utmost while it is observed in one way or another (arms), each once a round, in turns that begin with another
// arm each round. What else the host does is so in all arms alike.
type Price struct {
	Workload string      `json:"workload"`
	Unit     string      `json:"unit"`    // of the rates: requests/s
	Seconds  float64     `json:"seconds"` // of each measurement
	Arms     []string    `json:"arms"`    // Off, SetDefault (UST), and sources of the kernel, "tap+functions" for two of them
	Rates    [][]float64 `json:"rates"`   // by round and then by arm
}

// Check says what is wrong with a price that was read.
func (p Price) Check() error {
	if !slices.Contains(p.Arms, Off) || len(p.Rates) == 0 {
		return fmt.Errorf("price of workload %q: no arm %q or no round", p.Workload, Off)
	}
	for i, round := range p.Rates {
		if len(round) != len(p.Arms) || slices.Min(round) <= 0 {
			return fmt.Errorf("price of workload %q: round %d: %d rates for %d arms, or one that is not positive", p.Workload, i+1, len(round), len(p.Arms))
		}
	}
	return nil
}

// Ratio is the median over rounds of an arm's rate to that of [Off] in the same round. Low and High are the ends of its interval by the sign test, which
// supposes no distribution: of 95 % confidence or more from six rounds on, and the least and the greatest ratio with fewer.
type Ratio struct{ Median, Low, High float64 }

// Ratio compares one of p's arms with Off.
func (p Price) Ratio(arm string) Ratio {
	off, at := slices.Index(p.Arms, Off), slices.Index(p.Arms, arm)
	ratios := make([]float64, len(p.Rates))
	for i, round := range p.Rates {
		ratios[i] = round[at] / round[off]
	}
	slices.Sort(ratios)
	n, outside := len(ratios), signTest(len(ratios))
	return Ratio{Median: median(ratios), Low: ratios[outside], High: ratios[n-1-outside]}
}

// signTest is how many of n ordered values on either side are outside of a 95 % interval of the median.
func signTest(n int) int {
	most := new(big.Int).Lsh(big.NewInt(1), uint(n)) // 2^n; both tails may have a twentieth of it
	below, outside := new(big.Int), 0
	for k := 0; 2*(k+1) < n; k++ {
		below.Add(below, new(big.Int).Binomial(int64(n), int64(k)))
		if new(big.Int).Mul(below, big.NewInt(40)).Cmp(most) > 0 {
			break
		}
		outside = k
	}
	return outside
}
