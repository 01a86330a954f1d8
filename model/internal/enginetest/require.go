package enginetest

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/model"
)

// Certified requires that the engine's solutions of sets of many kinds pass.
func Certified(t *testing.T, engine model.Engine) {
	t.Helper()
	for name, x := range map[string][][]float64{
		"two":       Cloud(1, 2, 5),
		"few":       Cloud(1, 30, 30),
		"ordinary":  Cloud(1, 380, 20),
		"all equal": Repeated(100, 3, 1),
		"duplicate": Repeated(200, 3, 7),
		"clusters":  Shrunken(300, 10),
		"zeros":     make2(50, 4),
	} {
		for _, nu := range []float64{0.01, 0.05, 0.1, 0.5, 0.9} {
			for _, gamma := range []float64{0.001, 0.05, 1, 100} {
				s, err := engine.OneClass(x, nu, gamma)
				if err != nil {
					t.Fatalf("%s, nu %v, gamma %v: %v", name, nu, gamma, err)
				}
				if _, err := model.Certify(x, nu, gamma, s); err != nil {
					t.Errorf("%s, nu %v, gamma %v: %v", name, nu, gamma, err)
				}
			}
		}
	}
}

// make2 returns n rows of dim zeros.
func make2(n, dim int) [][]float64 {
	x := make([][]float64, n)
	for i := range x {
		x[i] = make([]float64, dim)
	}
	return x
}

// Refuses requires that the engine refuses what is no problem; maxCells is the
// most values that it takes.
func Refuses(t *testing.T, engine model.Engine, maxCells int) {
	t.Helper()
	good := Cloud(1, 10, 3)
	with := func(v float64) [][]float64 {
		x := Cloud(1, 10, 3)
		x[9][2] = v
		return x
	}
	for _, tc := range []struct {
		name      string
		x         [][]float64
		nu, gamma float64
	}{
		{"nothing", nil, 0.1, 1},
		{"one row", good[:1], 0.1, 1},
		{"no columns", [][]float64{{}, {}}, 0.1, 1},
		{"short row", append(Cloud(1, 9, 3), []float64{1}), 0.1, 1},
		{"NaN", with(math.NaN()), 0.1, 1},
		{"infinite", with(math.Inf(-1)), 0.1, 1},
		{"overflow", with(1e200), 0.1, 1e-300},
		{"far from the origin", with(1e9), 0.1, 1},
		{"nu 0", good, 0, 1},
		{"nu 1", good, 1, 1},
		{"nu NaN", good, math.NaN(), 1},
		{"gamma 0", good, 0.1, 0},
		{"gamma infinite", good, 0.1, math.Inf(1)},
		{"too large", [][]float64{make([]float64, maxCells/2+1), nil}, 0.1, 1},
	} {
		if _, err := engine.OneClass(tc.x, tc.nu, tc.gamma); !errors.Is(err, model.ErrProblem) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// Concurrent requires that the same problem has the same answer, also from several
// goroutines at once.
func Concurrent(t *testing.T, engine model.Engine) {
	t.Helper()
	x := Cloud(9, 300, 10)
	want, err := engine.OneClass(x, 0.1, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 5 {
				got, err := engine.OneClass(x, 0.1, 0.1)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%v %s", err, diff)
				}
			}
		})
	}
	group.Wait()
}

// Silent requires that the engine writes nothing, neither in Go nor in C. It solves in a
// process of its own, whose output can be seen; t must be a test of the top
// level.
func Silent(t *testing.T, engine model.Engine) {
	t.Helper()
	if os.Getenv("VIRTSENTRY_TEST_SOLVE") != "" {
		if _, err := engine.OneClass(Cloud(1, 100, 3), 0.1, 1); err != nil {
			t.Fatal(err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "VIRTSENTRY_TEST_SOLVE=1")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "PASS\n" {
		t.Errorf("output %q, %v", out, err)
	}
}
