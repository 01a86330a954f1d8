package libsvmgo

import (
	"errors"
	"math"
	"os"
	"runtime"
	"testing"

	libsvm "github.com/ewalker544/libsvm-go"
	"pgregory.net/rapid"

	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/internal/enginetest"
)

func TestSolutionsAreCertified(t *testing.T) { enginetest.Certified(t, Engine{}) }

func TestRefused(t *testing.T) { enginetest.Refuses(t, Engine{}, maxCells) }

func TestConcurrentUse(t *testing.T) { enginetest.Concurrent(t, Engine{}) }

func TestSilent(t *testing.T) { enginetest.Silent(t, Engine{}) }

// The way around by classification leads to the very solution of C's LIBSVM.
func TestAgreesWithTool(t *testing.T) { enginetest.AgreesWithTool(t, Engine{}) }

// The number of processors in use is nobody's business but the program's.
func TestKeepsGOMAXPROCS(t *testing.T) {
	for n := 1; n <= 3; n++ {
		old := runtime.GOMAXPROCS(n)
		_, err := Engine{}.OneClass(enginetest.Cloud(1, 50, 3), 0.1, 1)
		if after := runtime.GOMAXPROCS(old); err != nil || after != n {
			t.Errorf("%d processors became %d (%v)", n, after, err)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	const noSuchKernel = 99
	_, _, err := solve(enginetest.Cloud(1, 5, 2), 1, &libsvm.Parameter{SvmType: libsvm.NU_SVC, KernelType: noSuchKernel, Nu: 0.1})
	if !errors.Is(err, ErrLibrary) {
		t.Error(err)
	}
}

// Whatever is accepted as a problem ends, without a panic in a goroutine of the
// library, which nobody could recover.
func TestAnyProblemEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, dim := rapid.IntRange(2, 12).Draw(t, "rows"), rapid.IntRange(1, 4).Draw(t, "features")
		power := func(low, high float64, what string) float64 {
			return math.Pow(10, rapid.Float64Range(low, high).Draw(t, what))
		}
		gamma := power(-12, 12, "gamma")
		nu := rapid.OneOf(rapid.Float64Range(0.01, 0.99), rapid.SampledFrom([]float64{1e-300, 1e-12, 0.5, 1 - 1e-12, 1 - 0x1p-53})).Draw(t, "nu")
		// As far from the origin as is accepted, nearly.
		far := math.Sqrt(0x1p49/gamma/float64(dim+4)/float64(dim)) * power(-9, 0, "distance")
		x := make([][]float64, n)
		for i := range x {
			for range dim {
				x[i] = append(x[i], far*rapid.OneOf(rapid.Float64Range(-1, 1), rapid.SampledFrom([]float64{-1, 0, 1, 1 - 1e-9})).Draw(t, "value"))
			}
		}
		s, err := Engine{}.OneClass(x, nu, gamma)
		if err != nil && !errors.Is(err, ErrLibrary) {
			t.Fatal(err)
		}
		_, _ = model.Certify(x, nu, gamma, s)
	})
}

func TestNoFileStaysOpen(t *testing.T) {
	before := openFiles(t)
	if _, err := (Engine{}).OneClass(enginetest.Cloud(1, 20, 3), 0.3, 1); err != nil {
		t.Fatal(err)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d open files became %d", before, after)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func BenchmarkOneClass(b *testing.B) {
	x := enginetest.Cloud(1, 4096, 30)
	for b.Loop() {
		if _, err := (Engine{}).OneClass(x, 0.05, 1.0/30); err != nil {
			b.Fatal(err)
		}
	}
}
