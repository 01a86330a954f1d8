package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
)

// variantHelp is the help of a flag that names a kind of guest.
func variantHelp(what string) string { return what + ": " + strings.Join(lab.VariantNames(), ", ") }

// variantList says in a table what the kinds of guest are.
func variantList() string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, v := range lab.Variants() {
		_, _ = fmt.Fprintf(tw, "  %s\t%s\n", v.Name, v.About)
	}
	_ = tw.Flush()
	return strings.TrimRight(b.String(), "\n")
}
