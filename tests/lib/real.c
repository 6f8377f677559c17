#include "real.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int port_hold(int *ret_fd)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
        bind(fd, (struct sockaddr *)&in, len) < 0 || getsockname(fd, (struct sockaddr *)&in, &len) < 0) {
        close(fd);
        return -1;
    }
    *ret_fd = fd;
    return ntohs(in.sin_port);
}

void child_stop(pid_t pid)
{
    siginfo_t info = {.si_code = 0};
    if (kill(pid, SIGSTOP) < 0)
        return;
    while (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT) < 0 && errno == EINTR)
        ;
}
