/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of httpd's that is a text in memory. Any thread. */
#ifndef CRI_RESOLVED_TEXT_ANSWER_H
#define CRI_RESOLVED_TEXT_ANSWER_H

#include "relay/httpd.h"

/* Takes the text. The type is borrowed for ever. */
void text_answer(struct httpd_answer *a, int status, const char *content_type, char *text);

#endif
