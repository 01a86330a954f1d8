package libsvmgo

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	libsvmgo "github.com/ewalker544/libsvm-go"

	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/internal/enginetest"
	"github.com/virtsentry/virtsentry/model/libsvm"
)

const nastySets = 400

// naive is the library's own one-class solver, as it is.
type naive struct{}

func (naive) Name() string { return "libsvm-go, its own one-class solver" }

func (naive) OneClass(x [][]float64, nu, gamma float64) (model.Solution, error) {
	if err := model.CheckProblem(x, nu, gamma, maxCells); err != nil {
		return model.Solution{}, err
	}
	alpha, offset, err := solve(x, 0, &libsvmgo.Parameter{
		SvmType: libsvmgo.ONE_CLASS, KernelType: libsvmgo.RBF,
		Nu: nu, Gamma: gamma, Eps: tolerance, CacheSize: 1, QuietMode: true, NumCPU: 1,
	})
	s := model.Solution{Rho: offset}
	for i, a := range alpha {
		if a != 0 {
			s.Index = append(s.Index, i)
			s.Alpha = append(s.Alpha, a)
		}
	}
	return s, err
}

// audit judges a solution by itself, in the plainest way: whether it is in the box and
// has the right sum, and by how much two rows contradict the offset.
func audit(x [][]float64, nu, gamma float64, s model.Solution) (feasible bool, gap float64) {
	alpha := make([]float64, len(x))
	for k, i := range s.Index {
		alpha[i] = s.Alpha[k]
	}
	sum := 0.0
	feasible = true
	for _, a := range alpha {
		sum += a
		feasible = feasible && a >= -1e-8 && a <= 1+1e-8
	}
	want := nu * float64(len(x))
	feasible = feasible && math.Abs(sum-want) <= 1e-5*(1+want)
	for i, row := range x {
		value := -s.Rho
		for j, other := range x {
			d := 0.0
			for k := range row {
				d += (row[k] - other[k]) * (row[k] - other[k])
			}
			value += alpha[j] * math.Exp(-gamma*d)
		}
		if alpha[i] < 1-1e-8 {
			gap = max(gap, -value)
		}
		if alpha[i] > 1e-8 {
			gap = max(gap, value)
		}
	}
	return feasible, gap
}

// The certificate refuses every solution that is infeasible or not optimal, whoever
// found it, and none that is both. The library's own solver shows that there is
// something to refuse.
func TestCertificateOnNastySets(t *testing.T) {
	infeasible := map[string]int{}
	uncertified, refused := map[string]int{}, map[string]int{}
	for seed := range uint64(nastySets) {
		x, nu, gamma := enginetest.NastyRows(seed)
		for _, engine := range []model.Engine{libsvm.Engine{}, Engine{}, naive{}} {
			s, err := engine.OneClass(x, nu, gamma)
			if errors.Is(err, model.ErrProblem) {
				refused[engine.Name()]++
				continue
			}
			if errors.Is(err, libsvm.ErrUnavailable) {
				continue
			}
			if err != nil {
				t.Fatalf("set %d, %s: %v", seed, engine.Name(), err)
			}
			_, err = model.Certify(x, nu, gamma, s)
			feasible, gap := audit(x, nu, gamma, s)
			infeasible[engine.Name()] += count(!feasible)
			uncertified[engine.Name()] += count(err != nil)
			// In between, a solver has stopped at its tolerance or a little beyond.
			right, wrong := feasible && gap <= 1e-3, !feasible || gap > 3e-3
			if right && err != nil || wrong && err == nil {
				t.Errorf("set %d, %s: feasible %t, gap %v, certificate says %v", seed, engine.Name(), feasible, gap, err)
			}
		}
	}
	t.Logf("of %d: no problem %v, infeasible %v, uncertified %v", nastySets, refused, infeasible, uncertified)
	if infeasible[naive{}.Name()] < nastySets/4 {
		t.Error("the sets are not nasty enough to tell")
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// nastyDataset is a training set of nasty counts.
func nastyDataset(seed uint64) model.Dataset {
	var d model.Dataset
	for i, values := range enginetest.NastyCounts(seed) {
		d.Rows = append(d.Rows, model.Row{Start: int64(i) * int64(model.Width), Values: values})
	}
	for j := range d.Rows[0].Values {
		d.Features = append(d.Features, fmt.Sprint("feature ", j))
	}
	return d
}

// Every nasty training set ends with a certified profile, which can be stored and says
// who solved it, or with a refusal of a known kind.
func TestTrainOnNastySets(t *testing.T) {
	for _, tc := range []struct {
		engine model.Fallback
		sets   uint64
	}{
		{model.Fallback{First: libsvm.Engine{}, Second: Engine{}}, nastySets},
		{model.Fallback{First: naive{}, Second: Engine{}}, nastySets / 4},
		{model.Fallback{First: naive{}, Second: naive{}}, nastySets / 4},
	} {
		engine := tc.engine
		learnt, second, refused := 0, 0, 0
		for seed := range tc.sets {
			p, err := model.Train(engine, nastyDataset(seed), model.Options{Nu: 0.1})
			if err != nil {
				refused++
				if !errors.Is(err, model.ErrUnsolved) || !errors.Is(err, model.ErrUncertified) {
					t.Errorf("set %d: %v", seed, err)
				}
				continue
			}
			learnt++
			second += count(p.Machine().Failed != nil)
			if err := checkProfile(p, engine); err != nil {
				t.Errorf("set %d: %v", seed, err)
			}
		}
		t.Logf("%s: %d learnt, %d of them by the second engine, %d refused", engine.Name(), learnt, second, refused)
		if engine.Second != (naive{}) && refused > 0 {
			t.Errorf("%s: %d refused", engine.Name(), refused)
		}
		if engine.First == (naive{}) && refused+second == 0 {
			t.Errorf("%s never failed", engine.Name())
		}
	}
}

// checkProfile says whether p can be stored and read back, and names its engine.
func checkProfile(p *model.Profile, engine model.Fallback) error {
	solver, failed := p.Machine().Engine, p.Machine().Failed
	switch {
	case failed == nil && solver != engine.First.Name():
		return fmt.Errorf("solved by %s", solver)
	case failed != nil && (solver != engine.Second.Name() || failed.Engine != engine.First.Name() || failed.Reason == ""):
		return fmt.Errorf("solved by %s after %+v", solver, failed)
	}
	data, err := p.Encode()
	if err != nil {
		return err
	}
	_, err = model.Decode(bytes.NewReader(data))
	return err
}
