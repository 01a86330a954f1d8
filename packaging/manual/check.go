package manual

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Test checks that pages can be made of a command, and that they lack nothing: each command and each flag says what it is. With a directory, they are left
// there.
func Test(t *testing.T, dir string, section int, c *cobra.Command, more string) {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	if err := Commands(dir, section, c, more); err != nil {
		t.Fatal(err)
	}
	check(t, dir, section, c)
}

func check(t *testing.T, dir string, section int, c *cobra.Command) {
	t.Helper()
	if c.Short == "" {
		t.Errorf("%s does not say what it is", c.CommandPath())
	}
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	page, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s.%d", name, section)))
	if err != nil {
		t.Fatal(err)
	}
	if c.Version == "" && !c.HasParent() {
		t.Errorf("%s does not tell its version", c.Name())
	}
	c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		plain := strings.NewReplacer(`\-`, "-", `\fB`, "", `\fP`, "").Replace(string(page))
		switch {
		case f.Usage == "":
			t.Errorf("%s: --%s does not say what it is", c.CommandPath(), f.Name)
		case !f.Hidden && !strings.Contains(plain, "--"+f.Name):
			t.Errorf("%s: --%s is not on its page", c.CommandPath(), f.Name)
		}
	})
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			check(t, dir, section, sub)
		}
	}
}
