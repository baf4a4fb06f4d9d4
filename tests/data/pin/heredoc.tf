resource "aws_ecs_task_definition" "app" {
  container_definitions = <<EOF
[{"image": "nginx:1.27"}]
image = "nginx:1.27"
  EOFX
EOF
  other = <<-DOC
    image = "nginx:1.27"
    "unended
    ${ image }
    DOC
  image = "nginx:1.27"
}
