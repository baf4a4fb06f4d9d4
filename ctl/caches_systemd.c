/* SPDX-License-Identifier: Apache-2.0 */
/* Caches as systemd units, with the registry of Debian's package docker-registry. */
#include "ctl/caches.h"

enum { PRIVILEGED_PORTS_END = 1024 };

static const char *const weekdays[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

/* What neither the registry nor its collector needs. */
static const char hardening[] = "NoNewPrivileges=yes\n"
                                "ProtectSystem=strict\n"
                                "ProtectHome=yes\n"
                                "ProtectClock=yes\n"
                                "ProtectControlGroups=yes\n"
                                "ProtectHostname=yes\n"
                                "ProtectKernelLogs=yes\n"
                                "ProtectKernelModules=yes\n"
                                "ProtectKernelTunables=yes\n"
                                "ProtectProc=invisible\n"
                                "PrivateDevices=yes\n"
                                "PrivateTmp=yes\n"
                                "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n"
                                "RestrictNamespaces=yes\n"
                                "RestrictRealtime=yes\n"
                                "RestrictSUIDSGID=yes\n"
                                "LockPersonality=yes\n"
                                "MemoryDenyWriteExecute=yes\n"
                                "SystemCallArchitectures=native\n"
                                "SystemCallFilter=@system-service\n"
                                "SystemCallErrorNumber=EPERM\n"
                                "UMask=0027\n";

static const char identity[] = "User=docker-registry\n"
                               "Group=docker-registry\n"
                               "StateDirectory=registry-cache/%i\n"
                               "StateDirectoryMode=0750\n";

static bool any_privileged(const struct caches *c)
{
        for (size_t i = 0; i < c->count; i++)
                if (c->list[i].port < PRIVILEGED_PORTS_END)
                        return true;
        return false;
}

static void add_service(const struct caches *c, struct rendering *r)
{
        const char *capability = any_privileged(c) ? "CAP_NET_BIND_SERVICE" : "";
        cleanup_buf struct buf b;
        buf_init(&b, RENDER_MAX_BYTES);
        buf_printf(&b,
                "[Unit]\n"
                "Description=Pull-through cache of %%i\n"
                "Wants=network-online.target\n"
                "After=network-online.target\n"
                "\n"
                "[Service]\n"
                "ExecStart=/usr/bin/docker-registry serve /etc/registry-cache/%%i.yml\n"
                "EnvironmentFile=-/etc/registry-cache/%%i.env\n"
                "Environment=OTEL_TRACES_EXPORTER=none\n"
                "Restart=always\n"
                "RestartSec=2\n"
                "LimitNOFILE=65536\n"
                "%s"
                "AmbientCapabilities=%s\n"
                "CapabilityBoundingSet=%s\n"
                "%s"
                "\n"
                "[Install]\n"
                "WantedBy=multi-user.target\n",
                identity, capability, capability, hardening);
        rendering_add(r, mem_strdup("etc/systemd/system/registry-cache@.service"), &b);
}

/* Nothing may be written while the collector looks: it would take what is on its way for garbage.
 * It knows no way to run over a store that is empty yet. */
static void add_collector(struct rendering *r)
{
        cleanup_buf struct buf b;
        buf_init(&b, RENDER_MAX_BYTES);
        buf_printf(&b,
                "[Unit]\n"
                "Description=Garbage collection of the pull-through cache of %%i\n"
                "\n"
                "[Service]\n"
                "Type=oneshot\n"
                "ExecCondition=/usr/bin/test -d " CACHES_STORE
                "/%%i/docker/registry/v2/repositories\n"
                "ExecStartPre=+/usr/bin/systemctl stop registry-cache@%%i.service\n"
                "ExecStart=/usr/bin/docker-registry garbage-collect /etc/registry-cache/%%i.yml\n"
                "ExecStopPost=+/bin/sh -c 'systemctl -q is-enabled registry-cache@%%i.service && "
                "systemctl start registry-cache@%%i.service'\n"
                "Environment=OTEL_TRACES_EXPORTER=none\n"
                "TimeoutStartSec=6h\n"
                "Nice=10\n"
                "IOSchedulingClass=idle\n"
                "%s"
                "AmbientCapabilities=\n"
                "CapabilityBoundingSet=\n"
                "%s",
                identity, hardening);
        rendering_add(r, mem_strdup("etc/systemd/system/registry-cache-gc@.service"), &b);
}

static void add_timer(const struct cache *c, struct cache_time t, struct rendering *r)
{
        cleanup_buf struct buf b;
        buf_init(&b, RENDER_MAX_BYTES);
        buf_printf(&b,
                "[Unit]\n"
                "Description=Weekly garbage collection of the pull-through cache of %s\n"
                "\n"
                "[Timer]\n"
                "OnCalendar=%s *-*-* %02d:%02d:00\n"
                "RandomizedDelaySec=30min\n"
                "Persistent=yes\n"
                "\n"
                "[Install]\n"
                "WantedBy=timers.target\n",
                c->host, weekdays[t.weekday], t.hour, t.minute);
        rendering_add(r, mem_printf("etc/systemd/system/registry-cache-gc@%s.timer", c->name), &b);
}

static void add_config(const struct caches *caches, const struct cache *c, struct rendering *r)
{
        cleanup_buf struct buf b;
        cleanup_free char *listen = caches_listen(caches->address, c->port);
        cleanup_free char *store = mem_printf(CACHES_STORE "/%s", c->name);
        buf_init(&b, RENDER_MAX_BYTES);
        caches_config(c, listen, store, &b);
        rendering_add(r, mem_printf("etc/registry-cache/%s.yml", c->name), &b);
}

static void note_installation(const struct caches *c, struct rendering *r)
{
        cleanup_buf struct buf units;
        buf_init(&units, RENDER_MAX_BYTES);
        for (size_t i = 0; i < c->count; i++)
                buf_printf(&units,
                        "  systemctl enable --now registry-cache@%s.service\n"
                        "  systemctl enable --now registry-cache-gc@%s.timer\n",
                        c->list[i].name, c->list[i].name);
        rendering_note(r,
                "On the machine with the caches (Debian), with these files in place:\n\n"
                "  apt-get install docker-registry\n"
                "  systemctl disable --now docker-registry.service    # its own one, on port 5000\n"
                "  systemctl daemon-reload\n"
                "%s",
                buf_str(&units));
}

void caches_systemd(const struct caches *c, struct rendering *r)
{
        for (size_t i = 0; i < c->count; i++)
                add_config(c, &c->list[i], r);
        add_service(c, r);
        add_collector(r);
        for (size_t i = 0; i < c->count; i++)
                add_timer(&c->list[i], caches_time(i), r);
        note_installation(c, r);
        rendering_note(r,
                "Credentials for an upstream: /etc/registry-cache/NAME.env, mode 0600, with the "
                "lines REGISTRY_PROXY_USERNAME=... and REGISTRY_PROXY_PASSWORD=...\n");
        rendering_note(r,
                "The weekly collection restarts each cache. Where a version's memory grows faster "
                "than that: systemctl edit registry-cache@.service, with these lines, starts it "
                "anew "
                "every three days, and before it takes the machine's memory:\n\n"
                "  [Service]\n"
                "  RuntimeMaxSec=3d\n"
                "  MemoryMax=2G\n");
}
