/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd hands over, and what it is told: this process plays both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim/manager.h"

enum { FIRST = 3, SOCKETS_MAX = 20 }; /* SD_LISTEN_FDS_START */

enum kind { UNIX_STREAM, UNIX_DATAGRAM, LOOPBACK, ANYWHERE, LOOPBACK_6, NOT_LISTENING };

static void name_it(struct sockaddr_un *a)
{
        static int number;
        *a = (struct sockaddr_un){.sun_family = AF_UNIX};
        snprintf(a->sun_path, sizeof(a->sun_path), "/tmp/manager-%d-%d", getpid(), ++number);
}

static int unix_socket(int type)
{
        struct sockaddr_un a;
        name_it(&a);
        int fd = socket(AF_UNIX, type, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        unlink(a.sun_path);
        return fd;
}

static int tcp_socket(uint32_t host)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        return fd;
}

static int tcp6_socket(void)
{
        struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        int fd = socket(AF_INET6, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        return fd;
}

static int make(enum kind kind)
{
        int fd = kind == LOOPBACK        ? tcp_socket(INADDR_LOOPBACK)
                 : kind == ANYWHERE      ? tcp_socket(INADDR_ANY)
                 : kind == LOOPBACK_6    ? tcp6_socket()
                 : kind == UNIX_DATAGRAM ? unix_socket(SOCK_DGRAM)
                                         : unix_socket(SOCK_STREAM);
        if (kind != UNIX_DATAGRAM && kind != NOT_LISTENING)
                assert_int_equal(listen(fd, 1), 0);
        return fd;
}

/* As systemd starts a program; names NULL: nobody has named them. */
static void hand_over(const enum kind *kinds, int count, const char *names)
{
        char text[16];
        int made[SOCKETS_MAX];
        for (int i = 0; i < count; i++)
                made[i] = fcntl(make(kinds[i]), F_DUPFD, FIRST + SOCKETS_MAX);
        for (int i = 0; i < count; i++)
                assert_int_equal(dup2(made[i], FIRST + i), FIRST + i);
        for (int i = 0; i < count; i++)
                close(made[i]);
        snprintf(text, sizeof(text), "%d", getpid());
        setenv("LISTEN_PID", text, 1);
        snprintf(text, sizeof(text), "%d", count);
        setenv("LISTEN_FDS", text, 1);
        if (names != NULL)
                setenv("LISTEN_FDNAMES", names, 1);
        else
                unsetenv("LISTEN_FDNAMES");
}

static void nothing_is_handed_over(void **state)
{
        (void)state;
        struct manager_sockets s;
        struct err e;
        unsetenv("LISTEN_FDS");
        assert_int_equal(manager_take(&s, &e), 0);
        assert_int_equal(s.cri_count, 0);
        assert_int_equal(s.relay, -1);
        assert_int_equal(s.admin, -1);
        assert_int_equal(s.metrics, -1);
        manager_sockets_fini(&s);
}

static void each_by_its_name(void **state)
{
        (void)state;
        static const enum kind kinds[] = {
                LOOPBACK, UNIX_STREAM, UNIX_STREAM, LOOPBACK_6, UNIX_STREAM};
        struct manager_sockets s;
        struct err e;
        hand_over(kinds, 5, "relay:cri:admin:metrics:cri");
        assert_int_equal(manager_take(&s, &e), 0);
        assert_int_equal(s.relay, FIRST);
        assert_int_not_equal(s.relay_port, 0);
        assert_int_equal(s.cri_count, 2);
        assert_int_equal(s.cri[0], FIRST + 1);
        assert_int_equal(s.cri[1], FIRST + 4);
        assert_int_equal(s.admin, FIRST + 2);
        assert_int_equal(strncmp(s.admin_path, "/tmp/manager-", 13), 0);
        assert_int_equal(s.metrics, FIRST + 3);
        for (int fd = FIRST; fd < FIRST + 5; fd++) {
                assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
                assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        }
        assert_null(getenv("LISTEN_FDS")); /* no child of ours takes them for its own */
        assert_int_equal(manager_socket_out(&s.relay), FIRST);
        manager_sockets_fini(&s);
        assert_int_not_equal(fcntl(FIRST, F_GETFD), -1); /* who took it out owns it */
        assert_int_equal(fcntl(FIRST + 1, F_GETFD), -1);
        assert_int_equal(fcntl(FIRST + 2, F_GETFD), -1);
        close(FIRST);
}

static void without_names(void **state)
{
        (void)state;
        static const enum kind kinds[] = {UNIX_STREAM, UNIX_STREAM};
        struct manager_sockets s;
        struct err e;
        hand_over(kinds, 2, NULL);
        assert_int_equal(manager_take(&s, &e), 0);
        assert_int_equal(s.cri_count, 2);
        manager_sockets_fini(&s);
}

static void what_is_not_right_is_said(void **state)
{
        (void)state;
        static const struct {
                enum kind kinds[2];
                int count;
                const char *names, *message;
        } cases[] = {
                {{UNIX_STREAM}, 1, "cri-resolved.socket",
                        "inherited descriptor 3 is named \"cri-resolved.socket\": "
                        "FileDescriptorName= must be cri, relay, admin or metrics in its .socket "
                        "unit"},
                {{UNIX_DATAGRAM}, 1, "cri",
                        "inherited descriptor 3 is not a listening Unix socket"},
                {{NOT_LISTENING}, 1, "cri",
                        "inherited descriptor 3 is not a listening Unix socket"},
                {{LOOPBACK}, 1, "cri", "inherited descriptor 3 is not a listening Unix socket"},
                {{LOOPBACK}, 1, NULL, "inherited descriptor 3 is not a listening Unix socket"},
                {{UNIX_STREAM}, 1, "relay", "ListenStream=127.0.0.1:<port> is needed"},
                {{ANYWHERE}, 1, "relay", "ListenStream=127.0.0.1:<port> is needed"},
                {{LOOPBACK_6}, 1, "relay", "ListenStream=127.0.0.1:<port> is needed"},
                {{UNIX_STREAM, LOOPBACK}, 2, "cri:admin",
                        "inherited descriptor 4, named admin, is not a listening Unix socket"},
                {{UNIX_STREAM}, 1, "metrics", "named metrics, is not a listening TCP socket"},
                {{LOOPBACK, LOOPBACK}, 2, "relay:relay",
                        "systemd hands over two sockets named \"relay\""},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct manager_sockets s;
                struct err e = {0};
                hand_over(cases[i].kinds, cases[i].count, cases[i].names);
                assert_int_equal(manager_take(&s, &e), -1);
                assert_int_equal(e.code, ERR_CONFIG);
                if (strstr(e.msg, cases[i].message) == NULL)
                        fail_msg("%s\nnot in %s", cases[i].message, e.msg);
                manager_sockets_fini(&s);
                for (int fd = FIRST; fd < FIRST + 2; fd++)
                        close(fd);
        }
}

/* ---- what it is told ---- */

static int listener(void)
{
        struct sockaddr_un a;
        name_it(&a);
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        setenv("NOTIFY_SOCKET", a.sun_path, 1);
        return fd;
}

static void assert_said(int fd, const char *text)
{
        char said[1024] = "";
        ssize_t n = recv(fd, said, sizeof(said) - 1, MSG_DONTWAIT);
        assert_true(n > 0);
        assert_string_equal(said, text);
}

static void messages(void **state)
{
        (void)state;
        int fd = listener();
        manager_ready("serving");
        assert_said(fd, "READY=1\nSTATUS=serving");
        manager_status("two\nlines=1");
        assert_said(fd, "STATUS=two lines=1");
        manager_stopping(2000);
        assert_said(fd, "STOPPING=1\nEXTEND_TIMEOUT_USEC=17000000\nSTATUS=draining");
        manager_watchdog_feed();
        assert_said(fd, "WATCHDOG=1");
        manager_reloading();
        char said[256] = "";
        assert_true(recv(fd, said, sizeof(said) - 1, MSG_DONTWAIT) > 0);
        assert_int_equal(strncmp(said, "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
        assert_true(strtoll(said + 27, NULL, 10) > 0);
        close(fd);
        unlink(getenv("NOTIFY_SOCKET"));
        unsetenv("NOTIFY_SOCKET");
        manager_ready("nobody hears it");
}

static void watchdog(void **state)
{
        (void)state;
        unsetenv("WATCHDOG_USEC");
        assert_int_equal(manager_watchdog_ms(), 0);
        setenv("WATCHDOG_USEC", "30000000", 1);
        assert_int_equal(manager_watchdog_ms(), 10000);
        setenv("WATCHDOG_USEC", "1", 1);
        assert_int_equal(manager_watchdog_ms(), 1);
        setenv("WATCHDOG_PID", "1", 1); /* somebody else is watched */
        assert_int_equal(manager_watchdog_ms(), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_is_handed_over),
                cmocka_unit_test(each_by_its_name),
                cmocka_unit_test(without_names),
                cmocka_unit_test(what_is_not_right_is_said),
                cmocka_unit_test(messages),
                cmocka_unit_test(watchdog),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
