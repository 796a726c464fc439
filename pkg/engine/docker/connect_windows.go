package docker

// deniedWhy says what gives the right to use a pipe.
func (m *machine) deniedWhy(string) (words, hint string) {
	return "", "add your user to the group docker-users, then log in again"
}
