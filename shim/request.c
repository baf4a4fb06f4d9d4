/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/request.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* containerd: core/annotations and CRI's snapshotterFromPodSandboxConfig. */
#define ANNOTATION_RUNTIME_HANDLER "io.containerd.cri.runtime-handler"

static char *annotated_handler(const Cri__PullImageRequest *request)
{
        char *handler = NULL;
        Cri__SandboxConfigView *view = cri__sandbox_config_view__unpack(
                NULL, request->sandbox_config.len, request->sandbox_config.data);
        for (size_t i = 0; view != NULL && i < view->n_annotations && handler == NULL; i++) {
                const Cri__StringPair *a = view->annotations[i];
                if (a->key != NULL && strcmp(a->key, ANNOTATION_RUNTIME_HANDLER) == 0)
                        handler = mem_strdup_or_null(a->value);
        }
        if (view != NULL)
                cri__sandbox_config_view__free_unpacked(view, NULL);
        return handler;
}

static char *runtime_handler_of(const Cri__PullImageRequest *request)
{
        const char *asked = log_or(request->image->runtime_handler);
        cleanup_free char *annotated = annotated_handler(request);
        if (*asked == '\0' && *log_or(annotated) == '\0')
                return mem_strdup("");
        return mem_printf("%s\n%s", asked, log_or(annotated));
}

/* False when there is a NUL in the name: as a C string it would be another image's. */
static bool name_is_text(const uint8_t *request, size_t size)
{
        Cri__PullImageNameView *view = cri__pull_image_name_view__unpack(NULL, size, request);
        if (view == NULL)
                return false;
        bool text = view->image != NULL && view->image->image.len != 0 &&
                    memchr(view->image->image.data, '\0', view->image->image.len) == NULL;
        cri__pull_image_name_view__free_unpacked(view, NULL);
        return text;
}

bool request_read(struct request *r, const uint8_t *bytes, size_t size)
{
        *r = (struct request){.message = cri__pull_image_request__unpack(NULL, size, bytes)};
        if (r->message == NULL || r->message->image == NULL || r->message->image->image == NULL ||
                !name_is_text(bytes, size))
                return false;
        struct err unused;
        const char *image = r->message->image->image;
        if (ref_parse(image, strlen(image), &r->ref, &unused) < 0)
                return false;
        const Cri__AuthConfig *auth = r->message->auth;
        if (auth != NULL)
                r->credentials = (struct credentials){
                        .username = auth->username,
                        .password = auth->password,
                        .auth = auth->auth,
                        .server_address = auth->server_address,
                        .identity_token = auth->identity_token,
                        .registry_token = auth->registry_token,
                };
        r->runtime_handler = runtime_handler_of(r->message);
        return true;
}

static void wipe(char *secret)
{
        if (secret != NULL)
                mem_wipe(secret, strlen(secret));
}

void request_fini(struct request *r)
{
        if (r->message != NULL && r->message->auth != NULL) {
                wipe(r->message->auth->password);
                wipe(r->message->auth->auth);
                wipe(r->message->auth->identity_token);
                wipe(r->message->auth->registry_token);
        }
        if (r->message != NULL)
                cri__pull_image_request__free_unpacked(r->message, NULL);
        ref_fini(&r->ref);
        free(r->runtime_handler);
        *r = (struct request){0};
}
