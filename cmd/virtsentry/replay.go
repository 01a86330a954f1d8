package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

var _ = fmt.Sprint
var _ = os.Args
var _ = unit.Width

func replayCommand() *cobra.Command { return &cobra.Command{} }
