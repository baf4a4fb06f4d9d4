a: {image: ""}
b:
  image:
c: {image: ~}
d: {image: null}
e: {image: "two words"}
f: {image: "${REGISTRY}/app:v1"}
g: {image: "https://example.com/picture.png"}
h: {image: Nginx}
i: {image: "nginx:"}
j: {image: "nginx:1.27@sha256:short"}
k: {image: [nginx]}
l: {image: /pictures/a.png}
m: {image: true}
n: {image: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}
o: {"other-image": nginx}
