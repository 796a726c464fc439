// A program that serves HTTP itself, as little of it as the suite needs: it
// listens on the port in PORT and answers every request with its path and body.
// The body "crash" ends it by a signal.
#include <arpa/inet.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

static void serve(int conn) {
    std::string in;
    size_t head = std::string::npos, length = 0;
    char buf[4096];
    while (head == std::string::npos || in.size() < head + length) {
        ssize_t n = read(conn, buf, sizeof buf);
        if (n <= 0) return;
        in.append(buf, n);
        if (head != std::string::npos || (head = in.find("\r\n\r\n")) == std::string::npos) continue;
        head += 4;
        size_t at = in.find("Content-Length: ");
        if (at != std::string::npos && at < head) length = strtoul(in.c_str() + at + 16, nullptr, 10);
    }
    std::string body = in.substr(head, length);
    if (body == "crash") {
        fprintf(stderr, "crashing now\n");
        abort();
    }
    size_t path = in.find(' ') + 1;
    std::string answer = in.substr(path, in.find(' ', path) - path) + " " + body;
    std::string out = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(answer.size()) + "\r\n\r\n" + answer;
    if (write(conn, out.data(), out.size()) < 0) perror("write");
}

int main() {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(atoi(getenv("PORT")));
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (sockaddr *)&at, sizeof at) || listen(listener, 16)) {
        perror("listen");
        return 1;
    }
    for (;;) {
        int conn = accept(listener, nullptr, nullptr);
        if (conn < 0) continue;
        serve(conn);
        close(conn);
    }
}
