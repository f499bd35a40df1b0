"""The recipe: its schema, its files and the layers that become one frozen tree.

Nothing is imported here, so that naming the package costs nothing; `schema` costs pydantic, `yaml` costs ruamel.yaml.
"""
