// standin is what virtsentry-lab bench scale measures in the place of virtsentryd; see the package of that name.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/bench/standin"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: standin DIR")
		os.Exit(2)
	}
	if err := standin.Run(context.Background(), os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}
