// Package dashboard is the daemon's page for browsers: all domains, and what was seen of each, live. It shows what the control interface does, by the same
// Backend, and changes only what that can change.
package dashboard

import (
	"embed"
	"io/fs"
)

// The page is TypeScript in web/src, which esbuild puts together; the result is kept with the source, so that no build of the daemon needs more than Go.
// web/vendor/uplot is uPlot 1.6.32 (MIT), as its package has it. web/tsconfig.json is for TypeScript's own compiler and for editors.
//
//go:generate go tool esbuild web/src/app.ts web/src/app.css --bundle --minify --charset=utf8 --target=es2022 --outdir=web/dist --entry-names=[name] --log-level=warning "--banner:js=/*! Contains uPlot 1.6.32, (c) 2022 Leon Sorokin, MIT licence: vendor/uplot/LICENSE */"
//go:embed web/dist web/index.html web/icon.svg
var content embed.FS

// files are what the page is made of.
func files() map[string]file {
	list := map[string]file{}
	for _, f := range []struct{ path, name, kind string }{
		{"/", "web/index.html", "text/html; charset=utf-8"},
		{"/app.js", "web/dist/app.js", "text/javascript; charset=utf-8"},
		{"/app.css", "web/dist/app.css", "text/css; charset=utf-8"},
		{"/icon.svg", "web/icon.svg", "image/svg+xml"},
	} {
		text, err := fs.ReadFile(content, f.name)
		if err != nil {
			continue // it is embedded: a test sees to it
		}
		list[f.path] = newFile(text, f.kind)
	}
	return list
}
