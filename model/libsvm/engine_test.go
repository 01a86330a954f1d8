//go:build cgo

package libsvm

import (
	"math/rand/v2"
	"testing"

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

func TestCertified(t *testing.T) {
	for _, n := range []int{2, 3, 30, 90, 380, 2000} {
		x := cloud(uint64(n), n, 20)
		for _, nu := range []float64{0.01, 0.05, 0.1, 0.5, 0.9} {
			s, err := Engine{}.OneClass(x, nu, 0.05)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := model.Certify(x, nu, 0.05, s)
			if err != nil {
				t.Errorf("%d rows, nu %v: %v", n, nu, err)
			}
			t.Logf("%d %v: %d SV residual %.2g", n, nu, len(s.Index), cert.Residual)
		}
	}
}
