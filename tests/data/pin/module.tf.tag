module "app" {
  source = "./modules/app"
  image  = "ghcr.io/team/app:v1@sha256:<ghcr.io/team/app:v1>"
  version = "1.0"
  nested = {
    image = "redis:7@sha256:<docker.io/library/redis:7>"
  }
}

variable "image" {
  type    = string
  default = "nginx:1.27"
}

output "image" {
  value = var.image
}
