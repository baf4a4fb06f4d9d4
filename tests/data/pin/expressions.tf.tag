locals {
  image = var.image
  a = {
    image = "${var.registry}/app:v1"
    other = var.image == "nginx:1.27" ? var.image : "nginx:1.26"
    image = local.big ? "nginx:1.27" : "nginx:1.26"
    image = "nginx:1.27" == local.big
    image = lookup(local.images, "nginx:1.27", "x")
    image = "$${not}/a:v1"
    image = "nginx\u003a1.27"
  }
  b = [for image in var.images : { image = image }]
  c = { for image in var.images : image => "nginx:1.27" }
  d = "text ${ "image = \"nginx:1.27\" ${ var.a }" } more"
  e = var.x == image
  f = (var.x ?
    image : "nginx:1.27")
  image {
    image = "nginx:1.27@sha256:<docker.io/library/nginx:1.27>"
  }
}
