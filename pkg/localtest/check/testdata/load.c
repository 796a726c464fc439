/* Loads shared objects as the host does, each in a process of its own, and
   says for each on a line whether it worked, or what the loader says. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        char text[512] = "it died";
        int ends[2], status;
        fflush(stdout);
        if (pipe(ends) != 0) return 1;
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            const char *said = dlopen(argv[i], RTLD_NOW) ? "loaded" : dlerror();
            if (write(ends[1], said, strlen(said)) < 0) _exit(1);
            _exit(0);
        }
        close(ends[1]);
        ssize_t n = read(ends[0], text, sizeof text - 1);
        if (n > 0) text[n] = 0;
        close(ends[0]);
        waitpid(child, &status, 0);
        printf("%s\n", text);
    }
    return 0;
}
