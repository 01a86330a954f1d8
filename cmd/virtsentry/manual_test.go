package main

import (
	"flag"
	"testing"

	"github.com/virtsentry/virtsentry/packaging/manual"
)

var manualDir = flag.String("manual", "", "leave the manual pages in this `DIRECTORY`")

func TestManual(t *testing.T) { manual.Test(t, *manualDir, 1, command(), "") }
