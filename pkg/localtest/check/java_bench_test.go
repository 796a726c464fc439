package check

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkJava checks fat jars, of as many classes in packages of ten as the name
// says, with twice as many other files.
func BenchmarkJava(b *testing.B) {
	for _, classes := range []int{1000, 20_000} {
		b.Run(fmt.Sprint(classes), func(b *testing.B) {
			files := map[string]string{echoClass: class("com.example.Echo")}
			text := strings.Repeat("some constant of a class that is as long as they are ", 40)
			for i := range classes {
				name := fmt.Sprintf("org.vendor.part%d.Class%d", i/10, i)
				files[classEntry(name)] = other(name, constants(fmt.Sprint(i), text))
				files[fmt.Sprintf("META-INF/resources/%d/a", i)] = ""
				files[fmt.Sprintf("META-INF/resources/%d/b", i)] = "text"
			}
			dir := b.TempDir()
			write(b, filepath.Join(dir, "fat.jar"), jar(files))
			for _, what := range []struct {
				name, class string
				problems    int
			}{{"sound", "com.example.Echo", 0}, {"not found", "com.example.Ehco", 1}} {
				b.Run(what.name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						report, _, err := Java(JavaProcessor{Dir: dir, MainClass: what.class}, JavaOptions{Feature: 17})
						if err != nil || len(report.Problems) != what.problems {
							b.Fatalf("%+v, %v", report.Problems, err)
						}
					}
				})
			}
		})
	}
}
