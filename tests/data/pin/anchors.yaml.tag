x-image: &image ghcr.io/team/app:v1@sha256:<ghcr.io/team/app:v1>
x-quoted: &quoted "ghcr.io/team/quoted:v1@sha256:<ghcr.io/team/quoted:v1>"
x-unused: &unused ghcr.io/team/unused:v1
x-base: &base
  image: ghcr.io/team/base:v1@sha256:<ghcr.io/team/base:v1>
first:
  image: *image
second:
  <<: *base
  name: second
third:
  image: &third ghcr.io/team/third:v1@sha256:<ghcr.io/team/third:v1>
fourth: {image: *third, other: *image}
fifth:
  image: !!str ghcr.io/team/fifth:v1@sha256:<ghcr.io/team/fifth:v1>
sixth:
  image: *quoted
seventh:
  image: &seventh !!str 'ghcr.io/team/seventh:v1@sha256:<ghcr.io/team/seventh:v1>'
