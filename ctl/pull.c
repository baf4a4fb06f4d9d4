/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `pull`: one PullImage through the daemon, and what can be seen of it meanwhile. */
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/admin_client.h"
#include "ctl/credentials.h"
#include "ctl/pull_view.h"
#include "ctl/size.h"
#include "ctl/socket.h"
#include "ctl/verbs.h"
#include "proto/cri.pb-c.h"
#include "resolver/ref.h"
#include "shim/rpc.h"

enum {
        LOOK_EVERY_MS = 100,
        SHOWN_MAX_BYTES = 1024 * 1024, /* of one look */
        /* gRPC status codes */
        GRPC_CANCELLED = 1,
        GRPC_INVALID = 3,
        GRPC_DEADLINE = 4,
        GRPC_NOT_FOUND = 5,
        GRPC_PERMISSION = 7,
        GRPC_PRECONDITION = 9,
        GRPC_UNAVAILABLE = 14,
        GRPC_UNAUTHENTICATED = 16,
};

struct pull {
        struct cli *cli;
        const struct config *config;
        const char *socket; /* the daemon's, for CRI */
        struct ref ref;
        struct credentials_held credentials;

        struct admin_client *admin; /* NULL: the daemon's state cannot be read */
        struct pull_view *view;
        json_t *record; /* of the pull that has ended; NULL: not known */

        struct rpc_answer answer;
        char *image_id;
        int64_t duration_ms;

        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool done; /* the answer is there */
};

/* ---- the call, on a thread of its own ---- */

static uint8_t *pack_request(const struct pull *p, size_t *size)
{
        Cri__PullImageRequest request = CRI__PULL_IMAGE_REQUEST__INIT;
        Cri__ImageSpec image = CRI__IMAGE_SPEC__INIT;
        Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;
        image.image = p->ref.text;
        request.image = &image;
        auth.username = p->credentials.username;
        auth.password = p->credentials.password;
        auth.auth = p->credentials.auth;
        auth.identity_token = p->credentials.identity_token;
        auth.registry_token = p->credentials.registry_token;
        if (credentials_present(&p->credentials.shown))
                request.auth = &auth;
        *size = protobuf_c_message_get_packed_size(&request.base);
        uint8_t *packed = mem_zalloc(*size);
        protobuf_c_message_pack(&request.base, packed);
        return packed;
}

static void *call_main(void *arg)
{
        struct pull *p = arg;
        size_t size = 0;
        uint8_t *request = pack_request(p, &size);
        cleanup_free char *target = mem_printf("unix://%s", p->socket);
        struct rpc *rpc = rpc_new(target);
        struct rpc_call call = {
                .method = "/runtime.v1.ImageService/PullImage",
                .request = request,
                .request_size = size,
                .cancel = p->cli->cancel,
        };
        rpc_do(rpc, &call, &p->answer);
        rpc_free(rpc);
        mem_wipe(request, size); /* credentials */
        free(request);
        pthread_mutex_lock(&p->lock);
        p->done = true;
        pthread_cond_signal(&p->changed);
        pthread_mutex_unlock(&p->lock);
        return NULL;
}

/* ---- looking on ---- */

static void show(const struct buf *b)
{
        if (b->size == 0)
                return;
        fwrite(b->data, 1, b->size, stderr);
        fflush(stderr);
}

/* NULL, without a word: who only looks on is not told twice that the daemon has gone. */
static json_t *read_pulls(struct pull *p, struct cancel *cancel)
{
        struct err e;
        json_t *pulls = NULL;
        if (p->admin != NULL && admin_client_get(p->admin, "/v1/pulls", cancel, &pulls, &e) < 0)
                return NULL;
        return pulls;
}

static void look(struct pull *p)
{
        cleanup_buf struct buf out;
        buf_init(&out, SHOWN_MAX_BYTES);
        json_t *pulls = read_pulls(p, p->cli->cancel);
        if (pulls != NULL)
                pull_view_update(p->view, pulls, &out);
        json_decref(pulls);
        show(&out);
}

/* True when the call has ended. */
static bool wait_a_little(struct pull *p)
{
        int64_t until_ms = clock_mono_ms() + LOOK_EVERY_MS;
        pthread_mutex_lock(&p->lock);
        while (!p->done && clock_wait_until(&p->changed, &p->lock, until_ms))
                ;
        bool done = p->done;
        pthread_mutex_unlock(&p->lock);
        return done;
}

static json_t *find_record(const json_t *pulls, const char *reference)
{
        const json_t *recent = json_object_get(pulls, "recent");
        for (size_t i = 0; i < json_array_size(recent); i++) {
                json_t *r = json_array_get(recent, i);
                const char *name = json_string_value(json_object_get(r, "reference"));
                if (name != NULL && strcmp(name, reference) == 0)
                        return json_incref(r);
        }
        return NULL;
}

static void look_back(struct pull *p)
{
        cleanup_buf struct buf out;
        buf_init(&out, SHOWN_MAX_BYTES);
        json_t *pulls = read_pulls(p, NULL);
        p->record = pulls != NULL ? find_record(pulls, p->ref.text) : NULL;
        json_decref(pulls);
        pull_view_end(p->view, p->record, p->answer.code == 0, &out);
        show(&out);
}

static int call(struct pull *p, struct err *e)
{
        pthread_t thread;
        pthread_mutex_init(&p->lock, NULL);
        pthread_cond_init(&p->changed, NULL);
        int64_t started_ms = clock_mono_ms();
        int failed = pthread_create(&thread, NULL, call_main, p);
        if (failed == 0) {
                while (!wait_a_little(p))
                        look(p);
                pthread_join(thread, NULL);
                p->duration_ms = clock_mono_ms() - started_ms;
                look_back(p);
        }
        pthread_cond_destroy(&p->changed);
        pthread_mutex_destroy(&p->lock);
        return failed == 0 ? 0 : err_set_sys(e, failed, "cannot start a thread");
}

/* ---- the result ---- */

/* The daemon hands on containerd's words; refused credentials are UNKNOWN there, as containerd has
 * it. */
static enum err_code code_of(const struct rpc_answer *a)
{
        static const char *const refusals[] = {
                "401 Unauthorized", "403 Forbidden", "authorization failed", "no basic auth"};
        for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]) && a->message != NULL; i++)
                if (strstr(a->message, refusals[i]) != NULL)
                        return ERR_UNAUTHORIZED;
        switch (a->code) {
        case GRPC_CANCELLED:
                return ERR_CANCELLED;
        case GRPC_INVALID:
                return ERR_INVALID;
        case GRPC_NOT_FOUND:
                return ERR_NOT_FOUND;
        case GRPC_PERMISSION:
        case GRPC_UNAUTHENTICATED:
                return ERR_UNAUTHORIZED;
        case GRPC_PRECONDITION:
                return ERR_DIGEST;
        case GRPC_DEADLINE:
        case GRPC_UNAVAILABLE:
                return ERR_BACKEND;
        default:
                return ERR_UPSTREAM;
        }
}

static int read_answer(struct pull *p, struct err *e)
{
        const struct rpc_answer *a = &p->answer;
        if (a->code == GRPC_UNAVAILABLE)
                return err_set(e, ERR_BACKEND, "%s was not pulled: %s%s", p->ref.text,
                        a->message != NULL ? a->message : "the daemon hung up", socket_hint());
        if (a->code != 0)
                return err_set(e, code_of(a), "%s was not pulled: %s", p->ref.text,
                        a->message != NULL ? a->message : "no reason is given");
        Cri__PullImageResponse *r =
                cri__pull_image_response__unpack(NULL, a->response_size, a->response);
        if (r == NULL || r->image_ref == NULL)
                err_set(e, ERR_PROTOCOL, "the daemon's answer is no PullImageResponse");
        else
                p->image_id = mem_strdup(r->image_ref);
        if (r != NULL)
                cri__pull_image_response__free_unpacked(r, NULL);
        return p->image_id != NULL ? 0 : -1;
}

static json_t *field(const struct pull *p, const char *name)
{
        json_t *value = json_object_get(p->record, name);
        return value != NULL ? json_incref(value) : json_null();
}

static int64_t bytes_of(const struct pull *p)
{
        const json_t *bytes = json_object_get(p->record, "bytes");
        int64_t sum = 0;
        for (size_t i = 0; i < json_array_size(bytes); i++)
                sum += json_integer_value(json_object_get(json_array_get(bytes, i), "bytes"));
        return sum;
}

static int print_json(const struct pull *p)
{
        bool relayed = json_array_size(json_object_get(p->record, "bytes")) > 0;
        json_t *o = json_object();
        json_object_set_new(o, "reference", json_string(p->ref.text));
        json_object_set_new(o, "digest", field(p, "digest"));
        json_object_set_new(o, "image_id", json_string(p->image_id));
        json_object_set_new(o, "previous", field(p, "previous"));
        json_object_set_new(o, "source", field(p, "source"));
        json_object_set_new(o, "bytes", relayed ? json_integer(bytes_of(p)) : json_null());
        json_object_set_new(o, "sources", field(p, "bytes"));
        json_object_set_new(o, "failovers", field(p, "failovers"));
        json_object_set_new(o, "degraded", field(p, "degraded"));
        json_object_set_new(o, "duration_ms", json_integer(p->duration_ms));
        return cli_print_json(o);
}

static void print_line(const struct pull *p, const char *name, enum cli_style style, const char *s)
{
        if (s == NULL)
                return;
        printf("%-10s", name);
        cli_print_styled(p->cli, stdout, style, s);
        putchar('\n');
}

static const char *words_of(const char *source)
{
        static const char *const words[][2] = {
                {"relay", "through the relay"},
                {"upstream", "directly from the upstream"},
                {"current", "nothing to pull: it is current"},
                {"stale", "nothing was asked: what was verified last"},
                {"mirror", "a mirror's word"},
                {"containerd", "handed on to containerd"},
        };
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && source != NULL; i++)
                if (strcmp(source, words[i][0]) == 0)
                        return words[i][1];
        return source;
}

static void print_sources(const struct pull *p)
{
        const json_t *bytes = json_object_get(p->record, "bytes");
        for (size_t i = 0; i < json_array_size(bytes); i++) {
                const json_t *b = json_array_get(bytes, i);
                const char *source = json_string_value(json_object_get(b, "source"));
                char size[SIZE_TEXT_BYTES];
                size_text(json_integer_value(json_object_get(b, "bytes")), size);
                cleanup_free char *line =
                        mem_printf("%s from %s", size, source != NULL ? source : "?");
                print_line(p, i == 0 ? "bytes" : "", CLI_PLAIN, line);
        }
}

static int print(const struct pull *p)
{
        if (p->cli->json)
                return print_json(p);
        cleanup_free char *took = mem_printf("%.1f s", (double)p->duration_ms / 1000);
        const char *source = json_string_value(json_object_get(p->record, "source"));
        print_line(p, "image", CLI_BOLD, p->ref.text);
        print_line(p, "digest", CLI_PLAIN, json_string_value(json_object_get(p->record, "digest")));
        print_line(p, "image ID", CLI_PLAIN, p->image_id);
        print_line(p, "source", CLI_PLAIN, words_of(source));
        print_sources(p);
        print_line(
                p, "degraded", CLI_WARN, json_string_value(json_object_get(p->record, "degraded")));
        print_line(p, "time", CLI_PLAIN, took);
        return CLI_OK;
}

/* ---- the verb ---- */

static int prepare(struct pull *p, struct err *e)
{
        struct cli *cli = p->cli;
        cleanup_credential_source struct credential_source *source = NULL;
        const char *given = cli->arguments[0];
        if (cli_config(cli, &p->config, e) < 0 || ref_parse(given, strlen(given), &p->ref, e) < 0 ||
                credential_source_open(cli_value(cli, "credentials"), cli->cancel, &source, e) <
                        0 ||
                credential_source_get(source, &p->ref, &p->credentials, e) < 0)
                return -1;
        p->socket = socket_path(p->config->listen[0]);
        return socket_check(p->socket, e);
}

/* Who may pull may look on, unless the administrator says otherwise. */
static void open_view(struct pull *p)
{
        struct err e;
        struct pull_view_options options = {
                .reference = p->ref.text,
                .redraw = isatty(STDERR_FILENO) == 1,
                .colour = p->cli->error_colour,
                .width = p->cli->width,
        };
        p->view = pull_view_new(&options);
        if (admin_client_open(p->config, &p->admin, &e) < 0)
                cli_note(p->cli, "nothing will be seen of the pull: %s", e.msg);
}

static void pull_fini(struct pull *p)
{
        ref_fini(&p->ref);
        credentials_held_fini(&p->credentials);
        admin_client_free(p->admin);
        pull_view_free(p->view);
        json_decref(p->record);
        rpc_answer_fini(&p->answer);
        free(p->image_id);
}

static int run(struct cli *cli)
{
        struct err e;
        struct pull p = {.cli = cli};
        if (cli->argument_count != 1)
                return cli_usage(cli, "name one image: ghcr.io/team/app:stable");
        int result = prepare(&p, &e);
        if (result == 0) {
                open_view(&p);
                result = call(&p, &e);
        }
        if (result == 0)
                result = read_answer(&p, &e);
        int code = result == 0 ? print(&p) : cli_fail(cli, &e);
        pull_fini(&p);
        return code;
}

static const struct cli_option options[] = {
        {0, "credentials", "FILE", CREDENTIALS_DOC, NULL},
        {0},
};

const struct verb verb_pull = {
        .name = "pull",
        .arguments = "REF",
        .summary = "Pulls an image through the daemon, and shows where it comes from.",
        .help = "Asks the daemon as kubelet does: the tag is resolved at its upstream, and the "
                "content comes from the mirrors where they serve it. While it runs, standard error "
                "shows each content with the source that feeds it, and each source that is left, "
                "with the reason; on a terminal as bars, else a line per event. Where the admin "
                "socket cannot be read, only the result is shown.\n"
                "\n"
                "An interrupt cancels the pull, unless others wait for the same image.\n"
                "\n"
                "  cri-resolvectl pull ghcr.io/team/app:stable\n"
                "  cri-resolvectl pull --credentials docker -o json ghcr.io/team/app:stable\n"
                "\n"
                "JSON: an object with reference, digest, image_id, previous (digest of the tag "
                "before), source (relay, upstream, current, stale, mirror, containerd), bytes (all "
                "that came through the relay), sources (source, bytes), failovers (source, error), "
                "degraded, duration_ms. What the daemon does not tell is null.\n",
        .options = options,
        .run = run,
};
