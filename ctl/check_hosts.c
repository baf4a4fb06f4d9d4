/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts.toml files of certs.d. */
#include <string.h>

#include "config/url.h"
#include "ctl/check.h"
#include "ctl/edit_toml.h"

/* Whether the line is `key = value`, whole: what may be replaced. *indent is its blanks. */
static bool is_pair(const char *line, const char *key, int *indent)
{
        *indent = (int)strspn(line, " \t");
        const char *at = line + *indent;
        size_t size = strlen(key);
        if (strncmp(at, key, size) != 0 || strchr(" \t=", at[size]) == NULL)
                return false;
        size_t open = 0;
        for (const char *c = at; *c != '\0'; c++)
                open += (*c == '[' || *c == '{') - (*c == ']' || *c == '}');
        return open == 0 && strstr(at, "\"\"\"") == NULL && strchr(at, '=') != NULL;
}

/* One that is no URL may be a URL that somebody got wrong, with a password in it. */
static const char *shown(const char *key)
{
        return strchr(key, '@') != NULL && strpbrk(key, " \t\"'`<>") != NULL ? "(not shown)" : key;
}

/* Headers hold passwords, and `client` leads to a key: such a line is not for showing. */
static bool may_be_secret(const char *key)
{
        return key != NULL && (strcmp(key, "header") == 0 || strcmp(key, "client") == 0);
}

static void report_unknown(
        struct check *c, const struct hosts_file *f, const struct hosts_fault *fault)
{
        json_t *finding = finding_add(c->findings, FINDING_HOSTS_TOML_UNKNOWN_KEY);
        finding_evidence_line(finding, f->path, fault->line, "%s: unknown key%s%s%s",
                shown(fault->key), fault->nearest != NULL ? "; is `" : "",
                fault->nearest != NULL ? fault->nearest : "",
                fault->nearest != NULL ? "` meant?" : "");
        cleanup_secret char *line = edit_line(f->text, fault->line);
        int indent = 0;
        if (may_be_secret(fault->nearest) || !is_pair(line, fault->key, &indent))
                return;
        cleanup_free char *text = fault->nearest == NULL
                                          ? mem_strdup("")
                                          : mem_printf("%.*s%s%s\n", indent, line, fault->nearest,
                                                    line + indent + strlen(fault->key));
        finding_replace(finding, f->path, fault->line, fault->line, text);
}

/* What was meant by the value, where that is plain to see; NULL elsewhere. */
static char *mended(const struct hosts_fault *fault, const char *line)
{
        const char *value = strchr(line, '=') + 1;
        value += strspn(value, " \t");
        size_t size = strcspn(value, "#");
        while (size > 0 && strchr(" \t", value[size - 1]) != NULL)
                size--;
        bool quoted = size >= 2 && value[0] == '"' && value[size - 1] == '"';
        cleanup_free char *word = quoted ? mem_strndup(value + 1, size - 2) : mem_strdup("");
        bool is_flag =
                strcmp(fault->key, "skip_verify") == 0 || strcmp(fault->key, "override_path") == 0;
        if (is_flag && (strcmp(word, "true") == 0 || strcmp(word, "false") == 0))
                return take(&word);
        if (strcmp(fault->key, "capabilities") == 0 &&
                (strcmp(word, "pull") == 0 || strcmp(word, "resolve") == 0))
                return mem_printf("[\"%s\"]", word);
        return NULL;
}

static void report_bad_type(
        struct check *c, const struct hosts_file *f, const struct hosts_fault *fault)
{
        json_t *finding = finding_add(c->findings, FINDING_HOSTS_TOML_BAD_TYPE);
        if (fault->key[0] == '\0') { /* not TOML at all */
                finding_evidence_line(finding, f->path, fault->line, "%s", fault->why);
                return;
        }
        finding_evidence_line(
                finding, f->path, fault->line, "%s: not as containerd takes it", shown(fault->key));
        finding_advise(finding, "%s is %s.", shown(fault->key), fault->why);
        cleanup_secret char *line = edit_line(f->text, fault->line);
        int indent = 0;
        if (!is_pair(line, fault->key, &indent))
                return;
        cleanup_free char *value = mended(fault, line);
        cleanup_free char *text =
                mem_printf("%.*s%s = %s\n", indent, line, fault->key, value != NULL ? value : "");
        if (value != NULL)
                finding_replace(finding, f->path, fault->line, fault->line, text);
}

/* The server itself in the list of its mirrors is no cache. */
static bool is_server(const struct hosts_file *f, const char *url)
{
        cleanup_url struct url mirror = {0};
        cleanup_url struct url server = {0};
        cleanup_free char *whole =
                f->server == NULL
                        ? mem_strdup("")
                        : mem_printf("%s%s", strncmp(f->server, "http", 4) == 0 ? "" : "https://",
                                  f->server);
        return check_is_upstream_itself(url, f->host) ||
               (url_parse(url, &mirror) && url_parse(whole, &server) &&
                       strcmp(mirror.authority, server.authority) == 0);
}

static void report_resolve(
        struct check *c, const struct hosts_file *f, const struct hosts_mirror *m)
{
        static const char text[] = "capabilities = [\"pull\"]\n";
        json_t *finding = finding_add(c->findings, FINDING_HOSTS_TOML_RESOLVE_AT_CACHE);
        bool said = m->capabilities_line > 0;
        finding_evidence_line(finding, f->path, said ? m->capabilities_line : m->line,
                "%s for %s %s", m->url, f->host,
                said ? "has the capability \"resolve\""
                     : "has no `capabilities`: it may do everything");
        cleanup_free char *line = edit_line(f->text, said ? m->capabilities_line : m->line);
        int indent = 0;
        if (said && is_pair(line, "capabilities", &indent))
                finding_replace(finding, f->path, m->capabilities_line, m->capabilities_line, text);
        else if (!said && line[strspn(line, " \t")] == '[' && strstr(line, "{") == NULL)
                finding_replace(finding, f->path, m->line + 1, m->line, text);
}

static void check_file(struct check *c, const struct hosts_file *f)
{
        for (size_t i = 0; i < f->fault_count; i++) {
                if (f->faults[i].why != NULL)
                        report_bad_type(c, f, &f->faults[i]);
                else
                        report_unknown(c, f, &f->faults[i]);
        }
        for (size_t i = 0; i < f->mirror_count && !f->discarded; i++)
                if (f->mirrors[i].may_resolve && !is_server(f, f->mirrors[i].url))
                        report_resolve(c, f, &f->mirrors[i]);
}

void check_hosts(struct check *c)
{
        for (size_t i = 0; i < c->hosts.file_count; i++)
                check_file(c, &c->hosts.files[i]);
}
