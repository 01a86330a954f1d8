package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeys(t *testing.T) {
	const file = "# All of it.\n#\n# More.\n\n# A table.\n[a_b]\n\n# What it is,\n# and more: `x_y`.\n#key_a = 1\n\n# Another.\n#[[c]]\n"
	const want = "All of it.\n\nMore.\n\n" + "## \\[a\\_b\\]\n\nA table.\n\n**key\\_a = 1**\n: What it is, and more: `x\\_y`.\n\n## \\[\\[c\\]\\]\n\nAnother.\n\n"
	got := keys(file)
	if diff := cmp.Diff(want, got[len(keys("")):]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLists(t *testing.T) {
	const table = "One:\n\n| a | b | c |\n|---|---|---|\n| x, `y` | 1 | 2 |\n| z | 3 | |\n\nEnd|.\n"
	const want = "One:\n\nx, `y`\n: 1; 2\n\nz\n: 3; \n\n\nEnd|.\n"
	if diff := cmp.Diff(want, lists(table)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
