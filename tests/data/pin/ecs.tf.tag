resource "aws_ecs_task_definition" "app" {
  family = "app"
  container_definitions = jsonencode([
    {
      name  = "web"
      image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:v1@sha256:<123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:v1>"
      cpu   = 10
    },
    { name = "sidecar", image = "public.ecr.aws/nginx/nginx:1.27@sha256:<public.ecr.aws/nginx/nginx:1.27>" },
    { image = "redis:7@sha256:<docker.io/library/redis:7>", name = "cache" },
    {
      "name" : "json",
      "image" : "nginx:1.27@sha256:<docker.io/library/nginx:1.27>",
      "cpu" : 10
    },
    { "image" : "nginx:1.26@sha256:<docker.io/library/nginx:1.26>" },
  ])
}
