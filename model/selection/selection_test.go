package selection

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gonum.org/v1/gonum/stat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rows makes units of columns.
func rows(columns ...[]float64) [][]float64 {
	list := make([][]float64, len(columns[0]))
	for _, c := range columns {
		for i, v := range c {
			list[i] = append(list[i], v)
		}
	}
	return list
}

// names of that many columns.
func letters(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = string(rune('a' + i%26))
	}
	return list
}

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func problem(t *testing.T, scale Scale, idle, busy [][]float64) *Problem {
	t.Helper()
	p, err := New(letters(len(idle[0])), []Class{{"idle", idle}, {"busy", busy}}, "idle", scale)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*max(1, math.Abs(want)) {
		t.Errorf("%s is %v; want %v", what, got, want)
	}
}

// J as worked out by hand.
func TestJ(t *testing.T) {
	// Means 100 and 200, variances 400: 100² / (400+400).
	near(t, "J of one column", problem(t, Raw, rows([]float64{80, 120}), rows([]float64{180, 220})).Score([]int{0}).Pairs[0].J, 12.5)

	// Means differ by 100 and by 80, all variances are 400, the covariance is 0 in one class and 400 in the other. So the differences are
	// 100/sqrt(800) and 80/sqrt(800) spreads, and the correlation is 400/800, less a hundredth.
	idle := rows([]float64{80, 80, 120, 120}, []float64{80, 120, 80, 120})
	busy := rows([]float64{180, 180, 220, 220}, []float64{160, 160, 200, 200})
	d1, d2, r := 100/math.Sqrt(800), 80/math.Sqrt(800), 0.99*0.5
	p := problem(t, Raw, idle, busy)
	near(t, "J of two columns", p.Score([]int{0, 1}).Pairs[0].J, (d1*d1-2*r*d1*d2+d2*d2)/(1-r*r))
	near(t, "J of the second", p.Score([]int{1}).Pairs[0].J, 8)

	// The logarithms are 2 ± 1 and 7 ± 1.
	e := math.Expm1
	near(t, "J of logarithms", problem(t, Log, rows([]float64{e(1), e(3)}), rows([]float64{e(6), e(8)})).Score([]int{0}).Pairs[0].J, 12.5)

	near(t, "J of no column", p.Score(nil).Pairs[0].J, 0)
}

// For classes of equal size J/(J+2) is the R² of the regression of the class on a column.
func TestScoreIsSquaredCorrelation(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var idle, busy, all, label []float64
	for range 30 {
		a, b := 100*random.Float64(), 60+100*random.Float64()
		idle, busy = append(idle, a), append(busy, b)
		all, label = append(all, a, b), append(label, 0, 1)
	}
	s := problem(t, Raw, rows(idle), rows(busy)).Score([]int{0}).Pairs[0]
	r := stat.Correlation(all, label, nil)
	near(t, "J/(J+2)", bounded(s.J), r*r)
	if s.Score >= r*r || s.Score < r*r-0.05 {
		t.Errorf("less chance it is %v, of %v", s.Score, r*r)
	}
}

// What makes the scatter singular changes nothing.
func TestSingular(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var a, b []float64
	for range 20 {
		a, b = append(a, float64(random.IntN(100))), append(b, float64(50+random.IntN(100)))
	}
	constant := func(v float64) []float64 {
		list := make([]float64, len(a))
		for i := range list {
			list[i] = v
		}
		return list
	}
	one := problem(t, Raw, rows(a), rows(b)).Score([]int{0})
	t.Run("duplicate", func(t *testing.T) {
		s := problem(t, Raw, rows(a, a, a), rows(b, b, b)).Score(upTo(3))
		near(t, "J", s.Pairs[0].J, one.Pairs[0].J)
		near(t, "score", s.Mean, one.Mean)
		near(t, "held-out score", *s.Pairs[0].HeldOut, *one.Pairs[0].HeldOut)
	})
	t.Run("constant", func(t *testing.T) {
		p := problem(t, Raw, rows(constant(7), a), rows(constant(7), b))
		if p.Varies(0) || !p.Varies(1) {
			t.Error("a column that is 7 throughout varies, or the other does not")
		}
		near(t, "score", p.Score(upTo(2)).Mean, one.Mean)
		near(t, "score of the constant", p.Score([]int{0}).Mean, 0)
	})
	t.Run("constant in each class", func(t *testing.T) {
		// As if Poisson processes had made 4 and 9 hits in each of 20 units, and half a hit more in all.
		p := problem(t, Raw, rows(constant(4)), rows(constant(9)))
		near(t, "J", p.Score([]int{0}).Pairs[0].J, 25/(4.025+9.025))
		// Only once or never: the logarithm has a finite J, too.
		if j := problem(t, Log, rows(constant(0)), rows(constant(1))).Score([]int{0}).Pairs[0].J; j < 1 || j > 2 {
			t.Errorf("J of 0 against 1 is %v", j)
		}
	})
	t.Run("fewer units than columns", func(t *testing.T) {
		var idle, busy [][]float64
		for range 6 {
			x, y := make([]float64, 40), make([]float64, 40)
			for j := range x {
				x[j], y[j] = float64(random.IntN(100)), float64(random.IntN(100))
			}
			idle, busy = append(idle, x), append(busy, y)
		}
		s := problem(t, Log, idle, busy).Score(upTo(40)).Pairs[0]
		if !(s.J > 1) || math.IsInf(s.J, 0) {
			t.Errorf("J is %v: it is all chance, but not beyond measure", s.J)
		}
		if s.Score != 0 || *s.HeldOut > 0.5 {
			t.Errorf("score %v, held out %v of what is all chance", s.Score, *s.HeldOut)
		}
	})
}

// Chance alone gives no score, on average and by far not that of J.
func TestChance(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const tries, columns = 40, 20
	score, blind, held := 0.0, 0.0, 0.0
	for range tries {
		var idle, busy [][]float64
		for range 40 {
			x, y := make([]float64, columns), make([]float64, columns)
			for j := range x {
				x[j], y[j] = float64(random.IntN(50)), float64(random.IntN(50))
			}
			idle, busy = append(idle, x), append(busy, y)
		}
		s := problem(t, Raw, idle, busy).Score(upTo(columns)).Pairs[0]
		score, blind, held = score+s.Score/tries, blind+bounded(s.J)/tries, held+*s.HeldOut/tries
	}
	if blind < 0.15 || score > 0.06 || held > 0.06 {
		t.Errorf("of noise: score %.3f, held out %.3f, chance not taken off %.3f", score, held, blind)
	}
}

// What was learnt holds for units that it was not learnt from.
func TestHeldOut(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	var idle, busy [][]float64
	for range 200 {
		load := 100 * random.Float64()
		idle = append(idle, []float64{100 + load, 100 + load + 40*random.Float64()})
		busy = append(busy, []float64{100 + load, 150 + load + 40*random.Float64()})
	}
	s := problem(t, Raw, idle, busy).Score(upTo(2)).Pairs[0]
	if s.HeldOut == nil || math.Abs(*s.HeldOut-s.Score) > 0.05 {
		t.Errorf("%+v, held out %v", s, *s.HeldOut)
	}
	if s := problem(t, Raw, idle[:3], busy).Score(upTo(2)).Pairs[0]; s.HeldOut != nil {
		t.Errorf("3 units are held out by halves: %+v", s)
	}
}

// Each class counts alike, and the least is named.
func TestSeveralClasses(t *testing.T) {
	idle := [][]float64{{80, 10}, {120, 30}, {100, 20}, {100, 20}}
	shifted := func(a, b float64) (list [][]float64) {
		for _, r := range idle {
			list = append(list, []float64{r[0] + a, r[1] + b})
		}
		return list
	}
	p, err := New([]string{"a", "b"}, []Class{{"disk", shifted(0, 500)}, {"idle", idle}, {"net", shifted(500, 0)}}, "idle", Raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		columns   []int
		disk, net bool
	}{{[]int{0}, false, true}, {[]int{1}, true, false}, {[]int{0, 1}, true, true}} {
		s := p.Score(tc.columns)
		if len(s.Pairs) != 2 || s.Pairs[0].Class != "disk" || s.Pairs[1].Class != "net" {
			t.Fatalf("%+v", s)
		}
		if (s.Pairs[0].J > 100) != tc.disk || (s.Pairs[1].J > 100) != tc.net {
			t.Errorf("columns %v: %+v", tc.columns, s)
		}
		near(t, "mean", s.Mean, (s.Pairs[0].Score+s.Pairs[1].Score)/2)
		near(t, "least", s.Least, min(s.Pairs[0].Score, s.Pairs[1].Score))
	}
}

func TestNewRefuses(t *testing.T) {
	good := [][]float64{{1, 2}, {3, 4}}
	wide := [][]float64{make([]float64, MaxColumns+1), make([]float64, MaxColumns+1)}
	for j := range wide[0] {
		wide[0][j] = float64(j + 1)
	}
	for _, tc := range []struct {
		name      string
		columns   []string
		classes   []Class
		reference string
		scale     Scale
		says      []string
	}{
		{"nothing", letters(2), nil, "idle", Log, []string{"none"}},
		{"one class", letters(2), []Class{{"idle", good}}, "idle", Log, []string{`"idle"`, "one more"}},
		{"no columns", nil, []Class{{"idle", good}, {"busy", good}}, "idle", Log, []string{"no columns"}},
		{"one unit", letters(2), []Class{{"idle", good}, {"busy", good[:1]}}, "idle", Log, []string{`"busy"`, "1 whole unit", "2", "record"}},
		{"no units", letters(2), []Class{{"idle", nil}, {"busy", good}}, "idle", Log, []string{`"idle"`, "0 whole units"}},
		{"twice", letters(2), []Class{{"idle", good}, {"idle", good}}, "idle", Log, []string{`"idle"`, "twice"}},
		{"reference", letters(2), []Class{{"quiet", good}, {"busy", good}}, "idle", Log, []string{`"idle"`, "quiet, busy"}},
		{"NaN", letters(2), []Class{{"idle", good}, {"busy", [][]float64{{1, 2}, {1, math.NaN()}}}}, "idle", Log, []string{`"busy"`, "unit 2", `"b"`, "NaN", "leave out"}},
		{"infinite", letters(2), []Class{{"idle", good}, {"busy", [][]float64{{math.Inf(1), 2}, {1, 2}}}}, "idle", Log, []string{"unit 1", `"a"`, "+Inf"}},
		{"too large", letters(2), []Class{{"idle", good}, {"busy", [][]float64{{1e20, 2}, {1, 2}}}}, "idle", Log, []string{"unit 1", `"a"`, "1e+20"}},
		{"negative", letters(2), []Class{{"idle", good}, {"busy", [][]float64{{1, 2}, {-1, 2}}}}, "idle", Log, []string{"unit 2", `"a"`, "-1"}},
		{"short row", letters(2), []Class{{"idle", good}, {"busy", [][]float64{{1, 2}, {1}}}}, "idle", Log, []string{"unit 2", "1 values for 2 columns"}},
		{"scale", letters(2), []Class{{"idle", good}, {"busy", good}}, "idle", "sqrt", []string{`"sqrt"`, "log", "raw"}},
		{"too many columns", letters(MaxColumns + 1), []Class{{"idle", wide}, {"busy", wide}}, "idle", Log, []string{"1025", "1024", "fewer"}},
	} {
		_, err := New(tc.columns, tc.classes, tc.reference, tc.scale)
		if !errors.Is(err, ErrClasses) {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for _, text := range tc.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q does not say %q", tc.name, err, text)
			}
		}
	}
}

// The largest numbers that are counts give scores, or none, but no panic and no NaN.
func TestHugeCounts(t *testing.T) {
	for _, scale := range []Scale{Log, Raw} {
		s := problem(t, scale, [][]float64{{maxCount, 1}, {0, 1 << 63}}, [][]float64{{0, 1}, {maxCount, 2}}).Score(upTo(2))
		for _, p := range s.Pairs {
			if math.IsNaN(p.J) || math.IsNaN(p.Score) || !(p.Score >= 0 && p.Score <= 1) {
				t.Errorf("%s: %+v", scale, s)
			}
		}
	}
}
