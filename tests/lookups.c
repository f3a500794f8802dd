/* Preloaded into a process by tests/watched.py: writes each name that it looks up, and each address that it connects or
   sends to outside this machine, as a line to the file that LOOKUPS names. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void note(const char *call, const char *what) {
    const char *path = getenv("LOOKUPS");
    char line[512];
    int length = snprintf(line, sizeof line, "%s %.400s\n", call, what);
    int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (file >= 0) {
        if (write(file, line, (size_t)length) < 0) abort();
        close(file);
    }
}

static void note_address(const char *call, const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN + 8] = "";
    if (address && address->sa_family == AF_INET) {
        const struct sockaddr_in *found = (const struct sockaddr_in *)address;
        if ((ntohl(found->sin_addr.s_addr) >> 24) == 127 && ntohs(found->sin_port) != 53) return;
        inet_ntop(AF_INET, &found->sin_addr, text, sizeof text);
    } else if (address && address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *found = (const struct sockaddr_in6 *)address;
        if (IN6_IS_ADDR_LOOPBACK(&found->sin6_addr) && ntohs(found->sin6_port) != 53) return;
        inet_ntop(AF_INET6, &found->sin6_addr, text, sizeof text);
    }
    if (*text) note(call, text);
}

/* Whether a name is an address, for which nobody is asked. */
static int numeric(const char *name) {
    unsigned char bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (node && !numeric(node)) note("getaddrinfo", node);
    return REAL(int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **), "getaddrinfo")(
        node, service, hints, found);
}

struct hostent *gethostbyname(const char *name) {
    note("gethostbyname", name);
    return REAL(struct hostent * (*)(const char *), "gethostbyname")(name);
}

int connect(int socket, const struct sockaddr *address, socklen_t length) {
    note_address("connect", address);
    return REAL(int (*)(int, const struct sockaddr *, socklen_t), "connect")(socket, address, length);
}

ssize_t sendto(int socket, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
    note_address("sendto", address);
    return REAL(ssize_t (*)(int, const void *, size_t, int, const struct sockaddr *, socklen_t), "sendto")(
        socket, data, size, flags, address, length);
}
