{
  "resource": {"docker_container": {"a": {
    "image": "nginx:1.27@sha256:<docker.io/library/nginx:1.27>",
    "name": "a"
  }, "b": {"image": "${docker_image.b.image_id}"}}}
}
