/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping the daemon small. For main; any thread. */
#ifndef CRI_RESOLVED_RESIDENT_H
#define CRI_RESOLVED_RESIDENT_H

/*
 * Gives back what only the start needed. Linking some eighty libraries touches most pages of their
 * symbol tables and initialisers, which then count as resident for ever: two thirds of the daemon.
 * What is used again comes back from the page cache by itself. To be called once, when serving.
 */
void resident_trim(void);

#endif
