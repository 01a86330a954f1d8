package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

func TestHelpNamesAllVariants(t *testing.T) {
	for _, args := range [][]string{{"up", "--help"}, {"guest", "define", "--help"}} {
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(args)
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		for _, v := range lab.Variants() {
			if text := out.String(); !strings.Contains(text, "  "+v.Name+" ") || !strings.Contains(text, v.About) {
				t.Errorf("%v says nothing of variant %s", args, v.Name)
			}
		}
	}
}
