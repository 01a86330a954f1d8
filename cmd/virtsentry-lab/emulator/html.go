package emulator

import (
	"html"
	"regexp"
	"strings"
)

// The lab's site writes plain, regular HTML, so patterns are enough here; what they do not match is not followed.
var (
	linkRE   = regexp.MustCompile(`<a\s[^>]*?href="(/[^"]*)"`)
	assetRE  = regexp.MustCompile(`<(?:img|link)\s[^>]*?(?:src|href)="(/[^"]*)"`)
	formRE   = regexp.MustCompile(`(?s)<form\s[^>]*?action="(/[^"]*)"[^>]*>(.*?)</form>`)
	fieldRE  = regexp.MustCompile(`(?s)<(?:input|textarea)\s[^>]*>|<select\s[^>]*>.*?</select>`)
	nameAtRE = regexp.MustCompile(`\sname="([^"]*)"`)
	valueRE  = regexp.MustCompile(`\svalue="([^"]*)"`)
	optionRE = regexp.MustCompile(`<option(?:\s+value="([^"]*)")?[^>]*>([^<]*)`)
)

// Bounds on what is taken from one page.
const (
	maxLinks  = 500
	maxAssets = 8
	maxFields = 50
)

// field is one entry of a form: with its value, or with the options to choose from.
type field struct {
	name    string
	value   string
	options []string
}

// document is what a session needs of a page.
type document struct {
	links  []string
	assets []string           // pictures and style sheets, each once
	forms  map[string][]field // by action
}

func parseHTML(body string) document {
	doc := document{forms: make(map[string][]field)}
	for _, m := range linkRE.FindAllStringSubmatch(body, maxLinks) {
		doc.links = append(doc.links, html.UnescapeString(m[1]))
	}
	seen := make(map[string]bool)
	for _, m := range assetRE.FindAllStringSubmatch(body, maxLinks) {
		if asset := html.UnescapeString(m[1]); !seen[asset] && len(seen) < maxAssets {
			seen[asset] = true
			doc.assets = append(doc.assets, asset)
		}
	}
	for _, m := range formRE.FindAllStringSubmatch(body, maxFields) {
		doc.forms[html.UnescapeString(m[1])] = parseFields(m[2])
	}
	return doc
}

func parseFields(body string) []field {
	var fields []field
	for _, text := range fieldRE.FindAllString(body, maxFields) {
		name := nameAtRE.FindStringSubmatch(text)
		if name == nil {
			continue
		}
		f := field{name: html.UnescapeString(name[1])}
		if strings.HasPrefix(text, "<select") {
			for _, o := range optionRE.FindAllStringSubmatch(text, maxLinks) {
				value := o[1]
				if value == "" {
					value = o[2]
				}
				f.options = append(f.options, html.UnescapeString(value))
			}
		} else if value := valueRE.FindStringSubmatch(text); value != nil {
			f.value = html.UnescapeString(value[1])
		}
		fields = append(fields, f)
	}
	return fields
}

// matching gives the links that a pattern matches, each once.
func (d document) matching(pattern *regexp.Regexp) []string {
	var found []string
	seen := make(map[string]bool)
	for _, link := range d.links {
		if !seen[link] && pattern.MatchString(link) {
			seen[link] = true
			found = append(found, link)
		}
	}
	return found
}
