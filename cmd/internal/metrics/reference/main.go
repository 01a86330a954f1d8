// Command reference writes the page that describes virtsentryd's metrics, or says that it is old.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/metrics"
)

func main() {
	var check bool
	c := &cobra.Command{
		Use:           "reference FILE",
		Short:         "Write the reference of virtsentryd's metrics",
		Args:          cobra.ExactArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(_ *cobra.Command, args []string) error { return run(args[0], check) },
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing; fail where the file is not what would be written")
	if err := c.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func run(file string, check bool) error {
	if !check {
		return os.WriteFile(file, []byte(metrics.Reference()), 0o644)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if string(text) != metrics.Reference() {
		return fmt.Errorf("%s is old: make it anew (go run ./cmd/internal/metrics/reference %[1]s)", file)
	}
	return nil
}
