package enginetest

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/virtsentry/virtsentry/model"
)

// Tolerances of AgreesWithTool. The tool writes 17 digits of a coefficient, but 8 of a
// support vector, from which its decision values are computed.
const (
	toleranceAlpha    = 1e-10
	toleranceDecision = 1e-6
)

// AgreesWithTool requires that the engine and svm-train find the same solution on
// ordinary sets, and that units get the same side from the engine's solution and from
// svm-predict. The test is skipped where the tools are not, but not in CI.
func AgreesWithTool(t *testing.T, engine model.Engine) {
	t.Helper()
	for name, x := range map[string][][]float64{
		"small": Cloud(21, 60, 4), "ordinary": Cloud(22, 380, 20), "clusters": Shrunken(200, 6), "equal rows": Repeated(90, 5, 30),
	} {
		// The tool keeps parameters in single precision; these are exact in it.
		for _, nu := range []float64{0.0625, 0.3125} {
			const gamma = 0.125
			got, err := engine.OneClass(x, nu, gamma)
			if err != nil {
				t.Fatal(err)
			}
			file := svmTrain(t, x, nu, gamma)
			want := readModel(t, file, len(x[0]))
			same := slices.EqualFunc(want.alpha, got.Alpha, func(a, b float64) bool {
				return math.Abs(a-b) <= toleranceAlpha
			})
			if !same || math.Abs(want.rho-got.Rho) > toleranceDecision {
				t.Errorf("%s, nu %v: the tool has offset %v and %d support vectors, we %v and %d",
					name, nu, want.rho, len(want.alpha), got.Rho, len(got.Alpha))
			}
			units := append(Cloud(77, 200, len(x[0])), x...)
			found := solved{rho: got.Rho, alpha: got.Alpha}
			for _, row := range got.Index {
				found.vectors = append(found.vectors, x[row])
			}
			comparePredictions(t, name, file, units, gamma, want, found)
		}
	}
}

// solved is a machine by itself.
type solved struct {
	rho     float64
	alpha   []float64
	vectors [][]float64
}

// decision is the decision value of u.
func (s solved) decision(u []float64, gamma float64) float64 {
	sum := -s.rho
	for k, v := range s.vectors {
		d := 0.0
		for j := range u {
			d += (u[j] - v[j]) * (u[j] - v[j])
		}
		sum += s.alpha[k] * math.Exp(-gamma*d)
	}
	return sum
}

// svmTrain runs the tool on x and returns the file of its model.
func svmTrain(t *testing.T, x [][]float64, nu, gamma float64) string {
	t.Helper()
	tool, err := exec.LookPath("svm-train")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("svm-train (package libsvm-tools) is not installed")
		}
		t.Skip("svm-train (package libsvm-tools) is not installed")
	}
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "model")
	if err := os.WriteFile(data, svmData(x), 0o600); err != nil {
		t.Fatal(err)
	}
	exact := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	cmd := exec.Command(tool, "-q", "-s", "2", "-t", "2", "-n", exact(nu), "-g", exact(gamma), data, file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// svmData writes x in the tool's format.
func svmData(x [][]float64) []byte {
	var b bytes.Buffer
	for _, row := range x {
		b.WriteString("1")
		for j, v := range row {
			fmt.Fprintf(&b, " %d:%s", j+1, strconv.FormatFloat(v, 'g', -1, 64))
		}
		b.WriteString("\n")
	}
	return b.Bytes()
}

// readModel returns what is in a model file of the tool.
func readModel(t *testing.T, file string, dim int) solved {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s solved
	vectors := false
	number := func(text string) float64 {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		word := strings.Fields(lines.Text())
		switch {
		case vectors:
			v := make([]float64, dim)
			for _, node := range word[1:] {
				index, value, _ := strings.Cut(node, ":")
				v[int(number(index))-1] = number(value)
			}
			s.alpha = append(s.alpha, number(word[0]))
			s.vectors = append(s.vectors, v)
		case word[0] == "rho":
			s.rho = number(word[1])
		case word[0] == "SV":
			vectors = true
		}
	}
	return s
}

// comparePredictions judges units by svm-predict, by the tool's solution and by ours.
func comparePredictions(t *testing.T, name, file string, units [][]float64, gamma float64, want, got solved) {
	t.Helper()
	data, out := file+".units", file+".out"
	if err := os.WriteFile(data, svmData(units), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("svm-predict", "-q", data, file, out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	sides := strings.Fields(string(text))
	if len(sides) != len(units) {
		t.Fatalf("%d predictions for %d units", len(sides), len(units))
	}
	worst := 0.0
	for i, u := range units {
		ours := got.decision(u, gamma)
		worst = max(worst, math.Abs(ours-want.decision(u, gamma)))
		if math.Abs(ours) > toleranceDecision && (ours > 0) != (sides[i] == "1") {
			t.Errorf("%s, unit %d: the tool says %s, we %v", name, i, sides[i], ours)
		}
	}
	t.Logf("%s: decision values differ by at most %.2g", name, worst)
	if worst > toleranceDecision {
		t.Errorf("%s: decision values differ by up to %v", name, worst)
	}
}
