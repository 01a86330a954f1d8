// Package version is the version that all commands of virtsentry say they are.
package version

import "runtime/debug"

// number is the version of the package that the command is in. The linker sets it (packaging/package); it is empty in a build by hand.
var number string

// String is the version of the package that the command was built for, such as 1.2.3, that of the module, where go install built it, or else "unreleased".
func String() string {
	if number != "" {
		return number
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "unreleased"
}
