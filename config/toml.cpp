/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toml++ 3.3 meets some faulty texts ("[:" or "[" alone on a line) with an assertion, and with
 * undefined behaviour where NDEBUG takes the assertion out. Here it always checks, and a failed
 * check is an exception that toml_parse turns into an error.
 */
#undef NDEBUG
#include <stdexcept>

namespace
{
struct failed_check : std::logic_error {
        using std::logic_error::logic_error;
};

[[noreturn]] void fail_check()
{
        throw failed_check("not TOML");
}
} // namespace

#define TOML_ASSERT(expr) ((expr) ? void() : fail_check())
#define TOML_EXCEPTIONS   0
#include <toml++/toml.h>

#include "config/toml.h"

#include <algorithm>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace
{

struct member {
        const toml::key *key;
        const toml::node *node;
};

/* In the order of the file, which the library does not keep: messages then name the first fault. */
std::vector<member> members_of(const toml::table &table)
{
        std::vector<member> members;
        for (auto &&[key, node] : table)
                members.push_back({&key, &node});
        std::sort(members.begin(), members.end(), [](const member &a, const member &b) {
                return a.key->source().begin < b.key->source().begin;
        });
        return members;
}

void set(json_t *object, const toml::key &key, json_t *value)
{
        json_object_set_new(object, std::string(key.str()).c_str(), value);
}

json_t *value_of(const toml::node &node);

json_t *object_of(const toml::table &table)
{
        json_t *object = json_object();
        for (const member &m : members_of(table))
                set(object, *m.key, value_of(*m.node));
        return object;
}

json_t *array_of(const toml::array &array)
{
        json_t *list = json_array();
        for (auto &&node : array)
                json_array_append_new(list, value_of(node));
        return list;
}

json_t *value_of(const toml::node &node)
{
        if (const auto *table = node.as_table())
                return object_of(*table);
        if (const auto *array = node.as_array())
                return array_of(*array);
        if (const auto *string = node.as_string())
                return json_stringn((*string)->data(), (*string)->size());
        if (const auto *boolean = node.as_boolean())
                return json_boolean(boolean->get());
        if (const auto *integer = node.as_integer())
                return json_integer(integer->get());
        /* JSON has no infinity: json_real refuses it, and null says "of no use" as well. */
        if (const auto *real = node.as_floating_point())
                if (json_t *number = json_real(real->get()))
                        return number;
        return json_null();
}

json_t *lines_of(const toml::table &table)
{
        json_t *lines = json_object();
        for (const member &m : members_of(table)) {
                const auto *below = m.node->as_table();
                json_t *entry = json_array();
                json_array_append_new(entry, json_integer(m.key->source().begin.line));
                json_array_append_new(entry, below != nullptr ? lines_of(*below) : json_null());
                set(lines, *m.key, entry);
        }
        return lines;
}

/* Text without quotes begins as no value does, or as a number, "true", "inf" or "nan" does. */
bool is_value_fault(std::string_view what)
{
        for (const char *part : {"parsing value:", "parsing boolean:", "parsing floating-point:",
                     "integer:", "expected value"})
                if (what.find(part) != what.npos)
                        return true;
        return false;
}

int syntax_error(const toml::parse_error &error, const char *name, struct err *e)
{
        /* What the library says of the text may quote it, from ", saw" on: a secret perhaps. */
        std::string_view what = error.description();
        const auto &at = error.source().begin;
        return err_set(e, ERR_CONFIG, "%s:%u:%u: %.*s%s", name, static_cast<unsigned>(at.line),
                static_cast<unsigned>(at.column),
                static_cast<int>(std::min(what.find(", saw"), what.size())), what.data(),
                is_value_fault(what) ? " (text stands in double quotes)" : "");
}

/* Past the string or comment that begins at `at`, or past one other character. A string that does
 * not end is the parser's to refuse. */
size_t skip_token(std::string_view text, size_t at)
{
        const char quote = text[at];
        if (quote == '#')
                return std::min(text.find('\n', at), text.size());
        if (quote != '"' && quote != '\'')
                return at + 1;
        const std::string fence(3, quote);
        const bool block = text.compare(at, 3, fence) == 0;
        for (at += block ? 3 : 1; at < text.size(); at++) {
                if (text[at] == '\\' && quote == '"')
                        at++;
                else if (!block && (text[at] == quote || text[at] == '\n'))
                        return at + 1;
                else if (block && text.compare(at, 3, fence) == 0)
                        return std::min(text.find_first_not_of(quote, at), text.size());
        }
        return text.size();
}

/* The line of the first character beyond ASCII that is in no string and no comment, 0 if there is
 * none. TOML has none there, and toml++ 3.3 meets some of them with undefined behaviour. */
int line_of_stray(std::string_view text)
{
        static constexpr std::string_view mark = "\xef\xbb\xbf";
        for (size_t at = text.compare(0, mark.size(), mark) == 0 ? mark.size() : 0;
                at < text.size(); at = skip_token(text, at))
                if (static_cast<unsigned char>(text[at]) >= 0x80)
                        return 1 + static_cast<int>(std::count(&text[0], &text[at], '\n'));
        return 0;
}

bool fails_check(std::string_view text)
{
        try {
                (void)toml::parse(text);
                return false;
        } catch (const failed_check &) {
                return true;
        }
}

/* A failed check does not say where. It is on the first line with which the text begins to fail. */
int line_of_failed_check(std::string_view text)
{
        std::vector<size_t> ends;
        for (size_t at = text.find('\n'); at != text.npos; at = text.find('\n', at + 1))
                ends.push_back(at + 1);
        auto first = std::partition_point(ends.begin(), ends.end(),
                [text](size_t end) { return !fails_check(text.substr(0, end)); });
        return static_cast<int>(first - ends.begin()) + 1;
}

} // namespace

int toml_parse(const char *text, size_t size, const char *name, json_t **values, json_t **lines,
        struct err *e)
{
        *values = nullptr;
        if (lines != nullptr)
                *lines = nullptr;
        try {
                if (int line = line_of_stray(std::string_view(text, size)))
                        return err_set(e, ERR_CONFIG,
                                "%s:%d: only strings and comments may have characters beyond ASCII",
                                name, line);
                toml::parse_result result = toml::parse(std::string_view(text, size));
                if (!result)
                        return syntax_error(result.error(), name, e);
                *values = object_of(result.table());
                if (lines != nullptr)
                        *lines = lines_of(result.table());
                return 0;
        } catch (const failed_check &) {
                return err_set(e, ERR_CONFIG, "%s:%d: not TOML", name,
                        line_of_failed_check(std::string_view(text, size)));
        } catch (const std::exception &problem) {
                return err_set(e, ERR_CONFIG, "%s: %s", name, problem.what());
        }
}
