/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containers.c: the table, fed as NRI feeds it, and looks as they come from containerd. The rules
 * are in test_names.c, what is answered to a creation in test_creation.c; here are the way through
 * the table, and the bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <stdatomic.h>

#include "shim/containers_json.h"
#include "tests/unit/shim/table.h"

static size_t counted(struct containers *c, size_t entry, enum container_verdict verdict)
{
        cleanup_config const struct config *config = config_get();
        struct container_counts counts[2] = {0};
        assert_true(config->upstream_count < 2);
        struct containers_state told;
        containers_state(c, &told);
        assert_int_equal(containers_count(c, config, counts), told.connected);
        return counts[entry].by_verdict[verdict];
}

static void from_a_container_to_its_verdict(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        struct seen s = all(c);
        assert_int_equal(s.count, 1);
        assert_int_equal(s.verdict, CONTAINER_UNKNOWN);
        assert_string_equal(s.pod, "shop/web-0");
        assert_string_equal(s.reference, TAG);
        look(c, A);
        s = all(c);
        assert_int_equal(s.verdict, CONTAINER_UNVERIFIED);
        assert_string_equal(s.digest, A);
        containers_verified(c, TAG, A, 1700000000);
        look(c, A);
        assert_int_equal(all(c).verdict, CONTAINER_CURRENT);
        containers_verified(c, TAG, B, 1700000001);
        look(c, B);
        assert_int_equal(all(c).verdict, CONTAINER_OLDER);
        containers_free(c);
}

static void nothing_is_known_without_a_connection(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        look(c, A);
        l.disconnected(l.arg, "gone");
        assert_int_equal(all(c).count, 0);
        assert_int_equal(counted(c, 0, CONTAINER_UNVERIFIED), 0);
        struct containers_state told;
        containers_state(c, &told);
        assert_false(told.connected);
        assert_string_equal(told.error, "gone");
        /* Who is still there keeps what was found out; who has gone is gone. */
        struct nri_container back[] = {container("c1", NRI_RUNNING), container("c2", NRI_RUNNING)};
        l.synchronized(l.arg, &pod, 1, back, 2);
        assert_int_equal(all(c).count, 2);
        assert_int_equal(
                ((struct container *)shelf_find(&c->all, "c1"))->verdict, CONTAINER_UNVERIFIED);
        l.synchronized(l.arg, &pod, 1, &back[1], 1);
        assert_string_equal(all(c).ids, "c2 ");
        containers_free(c);
}

static void states_only_go_on(void **state)
{
        (void)state;
        static const struct {
                enum nri_state nri;
                int32_t cri;
                enum nri_state result;
        } cases[] = {
                {NRI_CREATED, INVENTORY_CREATED, NRI_CREATED},
                {NRI_CREATED, INVENTORY_RUNNING, NRI_RUNNING},
                {NRI_RUNNING, INVENTORY_CREATED, NRI_RUNNING},
                {NRI_RUNNING, INVENTORY_EXITED, NRI_STOPPED},
                {NRI_STOPPED, INVENTORY_RUNNING, NRI_STOPPED},
                {NRI_UNKNOWN, INVENTORY_RUNNING, NRI_RUNNING},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct nri_listener l;
                struct containers *c = connected(&l);
                struct nri_container one = container("c1", cases[i].nri);
                l.synchronized(l.arg, &pod, 1, &one, 1);
                struct inventory inventory = {0};
                put_container(&inventory, "c1", NULL, cases[i].cri);
                containers_take(c, &inventory, c->at);
                assert_int_equal(all(c).state, cases[i].result);
                inventory_fini(&inventory);
                containers_free(c);
        }
}

/* That it has started comes by another way than that it has ended, and may come after it. */
static void a_start_that_is_heard_late(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        create(&l, "c2", TAG);
        containers_started(c, "nobody");
        containers_started(c, "c2");
        assert_int_equal(((struct container *)shelf_find(&c->all, "c2"))->state, NRI_RUNNING);
        l.container_stopped(l.arg, "c2");
        containers_started(c, "c2");
        assert_int_equal(((struct container *)shelf_find(&c->all, "c2"))->state, NRI_STOPPED);
        assert_int_equal(all(c).count, 2);
        containers_free(c);
}

/* Its image was known before it started, and that it did was never heard. */
static void a_start_that_is_not_heard(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        l.container_removed(l.arg, "c1");
        create(&l, "c1", TAG);
        for (int32_t cri = INVENTORY_CREATED; cri <= INVENTORY_RUNNING; cri++) {
                assert_true(containers_has_unknown(c));
                struct inventory inventory = {0};
                put_container(&inventory, "c1", NULL, cri);
                containers_take(c, &inventory, c->at);
                inventory_fini(&inventory);
        }
        assert_int_equal(all(c).state, NRI_RUNNING);
        assert_false(containers_has_unknown(c));
        containers_free(c);
}

static void what_the_pod_says_is_told_by_cri(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l); /* as 1.7: the first name by the alphabet */
        struct inventory i = {0};
        put_id(&i, ID, A);
        put_container(&i, "c1", "zzz.example/app:2", INVENTORY_RUNNING);
        containers_take(c, &i, c->at);
        assert_string_equal(all(c).reference, "zzz.example/app:2");
        inventory_fini(&i);
        containers_free(c);
}

/* As crictl gives it: the runtime takes it for the pod's own string. */
static void an_id_is_no_reference(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        struct nri_creation says = {0};
        struct nri_container by_id = container("c1", NRI_CREATED);
        by_id.image = ID;
        l.container_removed(l.arg, "c1");
        l.container_creating(l.arg, &pod, &by_id, &says);
        assert_string_equal(all(c).ids, "c1 ");
        assert_string_equal(all(c).reference, "");
        containers_free(c);
}

static void counted_by_upstream(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        configure("[upstream.\"ghcr.io\"]\n");
        look(c, A);
        assert_int_equal(counted(c, 0, CONTAINER_UNVERIFIED), 1);
        assert_int_equal(counted(c, 0, CONTAINER_OLDER), 0);
        assert_int_equal(counted(c, 1, CONTAINER_UNVERIFIED), 0);
        configure("");
        assert_int_equal(counted(c, 0, CONTAINER_UNVERIFIED), 1);
        l.container_stopped(l.arg, "c1");
        assert_int_equal(counted(c, 0, CONTAINER_UNVERIFIED), 0);
        containers_free(c);
}

/* More than one portion of the table, which may change between two. */
static void a_long_table_is_met_whole(void **state)
{
        (void)state;
        enum { MANY = 200 };
        struct nri_listener l;
        struct containers *c = connected(&l);
        char ids[MANY][16];
        struct nri_container all_of_them[MANY];
        for (int i = 0; i < MANY; i++) {
                snprintf(ids[i], sizeof(ids[i]), "c%03d", i);
                all_of_them[i] = container(ids[i], NRI_RUNNING);
        }
        l.synchronized(l.arg, &pod, 1, all_of_them, MANY);
        assert_int_equal(all(c).count, MANY);
        assert_int_equal(counted(c, 0, CONTAINER_UNKNOWN), MANY);
        containers_free(c);
}

struct pairs {
        size_t right, alone;
};

/* Container "c0042" is of pod "web-0042"; of those that end in 7 nobody has told the pod. */
static void check_pair(void *arg, const struct container_view *v)
{
        struct pairs *to = arg;
        if (v->pod == NULL) {
                assert_int_equal(v->id[strlen(v->id) - 1], '7');
                assert_null(v->namespace_name);
                to->alone++;
                return;
        }
        char expected[32];
        snprintf(expected, sizeof(expected), "web-%s", v->id + 1);
        assert_string_equal(v->pod, expected);
        assert_string_equal(v->namespace_name, expected + 4);
        to->right++;
}

/* Told in any order, as containerd does. */
static void each_of_thousands_has_its_own_pod(void **state)
{
        (void)state;
        enum { MANY = 4000, STEP = 1237 /* has no factor in common with MANY */ };
        struct nri_listener l;
        struct containers *c = connected(&l);
        struct text {
                char id[16], pod_id[16], pod[16];
        } *texts = mem_zalloc(MANY * sizeof(*texts));
        struct nri_pod *pods = mem_zalloc(MANY * sizeof(*pods));
        struct nri_container *told = mem_zalloc(MANY * sizeof(*told));
        size_t pod_count = 0;
        for (unsigned i = 0; i < MANY; i++) {
                unsigned n = i * STEP % MANY;
                struct text *t = &texts[n];
                snprintf(t->id, sizeof(t->id), "c%04u", n);
                snprintf(t->pod_id, sizeof(t->pod_id), "%u", n); /* one a prefix of the other */
                snprintf(t->pod, sizeof(t->pod), "web-%04u", n);
                told[n] = container(t->id, NRI_RUNNING);
                told[n].pod_id = t->pod_id;
                if (n % 10 != 7)
                        pods[pod_count++] = (struct nri_pod){t->pod_id, t->pod, t->pod + 4, "u"};
        }
        l.synchronized(l.arg, pods, pod_count, told, MANY);
        struct pairs found = {0};
        struct containers_state began;
        containers_each(c, &began, check_pair, &found);
        assert_int_equal(found.right, pod_count);
        assert_int_equal(found.right + found.alone, MANY);
        containers_free(c);
        free(texts);
        free(pods);
        free(told);
}

/* ---- bounds ---- */

static void containers_are_bounded(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        configure("");
        char id[32];
        for (int i = 0; i < CONTAINERS_MAX + 3; i++) {
                snprintf(id, sizeof(id), "x%06d", i);
                create(&l, id, TAG);
        }
        assert_int_equal(all(c).count, CONTAINERS_MAX);
        struct containers_state told;
        containers_state(c, &told);
        assert_int_equal(told.left_out, 4); /* c1 is there too */
        l.container_removed(l.arg, "x000000");
        create(&l, "y", TAG);
        assert_int_equal(all(c).count, CONTAINERS_MAX);
        l.container_removed(l.arg, "nobody");
        containers_free(c);
}

static void texts_are_bounded(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        cleanup_free char *text = mem_zalloc(5000);
        memset(text, 'a', 4999);
        create(&l, text, TAG);
        assert_string_equal(all(c).ids, "c1 ");
        create(&l, "c2", text);
        create(&l, "", TAG);
        assert_string_equal(all(c).ids, "c1 c2 ");
        containers_free(c);
}

/* ---- as JSON ---- */

static void off_is_a_document_too(void **state)
{
        (void)state;
        json_t *document = containers_json(NULL, "unix:///c.sock");
        assert_string_equal(
                json_string_value(json_object_get(document, "backend")), "unix:///c.sock");
        assert_true(json_is_false(json_object_get(json_object_get(document, "nri"), "enabled")));
        assert_int_equal(json_array_size(json_object_get(document, "containers")), 0);
        json_decref(document);
}

enum { ROWS = 3, DOCUMENTS = 5000 /* of each kind */ };

struct runtime {
        struct nri_listener listener;
        atomic_bool ends;
};

/* A containerd that comes and goes, always with the same containers. */
static void *come_and_go(void *arg)
{
        struct runtime *r = arg;
        char ids[ROWS][16];
        struct nri_container told[ROWS];
        for (int i = 0; i < ROWS; i++) {
                snprintf(ids[i], sizeof(ids[i]), "c%03d", i);
                told[i] = container(ids[i], NRI_RUNNING);
        }
        while (!r->ends) {
                r->listener.disconnected(r->listener.arg, "gone");
                r->listener.synchronized(r->listener.arg, &pod, 1, told, ROWS);
        }
        return NULL;
}

static void rows_are_of_the_connection_that_is_shown(void **state)
{
        (void)state;
        configure("");
        struct containers *c = containers_new();
        c->stopping = true; /* nobody looks: there is nothing to wait for */
        struct runtime r = {.listener = containers_listener(c)};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, come_and_go, &r), 0);
        for (size_t of[2] = {0}; of[false] < DOCUMENTS || of[true] < DOCUMENTS;) {
                json_t *document = containers_json(c, "unix:///c.sock");
                json_t *nri = json_object_get(document, "nri");
                bool connected = json_is_true(json_object_get(nri, "connected"));
                size_t rows = json_array_size(json_object_get(document, "containers"));
                assert_int_equal(rows, connected ? ROWS : 0);
                assert_int_equal(json_is_null(json_object_get(nri, "error")), connected);
                of[connected]++;
                json_decref(document);
        }
        r.ends = true;
        pthread_join(thread, NULL);
        containers_free(c);
}

static void pulls_without_nri(void **state)
{
        (void)state;
        containers_writing(NULL, TAG, A, true);
        containers_verified(NULL, TAG, A, 1);
        containers_pulled(NULL);
        containers_reloaded(NULL);
        containers_free(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                CONFIGURED(from_a_container_to_its_verdict),
                CONFIGURED(nothing_is_known_without_a_connection),
                CONFIGURED(states_only_go_on),
                CONFIGURED(a_start_that_is_heard_late),
                CONFIGURED(a_start_that_is_not_heard),
                CONFIGURED(what_the_pod_says_is_told_by_cri),
                CONFIGURED(an_id_is_no_reference),
                CONFIGURED(counted_by_upstream),
                CONFIGURED(a_long_table_is_met_whole),
                CONFIGURED(each_of_thousands_has_its_own_pod),
                CONFIGURED(containers_are_bounded),
                CONFIGURED(texts_are_bounded),
                cmocka_unit_test(off_is_a_document_too),
                CONFIGURED(rows_are_of_the_connection_that_is_shown),
                cmocka_unit_test(pulls_without_nri),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
