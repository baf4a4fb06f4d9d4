/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Methods and status codes of gRPC calls as words of metrics: constants of our own, whatever a
 * client or containerd says. Pure; usable from any thread.
 */
#ifndef CRI_RESOLVED_RPC_WORDS_H
#define CRI_RESOLVED_RPC_WORDS_H

#include <stddef.h>

/* "runtime.v1.ImageService/PullImage" for its path ("/runtime.v1...", no NUL needed); "other" for
 * all that is no method of the CRI. */
const char *rpc_word_of_method(const char *path, size_t size);
/* "NotFound" for 5; "other" for what is no code of gRPC. */
const char *rpc_word_of_code(int code);

#endif
