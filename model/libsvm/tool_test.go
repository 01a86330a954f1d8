//go:build cgo

package libsvm

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

// svmTrain runs the library's own command-line tool on x and returns the tool's
// model file.
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

// readModel returns the offset and the coefficients in a model file of the tool.
func readModel(t *testing.T, file string) (rho float64, alpha []float64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	vectors := false
	for s := bufio.NewScanner(f); s.Scan(); {
		word := strings.Fields(s.Text())
		switch {
		case vectors:
			a, err := strconv.ParseFloat(word[0], 64)
			if err != nil {
				t.Fatal(err)
			}
			alpha = append(alpha, a)
		case word[0] == "rho":
			if rho, err = strconv.ParseFloat(word[1], 64); err != nil {
				t.Fatal(err)
			}
		case word[0] == "SV":
			vectors = true
		}
	}
	return rho, alpha
}

// Through the library and through its tool a problem has the same solution, to the
// digits that the tool writes, and units get the same side.
func TestAgreesWithTool(t *testing.T) {
	for name, x := range map[string][][]float64{
		"small": cloud(21, 60, 4), "ordinary": cloud(22, 380, 20), "clusters": shrunken(200, 6), "equal rows": repeated(90, 5, 30),
	} {
		// The tool keeps parameters in single precision; these are exact in it.
		for _, nu := range []float64{0.0625, 0.3125} {
			const gamma = 0.125
			got, err := Engine{}.OneClass(x, nu, gamma)
			if err != nil {
				t.Fatal(err)
			}
			file := svmTrain(t, x, nu, gamma)
			rho, alpha := readModel(t, file)
			same := slices.EqualFunc(alpha, got.Alpha, func(a, b float64) bool {
				return math.Abs(a-b) <= 1e-12
			})
			if !same || math.Abs(rho-got.Rho) > 1e-12*rho {
				t.Errorf("%s, nu %v: the tool has offset %v and %d support vectors, we %v and %d",
					name, nu, rho, len(alpha), got.Rho, len(got.Alpha))
			}
			comparePredictions(t, file, x, gamma, got)
		}
	}
}

// comparePredictions judges fresh units by svm-predict and by the solution.
func comparePredictions(t *testing.T, file string, x [][]float64, gamma float64, s model.Solution) {
	t.Helper()
	units := append(cloud(77, 200, len(x[0])), x...)
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
	for i, u := range units {
		decision := -s.Rho
		for k, row := range s.Index {
			d := 0.0
			for j := range u {
				d += (u[j] - x[row][j]) * (u[j] - x[row][j])
			}
			decision += s.Alpha[k] * math.Exp(-gamma*d)
		}
		// On the boundary itself the tool, whose file has support vectors of eight
		// digits, may fall to either side.
		if math.Abs(decision) > 1e-6 && (decision > 0) != (sides[i] == "1") {
			t.Errorf("unit %d: the tool says %s, we %v", i, sides[i], decision)
		}
	}
}
