package monitor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// constants are the values of a file's constants whose names begin so, sorted.
func constants(t *testing.T, file, prefix string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) || len(spec.Values) != 1 {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, text)
		}
		return true
	})
	slices.Sort(values)
	return values
}

// The lists are whole: what they lack would be shown nowhere.
func TestLists(t *testing.T) {
	for _, test := range []struct {
		file, prefix string
		list         []string
	}{
		{"state.go", "state", States()},
		{"state.go", "reason", Reasons()},
		{"incident.go", "incident", IncidentKinds()},
		{"meter.go", "Training", TrainingOutcomes()},
	} {
		if diff := cmp.Diff(constants(t, test.file, test.prefix), slices.Sorted(slices.Values(test.list))); diff != "" {
			t.Errorf("%s* (-constants +list):\n%s", test.prefix, diff)
		}
	}
}

// The states are those of the published schema.
func TestStatesOfTheSchema(t *testing.T) {
	text, err := os.ReadFile("../../../packaging/schemas/state-1.rng")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), `<attribute name="value">`)
	choice, _, found := strings.Cut(after, "</attribute>")
	if !found {
		t.Fatal("no attribute value")
	}
	var values []string
	for _, m := range regexp.MustCompile(`<value>(.*?)</value>`).FindAllStringSubmatch(choice, -1) {
		values = append(values, m[1])
	}
	if diff := cmp.Diff(States(), values); diff != "" {
		t.Errorf("states (-monitor +schema):\n%s", diff)
	}
}
