/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running processes, by /proc: who they are and with which words they were started. Usable from any
 * thread.
 */
#ifndef CRI_RESOLVED_FACTS_PROCESS_H
#define CRI_RESOLVED_FACTS_PROCESS_H

/* The first process of the name that `proc` ("/proc") shows and that is root's or our own user's;
 * 0: none. */
long process_find(const char *proc, const char *name);
/* Its words with blanks between them; "" if it has gone. The caller frees. */
char *process_command(const char *proc, long pid);
/* Who listens at a Unix socket; 0: nobody that we can see (systemd counts as nobody). */
long process_listening(const char *socket_path);
/* The value of "--name value", "--name=value" or "-x value" in words; NULL: not there. The caller
 * frees. Pure. */
char *process_option(const char *words, const char *name, char letter);

#endif
