//go:build cgo

package libsvm

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/model"
)

// cloud returns n rows of dim standard normal values.
func cloud(seed uint64, n, dim int) [][]float64 {
	random := rand.New(rand.NewPCG(seed, 2))
	x := make([][]float64, n)
	for i := range x {
		x[i] = make([]float64, dim)
		for j := range x[i] {
			x[i][j] = random.NormFloat64()
		}
	}
	return x
}

// repeated returns n rows, of which only few are distinct.
func repeated(n, dim, distinct int) [][]float64 {
	x := cloud(3, n, dim)
	for i := distinct; i < n; i++ {
		x[i] = x[i%distinct]
	}
	return x
}

// shrunken returns rows of which half lie in a cluster a thousandth of the size.
func shrunken(n, dim int) [][]float64 {
	x := cloud(4, n, dim)
	for i := 0; i < n; i += 2 {
		for j := range x[i] {
			x[i][j] /= 1000
		}
	}
	return x
}

func TestSolutionsAreCertified(t *testing.T) {
	for name, x := range map[string][][]float64{
		"two":       cloud(1, 2, 5),
		"few":       cloud(1, 30, 30),
		"ordinary":  cloud(1, 380, 20),
		"many":      cloud(1, 900, 20),
		"all equal": repeated(100, 3, 1),
		"duplicate": repeated(200, 3, 7),
		"clusters":  shrunken(300, 10),
	} {
		for _, nu := range []float64{0.01, 0.05, 0.1, 0.5, 0.9} {
			for _, gamma := range []float64{0.001, 0.05, 1, 100} {
				s, err := Engine{}.OneClass(x, nu, gamma)
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

func TestRefused(t *testing.T) {
	good := cloud(1, 10, 3)
	with := func(v float64) [][]float64 {
		x := cloud(1, 10, 3)
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
		{"short row", append(cloud(1, 9, 3), []float64{1}), 0.1, 1},
		{"NaN", with(math.NaN()), 0.1, 1},
		{"infinite", with(math.Inf(-1)), 0.1, 1},
		{"nu 0", good, 0, 1},
		{"nu 1", good, 1, 1},
		{"nu NaN", good, math.NaN(), 1},
		{"gamma 0", good, 0.1, 0},
		{"gamma infinite", good, 0.1, math.Inf(1)},
		{"too large", [][]float64{make([]float64, maxCells/2+1), nil}, 0.1, 1},
	} {
		if _, err := (Engine{}).OneClass(tc.x, tc.nu, tc.gamma); !errors.Is(err, model.ErrProblem) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// The same problem has the same answer, also from several goroutines at once.
func TestConcurrentUse(t *testing.T) {
	x := cloud(9, 300, 10)
	want, err := Engine{}.OneClass(x, 0.1, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 5 {
				got, err := Engine{}.OneClass(x, 0.1, 0.1)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%v %s", err, diff)
				}
			}
		})
	}
	group.Wait()
}

// The library writes its progress to standard output unless told not to. Solved in a
// process of its own, whose output can be seen.
func TestSilent(t *testing.T) {
	if os.Getenv("VIRTSENTRY_TEST_SOLVE") != "" {
		if _, err := (Engine{}).OneClass(cloud(1, 100, 3), 0.1, 1); err != nil {
			t.Fatal(err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSilent$")
	cmd.Env = append(os.Environ(), "VIRTSENTRY_TEST_SOLVE=1")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "PASS\n" {
		t.Errorf("output %q, %v", out, err)
	}
}

func TestName(t *testing.T) {
	if name := (Engine{}).Name(); !strings.HasPrefix(name, "libsvm 3") {
		t.Errorf("name %q", name)
	}
}

// A day of units as the trainer hands them over.
func BenchmarkOneClass(b *testing.B) {
	x := cloud(1, 4096, 30)
	for b.Loop() {
		if _, err := (Engine{}).OneClass(x, 0.05, 1.0/30); err != nil {
			b.Fatal(err)
		}
	}
}
