package emulator

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
)

// Ranges of the numbers that the image's seed data knows.
const (
	knownUsers      = 5000
	knownItems      = 10000
	knownCategories = 20
	knownRegions    = 62
	highestPrice    = 50000 // cents
)

var nameRE = regexp.MustCompile(`\{[^}]*\}`)

var phrases = []string{"Came as described.", "Well packed and on time.", "Smaller than it looked on the picture.",
	"Would buy here again.", "The colour is not quite right, but the price was.", "Answered all questions.",
	"It took a while.", "My aunt is very happy with it.", "One screw was missing.", "Better than new."}

// visitor is who sits in front of a session's browser.
type visitor struct {
	user    int    // the account of the site
	session int    // the seat
	seed    uint64 // of the run
	serial  int    // how many newcomers this seat has named
}

// value is what one {name} of a table stands for.
func (v *visitor) value(name string, rng *rand.Rand) (string, bool) {
	below := func(n int) string { return strconv.Itoa(1 + rng.IntN(n)) }
	switch name {
	case "{user}":
		return strconv.Itoa(v.user), true
	case "{newcomer}":
		v.serial++
		return fmt.Sprintf("newcomer-%x-%d-%d", v.seed, v.session, v.serial), true
	case "{item}":
		return below(knownItems), true
	case "{category}":
		return below(knownCategories), true
	case "{region}":
		return below(knownRegions), true
	case "{price}":
		return strconv.Itoa(100 + rng.IntN(highestPrice)), true
	case "{words}":
		words := make([]string, 1+rng.IntN(12))
		for i := range words {
			words[i] = phrases[rng.IntN(len(phrases))]
		}
		return strings.Join(words, " "), true
	}
	return "", false
}

// fill replaces every {name} of a text.
func (v *visitor) fill(text string, rng *rand.Rand) string {
	return nameRE.ReplaceAllStringFunc(text, func(name string) string {
		value, _ := v.value(name, rng)
		return value
	})
}

// checkNames refuses a text with a {name} that nothing stands for.
func checkNames(text string) error {
	var v visitor
	for _, name := range nameRE.FindAllString(text, -1) {
		if _, known := v.value(name, rand.New(rand.NewPCG(1, 1))); !known {
			return fmt.Errorf("unknown name %s", name)
		}
	}
	return nil
}
