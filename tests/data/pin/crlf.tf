resource "kubernetes_pod" "a" {
  image = "nginx:1.27"
  x = <<EOF
image = "nginx"
EOF
  y = { image = "redis:7" }
}
