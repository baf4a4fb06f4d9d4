/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of this process, from /proc/self. What cannot be read is 0. Any thread. */
#ifndef CRI_RESOLVED_PROCESS_FIGURES_H
#define CRI_RESOLVED_PROCESS_FIGURES_H

struct process_figures {
        double cpu_s;
        double resident_bytes;
        double open_fds, max_fds;
        double threads;
        double started_unix_s; /* the same each time */
};
void process_figures_read(struct process_figures *out);

#endif
