{
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "spec": {"template": {"spec": {
        "containers": [
            {"name": "a", "image": "nginx:1.27@sha256:<docker.io/library/nginx:1.27>"},
            {
                "image" : "ghcr.io/team/app:v1@sha256:<ghcr.io/team/app:v1>",
                "env": [{"name": "path", "value": "\/tmp\u00e9"}]
            },
            {"image":"redis:7@sha256:<docker.io/library/redis:7>"
            }
        ]
    }}}
}
