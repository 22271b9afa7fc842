// Says what the makers of Compose and Helm, and the API of Kubernetes, hold against files; prints what they make of them.
// Nothing is run and nobody is asked.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/getter"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

func compose(file string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithWorkingDirectory(filepath.Dir(file)), cli.WithInterpolation(true))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	json, err := project.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(json)
	return err
}

func helm(chart string, set []string) error {
	given, err := (&values.Options{Values: set}).MergeValues(getter.Providers{})
	if err != nil {
		return err
	}
	for _, message := range lint.AllWithKubeVersion(chart, given, "default", nil).Messages {
		if message.Severity >= support.WarningSev {
			return message
		}
	}
	loaded, err := loader.Load(chart)
	if err != nil {
		return err
	}
	options := chartutil.ReleaseOptions{Name: "test", Namespace: "default", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(loaded, given, options, chartutil.DefaultCapabilities)
	if err != nil {
		return err
	}
	rendered, err := engine.Render(loaded, all)
	if err != nil {
		return err
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	for path, text := range rendered {
		if !strings.HasSuffix(path, ".yaml") {
			continue
		}
		for _, document := range strings.Split(text, "\n---\n") {
			json, err := yaml.ToJSON([]byte(document))
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if _, _, err := decoder.Decode(json, nil, nil); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			fmt.Println(string(json))
		}
	}
	return nil
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "compose":
		return compose(args[1])
	case len(args) >= 2 && args[0] == "helm":
		return helm(args[1], args[2:])
	}
	return fmt.Errorf("usage: validate compose FILE | validate helm CHART [KEY=VALUE …]")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
