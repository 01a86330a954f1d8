package model

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cluster is a data set of raw counts on which the parameters matter: two features of a few hits.
func cluster(n int) Dataset {
	random := rand.New(rand.NewPCG(7, 0))
	d := Dataset{Features: []string{"a", "b"}}
	for i := range n {
		d.Rows = append(d.Rows, Row{Start: int64(i) * tick, Values: []float64{float64(5 + random.IntN(6)), float64(random.IntN(3))}})
	}
	return d
}

// No pair of the grid has a lower rate than the chosen one, and none with the same rate comes before it.
func TestSearchPaper(t *testing.T) {
	d := cluster(60)
	got, err := SearchPaper(smo{}, d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := paperRows(d, Options{})
	order := rand.New(rand.NewPCG(paperSeed, 0)).Perm(len(rows))
	rates := map[float64]bool{}
	before := true
	for i := range paperSteps {
		for j := range paperSteps {
			nu, gamma := float64(i+1)/100, float64(j+1)/100
			rate, err := paperRate(smo{}, rows, order, nu, gamma)
			if err != nil {
				t.Fatal(err)
			}
			rates[rate] = true
			if nu == got.Nu && gamma == got.Gamma {
				before = false
			}
			if rate < got.FalsePositiveRate || before && rate == got.FalsePositiveRate {
				t.Errorf("nu %v, gamma %v: %v, chosen %+v", nu, gamma, rate, got)
			}
		}
	}
	if before || len(rates) < 3 {
		t.Errorf("chosen %+v of %d different rates", got, len(rates))
	}
}

// On raw counts that are far apart every unit stands alone: all pairs are equally bad, and the paper's own remains.
func TestSearchPaperFarApart(t *testing.T) {
	got, err := SearchPaper(smo{}, newGuest(1, 0.5).dataset(60), Options{})
	if diff := cmp.Diff(PaperParameters{Nu: 0.01, Gamma: 0.01, FalsePositiveRate: 1}, got); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
}

// narrow fails but for a small gamma.
type narrow struct{ smo }

func (n narrow) OneClass(x [][]float64, nu, gamma float64) (Solution, error) {
	if gamma > 0.035 {
		return Solution{}, errors.New("broken")
	}
	return n.smo.OneClass(x, nu, gamma)
}

func TestSearchPaperPassesOver(t *testing.T) {
	got, err := SearchPaper(narrow{}, cluster(40), Options{})
	if err != nil || got.Gamma > 0.035 {
		t.Errorf("%+v, %v", got, err)
	}
	broken := errors.New("broken")
	if _, err := SearchPaper(failing{broken}, cluster(40), Options{}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	bad := cluster(40)
	bad.Rows[3].Values[0] = -1
	if _, err := SearchPaper(smo{}, bad, Options{}); !errors.Is(err, ErrDataset) {
		t.Errorf("%v", err)
	}
	var few *TooFewError
	if _, err := SearchPaper(smo{}, cluster(9), Options{}); !errors.As(err, &few) || few.Need != 10 {
		t.Errorf("%v", err)
	}
}

// The method as a whole: raw counts with the SVM's own threshold.
func TestPaper(t *testing.T) {
	train, normal, anomalies := evaluated()
	e, err := Evaluate(smo{}, MethodPaper, train, normal, anomalies[:1], EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	flood := e.Scenarios[0]
	if e.FalsePositiveRate < 0.9 || flood.Sensitivity != 1 || flood.Precision > 0.53 || flood.AUC < 0.9 || e.FalseAlarms != 1 || e.Paper == nil {
		t.Errorf("%+v, %+v", e, e.Paper)
	}
	known := &PaperParameters{Nu: 0.1, Gamma: 0.001}
	e, err = Evaluate(smo{}, MethodPaper, train, normal, nil, EvalOptions{Paper: known})
	if err != nil || e.Paper != known {
		t.Errorf("%+v, %v", e, err)
	}
}
