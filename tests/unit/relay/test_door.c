/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "relay/door.h"
#include "tests/unit/relay/capture.h"
#include "tests/unit/relay/client.h"

enum { ENTERED_MAX = 16 };

struct hall {
        struct door *door;
        int port;
        pthread_mutex_t lock;
        int fds[ENTERED_MAX]; /* who came in, in order */
        size_t count;
        sem_t entered, ticked;
        sem_t settled;  /* a tick after somebody entered */
        bool unsettled; /* the door's thread alone */
        atomic_int ticks_wanted;
};

#define REFUSAL "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n"

/* Refuses whoever asks for /no. */
static const char *judge(void *arg, const char *head, size_t size)
{
        (void)arg;
        return memmem(head, size, "GET /no ", 8) != NULL ? REFUSAL : NULL;
}

static void enter(void *arg, int fd)
{
        struct hall *h = arg;
        pthread_mutex_lock(&h->lock);
        h->fds[h->count++] = fd;
        pthread_mutex_unlock(&h->lock);
        h->unsettled = true;
        sem_post(&h->entered);
}

static bool tick(void *arg)
{
        struct hall *h = arg;
        sem_post(&h->ticked);
        if (h->unsettled)
                sem_post(&h->settled);
        h->unsettled = false;
        return atomic_fetch_sub(&h->ticks_wanted, 1) > 1;
}

static void begin(struct hall *h, int port)
{
        *h = (struct hall){.port = port};
        pthread_mutex_init(&h->lock, NULL);
        sem_init(&h->entered, 0, 0);
        sem_init(&h->ticked, 0, 0);
        sem_init(&h->settled, 0, 0);
        struct door_events events = {.judge = judge, .enter = enter, .tick = tick, .arg = h};
        h->door = door_new((uint16_t)port, -1, &events);
}

static void end(struct hall *h)
{
        door_free(h->door);
        for (size_t i = 0; i < h->count; i++)
                close(h->fds[i]);
        sem_destroy(&h->entered);
        sem_destroy(&h->ticked);
        sem_destroy(&h->settled);
        pthread_mutex_destroy(&h->lock);
}

/* Waits for the next one; its number. */
static size_t wait_entered(struct hall *h)
{
        sem_wait(&h->entered);
        pthread_mutex_lock(&h->lock);
        size_t number = h->count - 1;
        pthread_mutex_unlock(&h->lock);
        return number;
}

static void assert_next(struct hall *h, size_t number, const char *bytes)
{
        cleanup_free char *got = mem_zalloc(strlen(bytes) + 2);
        assert_int_equal(wait_entered(h), number);
        assert_int_equal(recv(h->fds[number], got, strlen(bytes) + 1, 0), strlen(bytes));
        assert_string_equal(got, bytes); /* nothing was taken, nothing is missing */
}

#define HEAD "GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

static void a_complete_head_enters(void **state)
{
        (void)state;
        struct hall h;
        begin(&h, client_free_port());
        assert_true(door_is_open(h.door));
        int one = client_connect(h.port);
        client_puts(one, HEAD);
        assert_next(&h, 0, HEAD);
        int two = client_connect(h.port);
        client_puts(two, HEAD "and the beginning of what follows");
        assert_next(&h, 1, HEAD "and the beginning of what follows");
        client_puts(one, "more"); /* its one byte is enough to wake who reads */
        char more[5] = "";
        assert_int_equal(recv(h.fds[0], more, 4, MSG_WAITALL), 4);
        close(one);
        close(two);
        end(&h);
        door_free(NULL);
}

static void byte_by_byte(void **state)
{
        (void)state;
        struct hall h;
        begin(&h, client_free_port());
        int slow = client_connect(h.port);
        for (size_t i = 0; i < strlen(HEAD); i++) {
                client_send(slow, HEAD + i, 1);
                if (i % 16 != 0)
                        continue;
                /* Whoever comes later and is complete goes first. */
                int quick = client_connect(h.port);
                client_puts(quick, HEAD);
                assert_next(&h, i / 16, HEAD);
                close(quick);
        }
        assert_next(&h, (strlen(HEAD) - 1) / 16 + 1, HEAD);
        close(slow);
        end(&h);
}

#define HELLO "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

static void tls_is_answered_in_http(void **state)
{
        (void)state;
        struct hall h;
        begin(&h, client_free_port());
        for (size_t first = 1; first <= sizeof(HELLO) - 1; first += sizeof(HELLO) - 2) {
                cleanup_buf struct buf answer;
                buf_init(&answer, 4096);
                int fd = client_connect(h.port);
                client_send(fd, HELLO, first); /* the first byte decides */
                client_read_all(fd, &answer);
                assert_string_equal(buf_str(&answer), "HTTP/1.1 400 Bad Request\r\n"
                                                      "Content-Length: 0\r\n"
                                                      "Connection: close\r\n\r\n");
                client_send(fd, HELLO, sizeof(HELLO) - 1); /* is read, and no reset */
                close(fd);
        }
        int fd = client_connect(h.port);
        client_puts(fd, HEAD);
        assert_next(&h, 0, HEAD);
        close(fd);
        end(&h);
}

static void who_is_not_let_in_is_told_so(void **state)
{
        (void)state;
        struct hall h;
        begin(&h, client_free_port());
        cleanup_buf struct buf answer;
        buf_init(&answer, 4096);
        int fd = client_connect(h.port);
        client_puts(fd, "GET /no HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nand a body");
        client_read_all(fd, &answer);
        assert_string_equal(buf_str(&answer), REFUSAL);
        client_puts(fd, "the rest of it"); /* is read, and no reset */
        int endless = client_connect(h.port);
        client_puts(endless, "GET /no HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        static char rest[64 * 1024];
        ssize_t n;
        do /* for ever: but the door has heard enough */
                n = send(endless, rest, sizeof(rest), MSG_NOSIGNAL);
        while (n > 0);
        int next = client_connect(h.port);
        client_puts(next, HEAD);
        assert_next(&h, 0, HEAD);
        close(fd);
        close(endless);
        close(next);
        end(&h);
}

static void a_head_without_end(void **state)
{
        (void)state;
        struct hall h;
        begin(&h, client_free_port());
        cleanup_free char *long_head = mem_zalloc(8192);
        memset(long_head, 'a', 8192);
        int fd = client_connect(h.port);
        client_send(fd, long_head, 8192);
        assert_true(client_ended(fd));
        close(fd);
        /* One that fits as it is. */
        memcpy(long_head, "GET / HTTP/1.1\r\nX: ", 19);
        memcpy(long_head + 8188, "\r\n\r\n", 4);
        fd = client_connect(h.port);
        client_send(fd, long_head, 8192);
        assert_int_equal(wait_entered(&h), 0);
        close(fd);
        end(&h);
}

static bool still_open(int fd)
{
        char byte;
        return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* Who will say no more is not waited for, and above all not looked at again and again: a connection
 * that came before, and may still speak, outlives it. */
static void half_a_head_and_then_the_end(void **state)
{
        (void)state;
        struct hall h;
        begin(&h, client_free_port());
        int patient = client_connect(h.port);
        client_puts(patient, "GET /v2/ ");
        int fd = client_connect(h.port);
        client_puts(fd, "GET /v2/ HTTP/1.1\r\nHost:");
        shutdown(fd, SHUT_WR);
        assert_true(client_ended(fd));
        assert_true(still_open(patient));
        close(fd);
        fd = client_connect(h.port);
        client_puts(fd, HEAD);
        shutdown(fd, SHUT_WR); /* but who has said all of it is let in */
        assert_next(&h, 0, HEAD);
        close(fd);
        close(patient);
        end(&h);
}

static void a_thousand_who_say_nothing(void **state)
{
        (void)state;
        enum { IDLE = 1000 };
        struct rlimit files;
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
        assert_true(files.rlim_cur > 3 * IDLE);
        struct hall h;
        begin(&h, client_free_port());
        static int idle[IDLE];
        for (size_t i = 0; i < IDLE; i++)
                idle[i] = client_connect(h.port);
        int fd = client_connect(h.port);
        client_puts(fd, HEAD);
        assert_next(&h, 0, HEAD);
        assert_true(client_ended(idle[0])); /* the oldest has made room */
        client_puts(idle[IDLE - 1], HEAD);  /* the last has its place yet */
        assert_next(&h, 1, HEAD);
        for (size_t i = 0; i < IDLE; i++)
                close(idle[i]);
        close(fd);
        end(&h);
}

enum { CROWD = 200, AT_ONCE = 64 };

struct line {
        int first; /* the client who came first, and says nothing until the second is heard */
        size_t heard, first_heard_as;
        sem_t all;
};

static const char *hear(void *arg, const char *head, size_t size)
{
        struct line *l = arg;
        int unread = 1;
        if (++l->heard == 1) {
                client_puts(l->first, "GET /first HTTP/1.1\r\n\r\n");
                while (unread > 0 && ioctl(l->first, SIOCOUTQ, &unread) == 0)
                        sched_yield(); /* until it has arrived */
        }
        if (memmem(head, size, "GET /first ", 11) != NULL)
                l->first_heard_as = l->heard;
        sem_post(&l->all);
        return REFUSAL;
}

static bool no_tick(void *arg)
{
        (void)arg;
        return false;
}

/* Who is in already, and speaks, has his turn before all of the crowd outside has come in. */
static void a_crowd_outside_keeps_nobody_waiting(void **state)
{
        (void)state;
        struct line l = {0};
        int crowd[CROWD];
        int port;
        int listener = client_bound(&port);
        sem_init(&l.all, 0, 0);
        assert_int_equal(listen(listener, 2 * CROWD), 0);
        assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
        l.first = client_connect(port);
        for (size_t i = 0; i < CROWD; i++) {
                crowd[i] = client_connect(port);
                client_puts(crowd[i], HEAD);
        }
        struct door_events events = {.judge = hear, .tick = no_tick, .arg = &l};
        struct door *d = door_new((uint16_t)port, listener, &events);
        for (size_t i = 0; i < CROWD + 1; i++)
                sem_wait(&l.all);
        door_free(d);
        assert_int_equal(l.first_heard_as, AT_ONCE);
        for (size_t i = 0; i < CROWD; i++)
                close(crowd[i]);
        close(l.first);
        sem_destroy(&l.all);
}

static void a_port_that_is_taken(void **state)
{
        (void)state;
        struct hall h;
        struct capture log;
        int port;
        int taken = client_bound(&port);
        assert_int_equal(listen(taken, 1), 0);
        capture_begin(&log);
        begin(&h, port);
        assert_false(door_is_open(h.door));
        sem_wait(&h.ticked); /* it has tried again */
        sem_wait(&h.ticked);
        assert_false(door_is_open(h.door));
        close(taken);
        cleanup_free char *opened = capture_wait(&log, "the relay serves");
        while (!door_is_open(h.door)) /* the line comes first */
                sched_yield();
        int fd = client_connect(port);
        client_puts(fd, HEAD);
        assert_next(&h, 0, HEAD);
        close(fd);
        end(&h);
        cleanup_free char *text = capture_end(&log);
        cleanup_free char *pair = mem_printf(" port=%d", port);
        assert_non_null(strstr(opened, " info "));
        assert_non_null(strstr(opened, pair));
        assert_int_equal(capture_count(text, "the relay serves"), 1);
        assert_int_equal(capture_count(text, "warning"), 1);
        assert_int_equal(capture_count(text, "the relay's port is taken: pulls go directly to "
                                             "their upstreams until it is free"),
                1);
        assert_int_equal(capture_count(text, pair), 2);
}

static int64_t cpu_ms(void)
{
        struct rusage u;
        getrusage(RUSAGE_SELF, &u);
        return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
               (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* Somebody is at the door and there is no descriptor for him: that is no reason to run in circles,
 * and when there is one again he is let in. */
static void no_descriptors(void **state)
{
        (void)state;
        struct hall h;
        struct rlimit files;
        getrlimit(RLIMIT_NOFILE, &files);
        begin(&h, client_free_port());
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int next = dup(fd);
        close(next);
        struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = files.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        struct sockaddr_in to = client_address(h.port);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        client_puts(fd, HEAD);
        int64_t before_ms = cpu_ms();
        atomic_store(&h.ticks_wanted, 3);
        door_wake(h.door);
        for (int i = 0; i < 3; i++)
                sem_wait(&h.ticked);
        int64_t used_ms = cpu_ms() - before_ms;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
        assert_next(&h, 0, HEAD);
        assert_true(used_ms < 500); /* of two seconds */
        close(fd);
        end(&h);
}

static void ticks(void **state)
{
        (void)state;
        struct hall h;
        begin(&h, client_free_port());
        atomic_store(&h.ticks_wanted, 2);
        door_wake(h.door);
        sem_wait(&h.ticked);
        sem_wait(&h.ticked);
        while (atomic_load(&h.ticks_wanted) > 0)
                sched_yield();
        end(&h);
}

/* Also within the second after one that wanted no more. */
static void who_enters_brings_a_tick(void **state)
{
        (void)state;
        struct hall h;
        begin(&h, client_free_port());
        for (size_t i = 0; i < 2; i++) {
                int fd = client_connect(h.port);
                client_puts(fd, HEAD);
                assert_next(&h, i, HEAD);
                sem_wait(&h.settled);
                close(fd);
        }
        end(&h);
}

static void the_end_closes_all(void **state)
{
        (void)state;
        struct hall h;
        begin(&h, client_free_port());
        int port = h.port;
        int fd = client_connect(port);
        client_puts(fd, "GET ");
        end(&h);
        assert_true(client_ended(fd));
        close(fd);
        begin(&h, port); /* at once again */
        assert_true(door_is_open(h.door));
        end(&h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_complete_head_enters),
                cmocka_unit_test(byte_by_byte),
                cmocka_unit_test(tls_is_answered_in_http),
                cmocka_unit_test(who_is_not_let_in_is_told_so),
                cmocka_unit_test(a_head_without_end),
                cmocka_unit_test(half_a_head_and_then_the_end),
                cmocka_unit_test(a_thousand_who_say_nothing),
                cmocka_unit_test(a_crowd_outside_keeps_nobody_waiting),
                cmocka_unit_test(a_port_that_is_taken),
                cmocka_unit_test(no_descriptors),
                cmocka_unit_test(ticks),
                cmocka_unit_test(who_enters_brings_a_tick),
                cmocka_unit_test(the_end_closes_all),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
