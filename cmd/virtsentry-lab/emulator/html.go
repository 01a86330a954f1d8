package emulator

import (
	"html"
	"regexp"
	"strings"
)

// Bounds on what is taken from one page.
const (
	maxLinks   = 500
	maxAssets  = 8
	maxForms   = 50
	maxFields  = 50
	maxOptions = 500
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

// parseHTML takes links, assets and forms from a page of the lab's site. That is plain, regular HTML, attributes in
// double quotes, so no more of the language is known here. Addresses of other sites are left out.
func parseHTML(body string) document {
	doc := document{forms: make(map[string][]field)}
	form := "" // the action of the form that the scan is in
	for {
		t, rest, ok := nextTag(body)
		if !ok {
			return doc
		}
		body = rest
		switch t.name {
		case "a":
			if href := t.attr("href"); strings.HasPrefix(href, "/") && len(doc.links) < maxLinks {
				doc.links = append(doc.links, href)
			}
		case "link":
			doc.addAsset(t.attr("href"))
		case "img":
			doc.addAsset(t.attr("src"))
		case "form":
			if form = t.attr("action"); len(doc.forms) == maxForms {
				form = ""
			}
		case "/form":
			form = ""
		default:
			if form != "" {
				doc.forms[form] = addField(doc.forms[form], t)
			}
		}
	}
}

func (d *document) addAsset(address string) {
	if !strings.HasPrefix(address, "/") || len(d.assets) == maxAssets {
		return
	}
	for _, known := range d.assets {
		if known == address {
			return
		}
	}
	d.assets = append(d.assets, address)
}

// addField adds what a tag within a form means to the form's fields.
func addField(fields []field, t tag) []field {
	switch t.name {
	case "input", "textarea", "select":
		if name := t.attr("name"); name != "" && len(fields) < maxFields {
			fields = append(fields, field{name: name, value: t.attr("value")})
		}
	case "option":
		if len(fields) == 0 {
			break
		}
		last := &fields[len(fields)-1]
		value := t.attr("value")
		if value == "" {
			value = html.UnescapeString(strings.TrimSpace(t.text))
		}
		if len(last.options) < maxOptions {
			last.options = append(last.options, value)
		}
	}
	return fields
}

// tag is one tag with the text that follows it.
type tag struct {
	name  string
	attrs string
	text  string
}

// nextTag gives the first whole tag of s and what comes after its text.
func nextTag(s string) (tag, string, bool) {
	open := strings.IndexByte(s, '<')
	if open < 0 {
		return tag{}, "", false
	}
	s = s[open+1:]
	inside, after, ok := strings.Cut(s, ">")
	if !ok {
		return tag{}, "", false
	}
	t := tag{name: inside}
	if i := strings.IndexAny(inside, " \t\r\n"); i >= 0 {
		t.name, t.attrs = inside[:i], inside[i:]
	}
	t.text = after
	if i := strings.IndexByte(after, '<'); i >= 0 {
		t.text, after = after[:i], after[i:]
	} else {
		after = ""
	}
	return t, after, true
}

// attr gives an attribute's value, "" without one.
func (t tag) attr(name string) string {
	_, value, ok := strings.Cut(t.attrs, " "+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ = strings.Cut(value, `"`)
	return html.UnescapeString(value)
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
