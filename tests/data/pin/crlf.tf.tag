resource "kubernetes_pod" "a" {
  image = "nginx:1.27@sha256:<docker.io/library/nginx:1.27>"
  x = <<EOF
image = "nginx"
EOF
  y = { image = "redis:7@sha256:<docker.io/library/redis:7>" }
}
