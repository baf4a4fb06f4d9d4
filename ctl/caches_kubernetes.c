/* SPDX-License-Identifier: Apache-2.0 */
/* Caches as Kubernetes manifests: a file for what they share, and one for each. */
#include <string.h>

#include "ctl/caches.h"

#define NAMESPACE      "registry-caches"
#define REGISTRY_IMAGE "docker.io/library/registry:2"
#define KUBECTL_IMAGE  "registry.k8s.io/kubectl:v1.33.0"

enum { NOBODY = 65532 };

/* The restarter may do one thing: start a cache anew. */
static void add_shared(struct rendering *r)
{
        cleanup_buf struct buf b;
        buf_init(&b, RENDER_MAX_BYTES);
        buf_puts(&b, "apiVersion: v1\n"
                     "kind: Namespace\n"
                     "metadata:\n"
                     "  name: " NAMESPACE "\n"
                     "  labels:\n"
                     "    pod-security.kubernetes.io/enforce: restricted\n"
                     "---\n"
                     "apiVersion: v1\n"
                     "kind: ServiceAccount\n"
                     "metadata:\n"
                     "  name: cache-restarter\n"
                     "  namespace: " NAMESPACE "\n"
                     "---\n"
                     "apiVersion: rbac.authorization.k8s.io/v1\n"
                     "kind: Role\n"
                     "metadata:\n"
                     "  name: cache-restarter\n"
                     "  namespace: " NAMESPACE "\n"
                     "rules:\n"
                     "  - apiGroups: [apps]\n"
                     "    resources: [deployments]\n"
                     "    verbs: [get, patch]\n"
                     "---\n"
                     "apiVersion: rbac.authorization.k8s.io/v1\n"
                     "kind: RoleBinding\n"
                     "metadata:\n"
                     "  name: cache-restarter\n"
                     "  namespace: " NAMESPACE "\n"
                     "roleRef:\n"
                     "  apiGroup: rbac.authorization.k8s.io\n"
                     "  kind: Role\n"
                     "  name: cache-restarter\n"
                     "subjects:\n"
                     "  - kind: ServiceAccount\n"
                     "    name: cache-restarter\n"
                     "    namespace: " NAMESPACE "\n");
        rendering_add(r, mem_strdup("00-shared.yaml"), &b);
}

/* The head of one object. */
static void add_head(struct buf *b, const char *version, const char *kind, const struct cache *c)
{
        buf_printf(b,
                "apiVersion: %s\n"
                "kind: %s\n"
                "metadata:\n"
                "  name: registry-cache-%s\n"
                "  namespace: " NAMESPACE "\n"
                "  labels: {app: registry-cache-%s}\n",
                version, kind, c->label, c->label);
}

static void add_config_map(struct buf *b, const struct cache *c)
{
        cleanup_buf struct buf config;
        cleanup_free char *listen = caches_listen(NULL, CACHES_CONTAINER_PORT);
        buf_init(&config, RENDER_MAX_BYTES);
        caches_config(c, listen, CACHES_STORE, &config);
        add_head(b, "v1", "ConfigMap", c);
        buf_puts(b, "data:\n  config.yml: |\n");
        for (const char *line = buf_str(&config); *line != '\0';) {
                size_t size = strcspn(line, "\n");
                buf_printf(b, "    %.*s\n", (int)size, line);
                line += size + 1;
        }
        buf_puts(b, "---\n");
}

static void add_claim(struct buf *b, const struct cache *c)
{
        add_head(b, "v1", "PersistentVolumeClaim", c);
        buf_puts(b, "spec:\n"
                    "  accessModes: [ReadWriteOnce]\n"
                    "  resources:\n"
                    "    requests: {storage: 100Gi}\n"
                    "---\n");
}

static void add_container_security(struct buf *b)
{
        buf_puts(b, "          securityContext:\n"
                    "            allowPrivilegeEscalation: false\n"
                    "            readOnlyRootFilesystem: true\n"
                    "            capabilities: {drop: [ALL]}\n");
}

static void add_mounts(struct buf *b)
{
        buf_puts(b, "          volumeMounts:\n"
                    "            - {name: config, mountPath: /etc/registry-cache, readOnly: true}\n"
                    "            - {name: store, mountPath: " CACHES_STORE "}\n");
}

static void add_containers(struct buf *b, const struct cache *c)
{
        buf_puts(b, "      initContainers:\n"
                    "        # Recreate: the old pod has ended, nobody writes\n"
                    "        - name: collect\n"
                    "          image: " REGISTRY_IMAGE "\n"
                    "          command:\n"
                    "            - /bin/sh\n"
                    "            - -c\n"
                    "            - >-\n"
                    "              test ! -d " CACHES_STORE "/docker/registry/v2/repositories ||\n"
                    "              registry garbage-collect /etc/registry-cache/config.yml\n");
        add_mounts(b);
        add_container_security(b);
        buf_printf(b,
                "      containers:\n"
                "        - name: registry\n"
                "          image: " REGISTRY_IMAGE "\n"
                "          args: [serve, /etc/registry-cache/config.yml]\n"
                "          env:\n"
                "            - {name: OTEL_TRACES_EXPORTER, value: none}\n"
                "          envFrom:\n"
                "            - secretRef: {name: registry-cache-%s, optional: true}\n"
                "          ports:\n"
                "            - {name: registry, containerPort: %d}\n"
                "          readinessProbe:\n"
                "            httpGet: {path: /, port: registry}\n"
                "          livenessProbe:\n"
                "            httpGet: {path: /, port: registry}\n"
                "            failureThreshold: 6\n"
                "          resources:\n"
                "            requests: {cpu: 50m, memory: 128Mi}\n"
                "            limits: {memory: 2Gi}\n",
                c->label, CACHES_CONTAINER_PORT);
        add_mounts(b);
        add_container_security(b);
}

static void add_pod_security(struct buf *b, const char *indent)
{
        buf_printf(b,
                "%ssecurityContext:\n"
                "%s  runAsNonRoot: true\n"
                "%s  runAsUser: %d\n"
                "%s  runAsGroup: %d\n"
                "%s  fsGroup: %d\n"
                "%s  seccompProfile: {type: RuntimeDefault}\n",
                indent, indent, indent, NOBODY, indent, NOBODY, indent, NOBODY, indent);
}

static void add_deployment(struct buf *b, const struct cache *c)
{
        add_head(b, "apps/v1", "Deployment", c);
        buf_printf(b,
                "spec:\n"
                "  replicas: 1\n"
                "  strategy: {type: Recreate}\n"
                "  selector:\n"
                "    matchLabels: {app: registry-cache-%s}\n"
                "  template:\n"
                "    metadata:\n"
                "      labels: {app: registry-cache-%s}\n"
                "    spec:\n"
                "      automountServiceAccountToken: false\n"
                "      enableServiceLinks: false\n",
                c->label, c->label);
        add_pod_security(b, "      ");
        add_containers(b, c);
        buf_printf(b,
                "      volumes:\n"
                "        - name: config\n"
                "          configMap: {name: registry-cache-%s}\n"
                "        - name: store\n"
                "          persistentVolumeClaim: {claimName: registry-cache-%s}\n"
                "---\n",
                c->label, c->label);
}

static void add_service(struct buf *b, const struct caches *caches, const struct cache *c)
{
        add_head(b, "v1", "Service", c);
        buf_puts(b, "spec:\n  type: LoadBalancer\n");
        if (caches->address != NULL) {
                cleanup_free char *address = render_quote(caches->address);
                buf_printf(b, "  loadBalancerIP: %s\n", address);
        }
        buf_printf(b,
                "  selector: {app: registry-cache-%s}\n"
                "  ports:\n"
                "    - {name: registry, port: %d, targetPort: registry}\n"
                "---\n",
                c->label, c->port);
}

static void add_cron_job(struct buf *b, const struct cache *c, struct cache_time t)
{
        add_head(b, "batch/v1", "CronJob", c);
        buf_printf(b,
                "spec:\n"
                "  schedule: \"%d %d * * %d\"\n"
                "  concurrencyPolicy: Forbid\n"
                "  jobTemplate:\n"
                "    spec:\n"
                "      backoffLimit: 2\n"
                "      template:\n"
                "        spec:\n"
                "          serviceAccountName: cache-restarter\n"
                "          restartPolicy: Never\n",
                t.minute, t.hour, (t.weekday + 1) % 7);
        add_pod_security(b, "          ");
        buf_printf(b,
                "          containers:\n"
                "            - name: restart\n"
                "              image: " KUBECTL_IMAGE "\n"
                "              args:\n"
                "                - rollout\n"
                "                - restart\n"
                "                - deployment/registry-cache-%s\n"
                "                - --namespace=" NAMESPACE "\n"
                "              securityContext:\n"
                "                allowPrivilegeEscalation: false\n"
                "                readOnlyRootFilesystem: true\n"
                "                capabilities: {drop: [ALL]}\n",
                c->label);
}

void caches_kubernetes(const struct caches *c, struct rendering *r)
{
        add_shared(r);
        for (size_t i = 0; i < c->count; i++) {
                cleanup_buf struct buf b;
                buf_init(&b, RENDER_MAX_BYTES);
                add_config_map(&b, &c->list[i]);
                add_claim(&b, &c->list[i]);
                add_deployment(&b, &c->list[i]);
                add_service(&b, c, &c->list[i]);
                add_cron_job(&b, &c->list[i], caches_time(i));
                rendering_add(r, mem_printf("%s.yaml", c->list[i].name), &b);
        }
        rendering_note(r,
                "kubectl apply -f DIRECTORY makes the caches. Nodes reach them through a Service "
                "of "
                "type LoadBalancer; without a load balancer, give the container a hostPort and the "
                "pods a node of their own. Their own image comes past them: pin it with "
                "cri-resolvectl pin.\n");
        rendering_note(r, "Credentials for an upstream: a Secret registry-cache-NAME in the "
                          "namespace " NAMESPACE
                          " with the keys REGISTRY_PROXY_USERNAME and REGISTRY_PROXY_PASSWORD.\n");
        rendering_note(r,
                "Once a week a job starts each cache anew, and it collects before it serves; that "
                "also bounds the memory of versions in which it grows.\n");
}
