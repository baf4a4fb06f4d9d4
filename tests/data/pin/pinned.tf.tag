locals {
  a = { image = "nginx@sha256:<old>" }
  b = { image = "nginx:1.27@sha256:<old>" }
  c = {
    image = "nginx@sha256:<old>" // was 1.26
  }
  d = [{
    "image" : "nginx@sha256:<old>", # was 1.25
  }]
}
