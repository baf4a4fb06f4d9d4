/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/resident.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* A segment that may not be written has no page of its own to lose: relocations, those that are
 * read-only afterwards too, are in segments that are writable by their header. */
static bool is_clean(const ElfW(Phdr) * segment)
{
        return segment->p_type == PT_LOAD && (segment->p_flags & PF_W) == 0;
}

static int trim_object(struct dl_phdr_info *info, size_t size, void *page)
{
        (void)size;
        uintptr_t mask = *(const uintptr_t *)page - 1;
        for (int i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
                if (!is_clean(segment))
                        continue;
                uintptr_t start = (info->dlpi_addr + segment->p_vaddr) & ~mask;
                uintptr_t end = info->dlpi_addr + segment->p_vaddr + segment->p_memsz;
                /* Best effort: a kernel that refuses leaves things as they were. */
                madvise((void *)start, end - start, MADV_DONTNEED);
        }
        return 0;
}

void resident_trim(void)
{
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
        dl_iterate_phdr(trim_object, &page);
        malloc_trim(0);
}
