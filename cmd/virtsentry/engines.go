//go:build !libsvm || !cgo

package main

import (
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvmgo"
)

// engines are the solvers that the command was built with, by the names that the daemon's configuration has for them.
var engines = map[string]model.Engine{"libsvm-go": libsvmgo.Engine{}}
