/* What the kernel alone takes for a datagram each way: each query goes back as it came, marked as an answer. By recvmmsg and sendmmsg,
   as the agent does it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { batch = 64, room = 4096 };

static struct mmsghdr messages[batch];
static struct iovec vectors[batch];
static struct sockaddr_in peers[batch];
static unsigned char payload[batch][room];

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) != 0) {
    perror("echo");
    return 1;
  }
  for (;;) {
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    poll(&readable, 1, -1);
    for (int place = 0; place < batch; place++) {
      vectors[place] = (struct iovec){.iov_base = payload[place], .iov_len = room};
      messages[place].msg_hdr = (struct msghdr){
          .msg_name = &peers[place], .msg_namelen = sizeof peers[place], .msg_iov = &vectors[place], .msg_iovlen = 1};
    }
    int count = recvmmsg(fd, messages, batch, 0, NULL);
    for (int place = 0; place < count; place++) {
      payload[place][2] |= 0x80;
      vectors[place].iov_len = messages[place].msg_len;
    }
    for (int at = 0; at < count;) {
      int sent = sendmmsg(fd, messages + at, count - at, 0);
      at += sent > 0 ? sent : 1;
    }
  }
}
