/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running processes, by /proc: who they are and with which words they were started. Usable from any
 * thread.
 */
#ifndef CRI_RESOLVED_FACTS_PROCESS_H
#define CRI_RESOLVED_FACTS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

bool process_is_named(const char *proc, long pid, const char *name);
/* The first process of the name that `proc` ("/proc") shows and that is root's or our own user's;
 * 0: none. */
long process_find(const char *proc, const char *name);
/* Its words with blanks between them; "" if it has gone. The caller frees. */
char *process_command(const char *proc, long pid);
/* "NAME=value" with a NUL behind each, as it was started with; may hold passwords. NULL: we may not
 * read it, or not all of it. The caller frees and wipes. */
char *process_environment(const char *proc, long pid, size_t *size);
/* Whether a capability lets it read files whatever their modes are; so it is taken where that is
 * not known, and for another user than root, whose groups are not judged. */
bool process_reads_all(const char *proc, long pid);
/* Who listens at a Unix socket; 0: nobody that we can see (systemd counts as nobody). */
long process_listening(const char *socket_path);
/* Whether systemd listens there, for a service that runs or does not. */
bool process_holds_for_service(const char *socket_path);
/* The value of "--name value", "--name=value" or "-x value" in words; NULL: not there. The caller
 * frees. Pure. */
char *process_option(const char *words, const char *name, char letter);

#endif
