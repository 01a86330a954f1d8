package libsvmgo

import (
	"errors"
	"os"
	"runtime"
	"testing"

	libsvm "github.com/ewalker544/libsvm-go"

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
