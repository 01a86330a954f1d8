//go:build cgo

package libsvm

import (
	"strings"
	"testing"

	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/internal/enginetest"
)

func TestSolutionsAreCertified(t *testing.T) { enginetest.Certified(t, Engine{}) }

func TestRefused(t *testing.T) { enginetest.Refuses(t, Engine{}, maxCells) }

func TestConcurrentUse(t *testing.T) { enginetest.Concurrent(t, Engine{}) }

// The library writes its progress to standard output unless told not to.
func TestSilent(t *testing.T) { enginetest.Silent(t, Engine{}) }

func TestAgreesWithTool(t *testing.T) { enginetest.AgreesWithTool(t, Engine{}) }

func TestName(t *testing.T) {
	if name := (Engine{}).Name(); !strings.HasPrefix(name, "libsvm 3") {
		t.Errorf("name %q", name)
	}
}

func TestManyRows(t *testing.T) {
	x := enginetest.Cloud(1, 900, 20)
	s, err := Engine{}.OneClass(x, 0.1, 0.05)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := model.Certify(x, 0.1, 0.05, s); err != nil {
		t.Error(err)
	}
}

// A day of units as the trainer hands them over.
func BenchmarkOneClass(b *testing.B) {
	x := enginetest.Cloud(1, 4096, 30)
	for b.Loop() {
		if _, err := (Engine{}).OneClass(x, 0.05, 1.0/30); err != nil {
			b.Fatal(err)
		}
	}
}
