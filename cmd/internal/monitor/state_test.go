package monitor

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The lists of states and reasons are closed and documented: what state.go names, README.md and the schema's README explain.
func TestStatesAndReasonsAreDocumented(t *testing.T) {
	source, err := os.ReadFile("state.go")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^\t(?:state|reason)\w+\s*= "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(names) < 20 {
		t.Fatalf("%d states and reasons found in state.go", len(names))
	}
	for _, file := range []string{"../../../README.md", "../../../packaging/schemas/README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if !strings.Contains(string(text), "`"+n[1]+"`") {
				t.Errorf("%s does not explain %q", file, n[1])
			}
		}
	}
}
