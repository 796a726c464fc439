package controlplane

import (
	"fmt"
	"net/http"
)

// apiError is a refusal as the API words it.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.message + " (" + e.code + ")" }

func refuse(status int, code, format string, args ...any) *apiError {
	return &apiError{status, code, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, "InvalidParameter", format, args...)
}

func (s *Server) notFound(name string) *apiError {
	return refuse(http.StatusNotFound, "InvalidService.NotFound", "The service [%s] in region [%s] does not exist", name, s.opts.Region)
}
