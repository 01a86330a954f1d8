package main

import (
	"regexp"
	"strings"
)

// keys is the configuration file as Markdown: what stands before all tables, a section for each table, and in it each key with what the comment above
// it says.
func keys(file string) string {
	var b strings.Builder
	b.WriteString("## FILES\n\n/etc/virtsentry/virtsentry.toml, /etc/virtsentry/virtsentry.d/\\*.toml\n\n## DESCRIPTION\n\n")
	var prose []string
	// text is the comment up to here, its paragraphs apart.
	text := func() string {
		t := strings.Join(prose, "\n")
		prose = nil
		return escape(t)
	}
	for line := range strings.SplitSeq(file, "\n") {
		statement, isComment := strings.CutPrefix(line, "#")
		switch {
		case isComment && statement == "":
			prose = append(prose, "")
		case isComment && statement[0] == ' ':
			prose = append(prose, statement[1:])
		case strings.HasPrefix(statement, "["):
			b.WriteString("## " + escape(statement) + "\n\n" + text() + "\n\n")
		case statement != "":
			b.WriteString("**" + escape(statement) + "**\n: " + strings.ReplaceAll(text(), "\n", " ") + "\n\n")
		case len(prose) > 0: // a comment of its own
			b.WriteString(text() + "\n\n")
		}
	}
	return b.String()
}

// escape keeps Markdown from reading anything into a text but code in backquotes.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `_`, `\_`, `[`, `\[`, `]`, `\]`, `<`, `\<`).Replace(text)
}

// link is one of Markdown, to a file of the tree.
var link = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// body is a README without its title, and its sections as a manual page has them.
func body(readme string) string {
	_, rest, _ := strings.Cut(readme, "\n")
	rest = lists(link.ReplaceAllString(rest, "$1"))
	return "## DESCRIPTION\n" + rest + "\n## FILES\n\nSchemas and examples: /usr/share/virtsentry/schemas\n\n## SEE ALSO\n\n**virtsentryd**(8), **virtsentry**(1), **virsh**(1)\n"
}

// lists makes of Markdown's tables lists of what stands in their first columns: a terminal is too narrow for them.
func lists(text string) string {
	var b strings.Builder
	row := 0
	for line := range strings.SplitAfterSeq(text, "\n") {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 4 || cells[0] != "" {
			row = 0
			b.WriteString(line)
			continue
		}
		if row++; row <= 2 { // head, and the line below it
			continue
		}
		cells = cells[1 : len(cells)-1]
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		b.WriteString(cells[0] + "\n: " + strings.Join(cells[1:], "; ") + "\n\n")
	}
	return b.String()
}
