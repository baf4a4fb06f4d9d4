/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill PAGE.md: copies a manual page's Markdown to standard output and puts, in the place of each
 * line @name@, the table of that name, made from what the programs themselves use: keys.def,
 * err.def, findings.def, and the verbs with their options. @version@ anywhere is the version. Runs
 * in the build; go-md2man makes of its output what `man` reads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/keys.h"
#include "ctl/options.h"
#include "ctl/verbs.h"

enum { LINE_MAX_BYTES = 4096, EXIT_CODES = 256 };

/* Text, not markup: only `code` is taken as such. */
static void put(const char *s)
{
        bool code = false;
        for (; *s != '\0'; s++) {
                code = code != (*s == '`');
                if (!code && strchr("\\*_[]<>&|", *s) != NULL)
                        putchar('\\');
                putchar(*s);
        }
}

/* ---- the configuration's keys ---- */

static const char *type_of(const struct key *k)
{
        static const char *const types[] = {[KEY_SOCKET] = "socket, unix:///path",
                [KEY_SOCKETS] = "socket, unix:///path, or a list of them",
                [KEY_GROUP] = "group, by name or number, as a string",
                [KEY_GROUPS] = "group, or a list of groups",
                [KEY_MODE] = "mode, four octal digits as a string",
                [KEY_FILE] = "absolute path of a file in PEM",
                [KEY_DIRECTORY] = "absolute path",
                [KEY_DIRECTORIES] = "absolute paths, with ':' between them",
                [KEY_URL] = "URL, http or https",
                [KEY_URLS] = "URL, http or https, or a list of them",
                [KEY_ADDRESS] = "TCP address, such as 127.0.0.1:9779 or [::1]:9779",
                [KEY_PORT] = "port, an integer from 1 to 65535",
                [KEY_CHOICE] = "one of",
                [KEY_LEVEL] = "one of \"error\", \"warning\", \"info\", \"debug\"",
                [KEY_FORMAT] = "one of \"text\", \"json\"",
                [KEY_BOOL] = "true or false",
                [KEY_DURATION_MS] = "duration",
                [KEY_DURATION_S] = "duration in whole seconds",
                [KEY_HEADERS] = "table",
                [KEY_CREDENTIALS] = "absolute path of a file"};
        return k->type < sizeof(types) / sizeof(types[0]) ? types[k->type] : NULL;
}

static void put_choices(const char *words)
{
        for (const char *next = words; next != NULL; words = next) {
                next = strchr(words, '|');
                size_t size = next != NULL ? (size_t)(next - words) : strlen(words);
                printf(" \"%.*s\"%s", (int)size, words, next != NULL ? "," : "");
                next = next != NULL ? next + 1 : NULL;
        }
}

static void put_range(const struct key *k)
{
        const char *high = strstr(k->allowed, "..");
        if (k->type == KEY_CHOICE)
                put_choices(k->allowed);
        else if (high != NULL)
                printf(", %.*s to %s", (int)(high - k->allowed), k->allowed, high + 2);
}

/* As one writes it in the file. */
static void put_default(const struct key *k)
{
        bool bare = k->type == KEY_BOOL || k->type == KEY_PORT;
        if (k->initial[0] == '\0' && (k->type == KEY_GROUPS || k->type == KEY_URLS))
                return;
        if (k->initial[0] == '\0' && k->home != KEY_OF_CONFIG)
                return;
        fputs(" Default: `", stdout);
        printf(bare ? "%s" : "\"%s\"", k->initial);
        fputs("`.", stdout);
}

static void put_key(const struct key *k)
{
        printf("**");
        put(key_name(k));
        printf("** (%s", type_of(k));
        put_range(k);
        printf("; %s)\n: ", k->restart ? "restart" : "reload");
        put(k->doc);
        put_default(k);
        fputs("\n\n", stdout);
}

static void put_keys(void)
{
        size_t before = 0;
        const char *last = "";
        for (size_t i = 0; i < key_count; i++) {
                const struct key *k = &keys[i];
                if (type_of(k) == NULL) {
                        fprintf(stderr, "%s has a type that this program does not know\n", k->path);
                        exit(EXIT_FAILURE);
                }
                size_t size = (size_t)(key_name(k) - k->path) - 1;
                if (size != before || strncmp(k->path, last, size) != 0) {
                        bool named = k->home != KEY_OF_CONFIG;
                        const char *what = k->home == KEY_OF_MIRROR ? "URL" : "HOST";
                        printf("### \\[%.*s", (int)(named ? size - 2 : size), k->path);
                        printf(named ? ".\"%s\"\\]\n\n" : "\\]\n\n", what);
                }
                before = size;
                last = k->path;
                put_key(k);
        }
}

/* ---- the verbs ---- */

static void put_options(const struct cli_option *o)
{
        for (; o != NULL && o->name != NULL; o++) {
                if (o->letter != 0)
                        printf("**-%c**, ", o->letter);
                printf("**--%s**", o->name);
                if (o->value != NULL) {
                        fputs(" *", stdout);
                        put(o->choices != NULL ? o->choices : o->value);
                        fputs("*", stdout);
                }
                fputs("\n: ", stdout);
                put(o->doc);
                fputs("\n\n", stdout);
        }
}

/* Filled paragraphs; lines that begin with a blank are examples and stay as they are. */
static void put_help(const char *help)
{
        bool example = false;
        while (*help != '\0') {
                size_t size = strcspn(help, "\n");
                cleanup_free char *line = mem_strndup(help, size);
                if ((line[0] == ' ') != example)
                        puts(example ? "```\n" : "\n```");
                example = line[0] == ' ';
                if (example)
                        puts(line + 2);
                else {
                        put(line);
                        putchar('\n');
                }
                help += size + (help[size] == '\n');
        }
        puts(example ? "```\n" : "");
}

static void put_verbs(void)
{
        for (size_t i = 0; cli_verbs[i] != NULL; i++) {
                const struct verb *v = cli_verbs[i];
                printf("### %s\n\n**cri-resolvectl %s** \\[*OPTION*...\\] ", v->name, v->name);
                put(v->arguments);
                fputs("\n\n", stdout);
                put(v->summary);
                fputs("\n\n", stdout);
                put_help(v->help);
                put_options(v->options);
        }
}

static void put_common_options(void)
{
        put_options(options_common);
}

/* ---- findings and exit codes ---- */

#define WORD_ERROR   "error"
#define WORD_WARNING "warning"
#define WORD_HINT    "hint"

static void put_findings(void)
{
        static const char *const table[][4] = {
#define FINDING(symbol, identifier, severity, area, title, leads_to, remedy)                       \
        {identifier, WORD_##severity, title, remedy},
#include "ctl/findings.def"
#undef FINDING
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                printf("**%s** (%s)\n: ", table[i][0], table[i][1]);
                put(table[i][2]);
                fputs(". Remedy: ", stdout);
                put(table[i][3]);
                fputs("\n\n", stdout);
        }
}

/* Several kinds of failure share a code. */
static void put_exit_codes(void)
{
        static const struct {
                int code;
                const char *text;
        } table[] = {
#define ERR(name, grpc, exit, label, next, text) {exit, text},
#include "base/err.def"
#undef ERR
        };
        for (int code = 0; code < EXIT_CODES; code++) {
                bool first = true;
                for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                        if (table[i].code != code)
                                continue;
                        if (first)
                                printf("**%d**\n: ", code);
                        fputs(first ? "" : "; ", stdout);
                        put(table[i].text);
                        first = false;
                }
                if (!first)
                        fputs("\n\n", stdout);
        }
}

/* ---- the page ---- */

static const struct {
        const char *line;
        void (*put)(void);
} tables[] = {
        {"@keys@\n", put_keys},
        {"@verbs@\n", put_verbs},
        {"@common-options@\n", put_common_options},
        {"@findings@\n", put_findings},
        {"@exit-codes@\n", put_exit_codes},
};

static void put_line(const char *line)
{
        static const char version[] = "@version@";
        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
                if (strcmp(line, tables[i].line) == 0) {
                        tables[i].put();
                        return;
                }
        const char *at = strstr(line, version);
        if (at != NULL)
                printf("%.*s%s%s", (int)(at - line), line, CRI_RESOLVED_VERSION,
                        at + strlen(version));
        else
                fputs(line, stdout);
}

int main(int argc, char **argv)
{
        char line[LINE_MAX_BYTES];
        FILE *page = argc == 2 ? fopen(argv[1], "r") : NULL;
        if (page == NULL) {
                fputs("usage: fill PAGE.md\n", stderr);
                return EXIT_FAILURE;
        }
        while (fgets(line, sizeof(line), page) != NULL)
                put_line(line);
        fclose(page);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
