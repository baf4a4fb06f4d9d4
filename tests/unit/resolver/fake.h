/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/fake/registry.py in a C test: starts it, gives it orders, reads its log. Failures of the
 * fake itself end the test program.
 */
#ifndef CRI_RESOLVED_TESTS_FAKE_H
#define CRI_RESOLVED_TESTS_FAKE_H

#include <arpa/inet.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "resolver/registry.h"

#define PYTHON "/usr/bin/python3"

struct fake {
        pid_t pid;
        int port;
        char folder[64];
};

__attribute__((unused, noreturn)) static void fake_die(const char *what)
{
        fprintf(stderr, "fake registry: %s\n", what);
        abort();
}

__attribute__((unused)) static int fake_read_port(const char *path)
{
        int port = 0;
        FILE *f = fopen(path, "re");
        if (f != NULL && fscanf(f, "%d", &port) != 1)
                port = 0;
        if (f != NULL)
                fclose(f);
        return port;
}

/* more: further arguments, ended by NULL; at most 8. */
__attribute__((unused)) static void fake_start(struct fake *f, const char *const *more)
{
        *f = (struct fake){.folder = "/tmp/fake-registry-XXXXXX"};
        if (mkdtemp(f->folder) == NULL)
                fake_die("no folder");
        cleanup_free char *port_file = mem_printf("%s/port", f->folder);
        const char *arguments[16] = {
                PYTHON, SOURCE_DIR "/tests/fake/registry.py", "--port-file", port_file};
        for (size_t n = 4; more != NULL && *more != NULL; more++)
                arguments[n++] = *more;
        f->pid = fork();
        if (f->pid == 0) {
                execv(PYTHON, (char *const *)arguments);
                _exit(127);
        }
        for (int tries = 0; f->port == 0; tries++) {
                if (tries == 1500 || waitpid(f->pid, NULL, WNOHANG) != 0)
                        fake_die("it does not start");
                poll(NULL, 0, 10);
                f->port = fake_read_port(port_file);
        }
}

__attribute__((unused)) static void fake_stop(struct fake *f)
{
        kill(f->pid, SIGTERM);
        waitpid(f->pid, NULL, 0);
        cleanup_free char *port_file = mem_printf("%s/port", f->folder);
        unlink(port_file);
        rmdir(f->folder);
}

/* One call of the admin API; the JSON of its answer. */
__attribute__((unused)) static json_t *fake_call(struct fake *f, const char *method,
        const char *path, const char *content_type, const char *body)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
                fake_die("no connection");
        cleanup_buf struct buf text;
        buf_init(&text, 64 << 20);
        buf_printf(&text,
                "%s /_fake/%s HTTP/1.1\r\nHost: fake\r\nConnection: close\r\n"
                "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                method, path, content_type, strlen(body), body);
        if (send(fd, text.data, text.size, MSG_NOSIGNAL) != (ssize_t)text.size)
                fake_die("cannot send");
        buf_reset(&text);
        char piece[65536];
        for (ssize_t n; (n = recv(fd, piece, sizeof(piece), 0)) > 0;)
                buf_append(&text, piece, (size_t)n);
        close(fd);
        const char *start = strstr(buf_str(&text), "\r\n\r\n");
        if (strncmp(buf_str(&text), "HTTP/1.1 200", 12) != 0 || start == NULL) {
                fprintf(stderr, "%s %s: %s\n", method, path, buf_str(&text));
                fake_die("an order was refused");
        }
        json_t *json = json_loads(start + 4, 0, NULL);
        if (json == NULL)
                fake_die("no JSON");
        return json;
}

__attribute__((unused)) static void fake_order(
        struct fake *f, const char *method, const char *path, const char *body)
{
        json_decref(fake_call(f, method, path, "application/json", body));
}

__attribute__((unused)) static void fake_rules(struct fake *f, const char *rules)
{
        fake_order(f, "PUT", "rules", rules);
}

__attribute__((unused)) static void fake_auth(struct fake *f, const char *table)
{
        fake_order(f, "PUT", "auth", table);
}

/* Back to the beginning, content aside. */
__attribute__((unused)) static void fake_reset(struct fake *f)
{
        fake_rules(f, "[]");
        fake_auth(f, "{}");
        fake_order(f, "DELETE", "tokens", "");
        fake_order(f, "DELETE", "log", "");
}

/* A manifest under a tag; its digest. */
__attribute__((unused)) static void fake_manifest(
        struct fake *f, const char *name, const char *manifest, char digest[DIGEST_SHA256_SIZE + 1])
{
        cleanup_free char *path = mem_printf("manifests/%s", name);
        json_t *answer =
                fake_call(f, "PUT", path, "application/vnd.oci.image.manifest.v1+json", manifest);
        snprintf(digest, DIGEST_SHA256_SIZE + 1, "%s",
                json_string_value(json_object_get(answer, "digest")));
        json_decref(answer);
}

/* A text as a blob; its digest. */
__attribute__((unused)) static void fake_blob(
        struct fake *f, const char *text, char digest[DIGEST_SHA256_SIZE + 1])
{
        digest_of(text, strlen(text), digest);
        cleanup_free char *path = mem_printf("blobs/%s", digest);
        fake_order(f, "PUT", path, text);
}

__attribute__((unused)) static json_t *fake_log(struct fake *f)
{
        return fake_call(f, "GET", "log", "text/plain", "");
}

__attribute__((unused)) static long fake_connections(struct fake *f)
{
        json_t *answer = fake_call(f, "GET", "connections", "text/plain", "");
        long accepted = (long)json_integer_value(json_object_get(answer, "accepted"));
        json_decref(answer);
        return accepted;
}

/* A header of a log entry; NULL if it was not sent, "" + ... of several joined by '|'. */
__attribute__((unused)) static char *fake_header(const json_t *entry, const char *name)
{
        cleanup_buf struct buf all;
        buf_init(&all, 1 << 20);
        bool found = false;
        size_t i;
        json_t *pair;
        json_array_foreach (json_object_get(entry, "headers"), i, pair) {
                if (strcasecmp(json_string_value(json_array_get(pair, 0)), name) != 0)
                        continue;
                buf_printf(
                        &all, "%s%s", found ? "|" : "", json_string_value(json_array_get(pair, 1)));
                found = true;
        }
        return found ? mem_strdup(buf_str(&all)) : NULL;
}

/* The log, a line an entry: "METHOD path?query authorization", "-" for no Authorization. Tokens
 * that the fake has made up are "Bearer *". Empties it. */
__attribute__((unused)) static char *fake_story(struct fake *f)
{
        cleanup_buf struct buf story;
        buf_init(&story, 1 << 20);
        json_t *log = fake_log(f);
        size_t i;
        json_t *entry;
        json_array_foreach (log, i, entry) {
                const char *query = json_string_value(json_object_get(entry, "query"));
                cleanup_free char *shown = fake_header(entry, "Authorization");
                bool made = shown != NULL && strncmp(shown, "Bearer ", 7) == 0 &&
                            strlen(shown) == 7 + 32;
                buf_printf(&story, "%s %s%s%s %s\n",
                        json_string_value(json_object_get(entry, "method")),
                        json_string_value(json_object_get(entry, "path")), query[0] ? "?" : "",
                        query,
                        shown == NULL ? "-"
                        : made        ? "Bearer *"
                                      : shown);
        }
        json_decref(log);
        fake_order(f, "DELETE", "log", "");
        return mem_strdup(buf_str(&story));
}

#endif
