//go:build libsvm && cgo

package main

import (
	"github.com/virtsentry/virtsentry/model"
	"github.com/virtsentry/virtsentry/model/libsvm"
	"github.com/virtsentry/virtsentry/model/libsvmgo"
)

// engines are the solvers that the command was built with, by the names that the daemon's configuration has for them. The C library, which solves
// large sets many times as fast, is there only if it is asked for: go build -tags libsvm.
var engines = map[string]model.Engine{"libsvm": libsvm.Engine{}, "libsvm-go": libsvmgo.Engine{}}
