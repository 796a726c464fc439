package pack

import (
	"os"
	"strings"
	"testing"
)

// Where the disk takes two names for one, that is said; a name that comes twice
// is something else.
func TestCollision(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tr := newTree(root, newLimits(ExtractOptions{}, t.TempDir()))
	yes := true
	tr.folds = &yes
	if err := root.WriteFile("Model", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tr.collision(root, "Model"); err != nil {
		t.Errorf("the same name: %v", err)
	}
	if err := tr.collision(root, "model"); err == nil || !strings.Contains(err.Error(), `"Model"`) {
		t.Errorf("another name: %v", err)
	}
}

func TestFoldsCase(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	write(t, dir+"/x", "")
	_, err = os.Lstat(dir + "/X")
	want := err == nil
	tr := newTree(root, newLimits(ExtractOptions{}, dir))
	if got, err := tr.foldsCase(); got != want || err != nil {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if left := treeOf(t, dir); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}
