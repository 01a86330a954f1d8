package price

import (
	"fmt"
	"math"
	"strings"

	"github.com/virtsentry/virtsentry/model/cost"
)

// percent is a part of 1 in percent, with as many digits as say something.
func percent(v float64) string {
	if v = 100 * v; math.Abs(v) >= 9.95 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// Sentence says a price as an operator reads it: "web: syscalls costs 3.1 % (1.9 to 4.6 %) of its speed". Domain and sources are written as they are.
func Sentence(domain string, with []string, p cost.Prediction) string {
	verb := "costs"
	names := strings.Join(with, ", ")
	if n := len(with); n > 1 {
		verb, names = "cost", strings.Join(with[:n-1], ", ")+" and "+with[n-1]
	}
	return fmt.Sprintf("%s: %s %s %s %% (%s to %s %%) of its speed", domain, names, verb, percent(p.Slowdown), percent(p.Low), percent(p.High))
}

// Remarks say what a price rests on that an operator should know; none: nothing but what was measured.
func Remarks(p cost.Prediction) []string {
	var list []string
	if len(p.Estimated) > 0 {
		list = append(list, "The domain's rate of "+strings.Join(p.Estimated, ", ")+" is not known: it was estimated by what is known of it.")
	}
	if len(p.Beyond) > 0 {
		list = append(list, "The domain's rate of "+strings.Join(p.Beyond, ", ")+" is far above what was calibrated with: the interval may be too narrow.")
	}
	return list
}
