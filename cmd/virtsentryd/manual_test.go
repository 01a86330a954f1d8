package main

import (
	"flag"
	"os"
	"testing"

	"github.com/virtsentry/virtsentry/packaging/manual"
)

var manualDir = flag.String("manual", "", "leave the manual page in this `DIRECTORY`")

func TestManual(t *testing.T) {
	more, err := os.ReadFile("../../packaging/manual/virtsentryd.md")
	if err != nil {
		t.Fatal(err)
	}
	manual.Test(t, *manualDir, 8, command(nil), string(more))
}
