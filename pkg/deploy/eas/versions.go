package eas

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/openeas/eascmd/pkg/deploy"
)

type versionPage struct {
	paging
	Versions []versionAnswer
}

var versionList = lister[versionPage, versionAnswer]{
	size: pageSize, number: "PageNumber", many: "PageSize",
	open: func(p *versionPage) page[versionAnswer] { return page[versionAnswer]{p.paging, p.Versions} },
	key:  func(v versionAnswer) string { return strconv.Itoa(int(v.ImageID)) },
}

type versionAnswer struct {
	ImageID         integer // ImageId, which is the number of the version
	BuildTime       moment
	Image           text
	ImageAvailable  denial
	ServiceRunnable denial
	Message         text
	ServiceConfig   document
}

// Versions returns the versions of a service, the newest first.
func (t *Target) Versions(ctx context.Context, name string) ([]deploy.Version, deploy.Reply, error) {
	found, got, err := versionList.all(ctx, t, request{op: listServiceVersions, name: name})
	if err != nil {
		return nil, got, err
	}
	list := make([]deploy.Version, 0, len(found))
	for _, v := range found {
		list = append(list, deploy.Version{
			ID:             int(v.ImageID),
			BuildTime:      v.BuildTime.Time,
			Image:          string(v.Image),
			ImageAvailable: !bool(v.ImageAvailable),
			Runnable:       !bool(v.ServiceRunnable),
			Message:        string(v.Message),
			Description:    json.RawMessage(v.ServiceConfig),
		})
	}
	slices.SortFunc(list, func(a, b deploy.Version) int { return cmp.Compare(b.ID, a.ID) })
	return list, got, nil
}

// SwitchVersion makes a service run an earlier version.
func (t *Target) SwitchVersion(ctx context.Context, name string, version int) (deploy.Reply, error) {
	return t.act(ctx, request{op: updateServiceVersion, name: name, body: map[string]int{"Version": version}})
}
