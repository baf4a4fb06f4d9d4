apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec:
  versions:
  - schema:
      openAPIV3Schema:
        properties:
          spec:
            properties:
              image:
                description: The image to run.
                type: string
                default: nginx:1.27
            required:
            - image
