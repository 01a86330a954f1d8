package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// completeTime bounds the wait for a daemon while a user waits for a completion.
const completeTime = 2 * time.Second

type completion = func(c *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective)

// domainNames completes the names of running domains, as the first so many arguments.
func domainNames(client func() *control.Client, most int) completion {
	return names(most, func(ctx context.Context) (list []string) {
		domains, _ := client().Domains(ctx) // without a daemon there is nothing to offer
		for _, d := range domains {
			list = append(list, d.Name)
		}
		return list
	})
}

// profileNames completes the name in a kept profile, as the first argument.
func profileNames(client func() *control.Client) completion {
	return names(1, func(ctx context.Context) (list []string) {
		profiles, _ := client().Profiles(ctx)
		for _, p := range profiles {
			list = append(list, p.Name)
		}
		return list
	})
}

// names offers those that begin as the argument does. What would break the shell's list, a line each, is left out.
func names(most int, list func(context.Context) []string) completion {
	return func(c *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), completeTime)
		defer cancel()
		var fit []string
		for _, name := range list(ctx) {
			if name != "" && strings.HasPrefix(name, start) && oneLine(name) == name {
				fit = append(fit, name)
			}
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

// firstThenFiles completes the first argument with names, and files after it.
func firstThenFiles(first completion) completion {
	return func(c *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return first(c, args, start)
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
}
